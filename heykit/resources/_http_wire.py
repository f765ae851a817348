"""What is asked of an HTTP API and what its answers mean: pure functions over values."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from heykit.errors import HttpError, HttpUnavailable
from heykit.resources.protocol import HttpResponse, Path, Query

# RFC 9110, section 9.2.2: the methods that may be repeated; a request of another one that was lost must not be.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # section 5.5, without what would end the line
_SAFE: Final = "/:@!$&'()*+,;=~"  # RFC 3986, section 3.3
_ESCAPED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOTS: Final = re.compile(r"(\.|%2e){1,2}", re.IGNORECASE)
_REFUSED_IN_PATHS: Final = re.compile(r"[?#\\\x00-\x1f\x7f]")


def base_of(url: str) -> str:
    """Give the base URL that paths are added to. Raises HttpError, which does not show it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or any(map(str.isspace, url)):
        raise HttpError("the base URL of an HTTP API is https://host/path, or http:// where nothing is secret")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise HttpError("the base URL of an HTTP API takes no credentials and no query: give those as headers=")
    return url.rstrip("/")


def host_of(base: str) -> str:
    """Give the host and port of a base URL, to be shown."""
    return urlsplit(base).netloc


def url_of(base: str, path: Path, query: Query | None) -> str:
    """Add a path and a query to a base URL. Raises HttpError for a path that would leave it."""
    if isinstance(path, str):
        parts = path.removeprefix("/").split("/")
        escaped = quote(_ESCAPED.sub("%25", path.removeprefix("/")), safe=_SAFE + "%")
    else:
        parts = [*path]
        escaped = "/".join(quote(part, safe="") for part in path)
    if any(map(_DOTS.fullmatch, parts)) or (isinstance(path, str) and _REFUSED_IN_PATHS.search(path)):
        raise HttpError(
            "a path goes down from the base URL, without '..', '?', '#' and '\\': give parameters as query=, and parts "
            "that may hold anything as a tuple"
        )
    url = f"{base}/{escaped}" if escaped else base
    return f"{url}?{_encoded(query)}" if query else url


def _encoded(query: Query) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [(name, _text(one)) for one in several if one is not None]
    return urlencode(pairs, quote_via=quote)


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def method_of(method: str) -> str:
    if not _TOKEN.fullmatch(method):
        raise HttpError("a method is a word such as GET")
    return method.upper()


def headers_of(*several: Mapping[str, str]) -> dict[str, str]:
    """Join headers, the later ones first in force; names in lower case. Raises HttpError, which shows no value."""
    joined: dict[str, str] = {}
    for headers in several:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise HttpError("a header's name is a word such as Accept")
            if not _FIELD.fullmatch(value) or not value.isascii():
                raise HttpError(f"the value of the header {name} is no line of plain ASCII text")
            joined[name.lower()] = value
    return joined


def retry_after(value: str | None, *, now: float) -> float | None:
    """Read a Retry-After: seconds, or a date that is compared with `now` (seconds since the epoch)."""
    # RFC 9110, section 10.2.3.
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def require_served(status: int, headers: Mapping[str, str], host: str, *, now: float) -> None:
    """Raise HttpUnavailable for an answer that says the server cannot serve for now."""
    if status < 500 and status not in (408, 429):
        return
    raise HttpUnavailable(
        f"{host} answered {status}" + (": it is asked too often" if status == 429 else ""),
        answered=status,
        asked_to_wait=retry_after(headers.get("retry-after"), now=now),
        had_no_effect=status == 429,  # RFC 6585, section 4: it was not served
    )


def require_success(response: HttpResponse, host: str) -> None:
    """Raise HttpError for an answer that says the request was wrong, or that asks for another one."""
    if 200 <= response.status < 300 or response.status == 304:
        return
    said = f"{host} answered {response.status}"
    if 300 <= response.status < 400:
        said += ": redirects are not followed; ask where it points to, if you trust that"
    raise HttpError(said, answered=response.status, headers=response.headers, body=response.body)


class Limited:
    """Counts a body's bytes as it comes, expands it where it is compressed, and refuses it where it is too long."""

    def __init__(self, host: str, limit: int, encoding: str | None) -> None:
        self._host = host
        self._limit = limit
        self._size = 0
        self._begun = False
        if encoding not in (None, "", "identity", "gzip"):
            raise HttpError(f"{host} answered in an encoding it was not asked for")
        self._expand = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None

    def taken(self, chunk: bytes) -> bytes:
        """Take what has come; give what it says."""
        if self._expand is not None:
            self._begun = self._begun or bool(chunk)
            try:
                chunk = self._expand.decompress(chunk, self._limit - self._size + 1)
            except zlib.error:
                raise HttpError(f"{self._host} answered with gzip that cannot be expanded") from None
        self._size += len(chunk)
        if self._size > self._limit:
            raise self.refusal()
        return chunk

    def end(self) -> None:
        """Raise HttpError where it did not end as it should."""
        if self._expand is not None and self._begun and (not self._expand.eof or self._expand.unused_data):
            raise HttpError(f"{self._host} answered with gzip that is cut off, or goes on after its end")

    def refusal(self) -> HttpError:
        error = HttpError(f"{self._host} answered with more than {self._limit} bytes, which is all that is read")
        error.code = "http.too_large"
        return error


def loads(body: bytes, host: str) -> object:
    """Read JSON. Raises HttpError, which shows nothing of it."""
    try:
        # RFC 8259, section 8.1: JSON between systems is UTF-8.
        found: object = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise HttpError(f"{host} answered with what is no JSON") from None
    return found
