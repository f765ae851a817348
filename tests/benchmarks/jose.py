"""What a token costs beside its bare primitive, and beside PyJWT, joserfc and Authlib where they are installed.

Run it from the root of the repository: `python -m tests.benchmarks.jose`. Bare is what nobody can go without: base64url
of payload and signature, JSON of the payload, and the primitive with a key that is loaded. It reads no header, and it
checks nothing. The figures are medians of rounds in which all take turns.
"""

from __future__ import annotations

import argparse
import hmac
import importlib
import json
import time
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from heykit.security import jwt
from heykit.security.keys import Algorithm, Key, key_from_pem, key_from_secret
from tests.benchmarks.driving import say

SECRET = b"0123456789abcdef" * 4
NOW = time.time()
CLAIMS: dict[str, object] = {
    "iss": "heygen",
    "aud": "heygen-api",
    "sub": "2bea75f70ab01bd8ae4fce0634f20dd3",
    "iat": int(NOW),
    "exp": int(NOW) + 1800,
    "jti": "d85dbce02342ddb53bced9764d6428fb",
}
DECODE_MOST: dict[Algorithm, float] = {"HS256": 1.6, "RS256": 1.25, "ES256": 1.25, "EdDSA": 1.25}
ENCODE_MOST: dict[Algorithm, float] = {"HS256": 1.15}
Call = Callable[[], object]


@dataclass(frozen=True)
class Ways:
    """The same token encoded and decoded in one way."""

    encode: Call
    decode: Call


def material(algorithm: Algorithm) -> Any:
    if algorithm == "HS256":
        return SECRET
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def pem(private: Any) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    written = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    assert isinstance(written, bytes)
    return written


def ours(algorithm: Algorithm, secret: Any) -> tuple[Key, Ways]:
    key = key_from_secret(secret) if algorithm == "HS256" else key_from_pem(pem(secret), algorithm=algorithm)
    token = jwt.encode(CLAIMS, key, typ="at+jwt")

    def decode() -> object:
        return jwt.decode(token, key, issuer="heygen", audience="heygen-api", typ="at+jwt")

    return key, Ways(lambda: jwt.encode(CLAIMS, key, typ="at+jwt"), decode)


