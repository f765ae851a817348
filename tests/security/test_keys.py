from __future__ import annotations

import copy
import pickle
from base64 import urlsafe_b64encode
from dataclasses import FrozenInstanceError

import pytest

from heykit.errors import KeyRefused
from heykit.security import jws
from heykit.security.keys import Key, generate_key, key_from_jwk, key_from_secret, key_set, key_set_from_jwks
from tests.security.forging import SECRET, forged, segment
from tests.security.refusals import refused, refused_key


def jwk(**members: object) -> dict[str, object]:
    return {"kty": "oct", "alg": "HS256", "k": segment(SECRET.encode()), **members}


def test_text_and_bytes_of_the_same_secret_are_the_same_key() -> None:
    token = jws.sign(b"x", key_from_secret(SECRET))
    assert jws.verify(token, key_from_secret(SECRET.encode())) == b"x"


def test_a_key_of_another_secret_does_not_verify() -> None:
    with refused("token.signature"):
        jws.verify(jws.sign(b"x", key_from_secret(SECRET)), key_from_secret(SECRET + "!"))


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_secret_shorter_than_the_hash_is_refused(length: int) -> None:
    with refused_key():
        key_from_secret(b"x" * length)
    with refused_key():
        key_from_jwk(jwk(k=segment(b"x" * length)))


def test_a_secret_as_long_as_the_hash_will_do_and_text_counts_in_bytes() -> None:
    assert key_from_secret(b"x" * 32).algorithm == "HS256"
    assert key_from_secret("ü" * 16).algorithm == "HS256"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "", "hs256", "HS1", "RS1", "ES256K", "HS256 ", "A256GCM", "RSA-OAEP", "dir"]
)
def test_an_algorithm_that_is_not_implemented_has_no_key(algorithm: str) -> None:
    with refused_key():
        key_from_secret(SECRET, algorithm=algorithm)  # type: ignore[arg-type]
    with refused_key():
        generate_key(algorithm)  # type: ignore[arg-type]
    with refused_key():
        key_from_jwk(jwk(alg=algorithm))


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA",
        "\n  -----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA",
        "Bag Attributes\n-----BEGIN RSA PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEF",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 someone@example",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGfD someone@example",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAA",
        '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}',
        ' {"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMz"}]}',
    ],
)
def test_a_public_key_is_no_secret(text: str) -> None:
    """CVE-2022-29217, CVE-2024-33663, CVE-2024-37568, CVE-2026-48526."""
    with refused_key():
        key_from_secret(text)
    with refused_key():
        key_from_jwk(jwk(k=segment(text.encode())))


def test_a_secret_that_merely_starts_with_a_brace_will_do() -> None:
    assert key_from_secret("{" + SECRET).algorithm == "HS256"
    assert key_from_secret('{"a passphrase": "of thirty-two bytes"}').algorithm == "HS256"


def test_a_generated_key_takes_the_length_of_the_hash_from_the_given_entropy() -> None:
    key = generate_key(entropy=lambda length: b"e" * length)
    assert jws.verify(jws.sign(b"x", key), key_from_secret(b"e" * 32)) == b"x"


def test_two_generated_keys_are_not_the_same() -> None:
    with refused("token.signature"):
        jws.verify(jws.sign(b"x", generate_key()), generate_key())


@pytest.mark.parametrize("key", [key_from_secret(SECRET, id="k1"), key_from_jwk(jwk(kid="k1"))])
def test_a_key_shows_its_algorithm_and_id_but_no_secret(key: Key) -> None:
    assert "Key(algorithm='HS256', id='k1')" == repr(key) == str(key)
    assert repr(key_set([key])) == "KeySet([Key(algorithm='HS256', id='k1')])"


def test_no_attribute_of_a_key_holds_the_secret() -> None:
    key = key_from_secret(SECRET)
    # Of a class with slots Python 3.11.2 shows a `__weakref__` that cannot be asked for.
    seen = [getattr(key, name) for name in dir(key) if name != "__weakref__"]
    assert SECRET not in repr(seen)
    assert SECRET.encode() not in seen


