"""Keys and tokens at the edges of what is one: found by reading as an attacker does."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from heykit.errors import KeyRefused, TokenError
from heykit.security import jws, jwt
from heykit.security.keys import Algorithm, generate_key, key_from_jwk, key_from_pem, key_from_secret, key_set_from_jwks
from tests.security.refusals import refused, refused_key

SECRET = b"s" * 64


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int) -> str:
    return text(value.to_bytes(size))


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    with pytest.raises(TokenError):
        call()
    return time.perf_counter() - began


@pytest.mark.parametrize(
    "unit", ['"' + '\\"' * 6000, '"\\' * 6000, '"' * 6000, '"a' * 6000, "\\" * 12_000, '"\n' * 6000]
)
def test_a_token_made_to_keep_the_reader_busy_does_not(unit: str) -> None:
    key = key_from_secret(SECRET)
    hostile = text(b"{" * 65 + unit.encode()[:12_000]) + ".e30.AA"
    plain = text(b'{"a":"' + b"x" * 12_000) + ".e30.AA"
    usual = min(seconds(lambda: jws.verify(plain, key)) for _ in range(3))
    # It took three thousand times as long.
    assert min(seconds(lambda: jws.verify(hostile, key)) for _ in range(3)) < 100 * usual + 0.01


ED25519 = 2**255 - 19
ORDER_8 = (
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027C2C28F95E826,
)
ED448 = 2**448 - 2**224 - 1


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, ED25519 - 1, ED25519, ED25519 + 1, ED25519 + 18, *ORDER_8])
def test_a_point_for_which_anybody_can_sign_is_no_key(y: int, sign: int) -> None:
    x = (y | sign << 255).to_bytes(32, "little")
    with refused_key():
        key_from_jwk({"kty": "OKP", "crv": "Ed25519", "x": text(x)})
    try:
        loaded = ed25519.Ed25519PublicKey.from_public_bytes(x)
    except ValueError:
        return
    with refused_key():
        key_from_pem(
            loaded.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            algorithm="EdDSA",
        )


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, ED448 - 1, ED448, ED448 + 1, 2**448 - 1])
def test_nor_is_one_on_ed448(y: int, sign: int) -> None:
    with refused_key():
        key_from_jwk({"kty": "OKP", "crv": "Ed448", "x": text((y | sign << 455).to_bytes(57, "little"))})


def test_keys_that_are_made_are_taken_though() -> None:
    for _ in range(200):
        key_from_jwk(generate_key("EdDSA").public_jwk())


def rsa_members(key: rsa.RSAPrivateKey) -> dict[str, object]:
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "alg": "RS256", "n": number(public.n, 256), "e": "AQAB"}


@pytest.fixture(scope="module")
def of_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_a_private_exponent_as_long_as_a_book_is_refused_at_once(of_rsa: rsa.RSAPrivateKey) -> None:
    began = time.perf_counter()
    with refused_key():
        key_from_jwk({**rsa_members(of_rsa), "d": text(b"\x7f" + bytes(10**6) + b"\1")})
    assert time.perf_counter() - began < 1  # it took minutes


def test_a_huge_key_without_its_primes_is_refused_at_once() -> None:
    begins, ends = b"\xff", b"\x01"
    began = time.perf_counter()
    n = int.from_bytes(begins + os.urandom(2046) + ends)
    while any(n % prime == 0 for prime in range(3, 168, 2)):
        n += 2
    with refused_key():
        key_from_jwk(
            {"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": number(n, 2048), "d": text(b"\x7f" + os.urandom(2046))}
        )
    assert time.perf_counter() - began < 1  # it took six seconds


def test_numbers_that_openssl_never_verifies_with_are_refused() -> None:
    key = rsa.generate_private_key(65537, 4096)
    n = key.public_key().public_numbers().n
    with refused_key():
        key_from_jwk({"kty": "RSA", "alg": "RS256", "n": number(n, 512), "e": number(2**200 + 1, 26)})
    with refused_key():
        key_from_jwk({"kty": "RSA", "alg": "RS256", "n": text(b"\xff" * 256), "e": "AQAB"})  # 3 divides it


@pytest.mark.parametrize("wrong", [[], "x", None, 5, [{}], {"keys": ["x"]}, {"keys": {}}])
def test_json_that_is_no_key_set_is_refused(wrong: object) -> None:
    with refused_key():
        key_set_from_jwks(wrong)  # type: ignore[arg-type]
    with refused_key():
        key_from_jwk(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("id", [0, 5, False, [], b"x", "\ud800"])
def test_an_id_that_is_no_text_is_refused(id: object) -> None:
    with refused_key():
        key_from_secret(SECRET, id=id)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", [[], None, 5, "none", "HS1"])
def test_an_algorithm_that_is_none_is_refused(algorithm: object) -> None:
    with refused_key():
        key_from_secret(SECRET, algorithm=algorithm)  # type: ignore[arg-type]


@pytest.mark.parametrize("typ", ["\ud800", b"x", [], 5, True, "t\u00f6ken"])
def test_a_type_that_no_reader_takes_is_not_written(typ: object) -> None:
    key = key_from_secret(SECRET)
    jwt.encode({}, key, typ="1")
    with refused("token.type"):
        jwt.encode({}, key, typ=typ)  # type: ignore[arg-type]


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: str(curve.name))
def test_an_ec_key_has_one_spelling(curve: ec.EllipticCurve) -> None:
    size = (curve.key_size + 7) // 8
    name: Algorithm = {256: "ES256", 384: "ES384", 521: "ES512"}[curve.key_size]  # type: ignore[assignment]
    numbers = ec.generate_private_key(curve).private_numbers()
    point = numbers.public_numbers
    jwk = {
        "kty": "EC",
        "crv": {256: "P-256", 384: "P-384", 521: "P-521"}[curve.key_size],
        "x": number(point.x, size),
        "y": number(point.y, size),
        "d": number(numbers.private_value, size),
    }
    assert key_from_jwk(jwk).algorithm == name
    field = {256: 2**256 - 2**224 + 2**192 + 2**96 - 1, 384: 2**384 - 2**128 - 2**96 + 2**32 - 1, 521: 2**521 - 1}
    order = ORDERS[curve.key_size]
    for member, other in (
        ("x", point.x + field[curve.key_size]),
        ("y", point.y + field[curve.key_size]),
        ("d", numbers.private_value + order),
        ("d", 0),
    ):
        if other < 256**size:
            with refused_key():
                key_from_jwk({**jwk, member: number(other, size)})


ORDERS = {
    256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    521: int("1ff" + "f" * 62 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16),
}


def test_a_key_with_its_curve_in_a_block_before_it_is_one_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    loaded = key_from_pem(parameters + written, algorithm="ES256")
    assert jws.verify(jws.sign(b"x", loaded), loaded) == b"x"


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ((), {"PS256", "PS384", "PS512"}),
        (("-pkeyopt", "rsa_pss_keygen_md:sha512", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha512"), {"PS512"}),
    ],
)
def test_a_key_that_says_it_is_for_pss_is_for_nothing_else(options: tuple[str, ...], taken: set[str]) -> None:
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", *options],
        check=False,
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("there is no openssl that makes such a key")
    algorithms: list[Algorithm] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
    accepted = set()
    for algorithm in algorithms:
        try:
            key_from_pem(made.stdout, algorithm=algorithm)
        except KeyRefused:
            continue
        accepted.add(algorithm)
    assert accepted == taken


@pytest.mark.parametrize(
    "before", [b"", b"x\n", b"my key\n", b"Bag Attributes\n    friendlyName: x\nKey Attributes: <No>\n"]
)
@pytest.mark.parametrize("after", [b"", b"x\n", b"a: b\n"])
def test_what_stands_round_a_key_is_not_read(before: bytes, after: bytes) -> None:
    written = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert key_from_pem(before + written + after, algorithm="ES256").may_sign


def test_a_key_that_can_do_nothing_is_none() -> None:
    jwk = {name: value for name, value in generate_key("ES256").public_jwk().items() if name != "use"}
    with refused_key():
        key_from_jwk({**jwk, "key_ops": ["sign"]})


def test_a_key_that_may_only_sign_says_so_of_a_token_that_is_right() -> None:
    jwk = {"kty": "oct", "k": text(SECRET), "alg": "HS256", "key_ops": ["sign"]}
    key = key_from_jwk(jwk)
    with pytest.raises(TokenError, match="may not verify") as caught:
        jws.verify(jws.sign(b"x", key), key)
    assert caught.value.code == "token.key"


JWK = json.dumps({"kty": "RSA", "n": "x" * 50})


def public_der() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_pem() -> bytes:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def pkcs_1() -> bytes:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


def openssh() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


@pytest.mark.parametrize(
    "secret",
    [
        "\ufeff" + JWK,
        f"[{JWK}]",
        JWK + ";",
        str(json.loads(JWK)),
        '{"kty":"RSA","kty":"RSA","n":"' + "x" * 50 + '"}',
        public_der(),
        base64.b64encode(public_der()),
        b"".join(line for line in public_pem().splitlines() if b"-----" not in line),
        base64.b64encode(public_pem()),
        public_pem().decode().encode("utf-16"),
    ],
    ids=[
        "BOM",
        "list",
        "more behind",
        "repr",
        "twice",
        "DER",
        "DER in base64",
        "body of PEM",
        "PEM in base64",
        "UTF-16",
    ],
)
def test_a_key_file_in_disguise_is_no_secret(secret: str | bytes) -> None:
    with refused_key():
        key_from_secret(secret)


def test_random_secrets_are_secrets() -> None:
    for _ in range(2000):
        key_from_secret(os.urandom(64))
        key_from_secret(base64.b64encode(os.urandom(48)))


def test_an_audience_of_nobody_is_not_written() -> None:
    with refused("token.claims"):
        jwt.encode({"aud": []}, key_from_secret(SECRET))


def test_nothing_that_is_refused_goes_along_with_the_error() -> None:
    key = key_from_secret(SECRET)
    calls: list[Callable[[], object]] = [
        lambda: key_from_secret("secret-\ud800" * 20),
        lambda: key_from_jwk({"kty": "oct", "alg": "HS256", "k": "geheim-\u00e4" * 20}),
        lambda: key_from_jwk({"kty": "oct", "alg": "HS256", "k": "geheim=" * 20}),
        lambda: jws.verify(text(b"secret") + ".e30.AA", key),
        lambda: jwt.decode(jws.sign(b"secret", key), key),
        lambda: jwt.encode({"secret": float("nan")}, key),
    ]
    for call in calls:
        with pytest.raises((TokenError, KeyRefused)) as caught:
            call()
        assert caught.value.__context__ is None


def test_an_audience_may_be_any_collection() -> None:
    key = key_from_secret(SECRET)
    assert jwt.decode(jwt.encode({"aud": "a"}, key), key, audience={"a", "b"}) == {"aud": "a"}


def test_a_set_of_one_key_knows_only_its_id() -> None:
    keys = key_set_from_jwks({"keys": [{"kty": "oct", "alg": "HS256", "k": text(SECRET), "kid": "a"}]})
    assert keys.find("b") is None
    assert keys.find("a") is keys.find(None) is not None


def test_the_kelvin_sign_is_no_letter_of_a_type() -> None:
    key = key_from_secret(SECRET)
    head = text(json.dumps({"alg": "HS256", "typ": "to\u212aen"}).encode())
    signed = f"{head}.e30".encode()
    token = signed.decode() + "." + text(key.sign(signed))
    with refused("token.type"):
        jwt.decode(token, key, typ="token")
