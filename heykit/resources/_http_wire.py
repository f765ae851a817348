"""What is asked of an HTTP API and what its answers mean: pure functions over values."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from heykit.errors import HttpError, HttpUnavailable
from heykit.resources.protocol import HttpResponse, Path, Query

# RFC 9110, section 9.2.2: the methods that may be repeated; a request of another one that was lost must not be.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # section 5.5, without what would end the line
_SAFE: Final = "/:@!$&'()*+,;=~"  # RFC 3986, section 3.3
_ESCAPED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOTS: Final = re.compile(r"(\.|%2e){1,2}(;.*)?", re.IGNORECASE)
_REFUSED_IN_PATHS: Final = re.compile(r"[?#\\\x00-\x1f\x7f\ud800-\udfff]|%2f|%5c", re.IGNORECASE)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f\s]")
_OURS: Final = frozenset({"content-length", "transfer-encoding", "connection", "host"})


def base_of(url: str) -> str:
    """Give the base URL that paths are added to. Raises HttpError, which does not show it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or _UNSEEN.search(url):
        raise HttpError("the base URL of an HTTP API is https://host/path, or http:// where nothing is secret")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise HttpError("the base URL of an HTTP API takes no credentials and no query: give those as headers=")
    return url.rstrip("/")


def host_of(base: str) -> str:
    """Give the host and port of a base URL, to be shown."""
    return urlsplit(base).netloc


def url_of(base: str, path: Path, query: Query | None) -> str:
    """Add a path and a query to a base URL. Raises HttpError for a path that would leave it."""
    if any(map(_SURROGATES.search, path)):
        raise HttpError("a path is no valid Unicode text")
    if isinstance(path, str):
        parts = path.removeprefix("/").split("/")
        escaped = quote(_ESCAPED.sub("%25", path.removeprefix("/")), safe=_SAFE + "%")
    else:
        parts = [*path]
        escaped = "/".join(quote(part, safe="") for part in path)
    if any(map(_DOTS.fullmatch, parts)) or (isinstance(path, str) and _REFUSED_IN_PATHS.search(path)):
        raise HttpError(
            "a path goes down from the base URL, without '..', '?', '#', '\\' and escaped slashes: give parameters as "
            "query=, and parts that may hold anything as a tuple"
        )
    url = f"{base}/{escaped}" if escaped else base
    return f"{url}?{_encoded(query)}" if query else url


def form_of(fields: Mapping[str, str]) -> bytes:
    """Write a form. Raises HttpError for what cannot be written."""
    return _written(fields.items(), form=True)


def _encoded(query: Query) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        several = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        pairs += [(name, _text(one)) for one in several if one is not None]
    return _written(pairs, form=False).decode()


def _written(pairs: Iterable[tuple[str, str]], *, form: bool) -> bytes:
    try:
        return urlencode([*pairs], quote_via=quote_plus if form else quote).encode()
    except UnicodeEncodeError:
        pass
    raise HttpError("a parameter is no valid Unicode text")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return str.__str__(value)  # what it is, whatever a subclass shows
    if isinstance(value, int | float):
        return repr(value)
    raise HttpError(f"a parameter is text or a number, not {type(value).__name__}: convert it first")


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
            if name.lower() in _OURS:
                raise HttpError(f"the header {name} is written by heykit: leave it out")
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
        moment = parsedate_to_datetime(value)
        # RFC 9110, section 5.6.7: a date is in UTC, also where its old forms do not say so.
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
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


def length_of(method: str, status: int, headers: Mapping[str, str]) -> int | None:
    """Give the length of a body in bytes, None where nothing says it."""
    if not has_body(method, status):
        return 0
    # RFC 9112, section 6.3: a Transfer-Encoding overrides a Content-Length.
    length = "" if "transfer-encoding" in headers else headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None


def has_body(method: str, status: int) -> bool:
    """Tell whether an answer may have one, whatever its headers say of what another request would get."""
    # RFC 9110, sections 8.6, 9.3.2, 15.3.5 and 15.4.5.
    return method != "HEAD" and status not in (204, 304)


class Limited:
    """Counts a body's bytes as it comes, expands it where it is compressed, and refuses it where it is too long."""

    def __init__(self, host: str, limit: int, encoding: str) -> None:
        self._host = host
        self._limit = limit
        self._size = self._raw = 0
        # RFC 9110, section 8.4.1: names of codings are case-insensitive, and x-gzip is gzip.
        coding = encoding.strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip"):
            raise HttpError(f"{host} answered in an encoding it was not asked for")
        self._expand = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding.endswith("gzip") else None

    def taken(self, chunk: bytes) -> bytes:
        """Take what has come; give what it says."""
        self._raw += len(chunk)
        if self._expand is not None and chunk:
            chunk = self._expanded(self._expand, chunk)
        self._size += len(chunk)
        # What does not compress becomes a little longer.
        if self._size > self._limit or self._raw > self._limit + self._limit // 100 + 1024:
            raise self.refusal()
        return chunk

    def _expanded(self, expand: zlib._Decompress, chunk: bytes) -> bytes:
        broken = expand.eof
        if not broken:
            try:
                chunk = expand.decompress(chunk, self._limit - self._size + 1)
            except zlib.error:
                broken = True
        if broken or expand.unused_data:
            raise HttpError(f"{self._host} answered with gzip that cannot be expanded, or goes on after its end")
        return chunk

    def end(self) -> None:
        """Raise HttpError where it did not end as it should."""
        if self._expand is not None and self._raw and not self._expand.eof:
            raise HttpError(f"{self._host} answered with gzip that is cut off")

    def refusal(self) -> HttpError:
        error = HttpError(f"{self._host} answered with more than {self._limit} bytes, which is all that is read")
        error.code = "http.too_large"
        return error
