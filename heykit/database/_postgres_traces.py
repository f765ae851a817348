"""What a statement may leave behind in its session for whoever uses the connection next.

Resetting a connection costs a round trip, as much again as a short statement. It is left out after statements that
certainly set nothing: those that read and change rows, and call nothing but functions known to be harmless. What is
not understood counts as a trace.
"""

from __future__ import annotations

import re
from typing import Final

_ROWS: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE"})
_FIRST_WORD: Final = re.compile(r"[\s(]*([A-Za-z]+)")
# A comment may stand between a name and its bracket, behind a semicolon a second statement, and anything in what is
# quoted with escapes or dollars.
_HIDING: Final = re.compile(r"/\*|--|;\s*\S|\bE'|U&|\$[A-Za-z_]*\$", re.IGNORECASE)
_LITERAL: Final = re.compile("'[^']*'")
# Brackets that follow a word which might be a function's name elsewhere.
_CLAUSES: Final = re.compile(
    r"\bON\s+CONFLICT\s*\(|\)\s*(?:FILTER|OVER)\s*\(|\bAS\s+(?:NOT\s+)?MATERIALIZED\s*\(", re.IGNORECASE
)
# The columns of INSERT INTO, of a WITH and of an alias look like the arguments of a call.
_COLUMNS: Final = re.compile(
    r"""\b(?:INTO|WITH|RECURSIVE|AS)\s+(?:[A-Za-z_][\w$]*|"[^"]*")(?:\.(?:[A-Za-z_][\w$]*|"[^"]*"))?\s*\(""",
    re.IGNORECASE,
)
_CALLED: Final = re.compile(r"""(\.\s*)?([A-Za-z_\u0080-\uffff][\w$]*|")\s*\(""")
# Words after which an open bracket is no call.
_KEYWORDS: Final = (
    "all and any array as between case distinct else end except exists for from group having ilike in intersect into "
    "join lateral like limit not offset on only or order returning row select some then to union unique using values "
    "when where window with"
)
_HARMLESS: Final = (
    "abs age array_agg array_append array_cat array_length array_position array_prepend array_remove array_to_json "
    "array_to_string ascii avg bit_and bit_or bool_and bool_or btrim cardinality cast ceil ceiling char_length chr "
    "coalesce concat concat_ws convert_from convert_to corr count crc32 cume_dist currval date_bin date_part "
    "date_trunc decode dense_rank div encode every exp extract first_value floor format gen_random_uuid greatest "
    "initcap json json_agg json_array_elements json_array_length json_build_array json_build_object json_each "
    "json_extract_path json_object_agg json_typeof jsonb_agg jsonb_array_elements jsonb_array_length "
    "jsonb_build_array jsonb_build_object jsonb_each jsonb_extract_path jsonb_object_agg jsonb_set jsonb_typeof lag "
    "last_value lastval lead least left length ln log lower lpad ltrim make_date make_interval make_timestamp max md5 "
    "min mod mode nextval now nth_value ntile nullif num_nonnulls numeric octet_length overlay percent_rank "
    "percentile_cont percentile_disc pg_sleep position power random rank regexp_count regexp_match regexp_matches "
    "regexp_replace regexp_split_to_array repeat replace reverse right round row_number row_to_json rpad rtrim sha256 "
    "sign split_part sqrt starts_with stddev strpos string_agg string_to_array substr substring sum to_char to_date "
    "to_hex to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector translate trim trunc unnest upper varchar "
    "variance websearch_to_tsquery width_bucket generate_series clock_timestamp statement_timestamp ts_rank"
)
_NOT_SUSPICIOUS: Final = frozenset([*_KEYWORDS.split(), *_HARMLESS.split()])


def leaves_traces(sql: str) -> bool:
    """Tell whether the connection must be reset after a statement.

    A trigger, a view or an operator that sets something is not seen here, nor a function of one's own that has the name
    of a built-in: such things belong into the transaction (`SET LOCAL`, `pg_advisory_xact_lock`).
    """
    first = _FIRST_WORD.match(sql)
    if first is None or first[1].upper() not in _ROWS or _HIDING.search(sql):
        return True
    plain = _CLAUSES.sub(" AS (", _COLUMNS.sub("AS (", _LITERAL.sub("''", sql)))
    return any(_is_suspicious(qualified, name) for qualified, name in _CALLED.findall(plain))


def _is_suspicious(qualified: str, name: str) -> bool:
    return bool(qualified) or name.lower() not in _NOT_SUSPICIOUS
