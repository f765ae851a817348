from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heykit.security import _base64url, jws
from heykit.security._compact import MAX_LENGTH
from heykit.security.keys import key_from_secret
from tests.security.forging import ALPHABET, HEADER, KEY, SECRET, forged, segment, signed
from tests.security.refusals import code_of, refused

TOKEN = jws.sign(b"any bytes", KEY)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
odd_headers = st.fixed_dictionaries(
    {"alg": st.just("HS256") | json_values},
    optional={
        name: st.sampled_from(["k1", ["b64"], True]) | json_values
        for name in ("kid", "typ", "crit", "b64", "jwk", "x5c")
    },
)


@given(st.binary(max_size=300))
def test_what_is_signed_is_what_is_verified(payload: bytes) -> None:
    token = jws.sign(payload, KEY)
    assert payload == jws.verify(token, KEY) == jws.verify(token.encode(), KEY)


@given(st.binary(max_size=40))
def test_base64url_has_one_text_for_each_bytes(data: bytes) -> None:
    assert segment(data).encode() == _base64url.encode(data)
    assert data == _base64url.decode(_base64url.encode(data))


@given(st.text(ALPHABET, max_size=12) | st.text(ALPHABET + "+/=\n .", max_size=12))
def test_base64url_that_decodes_is_the_text_that_encodes(text: str) -> None:
    try:
        data = _base64url.decode(text.encode())
    except ValueError:
        return
    assert text.encode() == _base64url.encode(data)


@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=0x2FF))
@example(len(TOKEN) - 1, "=")
def test_a_token_with_any_one_character_changed_is_refused(place: int, other: str) -> None:
    changed = TOKEN[:place] + other + TOKEN[place + 1 :]
    assert (changed == TOKEN) == (code_of(lambda: jws.verify(changed, KEY)) == "")


@given(st.binary(max_size=4))
def test_no_other_last_character_is_as_good_not_even_one_that_differs_in_spare_bits(payload: bytes) -> None:
    token = jws.sign(payload, KEY)
    good = [last for last in ALPHABET if not code_of(lambda last=last: jws.verify(token[:-1] + last, KEY))]  # type: ignore[misc]
    assert [token[-1]] == good


@given(st.integers(0, len(TOKEN)), st.sampled_from([".", "=", " ", "\n", "A", "-", "é", "\x00"]))
def test_a_token_with_a_character_more_is_refused(place: int, more: str) -> None:
    assert code_of(lambda: jws.verify(TOKEN[:place] + more + TOKEN[place:], KEY))


@given(st.integers(0, len(TOKEN) - 1))
def test_a_token_with_a_character_less_is_refused(place: int) -> None:
    assert code_of(lambda: jws.verify(TOKEN[:place] + TOKEN[place + 1 :], KEY))


@given(odd_headers, st.binary(max_size=20))
def test_any_header_is_read_or_refused_and_nothing_else_even_under_a_right_signature(
    header: dict[str, object], payload: bytes
) -> None:
    code = code_of(lambda: jws.verify(forged(header, payload), KEY))
    assert code in {"", "token.malformed", "token.key"}
    assert not code or header.keys() - {"alg", "kid"} or header != HEADER


@given(st.lists(st.text(ALPHABET, max_size=8) | st.text(max_size=4), min_size=3, max_size=3))
def test_any_three_parts_are_refused_in_good_order(parts: list[str]) -> None:
    assert code_of(lambda: jws.verify(".".join(parts), KEY))
    assert code_of(lambda: jws.verify(signed(f"{segment(HEADER)}.{segment(b'x')}") + parts[0] + ".", KEY))


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_in_good_order(raw: bytes) -> None:
    assert code_of(lambda: jws.verify(raw, KEY))
    assert code_of(lambda: jws.verify(raw + b".." + raw, KEY))


def test_the_header_holds_algorithm_and_id_and_nothing_else() -> None:
    assert TOKEN.startswith(segment(json.dumps(HEADER, separators=(",", ":")).encode()) + ".")
    bare = jws.sign(b"", key_from_secret(SECRET))
    assert bare.startswith(segment(b'{"alg":"HS256"}') + "..")


@pytest.mark.parametrize("token", ["", ".", "..", "...", "a.b", "a.b.c.d", "e30.e30.e30", "é.é.é", b"\xff.\xff.\xff"])
def test_what_is_no_token_is_malformed(token: str | bytes) -> None:
    with refused("token.malformed"):
        jws.verify(token, KEY)


def test_two_or_four_parts_are_malformed_even_under_a_right_signature() -> None:
    header, payload = segment(HEADER), segment(b"x")
    for signing_input in (header, f"{header}.{payload}.{payload}", f"{header}.{payload}.", f".{header}.{payload}"):
        with refused("token.malformed"):
            jws.verify(signed(signing_input), KEY)


@pytest.mark.parametrize("token", [None, 7, ["a"], {}])
def test_what_is_not_even_text_is_malformed(token: object) -> None:
    with refused("token.malformed"):
        jws.verify(token, KEY)  # type: ignore[arg-type]


