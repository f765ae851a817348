"""Keys of two halves: which are taken, which are refused, and that others read what they sign."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, cast, get_args

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jws as joserfc_jws

from heykit.errors import KeyRefused
from heykit.security import jws
from heykit.security._base64url import encode
from heykit.security.keys import (
    Algorithm,
    Key,
    generate_key,
    key_from_jwk,
    key_from_pem,
    key_from_secret,
    key_set,
    key_set_from_jwks,
    public_jwks,
    thumbprint,
)
from tests.security.refusals import refused, refused_key

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
PUBLIC: list[Algorithm] = [algorithm for algorithm in ALGORITHMS if not algorithm.startswith("HS")]
SECRET = b"s" * 64
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@cache
def made(algorithm: Algorithm) -> Private:
    match algorithm[:2]:
        case "RS" | "PS":
            return rsa.generate_private_key(65537, 2048)
        case "ES":
            curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}.get(algorithm, ec.SECP521R1)
            return ec.generate_private_key(curve())
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: Any, password: bytes | None = None, form: str = "PKCS8") -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    written = key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), how)
    assert isinstance(written, bytes)
    return written


def public_pem(key: Any) -> bytes:
    written = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert isinstance(written, bytes)
    return written


@cache
def pair(algorithm: Algorithm) -> tuple[Key, Key]:
    """One that signs, one that only verifies."""
    if algorithm.startswith("HS"):
        key = key_from_secret(SECRET, algorithm=algorithm)
        return key, key
    private = made(algorithm)
    return key_from_pem(pem(private), algorithm=algorithm), key_from_pem(public_pem(private), algorithm=algorithm)


def b64(number: int | bytes, size: int | None = None) -> str:
    octets = number if isinstance(number, bytes) else number.to_bytes(size or max(1, (number.bit_length() + 7) // 8))
    return encode(octets).decode()


def rsa_jwk(**members: object) -> dict[str, object]:
    numbers = cast("rsa.RSAPrivateKey", made("RS256")).private_numbers()
    return {
        "kty": "RSA",
        "n": b64(numbers.public_numbers.n),
        "e": b64(numbers.public_numbers.e),
        "d": b64(numbers.d),
        "p": b64(numbers.p),
        "q": b64(numbers.q),
        "dp": b64(numbers.dmp1),
        "dq": b64(numbers.dmq1),
        "qi": b64(numbers.iqmp),
        **members,
    }


def ec_jwk(**members: object) -> dict[str, object]:
    numbers = cast("ec.EllipticCurvePrivateKey", made("ES256")).private_numbers()
    x, y = (b64(each, 32) for each in (numbers.public_numbers.x, numbers.public_numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "d": b64(numbers.private_value, 32), **members}


def okp_jwk(**members: object) -> dict[str, object]:
    key = cast("ed25519.Ed25519PrivateKey", made("EdDSA"))
    x, d = key.public_key().public_bytes_raw(), key.private_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(x), "d": b64(d), **members}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_private_key_signs_its_public_half_verifies_and_no_other_does(algorithm: Algorithm) -> None:
    signs, verifies = pair(algorithm)
    token = jws.sign(b"payload", signs)
    assert jws.verify(token, verifies) == b"payload"
    head, body, signature = token.split(".")
    with refused("token.signature"):
        jws.verify(f"{head}.A{body[1:]}.{signature}", verifies)
    with refused("token.signature"):
        jws.verify(token, generate_key(algorithm))
    if algorithm in PUBLIC:
        with refused_key():
            jws.sign(b"x", verifies)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(signature=st.binary(max_size=200))
def test_no_bytes_are_a_signature(algorithm: Algorithm, signature: bytes) -> None:
    assert pair(algorithm)[1].verify(b"data", signature) is False


@pytest.mark.parametrize("algorithm", PUBLIC)
@pytest.mark.parametrize("other", ALGORITHMS)
def test_a_token_of_another_algorithm_is_refused_by_its_name(algorithm: Algorithm, other: Algorithm) -> None:
    if algorithm != other:
        with refused("token.key"):
            jws.verify(jws.sign(b"x", pair(other)[0]), pair(algorithm)[1])


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # joserfc prefers the names of RFC 9864
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pyjwt_and_joserfc_read_what_is_written_here_and_write_what_is_read_here(algorithm: Algorithm) -> None:
    signs, verifies = pair(algorithm)
    token = jws.sign(b'{"a":1}', signs)
    private = SECRET if algorithm.startswith("HS") else pem(made(algorithm))
    public = SECRET if algorithm.startswith("HS") else public_pem(made(algorithm))
    assert pyjwt.decode(token, public, algorithms=[algorithm]) == {"a": 1}
    assert jws.verify(pyjwt.encode({"a": 1}, private, algorithm=algorithm), verifies) == b'{"a":1}'

    kind = "oct" if algorithm.startswith("HS") else {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}[algorithm[:2]]
    theirs = joserfc_jwk.import_key(private, cast("Any", kind))
    registry = joserfc_jws.JWSRegistry(algorithms=[algorithm])
    assert joserfc_jws.deserialize_compact(token, theirs, registry=registry).payload == b'{"a":1}'
    written = joserfc_jws.serialize_compact({"alg": algorithm}, b"theirs", theirs, registry=registry)
    assert jws.verify(written, verifies) == b"theirs"


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_published_key_verifies_and_holds_nothing_private(algorithm: Algorithm) -> None:
    key = key_from_pem(pem(made(algorithm)), algorithm=algorithm, id="k1")
    published = public_jwks(key_set([key]))
    members = cast("list[Mapping[str, str]]", published["keys"])[0]
    assert members.keys() <= {"kty", "crv", "n", "e", "x", "y", "alg", "use", "kid"}
    assert json.loads(json.dumps(published)) == published
    assert jws.verify(jws.sign(b"x", key), key_set_from_jwks(published)) == b"x"
    assert thumbprint(key) == thumbprint(key_from_jwk(members))
    assert len(thumbprint(key)) == 43


def test_a_shared_secret_is_never_published() -> None:
    for use in (lambda: public_jwks(key_set([key_from_secret(SECRET)])), lambda: thumbprint(key_from_secret(SECRET))):
        with refused_key():
            use()


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_key_shows_nothing_and_is_not_copied(algorithm: Algorithm) -> None:
    key = generate_key(algorithm, id="k")
    assert repr(key) == str(key) == f"Key(algorithm={algorithm!r}, id='k')"
    with pytest.raises(TypeError):
        copy.deepcopy(key)


@pytest.mark.parametrize("length", [47, 63])
def test_a_secret_is_as_long_as_its_hash(length: int) -> None:
    algorithm: Algorithm = "HS384" if length == 47 else "HS512"
    with refused_key():
        key_from_secret(b"x" * length, algorithm=algorithm)
    key_from_secret(b"x" * (length + 1), algorithm=algorithm)


# PEM


def test_pem_comes_in_several_forms_and_with_passwords() -> None:
    key = made("RS256")
    for text in (pem(key), pem(key, form="TraditionalOpenSSL"), public_pem(key), public_pem(key).decode()):
        assert key_from_pem(text, algorithm="RS256").algorithm == "RS256"
    assert key_from_pem(pem(key, b"secret"), algorithm="PS512", password=b"secret", id="k").id == "k"
    assert key_from_pem(pem(ed448.Ed448PrivateKey.generate()), algorithm="EdDSA").algorithm == "EdDSA"


@pytest.mark.parametrize(
    ("text", "algorithm", "password"),
    [
        (lambda: pem(made("RS256"), b"secret"), "RS256", None),
        (lambda: pem(made("RS256"), b"secret"), "RS256", b"hunter2"),
        (lambda: pem(made("RS256")), "RS256", b"secret"),
        (lambda: pem(made("RS256")) + public_pem(made("RS256")), "RS256", None),
        (lambda: pem(made("RS256"))[:-60], "RS256", None),
        (lambda: b"", "RS256", None),
        (lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "RS256", None),
        (lambda: b"\xff" * 100, "ES256", None),
        (lambda: pem(made("RS256")), "ES256", None),
        (lambda: pem(made("ES256")), "RS256", None),
        (lambda: pem(made("ES256")), "ES384", None),
        (lambda: pem(made("ES256")), "EdDSA", None),
        (lambda: pem(made("EdDSA")), "ES256", None),
        (lambda: pem(made("RS256")), "HS256", None),
        (lambda: pem(made("RS256")), "none", None),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), "ES256", None),
        (lambda: pem(x25519.X25519PrivateKey.generate()), "EdDSA", None),
        (lambda: pem(dsa.generate_private_key(2048)), "RS256", None),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), "RS256", None),
        (lambda: public_pem(rsa.generate_private_key(65537, 1536)), "PS256", None),
    ],
)
def test_pem_that_is_no_key_for_this_is_refused(text: Any, algorithm: Any, password: bytes | None) -> None:
    with pytest.raises(KeyRefused) as caught:
        key_from_pem(text(), algorithm=algorithm, password=password)
    assert "hunter2" not in str(caught.value)


# JSON Web Keys


def test_private_and_public_jwks_are_taken_with_what_they_have() -> None:
    crt = ("p", "q", "dp", "dq", "qi")
    for jwk in (
        rsa_jwk(),
        {k: v for k, v in rsa_jwk().items() if k not in crt},
        {k: v for k, v in rsa_jwk().items() if k not in crt[2:]},
    ):
        key = key_from_jwk(jwk, algorithm="RS256")
        assert jws.verify(jws.sign(b"x", key), pair("RS256")[1]) == b"x"
    assert jws.verify(jws.sign(b"x", key_from_jwk(ec_jwk())), pair("ES256")[1]) == b"x"
    assert jws.verify(jws.sign(b"x", key_from_jwk(okp_jwk())), pair("EdDSA")[1]) == b"x"
    assert jws.verify(jws.sign(b"x", key_from_jwk(ec_jwk(key_ops=["sign"]))), pair("ES256")[1]) == b"x"


def is_roca(bits: int) -> int:
    """A modulus such as those chips made: a power of 65537 modulo each of the first primes."""
    modulus = math.prod(number for number in range(3, 168) if all(number % other for other in range(2, number)))
    number = pow(65537, 1234, modulus) + (1 << bits - 1) // modulus * modulus
    while number % 2 == 0 or number.bit_length() != bits:
        number += modulus
    return number


@pytest.mark.parametrize(
    "members",
    [
        {"n": b64((1 << 2046) + 1)},
        {"n": b64(1 << 2047)},
        {"n": b64((1 << 16384) + 1)},
        {"n": b64(is_roca(2048))},
        {"e": b64(1)},
        {"e": b64(2)},
        {"e": b64(65536)},
        {"e": b64((1 << 300) + 1)},
        {"e": ""},
        {"e": b64(b"\0\x01\0\x01")},
        {"d": b64(12345)},
        {"p": b64(7)},
        {"p": b64(1)},
        {"q": b64(b"\0")},
        {"dp": b64(7)},
        {"qi": b64(7)},
        {"oth": []},
        {"n": 7},
        {"e": None},
        {"alg": "ES256"},
        {"alg": "HS256"},
        {"use": "enc"},
        {"d": rsa_jwk()["d"] + "A"},  # type: ignore[operator]
    ],
)
def test_an_rsa_key_that_is_weak_or_false_is_refused(members: dict[str, object]) -> None:
    with refused_key():
        key_from_jwk(rsa_jwk(**members), algorithm=None if "alg" in members else "RS256")


def test_an_rsa_key_with_primes_and_no_private_exponent_is_neither() -> None:
    with refused_key():
        key_from_jwk({k: v for k, v in rsa_jwk().items() if k != "d"}, algorithm="RS256")


@pytest.mark.parametrize(
    "members",
    [
        {"x": b64(1, 32)},
        {"x": b64(b"\0" + b"x" * 32)},
        {"x": b64(b"x" * 31)},
        {"y": b64(b"\xff" * 32)},
        {"x": b64(bytes(32)), "y": b64(bytes(32))},
        {"d": b64(1, 32)},
        {"d": b64(0, 32)},
        {"d": b64(b"\xff" * 32)},
        {"d": b64(b"d" * 33)},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": "Ed25519"},
        {"crv": None},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": "EdDSA"},
        {"y": None},
    ],
)
def test_an_ec_key_that_is_false_is_refused(members: dict[str, object]) -> None:
    with refused_key():
        key_from_jwk(ec_jwk(**members))


@pytest.mark.parametrize(
    "members",
    [
        {"x": b64(b"x" * 31)},
        {"x": b64(b"x" * 57)},
        {"d": b64(b"d" * 32)},
        {"d": b64(b"d" * 33)},
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"crv": "P-256"},
        {"alg": "ES256"},
        {"alg": "Ed25519"},
        {"x": 7},
    ],
)
def test_an_okp_key_that_is_false_is_refused(members: dict[str, object]) -> None:
    with refused_key():
        key_from_jwk(okp_jwk(**members))


def test_a_set_takes_what_it_understands_and_leaves_the_rest() -> None:
    strangers: list[dict[str, object]] = [
        {"kty": "EC", "crv": "secp256k1", "kid": "a"},
        {"kty": "OKP", "crv": "X25519", "kid": "b"},
        {"kty": "RSA", "kid": "c", "use": "enc"},
        {"kty": "RSA", "kid": "d", "alg": "RSA-OAEP"},
    ]
    keys = key_set_from_jwks({"keys": [*strangers, ec_jwk(kid="e"), okp_jwk(kid="f"), rsa_jwk(kid="g", alg="PS384")]})
    assert {key.id: key.algorithm for key in keys} == {"e": "ES256", "f": "EdDSA", "g": "PS384"}
    only = key_set_from_jwks({"keys": [ec_jwk(kid="e"), rsa_jwk(kid="g")]}, algorithms={"RS512"})
    assert {key.id: key.algorithm for key in only} == {"g": "RS512"}
    with refused_key():
        key_set_from_jwks({"keys": [rsa_jwk(kid="g")]})  # RS or PS, and with which hash?


def test_generated_keys_are_of_the_type_and_strength_of_their_algorithm() -> None:
    wanted: list[Algorithm] = ["RS256", "ES512", "EdDSA"]
    for algorithm in wanted:
        members = generate_key(algorithm).public_jwk()
        assert members["alg"] == algorithm
        if "n" in members:
            assert len(members["n"]) == 512  # 3072 bits in base64url
