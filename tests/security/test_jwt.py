from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import TokenError
from heykit.security import jwt
from heykit.security.keys import generate_key, key_set
from tests.security.forging import ALPHABET, HEADER, KEY, forged, segment, signed
from tests.security.refusals import code_of, refused

NOW = 1_800_000_000.0
REGISTERED = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})


class Later(IntEnum):
    NOW = 2_000_000_000


def at(instant: float) -> Callable[[], float]:
    return lambda: instant


def decoded(claims: dict[str, object], *, leeway: float = 0, now: float = NOW) -> dict[str, object]:
    return jwt.decode(jwt.encode(claims, KEY), KEY, leeway=leeway, now=at(now))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
own_claims = st.dictionaries(texts.filter(lambda name: name not in REGISTERED), json_values, max_size=4)
registered_claims = st.fixed_dictionaries(
    {},
    optional={
        "iss": texts,
        "sub": texts,
        "jti": texts,
        "exp": st.integers(int(NOW) + 1, 2**70) | st.floats(NOW + 1, 1e300),
        "nbf": st.integers(-(2**70), int(NOW)) | st.floats(-1e300, NOW),
        "iat": st.integers(0, int(NOW)) | st.floats(0, NOW),
    },
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(own_claims, registered_claims)
def test_claims_come_back_as_they_were(own: dict[str, object], registered: dict[str, object]) -> None:
    claims = own | registered
    assert claims == decoded(claims)


@given(st.dictionaries(st.sampled_from(sorted(REGISTERED)) | st.text(max_size=3), anything, max_size=5))
def test_what_encode_writes_decode_reads_and_what_decode_refuses_encode_does(claims: dict[str, object]) -> None:
    written = code_of(lambda: jwt.encode(claims, KEY))
    read = code_of(lambda: jwt.decode(forged(HEADER, claims), KEY, now=at(NOW)))
    assert written in {"", "token.claims"}
    assert bool(written) == (read in {"token.claims", "token.malformed"})


@given(st.binary(max_size=30) | st.text(max_size=20).map(str.encode) | anything)
def test_any_payload_is_read_or_refused_and_nothing_else(payload: object) -> None:
    code_of(lambda: jwt.decode(forged(HEADER, payload), KEY, now=at(NOW), issuer="i", audience="a", typ="t"))


@given(st.lists(st.text(ALPHABET + "=+/ ", max_size=12), min_size=2, max_size=2))
def test_any_parts_are_refused_in_good_order_even_under_a_right_signature(parts: list[str]) -> None:
    assert code_of(lambda: jwt.decode(signed(".".join(parts)), KEY))
    assert code_of(lambda: jwt.decode(signed(f"{segment(HEADER)}.{parts[0]}"), KEY))


@given(st.data())
def test_a_token_with_any_one_character_changed_is_refused_wherever_it_is(data: st.DataObject) -> None:
    token = jwt.encode({"sub": "7"}, KEY)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(ALPHABET + ".=+/ ").filter(lambda character: character != token[place]))
    assert code_of(lambda: jwt.decode(token[:place] + other + token[place + 1 :], KEY))


def test_bytes_are_read_as_text_is() -> None:
    token = jwt.encode({"sub": "7"}, KEY)
    assert {"sub": "7"} == jwt.decode(token, KEY) == jwt.decode(token.encode(), KEY)


def test_the_key_is_chosen_from_a_set() -> None:
    other = generate_key(id="other")
    assert jwt.decode(jwt.encode({"sub": "7"}, other), key_set([KEY, other])) == {"sub": "7"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"sub"',
        b"{",
        b'{"sub":"a","sub":"b"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":1e999}',
        b'{"a":"\\ud800"}',
        "{}".encode("utf-16"),
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        b"[" * 10_000,
        b'{"a":' * 2_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1}\x00',
    ],
)
def test_a_payload_that_is_not_one_unmistakable_object_is_malformed(payload: bytes) -> None:
    with refused("token.malformed"):
        jwt.decode(forged(HEADER, payload), KEY)


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    assert jwt.decode(forged(HEADER, b'{"sub":"\\ud83d\\ude00"}'), KEY) == {"sub": "😀"}


