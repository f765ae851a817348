"""Signed claims (RFC 7519), as strict when they are written as when they are read.

token = jwt.encode({"sub": "7", "iss": "heygen", "aud": "api", "exp": time.time() + 1800}, key, typ="at+jwt")
claims = jwt.decode(token, key, issuer="heygen", audience="api", typ="at+jwt")
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from heykit.errors import TokenError
from heykit.security import _compact, _json
from heykit.security.keys import Key, KeySet

__all__ = ["Claims", "decode", "encode"]


class Claims(dict[str, object]):
    """Claims with the registered ones by name and type (RFC 7519 §4.1): `Claims(decode(token, key)).subject`.

    What is not there is `None`, and an audience of one is a tuple of one. To read one of another type is a TokenError,
    which what was decoded never does.
    """

    @property
    def issuer(self) -> str | None:
        return self._text("iss")

    @property
    def subject(self) -> str | None:
        return self._text("sub")

    @property
    def audience(self) -> tuple[str, ...]:
        _check_types(self)
        found = self.get("aud", ())
        return (found,) if isinstance(found, str) else tuple(found if isinstance(found, list | tuple) else ())

    @property
    def expires_at(self) -> float | None:
        return self._date("exp")

    @property
    def not_before(self) -> float | None:
        return self._date("nbf")

    @property
    def issued_at(self) -> float | None:
        return self._date("iat")

    @property
    def id(self) -> str | None:
        return self._text("jti")

    @property
    def session(self) -> str | None:
        """The id of a session: `sid` (OpenID Connect Front-Channel Logout §3)."""
        found = self.get("sid")
        return found if isinstance(found, str) else None

    def _text(self, name: str) -> str | None:
        _check_types(self)
        found = self.get(name)
        return found if isinstance(found, str) else None

    def _date(self, name: str) -> float | None:
        _check_types(self)
        found = self.get(name)
        return found if isinstance(found, int | float) else None


def encode(claims: Mapping[str, object], key: Key | KeySet, *, typ: str | None = None) -> str:
    """Sign claims with a key, or the first of a set that may.

    Dates (`exp`, `nbf`, `iat`) are in seconds since the epoch. `typ` says what kind of token it is.

    :raises TokenError: `token.claims` for what no reader would take, `token.too_long` above 16,384 characters
    :raises KeyRefused: the key may only verify
    """
    _check_types(claims)
    try:
        payload = _json.write_object(claims)
    except ValueError:
        payload = None  # and the error is raised below: what was caught here would go along as its context
    if payload is None:
        raise TokenError("Claims must be JSON: text, finite numbers, lists and objects.", code="token.claims")
    return _compact.write(payload, key, typ)


def decode(
    token: str | bytes,
    keys: Key | KeySet,
    *,
    issuer: str | None = None,
    audience: str | Collection[str] | None = None,
    leeway: float = 0,
    typ: str | None = None,
    now: Callable[[], float] = time.time,
) -> dict[str, object]:
    """Give the claims of a token that one of these keys signed and that is valid now.

    `leeway` is in seconds, for clocks that differ. `audience` is what we are called, any of several: a token meant for
    an audience is refused where none is given. Without `issuer` or `typ` neither is looked at.

    :raises TokenError: its `code` says why: `token.too_long`, `malformed`, `key`, `signature`, `claims`, `type`,
        `expired`, `not_yet_valid`, `issuer` or `audience`
    """
    header, payload = _compact.read(token, keys)
    claims = _claims(payload)
    if header.typ != typ:
        _check_typ(header.typ, typ)
    _check_dates(claims, now(), leeway)
    if issuer is not None and claims.get("iss") != issuer:
        raise TokenError("The token is from another issuer.", code="token.issuer")
    meant = claims.get("aud")
    if meant != audience or type(audience) is not str:
        _check_audience(meant, audience)
    return claims


def _claims(payload: bytes) -> dict[str, object]:
    try:
        claims = _json.parse_object(payload)
    except ValueError:
        claims = None
    if claims is None:
        raise TokenError("The token's payload is not a JSON object.", code="token.malformed")
    _check_types(claims)
    return claims


def _check_types(claims: Mapping[str, object]) -> None:
    for name, value in claims.items():
        usual = _USUAL.get(name)
        if usual is not None and type(value) is not usual and not _RIGHT[name](value):
            raise TokenError(f"The claim {name} is of the wrong type.", code="token.claims")


def _is_date(value: object) -> bool:
    # RFC 7519 §2, NumericDate: a number. In Python True is one too, and so are subclasses that compare as they like.
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_texts(value: object) -> bool:
    # RFC 7519 §4.1.3: an array of strings, or a single one; an empty array is for nobody.
    return isinstance(value, str) or (isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value)))


_DATES, _TEXTS = ("exp", "nbf", "iat"), ("iss", "sub", "jti")
_RIGHT: Final[Mapping[str, Callable[[object], bool]]] = MappingProxyType(
    {**dict.fromkeys(_DATES, _is_date), **dict.fromkeys(_TEXTS, _is_text), "aud": _is_text_or_texts}
)
# What nearly every token has: looked at before anything is called.
_USUAL: Final[Mapping[str, type]] = {**dict.fromkeys(_DATES, int), **dict.fromkeys((*_TEXTS, "aud"), str)}


def _check_typ(found: str | None, wanted: str | None) -> None:
    # RFC 8725 §3.11: explicit typing keeps one kind of token from passing for another.
    if wanted is not None and (found is None or _media_type(found) != _media_type(wanted)):
        raise TokenError("The token is of another type.", code="token.type")


def _media_type(typ: str) -> str:
    # RFC 7515 §4.1.9: media types compare without regard to case, and `application/` may be left out.
    # Only the letters of ASCII have another case here: the Kelvin sign is no k.
    return (typ.lower() if typ.isascii() else typ).removeprefix("application/")


def _check_dates(claims: Mapping[str, object], now: float, leeway: float) -> None:
    # Each is written so that a NaN among the numbers refuses. A date may be an integer that no float can hold: nothing
    # is added to it. Of which type they are is checked already.
    dates: Mapping[str, float] = claims  # type: ignore[assignment]
    expires, starts, issued = dates.get("exp"), dates.get("nbf"), dates.get("iat")
    # RFC 7519 §4.1.4: not accepted on or after the expiration time.
    if expires is not None and not expires > now - leeway:
        raise TokenError("The token has expired.", code="token.expired")
    # RFC 7519 §4.1.5: not accepted before.
    if starts is not None and not starts <= now + leeway:
        raise TokenError("The token is not valid yet.", code="token.not_yet_valid")
    if issued is not None and not issued <= now + leeway:
        raise TokenError("The token was issued in the future.", code="token.not_yet_valid")


def _check_audience(meant: object, audience: str | Collection[str] | None) -> None:
    # RFC 7519 §4.1.3: who does not find itself in `aud`, where there is one, must reject the token.
    if (meant is not None or audience is not None) and _names(meant).isdisjoint(_names(audience)):
        raise TokenError("The token is for another audience.", code="token.audience")


def _names(value: object) -> frozenset[object]:
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(value) if isinstance(value, Collection) else frozenset()
