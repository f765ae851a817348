"""Keys that come and go: the first signs, all verify; and what is written by hand agrees with the standard library."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import KeyRefused, TokenError
from heykit.security import _json, jws, jwt
from heykit.security.keys import generate_key, key_from_pem, key_from_secret, key_set, key_set_from_jwks, public_jwks
from tests.security.refusals import refused

OLD, NEW = key_from_secret(b"o" * 32, id="2026-10"), key_from_secret(b"n" * 32, id="2026-11", created_at=1_700_000_000)


def test_the_first_key_of_a_set_signs_and_all_verify() -> None:
    before = jwt.encode({"sub": "7"}, OLD)
    keys = key_set([NEW, OLD])
    after = jwt.encode({"sub": "8"}, keys)
    assert jwt.decode(before, keys) == {"sub": "7"}
    assert jwt.decode(after, NEW) == {"sub": "8"}
    assert jws.verify(jws.sign(b"x", keys), NEW) == b"x"


def test_a_key_that_was_taken_out_verifies_nothing_more() -> None:
    with refused("token.key"):
        jwt.decode(jwt.encode({}, OLD), key_set([NEW, generate_key(id="other")]))


def test_keys_that_may_only_verify_are_passed_over_for_signing() -> None:
    private = generate_key("ES256", id="b")
    public = key_set_from_jwks(public_jwks(key_set([generate_key("ES256", id="a")])))
    keys = key_set([*public, private])
    assert keys.newest() is private
    assert jws.verify(jws.sign(b"x", keys), private) == b"x"
    with pytest.raises(KeyRefused, match="may only verify"):
        jws.sign(b"x", public)


def test_a_key_tells_when_it_was_made_where_that_is_known() -> None:
    assert NEW.created_at == 1_700_000_000
    assert OLD.created_at is None
    assert generate_key("ES256", now=lambda: 5.0).created_at == generate_key(now=lambda: 5.0).created_at == 5.0


def test_a_key_in_pem_too() -> None:
    from tests.security.test_asymmetric import made, pem

    assert key_from_pem(pem(made("ES256")), algorithm="ES256", created_at=7).created_at == 7


@given(st.binary(min_size=64, max_size=300), st.binary(max_size=300))
def test_hmac_is_that_of_the_standard_library(secret: bytes, data: bytes) -> None:
    for algorithm, name in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        try:
            key = key_from_secret(secret, algorithm=algorithm)  # type: ignore[arg-type]
        except KeyRefused:
            return
        mac = hmac.digest(secret, data, name)
        assert key.sign(data) == mac
        assert key.verify(data, mac)
        assert not key.verify(data, hashlib.sha256(mac).digest())


plain = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers() | st.booleans() | st.none())


@given(plain)
def test_claims_are_written_as_json_is(claims: dict[str, object]) -> None:
    try:
        expected = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="surrogates"):
            _json.write_object(claims)
        return
    assert _json.write_object(claims) == expected


@pytest.mark.parametrize("spaced", [b' {"a": 1}', b'{"a":1}\n', b'\t{ "a" : 1 }\r\n'])
def test_space_round_the_payload_is_json_still(spaced: bytes) -> None:
    assert jwt.decode(jws.sign(spaced, NEW), NEW) == {"a": 1}


@pytest.mark.parametrize(
    "more", [b'{"a":1}x', b'{"a":1}{}', b'{"a":1},', b"", b" ", b'{"a":1,"a":1}', b'{"a" :1,"a":2}']
)
def test_what_follows_it_is_not(more: bytes) -> None:
    with pytest.raises(TokenError):
        jwt.decode(jws.sign(more, NEW), NEW)
