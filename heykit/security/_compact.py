"""The compact form of a signed token: header.payload.signature, each part in base64url (RFC 7515 §7.1).

Reading follows one order, and what is cheap and sure comes first: length, ASCII, three parts, base64url, header, key,
signature. Whatever is wrong is a `TokenError` whose text holds nothing of the token. `alg` is compared with the key's
and chooses nothing; `jwk`, `jku` and `x5*` are never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from heykit.errors import TokenError
from heykit.security import _base64url, _json
from heykit.security._key import Key, KeySet, may_name

# Common servers take 8 to 64 KiB of header lines; joserfc allows 8,000 bytes a part, Authlib 256,000, PyJWT any number.
MAX_LENGTH = 16_384


@dataclass(frozen=True, slots=True)
class Header:
    """The members of a header that are read at all."""

    algorithm: str
    key_id: str | None
    typ: str | None


def write(payload: bytes, keys: Key | KeySet, typ: str | None = None) -> str:
    """Sign bytes; a token longer than `read` takes is a TokenError."""
    key = keys if isinstance(keys, Key) else keys.newest()
    signed = _written(key, typ) + b"." + _base64url.encode(payload)
    token = signed + b"." + _base64url.encode(key.sign(signed))
    if len(token) > MAX_LENGTH:
        raise _too_long()
    return token.decode("ascii")


def read(token: str | bytes, keys: Key | KeySet) -> tuple[Header, bytes]:
    """Give header and payload of a token whose signature is right; any other is a TokenError."""
    raw = _ascii(token)
    signed, _, last = raw.rpartition(b".")
    first, dot, middle = signed.partition(b".")
    if not dot or b"." in middle:
        raise _malformed()
    # Raised after the `except`: what it caught holds a part of the token, and would go along as the error's context.
    try:
        payload = _base64url.decode(middle)
        signature = _base64url.decode(last)
        header = _header(first)
    except ValueError:
        header, payload, signature = None, b"", b""
    if header is None:
        raise _malformed()
    if not _key_of(header, keys).verify(signed, signature):
        raise TokenError("The token's signature is wrong.", code="token.signature")
    return header, payload


def is_known(token: str | bytes, keys: KeySet) -> bool:
    """True unless the header of a token names a key that is not in the set; it proves nothing."""
    try:
        header = _header(_ascii(token).partition(b".")[0])
    except (ValueError, TokenError):
        return True
    return keys.find(header.key_id) is not None


def _ascii(token: str | bytes) -> bytes:
    # CVE-2025-61920, CVE-2026-48525: without a limit on the length a token makes the reader work as long as it likes.
    if not isinstance(token, (str, bytes)):
        raise _malformed()
    if len(token) > MAX_LENGTH:
        raise _too_long()
    if not token.isascii():
        raise _malformed()
    return token.encode("ascii") if isinstance(token, str) else token


def _key_of(header: Header, keys: Key | KeySet) -> Key:
    key = keys if isinstance(keys, Key) else keys.find(header.key_id)
    if key is not None and not key.may_verify:
        raise TokenError("The key that the token names may not verify: its `key_ops` say so.", code="token.key")
    if key is None or header.algorithm != key.algorithm or not may_name(header.key_id, key):
        raise TokenError("No key here is the one that the token names.", code="token.key")
    return key


# Headers hardly ever change, and these are pure functions: they may remember. Hostile headers only push others out.
@lru_cache(maxsize=64)
def _header(segment: bytes) -> Header:
    members = _json.parse_object(_base64url.decode(segment))
    # RFC 7515 §4.1.11: extensions that are not understood must be refused; none is understood, nor RFC 7797's `b64`.
    if "crit" in members or "b64" in members:
        raise ValueError("an extension")
    return Header(
        _text(members.get("alg")), *(_text(members[name]) if name in members else None for name in ("kid", "typ"))
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no string")  # noqa: TRY004 - one error for all that can be wrong with a header
    return value


def _written(key: Key, typ: object) -> bytes:
    # RFC 7515 §4.1.9: a string; the memory of headers would not tell 1 from True.
    if typ is None or (isinstance(typ, str) and typ.isascii()):
        return _header_segment(key.algorithm, key.id, typ)
    raise TokenError("The type of a token is a media type, text in ASCII.", code="token.type")


@lru_cache(maxsize=64)
def _header_segment(algorithm: str, key_id: str | None, typ: str | None) -> bytes:
    members = {"alg": algorithm, "kid": key_id, "typ": typ}
    return _base64url.encode(_json.write_object({name: value for name, value in members.items() if value is not None}))


def _too_long() -> TokenError:
    return TokenError(f"A token has at most {MAX_LENGTH} characters.", code="token.too_long")


def _malformed() -> TokenError:
    return TokenError("This is not a signed token in compact form.", code="token.malformed")
