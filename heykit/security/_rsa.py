"""RSA (RFC 7518 §3.3, §3.5, §6.3): keys that are strong enough, and nothing else about them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from heykit.errors import KeyRefused
from heykit.security import _base64url, _jwk
from heykit.security._algorithms import Spec
from heykit.security._hashes import hash_of
from heykit.security._key import Sign, Verify

_LEAST, _MOST = 2048, 16384  # bits
_MOST_OF_EXPONENT, _MOST_OF_EXPONENT_OF_LARGE = 256, 64  # bits; OpenSSL verifies nothing with more
_LARGE: Final = 3072  # bits above which a key is
_MOST_TO_FACTOR: Final = 4096  # bits
_GENERATED: Final = 3072  # bits
_CRT = ("p", "q", "dp", "dq", "qi")


def generate() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_GENERATED)


def read(jwk: Mapping[str, object]) -> rsa.RSAPublicKey | rsa.RSAPrivateKey:
    """Read a key from its members."""
    public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    check(public)
    try:
        if "d" not in jwk:
            if any(name in jwk for name in (*_CRT, "oth")):
                raise KeyRefused("This RSA key has primes and no `d`: it is neither public nor private.")
            return public.public_key()
        return _private(jwk, public).private_key()
    except ValueError:
        raise KeyRefused("The numbers of this RSA key do not belong together.") from None


def _private(jwk: Mapping[str, object], public: rsa.RSAPublicNumbers) -> rsa.RSAPrivateNumbers:
    if "oth" in jwk:
        raise KeyRefused("RSA keys of more than two primes are not taken.")
    d = _number(jwk, "d")
    # RFC 8017 §3.2: d is less than n.
    if d >= public.n:
        raise KeyRefused("The numbers of this RSA key do not belong together.")
    given = {name: _number(jwk, name) for name in _CRT if name in jwk}
    # RFC 7518 §6.3.2: if one of the others is there all must be; yet an example of RFC 7515 has `p` and `q` alone.
    if "p" not in given or "q" not in given:
        if public.n.bit_length() > _MOST_TO_FACTOR:
            raise KeyRefused("An RSA key as large as this needs its primes, `p` and `q`: finding them takes seconds.")
        p, q = rsa.rsa_recover_prime_factors(public.n, public.e, d)
        p, q = (q, p) if given.get("p") == q or given.get("q") == p else (p, q)
    else:
        p, q = given["p"], given["q"]
    if p < 2 or q < 2:
        raise KeyRefused("The numbers of this RSA key do not belong together.")
    made = {
        "p": p, "q": q, "dp": rsa.rsa_crt_dmp1(d, p), "dq": rsa.rsa_crt_dmq1(d, q), "qi": rsa.rsa_crt_iqmp(p, q),
    }  # fmt: skip
    if any(made[name] != number for name, number in given.items()):
        raise KeyRefused("The numbers of this RSA key do not belong together.")
    return rsa.RSAPrivateNumbers(p, q, d, made["dp"], made["dq"], made["qi"], public)


def check(public: rsa.RSAPublicNumbers) -> None:
    """Refuse what is too weak, or so large that verifying takes as long as its owner likes."""
    # RFC 7518 §3.3: a key of 2048 bits or larger must be used.
    if not _LEAST <= public.n.bit_length() <= _MOST:
        raise KeyRefused(f"An RSA key has {_LEAST} to {_MOST} bits: make one of {_GENERATED}.")
    most = _MOST_OF_EXPONENT_OF_LARGE if public.n.bit_length() > _LARGE else _MOST_OF_EXPONENT
    if public.e % 2 == 0 or public.e < 3 or public.e.bit_length() > most or _has_small_factor(public.n):
        raise KeyRefused("The numbers of this RSA key are not those of one.")
    if _is_roca(public.n):
        raise KeyRefused("This RSA key was made by a chip whose keys can be factored (CVE-2017-15361): make another.")


def signer(key: rsa.RSAPrivateKey, spec: Spec) -> Sign:
    pad, digest = _padding(spec), hash_of(spec.hash_name)
    return lambda data: key.sign(data, pad, digest)


def verifier(key: rsa.RSAPublicKey, spec: Spec) -> Verify:
    pad, digest = _padding(spec), hash_of(spec.hash_name)

    def verify(data: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, data, pad, digest)
        except InvalidSignature:
            return False
        return True

    return verify


def public_members(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}


def _padding(spec: Spec) -> padding.PSS | padding.PKCS1v15:
    if not spec.is_pss:
        return padding.PKCS1v15()
    digest = hash_of(spec.hash_name)
    # RFC 7518 §3.5: the salt is as long as the hash, and the mask is made by the same one.
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def _number(jwk: Mapping[str, object], name: str) -> int:
    octets = _jwk.octets(jwk, name)
    # RFC 7518 §2, Base64urlUInt: the minimum number of octets; zero is one octet.
    if not octets or octets[0] == 0:
        raise KeyRefused(f"`{name}` of an RSA key must be a number above 0, without leading zeros.")
    return int.from_bytes(octets)


def _text(number: int) -> str:
    return _base64url.encode(number.to_bytes((number.bit_length() + 7) // 8)).decode("ascii")


def _has_small_factor(n: int) -> bool:
    return n % 2 == 0 or any(n % prime == 0 for prime, _ in _powers())


def _is_roca(n: int) -> bool:
    # "The Return of Coppersmith's Attack" (Nemec et al., CCS 2017) §2.2: modulo each of the first primes such a modulus
    # is a power of 65537; another one is that for all of them once in 2^28.
    return all(n % prime in powers for prime, powers in _powers())


@lru_cache(maxsize=1)
def _powers() -> list[tuple[int, frozenset[int]]]:
    primes = [number for number in range(3, 168) if all(number % other for other in range(2, number))]
    return [(prime, frozenset(pow(65537, exponent, prime) for exponent in range(prime))) for prime in primes]