# Dates


@given(st.integers(-5, 5), st.integers(0, 3))
def test_a_token_expires_at_exp_and_not_a_moment_before(offset: int, leeway: int) -> None:
    code = code_of(lambda: decoded({"exp": int(NOW) + offset}, leeway=leeway))
    assert ("" if offset + leeway > 0 else "token.expired") == code


@given(st.sampled_from(["nbf", "iat"]), st.integers(-5, 5), st.integers(0, 3))
def test_a_token_is_valid_from_nbf_and_iat_on(name: str, offset: int, leeway: int) -> None:
    code = code_of(lambda: decoded({name: int(NOW) + offset}, leeway=leeway))
    assert ("" if offset - leeway <= 0 else "token.not_yet_valid") == code


def test_a_fraction_of_a_second_counts() -> None:
    assert decoded({"exp": NOW + 0.25})
    with refused("token.expired"):
        decoded({"exp": NOW + 0.25}, now=NOW + 0.25)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [True, False, None, "1800000000", [], {}, [1], "", "NaN"])
def test_a_date_that_is_no_number_is_refused_when_read_and_when_written(name: str, value: object) -> None:
    with refused("token.claims"):
        jwt.encode({name: value}, KEY)
    with refused("token.claims"):
        jwt.decode(forged(HEADER, {name: value}), KEY)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Later.NOW, datetime.now(UTC)])
def test_a_date_that_json_cannot_hold_is_not_written(value: object) -> None:
    with refused("token.claims"):
        jwt.encode({"exp": value}, KEY)


def test_a_date_beyond_any_float_is_compared_all_the_same() -> None:
    huge = 10**400
    assert {"exp": huge} == decoded({"exp": huge}, leeway=0.5)
    with refused("token.expired"):
        decoded({"exp": -huge})
    with refused("token.not_yet_valid"):
        decoded({"nbf": huge}, leeway=0.5)


@pytest.mark.parametrize(("leeway", "now"), [(math.nan, NOW), (0, math.nan)])
def test_a_clock_or_leeway_that_is_no_number_lets_nothing_through(leeway: float, now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        assert code_of(lambda name=name: decoded({name: NOW}, leeway=leeway, now=now))  # type: ignore[misc]


def test_there_is_no_leeway_unless_asked_for() -> None:
    with refused("token.expired"):
        jwt.decode(jwt.encode({"exp": 10}, KEY), KEY, now=at(10))


def test_a_token_expires_by_the_real_clock_unless_told_otherwise() -> None:
    with refused("token.expired"):
        jwt.decode(jwt.encode({"exp": 1}, KEY), KEY)


# Issuer, audience, type, subject


def test_the_issuer_is_the_one_expected() -> None:
    token = jwt.encode({"iss": "heygen"}, KEY)
    assert jwt.decode(token, KEY) == jwt.decode(token, KEY, issuer="heygen")
    for wrong in (token, jwt.encode({}, KEY)):
        with refused("token.issuer"):
            jwt.decode(wrong, KEY, issuer="heyge")


@pytest.mark.parametrize(
    ("claimed", "ours", "right"),
    [
        ("api", "api", True),
        ("api", ["web", "api"], True),
        (["web", "api"], "api", True),
        (["web", "api"], ["api", "app"], True),
        ("api", "ap", False),
        ("ap", "api", False),
        ("api", ["a", "p", "i"], False),
        (["a", "p", "i"], "api", False),
        ("api", "API", False),
        (["web"], ["api"], False),
        ("api", [], False),
        ("", "api", False),
    ],
)
def test_the_audience_is_one_of_ours(claimed: str | list[str], ours: str | list[str], *, right: bool) -> None:
    token = jwt.encode({"aud": claimed}, KEY)
    assert ("" if right else "token.audience") == code_of(lambda: jwt.decode(token, KEY, audience=ours))


def test_a_token_without_audience_is_not_for_us() -> None:
    with refused("token.audience"):
        jwt.decode(jwt.encode({}, KEY), KEY, audience="api")


def test_a_token_for_an_audience_is_not_for_who_has_no_name() -> None:
    """RFC 7519 §4.1.3."""
    with refused("token.audience"):
        jwt.decode(jwt.encode({"aud": "api"}, KEY), KEY)


def test_a_tuple_of_audiences_is_written_as_a_list() -> None:
    token = jwt.encode({"aud": ("api", "web")}, KEY)
    assert jwt.decode(token, KEY, audience=("web",)) == {"aud": ["api", "web"]}


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": 7},
        {"iss": None},
        {"sub": 7},
        {"sub": ["7"]},
        {"jti": 7},
        {"aud": 7},
        {"aud": None},
        {"aud": ["a", 7]},
        {"aud": {"a": 1}},
        {"aud": [["a"]]},
    ],
)
def test_claims_of_the_wrong_type_are_refused_when_read_and_when_written(claims: dict[str, object]) -> None:
    with refused("token.claims"):
        jwt.encode(claims, KEY)
    with refused("token.claims"):
        jwt.decode(forged(HEADER, claims), KEY, audience="a")


