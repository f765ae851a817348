"""An HTTP API as its user sees it: paths and types in, typed answers or one clear error out."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar, Unpack, overload

from heykit._finish import finish
from heykit._resource_health import resource_health
from heykit.errors import HttpError
from heykit.health import Health
from heykit.resources._http_exchange import Exchanges, HttpLimits
from heykit.resources._http_json import Readers, written
from heykit.resources._http_link import Asked
from heykit.resources._http_wire import (
    IDEMPOTENT,
    base_of,
    form_of,
    headers_of,
    host_of,
    method_of,
    require_success,
    url_of,
)
from heykit.resources.protocol import Download, HttpApi, HttpResponse, Path, Reading, Sending

T = TypeVar("T")

_KEY: Final = "idempotency-key"
_DEFAULTS: Final = {"accept-encoding": "gzip", "user-agent": "heykit"}


@asynccontextmanager
async def open_http(
    base_url: str,
    limits: HttpLimits,
    *,
    headers: Mapping[str, str],
    health_path: str | None,
    idempotency_keys: bool,
    tls: ssl.SSLContext | None,
) -> AsyncGenerator[HttpApi]:
    base = base_of(base_url)
    given = headers_of(_DEFAULTS, headers)
    exchanges = Exchanges(host_of(base), limits, tls)
    api = _HttpApi(base, given, exchanges, health_path, idempotency_keys=idempotency_keys)
    try:
        yield api
    finally:
        await finish(exchanges.close())


class _HttpApi:
    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        exchanges: Exchanges,
        health_path: str | None,
        *,
        idempotency_keys: bool,
    ) -> None:
        self._base = base
        self._host = host_of(base)
        self._headers = headers
        self._readers = Readers(self._host)
        self._exchanges = exchanges
        self._health_path = health_path
        self._idempotency_keys = idempotency_keys

    @overload
    async def request(self, method: str, path: Path, /, **options: Unpack[Sending]) -> HttpResponse: ...
    @overload
    async def request(self, method: str, path: Path, /, *, into: type[T], **options: Unpack[Sending]) -> T: ...
    async def request(
        self, method: str, path: Path, /, *, into: type[T] | None = None, **options: Unpack[Sending]
    ) -> HttpResponse | T:
        read = None if into is None else self._readers.reader(into)  # before anything is sent
        asked = self._asked(method_of(method), path, options)
        response = await self._exchanges.answered(asked, idempotent=asked.method in IDEMPOTENT or _KEY in asked.headers)
        require_success(response, self._host)
        return response if read is None else read(response.body)

    @overload
    async def get(self, path: Path, /, **options: Unpack[Reading]) -> HttpResponse: ...
    @overload
    async def get(self, path: Path, /, *, into: type[T], **options: Unpack[Reading]) -> T: ...
    async def get(self, path: Path, /, *, into: type[T] | None = None, **options: Unpack[Reading]) -> HttpResponse | T:
        if into is None:
            return await self.request("GET", path, **options)
        return await self.request("GET", path, into=into, **options)

    @overload
    async def post(self, path: Path, /, **options: Unpack[Sending]) -> HttpResponse: ...
    @overload
    async def post(self, path: Path, /, *, into: type[T], **options: Unpack[Sending]) -> T: ...
    async def post(self, path: Path, /, *, into: type[T] | None = None, **options: Unpack[Sending]) -> HttpResponse | T:
        if into is None:
            return await self.request("POST", path, **options)
        return await self.request("POST", path, into=into, **options)

    @asynccontextmanager
    async def download(
        self, path: Path, /, *, max_bytes: int = 1024**3, timeout: float = 600.0, **options: Unpack[Reading]
    ) -> AsyncGenerator[Download]:
        if max_bytes < 1 or not timeout > 0:
            raise ValueError("max_bytes must be at least 1, and timeout above 0 seconds")
        headers = {"accept-encoding": "identity", **options.get("headers", {})}
        asked = self._asked("GET", path, {"query": options.get("query"), "headers": headers})
        async with self._exchanges.streamed(asked, max_bytes, timeout) as answer:
            if isinstance(answer, HttpResponse):
                require_success(answer, self._host)
                raise HttpError(f"{self._host} answered {answer.status}: there is nothing to download")
            yield answer

    async def health(self) -> Health:
        if self._exchanges.closed:
            return Health("fail", "resource", "the HTTP API is closed", self.stats())
        path = self._health_path
        if path is None:
            away = self._exchanges.away
            return Health("warn" if away else "pass", "resource", away, self.stats())
        return await resource_health(lambda: self.get(path), self.stats)

    def stats(self) -> Mapping[str, int | float]:
        return self._exchanges.stats()

    def _asked(self, method: str, path: Path, options: Sending) -> Asked:
        self._exchanges.require_open()
        content, described = _body(options)
        headers = headers_of(self._headers, described, options.get("headers", {}))
        if (key := self._key(method, options, headers)) is not None:
            headers |= headers_of({_KEY: key})
        return Asked(method, url_of(self._base, path, options.get("query")), headers, content)

    def _key(self, method: str, options: Sending, headers: Mapping[str, str]) -> str | None:
        if "idempotency_key" in options:
            return options["idempotency_key"]
        needs_one = self._idempotency_keys and method not in IDEMPOTENT and _KEY not in headers
        return str(uuid.uuid4()) if needs_one else None


def _body(options: Sending) -> tuple[bytes | AsyncIterable[bytes] | None, Mapping[str, str]]:
    """Give what is to be sent, and the headers that describe it."""
    given = [name for name in ("json", "form", "content") if name in options]
    if len(given) > 1:
        raise HttpError(f"a request has one body: give {given[0]}= or {given[1]}=, not both")
    if "json" in options:
        return written(options["json"]), {"content-type": "application/json"}
    if "form" in options:
        return form_of(options["form"]), {"content-type": "application/x-www-form-urlencoded"}
    return options.get("content"), {}