def test_a_key_stays_as_it_was_built() -> None:
    key = key_from_secret(SECRET)
    with pytest.raises(FrozenInstanceError):
        key.algorithm = "none"  # type: ignore[misc,assignment]
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        key.anything = 1  # type: ignore[attr-defined]


def test_a_key_is_neither_pickled_nor_copied() -> None:
    key = key_from_secret(SECRET)
    for thing in (key, key_set([key])):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.deepcopy(thing)


def test_no_refusal_repeats_the_secret() -> None:
    with pytest.raises(KeyRefused) as caught:
        key_from_secret("hunter2")
    assert "hunter2" not in str(caught.value)
    assert "32 bytes" in str(caught.value)
    assert caught.value.code == "key.refused"


@pytest.mark.parametrize("secret", ["\ud800" * 40, None, 40, ["x"] * 40])
def test_what_is_neither_bytes_nor_text_is_no_secret(secret: object) -> None:
    with refused_key():
        key_from_secret(secret)  # type: ignore[arg-type]


def test_an_id_that_no_header_can_hold_is_refused() -> None:
    with refused_key():
        key_from_secret(SECRET, id="\ud800")


# JSON Web Keys


def test_a_jwk_gives_algorithm_id_and_secret() -> None:
    key = key_from_jwk(jwk(kid="k1", use="sig", key_ops=["sign", "verify"]))
    assert (key.algorithm, key.id) == ("HS256", "k1")
    assert jws.verify(jws.sign(b"x", key_from_secret(SECRET, id="k1")), key) == b"x"


def test_a_jwk_without_alg_needs_to_be_told_its_algorithm() -> None:
    bare = {"kty": "oct", "k": segment(SECRET.encode())}
    assert key_from_jwk(bare, algorithm="HS256").algorithm == "HS256"
    assert key_from_jwk(jwk(), algorithm="HS256").algorithm == "HS256"
    with refused_key():
        key_from_jwk(bare)


def test_a_jwk_for_another_algorithm_than_the_one_asked_for_is_refused() -> None:
    with refused_key():
        key_from_jwk(jwk(alg="HS512"), algorithm="HS256")


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "RSA"},
        {"kty": "OCT"},
        {"kty": None},
        {"kty": ["oct"]},
        {"k": None},
        {"k": 7},
        {"k": urlsafe_b64encode(b"x" * 32).decode()},
        {"k": segment(b"x" * 32) + "\n"},
        {"k": " " + segment(b"x" * 32)},
        {"k": segment(b"\xff" * 33).replace("_", "/")},
        {"k": "ü" * 50},
        {"k": "A" * 42 + "B"},
        {"alg": None},
        {"alg": ["HS256"]},
        {"kid": None},
        {"kid": 7},
        {"use": "enc"},
        {"use": None},
        {"use": ["sig"]},
        {"key_ops": []},
        {"key_ops": "sign"},
        {"key_ops": ["encrypt", "decrypt"]},
        {"key_ops": ["sign", "sign"]},
        {"key_ops": ["sign", 7]},
        {"key_ops": ["sign", ["verify"]]},
        {"use": "enc", "key_ops": ["sign", "verify"]},
    ],
)
def test_a_jwk_that_is_malformed_or_not_for_signatures_is_refused(members: dict[str, object]) -> None:
    with refused_key():
        key_from_jwk(jwk(**members))


def test_key_ops_allow_signing_or_verifying_alone() -> None:
    signs, verifies = key_from_jwk(jwk(key_ops=["sign"])), key_from_jwk(jwk(key_ops=["verify"]))
    token = jws.sign(b"x", signs)
    assert jws.verify(token, verifies) == b"x"
    with refused("token.key"):
        jws.verify(token, signs)
    with refused_key():
        jws.sign(b"x", verifies)


# Sets


def test_a_token_names_its_key_in_the_set() -> None:
    old, new = key_from_secret(SECRET + "old", id="old"), key_from_secret(SECRET + "new", id="new")
    keys = key_set([old, new])
    assert [old, new] == list(keys)
    assert jws.verify(jws.sign(b"x", old), keys) == b"x"
    assert jws.verify(jws.sign(b"y", new), keys) == b"y"