@pytest.mark.parametrize(
    ("written", "expected"),
    [("JWT", "jwt"), ("at+jwt", "at+jwt"), ("application/at+JWT", "at+jwt"), ("at+jwt", "application/at+jwt")],
)
def test_types_compare_as_media_types_do(written: str, expected: str) -> None:
    token = jwt.encode({}, KEY, typ=written)
    assert {} == jwt.decode(token, KEY, typ=expected) == jwt.decode(token, KEY)


@pytest.mark.parametrize("written", [None, "JWT", "refresh+jwt", ""])
def test_one_kind_of_token_does_not_pass_for_another(written: str | None) -> None:
    with refused("token.type"):
        jwt.decode(jwt.encode({}, KEY, typ=written), KEY, typ="at+jwt")


# Writing


def circular() -> dict[str, object]:
    claims: dict[str, object] = {}
    claims["self"] = claims
    return claims


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        {1: "one"},
        {None: 1},
        [{True: 1}],
        {"a", "b"},
        datetime.now(UTC),
        object(),
        math.nan,
        [math.inf],
        "\ud800",
        {"\udfff": 1},
        circular(),
        nested(100_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_claims_that_are_not_json_are_not_written(value: object) -> None:
    with refused("token.claims"):
        jwt.encode({"value": value}, KEY)


def test_claims_have_text_for_names() -> None:
    with refused("token.claims"):
        jwt.encode({7: "seven", "7": "seven"}, KEY)  # type: ignore[dict-item]


def test_claims_longer_than_anyone_reads_are_not_written() -> None:
    with refused("token.too_long"):
        jwt.encode({"sub": "x" * 20_000}, KEY)


def test_no_refusal_repeats_anything_of_the_token() -> None:
    secrets = {"sub": "hunter2", "exp": 1, "iss": "hunter2", "aud": "hunter2"}
    token = jwt.encode(secrets, KEY, typ="hunter2")
    for call in (
        lambda: jwt.decode(token, KEY),
        lambda: jwt.decode(token, KEY, typ="at+jwt"),
        lambda: jwt.decode(token, KEY, issuer="heygen", now=at(0)),
        lambda: jwt.decode(token, KEY, audience="api", now=at(0)),
        lambda: jwt.decode(token[:-1], KEY),
        lambda: jwt.decode(token, generate_key(id="hunter2")),
        lambda: jwt.decode(forged(HEADER, b'{"a":"hunter2'), KEY),
        lambda: jwt.encode({"sub": ["hunter2"]}, KEY),
    ):
        with pytest.raises(TokenError) as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