def bare(algorithm: Algorithm, secret: Any, token: str) -> Ways:
    sign, verify = primitives(algorithm, secret)
    dump = json.JSONEncoder(separators=(",", ":")).encode
    load = json.JSONDecoder().decode
    head = token.partition(".")[0].encode() + b"."
    table = bytes.maketrans(b"-_", b"+/")

    def encode() -> object:
        signed = head + urlsafe_b64encode(dump(CLAIMS).encode()).rstrip(b"=")
        return (signed + b"." + urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()

    def decode() -> object:
        signed, _, last = token.encode().rpartition(b".")
        middle = signed.rpartition(b".")[2]
        verify(signed, a2b_base64(last.translate(table) + b"=="))
        return load(a2b_base64(middle.translate(table) + b"==").decode())

    return Ways(encode, decode)


def primitives(algorithm: Algorithm, secret: Any) -> tuple[Callable[[bytes], bytes], Callable[[bytes, bytes], object]]:
    if algorithm == "HS256":
        keyed = hmac.new(secret, digestmod="sha256")

        def mac(data: bytes) -> bytes:
            copied = keyed.copy()
            copied.update(data)
            return copied.digest()

        return mac, lambda data, signature: hmac.compare_digest(mac(data), signature)
    public = secret.public_key()
    if algorithm == "RS256":
        pad, digest = padding.PKCS1v15(), hashes.SHA256()
        return lambda data: secret.sign(data, pad, digest), lambda data, sig: public.verify(sig, data, pad, digest)
    if algorithm == "EdDSA":
        return secret.sign, lambda data, sig: public.verify(sig, data)
    how = ec.ECDSA(hashes.SHA256())

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(secret.sign(data, how))
        return r.to_bytes(32) + s.to_bytes(32)

    def verify(data: bytes, sig: bytes) -> object:
        return public.verify(encode_dss_signature(int.from_bytes(sig[:32]), int.from_bytes(sig[32:])), data, how)

    return sign, verify


def of_pyjwt(algorithm: Algorithm, secret: Any) -> Ways:
    made: Any = importlib.import_module("jwt")
    public = secret if algorithm == "HS256" else secret.public_key()
    token = made.encode(CLAIMS, secret, algorithm=algorithm, headers={"typ": "at+jwt"})
    return Ways(
        lambda: made.encode(CLAIMS, secret, algorithm=algorithm, headers={"typ": "at+jwt"}),
        lambda: made.decode(token, public, algorithms=[algorithm], issuer="heygen", audience="heygen-api"),
    )


def of_joserfc(algorithm: Algorithm, secret: Any) -> Ways:
    made: Any = importlib.import_module("joserfc.jwt")
    jwk: Any = importlib.import_module("joserfc.jwk")
    kinds = {"HS256": jwk.OctKey, "RS256": jwk.RSAKey, "ES256": jwk.ECKey, "EdDSA": jwk.OKPKey}
    key = kinds[algorithm].import_key(secret if algorithm == "HS256" else pem(secret))
    header = {"alg": algorithm, "typ": "at+jwt"}
    token = made.encode(header, CLAIMS, key, algorithms=[algorithm])
    registry = made.JWTClaimsRegistry(iss={"value": "heygen"}, aud={"value": "heygen-api"})

    def decode() -> object:
        found = made.decode(token, key, algorithms=[algorithm])
        registry.validate(found.claims)
        return found.claims

    return Ways(lambda: made.encode(header, CLAIMS, key, algorithms=[algorithm]), decode)


def of_authlib(algorithm: Algorithm, secret: Any) -> Ways:
    made: Any = importlib.import_module("authlib.jose")
    known = made.JsonWebToken([algorithm])
    kinds = {"HS256": made.OctKey, "RS256": made.RSAKey, "ES256": made.ECKey, "EdDSA": made.OKPKey}
    key = kinds[algorithm].import_key(secret if algorithm == "HS256" else pem(secret))
    header = {"alg": algorithm, "typ": "at+jwt"}
    token = known.encode(header, CLAIMS, key)
    options = {"iss": {"value": "heygen"}, "aud": {"value": "heygen-api"}}

    def decode() -> object:
        claims = known.decode(token, key, claims_options=options)
        claims.validate()
        return claims

    return Ways(lambda: known.encode(header, CLAIMS, key), decode)


PEERS: dict[str, tuple[str, Callable[[Algorithm, Any], Ways]]] = {
    "PyJWT": ("jwt", of_pyjwt),
    "joserfc": ("joserfc", of_joserfc),
    "Authlib": ("authlib", of_authlib),
}


def seconds(call: Call, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


def measure(algorithm: Algorithm, rounds: int) -> None:
    secret = material(algorithm)
    key, own = ours(algorithm, secret)
    ways = {"ours": own, "bare": bare(algorithm, secret, jwt.encode(CLAIMS, key, typ="at+jwt"))}
    ways |= {name: made(algorithm, secret) for name, (module, made) in PEERS.items() if find_spec(module)}
    for what, most in (("decode", DECODE_MOST), ("encode", ENCODE_MOST)):
        calls: dict[str, Call] = {name: getattr(way, what) for name, way in ways.items()}
        count = max(20, int(0.01 / seconds(calls["ours"], 20)))
        took = {name: [] for name in calls}  # type: dict[str, list[float]]
        for _ in range(rounds):
            for name, call in calls.items():
                took[name].append(seconds(call, count if name in {"ours", "bare"} else max(10, count // 4)))
        say(f"{algorithm} {what}: " + ", ".join(f"{name} {median(each) * 1e6:.2f} µs" for name, each in took.items()))
        ratio = median(own / other for own, other in zip(took["ours"], took["bare"], strict=True))
        limit = most.get(algorithm)
        say(f"  of bare {ratio:.2f}" + ("" if limit is None else f"   {limit}  {'pass' if ratio <= limit else 'FAIL'}"))
        for name in took.keys() - {"ours", "bare"}:
            faster = median(other / own for own, other in zip(took["ours"], took[name], strict=True))
            say(f"  {name} takes {faster:.2f} times as long   1  {'pass' if faster > 1 else 'FAIL'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    for algorithm in DECODE_MOST:
        measure(algorithm, rounds)


if __name__ == "__main__":
    main()