def test_a_token_may_be_as_long_as_the_limit_and_no_longer() -> None:
    payload = bytes((MAX_LENGTH - len(jws.sign(b"", KEY))) * 3 // 4)
    token = jws.sign(payload, KEY)
    assert len(token) == MAX_LENGTH
    assert payload == jws.verify(token, KEY)
    with refused("token.too_long"):
        jws.sign(payload + b"x", KEY)
    with refused("token.too_long"):
        jws.verify(token + "A", KEY)


@pytest.mark.parametrize("token", ["." * 10_000_000, "é" * 20_000, b"\xff" * 20_000, "A" * 10_000_000])
def test_length_is_looked_at_before_anything_else(token: str | bytes) -> None:
    """CVE-2025-61920, CVE-2026-48525."""
    with refused("token.too_long"):
        jws.verify(token, KEY)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'"alg"',
        b"{",
        b"{}",
        b"{'alg':'HS256'}",
        b'{"alg":"HS256"} x',
        b'{"alg":"HS256",}',
        b'{"alg":"HS256","alg":"HS256"}',
        b'{"alg":"HS256","\\u0061lg":"none"}',
        b'{"alg":"HS256","x":{"a":1,"a":1}}',
        b'{"alg":"HS256","x":NaN}',
        b'{"alg":"HS256","x":-Infinity}',
        b'{"alg":"HS256","x":1e999}',
        b'{"alg":"HS256","x":' + b"9" * 5000 + b"}",
        b'{"alg":"HS256","x":"\t"}',
        b'{"alg":"HS256","x":"\\ud800"}',
        b'{"alg":"HS256","x":"\xed\xa0\x80"}',
        b'{"alg":"HS256","x":"\xc0\x80"}',
        b'{"alg":"HS256","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"[" * 10_000,
        b'{"a":' * 2_000,
        '{"alg":"HS256"}'.encode("utf-16"),
        '{"alg":"HS256"}'.encode("utf-16-be"),
        '{"alg":"HS256"}'.encode("utf-32"),
        b'\xef\xbb\xbf{"alg":"HS256"}',
        b'{"alg":null}',
        b'{"alg":["HS256"]}',
        b'{"kid":"k1"}',
        b'{"alg":"HS256","kid":7}',
        b'{"alg":"HS256","kid":null}',
        b'{"alg":"HS256","kid":{}}',
        b'{"alg":"HS256","kid":["k1"]}',
        b'{"alg":"HS256","typ":7}',
    ],
)
def test_a_header_that_readers_could_understand_differently_is_malformed(header: bytes) -> None:
    with refused("token.malformed"):
        jws.verify(forged(header, b"x"), KEY)


@pytest.mark.parametrize("crit", [[], ["exp"], ["b64"], None, {}, "b64", ["http://example.com/x"]])
def test_any_crit_is_refused(crit: object) -> None:
    """CVE-2025-59420."""
    with refused("token.malformed"):
        jws.verify(forged(HEADER | {"crit": crit, "exp": 1, "http://example.com/x": 1}, b"x"), KEY)


@pytest.mark.parametrize("b64", [False, True, None, "false"])
def test_any_b64_is_refused(b64: object) -> None:
    with refused("token.malformed"):
        jws.verify(forged(HEADER | {"b64": b64}, b"x"), KEY)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "HS512", "hs256", "RS256", "ES256", "HS256\x00"])
def test_the_header_does_not_choose_the_algorithm(alg: str) -> None:
    for token in (forged(HEADER | {"alg": alg}, b"x"), f"{segment(HEADER | {'alg': alg})}.{segment(b'x')}."):
        with refused("token.key"):
            jws.verify(token, KEY)


def test_a_key_in_the_header_is_not_looked_at() -> None:
    """CVE-2026-27962; nor is anything fetched that it points to (CVE-2026-48522)."""
    attacker = key_from_secret("x" * 32, id="k1")
    own = {"kty": "oct", "alg": "HS256", "k": segment(b"x" * 32)}
    for member in ({"jwk": own}, {"jku": "file:///etc/passwd"}, {"x5u": "http://127.0.0.1/"}, {"x5c": ["AA=="]}):
        with refused("token.signature"):
            jws.verify(forged(HEADER | member, b"x", attacker), KEY)
        assert jws.verify(forged(HEADER | member, b"x"), KEY) == b"x"


def test_a_token_without_signature_is_refused() -> None:
    with refused("token.signature"):
        jws.verify(f"{segment(HEADER)}.{segment(b'x')}.", KEY)


@pytest.mark.parametrize("length", [1, 16, 31])
def test_a_truncated_signature_is_refused(length: int) -> None:
    signing_input = f"{segment(HEADER)}.{segment(b'x')}"
    with refused("token.signature"):
        jws.verify(f"{signing_input}.{segment(KEY.sign(signing_input.encode())[:length])}", KEY)


def test_a_header_once_read_is_no_excuse_for_a_wrong_signature() -> None:
    assert jws.verify(TOKEN, KEY) == b"any bytes"
    with refused("token.signature"):
        jws.verify(jws.sign(b"any bytes", key_from_secret("y" * 32, id="k1")), KEY)


@pytest.mark.parametrize(("depth", "good"), [(62, True), (64, False)])
def test_how_deep_a_header_may_be_is_the_same_on_every_python(depth: int, *, good: bool) -> None:
    """64 levels with the object itself; brackets within a string are none."""
    text = b'"' + b"[" * 500 + b'"'
    token = forged(b'{"alg":"HS256","kid":"k1","x":' + b"[" * depth + text + b"]" * depth + b"}", b"x")
    if good:
        assert jws.verify(token, KEY) == b"x"
    else:
        with refused("token.malformed"):
            jws.verify(token, KEY)