def test_a_token_that_names_no_key_of_the_set_is_refused() -> None:
    keys = key_set([generate_key(id="a"), generate_key(id="b")])
    for stranger in (generate_key(id="c"), generate_key()):
        with refused("token.key"):
            jws.verify(jws.sign(b"x", stranger), keys)


def test_a_token_without_kid_is_for_the_key_without_id_or_for_the_only_one() -> None:
    bare, named = key_from_secret(SECRET), key_from_secret(SECRET, id="k1")
    assert jws.verify(jws.sign(b"x", bare), key_set([bare, generate_key(id="other")])) == b"x"
    assert jws.verify(jws.sign(b"x", bare), key_set([named])) == b"x"
    assert jws.verify(jws.sign(b"x", bare), named) == b"x"


def test_a_key_with_an_id_does_not_answer_to_another() -> None:
    token = jws.sign(b"x", key_from_secret(SECRET, id="k1"))
    for keys in (key_from_secret(SECRET, id="k2"), key_set([key_from_secret(SECRET, id="k2")])):
        with refused("token.key"):
            jws.verify(token, keys)


def test_ids_in_a_set_are_unique() -> None:
    for id in ("k1", None):
        with refused_key():
            key_set([generate_key(id=id), generate_key(id=id)])
    with refused_key():
        key_set_from_jwks({"keys": [jwk(kid="k1"), jwk(kid="k1", k=segment(b"y" * 32))]})


def test_a_set_without_a_usable_key_is_refused() -> None:
    for unusable in ([], [{"kty": "RSA", "kid": "r"}], [jwk(use="enc")]):
        with refused_key():
            key_set_from_jwks({"keys": unusable})
    with refused_key():
        key_set([])


@pytest.mark.parametrize(
    "stranger",
    [
        {"kty": "XYZ", "kid": "stranger"},
        {"kty": "XYZ", "kid": 7, "alg": 7, "use": 7, "key_ops": 7},
        jwk(kid="stranger", use="enc"),
        jwk(kid="stranger", key_ops=["wrapKey"]),
        jwk(kid="stranger", alg="A256GCM"),
        jwk(kid="stranger", alg="HS999"),
    ],
)
def test_keys_of_unknown_types_and_for_other_purposes_are_skipped(stranger: dict[str, object]) -> None:
    keys = key_set_from_jwks({"keys": [stranger, jwk(kid="k1")]})
    assert [key.id for key in keys] == ["k1"]
    with refused("token.key"):
        jws.verify(forged({"alg": "HS256", "kid": "stranger"}, b"x"), keys)


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": None},
        {"keys": {}},
        {"keys": "oct"},
        {"keys": [7]},
        {"keys": [{}]},
        {"keys": [{"kty": 7}]},
        {"keys": [jwk(kid="k1"), jwk(kid="k2", k=segment(b"short"))]},
        {"keys": [jwk(kid="k1"), jwk(kid="k2", k="=")]},
    ],
)
def test_a_set_that_is_malformed_or_holds_a_weak_key_is_refused(jwks: dict[str, object]) -> None:
    with refused_key():
        key_set_from_jwks(jwks)


@pytest.mark.parametrize("kty", ["RSA", "EC", "OKP"])
def test_secrets_and_public_keys_do_not_mix(kty: str) -> None:
    with refused_key():
        key_set_from_jwks({"keys": [jwk(kid="k1"), {"kty": kty, "kid": "public"}]})


def test_the_only_algorithm_asked_for_is_that_of_keys_that_name_none() -> None:
    bare = {"kty": "oct", "kid": "k1", "k": segment(SECRET.encode())}
    assert [key.algorithm for key in key_set_from_jwks({"keys": [bare]}, algorithms={"HS256"})] == ["HS256"]
    with refused_key():
        key_set_from_jwks({"keys": [bare]})


def test_an_algorithm_that_is_not_implemented_cannot_be_asked_for() -> None:
    with refused_key():
        key_set_from_jwks({"keys": [jwk()]}, algorithms=["HS256", "none"])  # type: ignore[list-item]
