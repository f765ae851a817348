"""Errors as problem responses (RFC 9457): one form for every error, nothing of the inside in it."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Final, cast

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketState

from heykit.errors import DatabaseError, HeykitError, Throttled, TokenError, Unavailable

_LONGEST_REASON: Final = 30  # characters: RFC 6455, section 5.5, leaves 123 bytes
PROBLEM_JSON: Final = "application/problem+json"

logger = logging.getLogger("heykit.web")


@dataclass(frozen=True)
class Problem:
    """A problem as the client gets it. `errors` lists what is wrong with a request's fields: where, and why."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    errors: Sequence[Mapping[str, object]] | None = None


Handler = Callable[[Request, Exception], Awaitable[Response]]


def problems(app: FastAPI) -> None:
    """Answer errors as RFC 9457 problem responses.

    Heykit's errors by their status, `Unavailable` with `Retry-After`, FastAPI's and Starlette's own, and whatever else
    is raised as a bare 500.
    """
    app.add_exception_handler(HeykitError, cast("Handler", _heykit_error))
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _unexpected)


def problem_response() -> dict[int | str, dict[str, object]]:
    """Document problems for `FastAPI(responses=problem_response())`: what any route may answer instead."""
    schema = TypeAdapter(Problem).json_schema()
    content = {PROBLEM_JSON: {"schema": schema}}
    return {"default": {"description": "A problem (RFC 9457)", "content": content}}


async def _heykit_error(connection: HTTPConnection, error: Exception) -> Response | None:
    assert isinstance(error, HeykitError)
    if error.status == 500:
        logger.error("%s failed", connection.url.path, exc_info=error)
    elif error.status > 500:
        logger.warning("%s failed: %s", connection.url.path, error)
    if isinstance(connection, WebSocket):
        await _close(connection, error)
        return None
    return _answer(error.status, _said(error), error.code, headers=_headers_of(error))


def _said(error: HeykitError) -> str:
    """What a client may hear: of what is wrong on our side neither hosts nor paths."""
    if isinstance(error, Unavailable):
        return "Something that is needed is away for now; try again."
    if isinstance(error, DatabaseError) and error.status < 500:
        return "It does not fit what is there: something of that kind stands already, or what it belongs to is gone."
    if error.status >= 500:
        return "Something went wrong here; it has been logged."
    return str(error)


async def _close(websocket: WebSocket, error: HeykitError) -> None:
    """A WebSocket has no response: it is closed with the code that comes nearest, and refused where it is not open."""
    # RFC 6455, section 7.4.1 and its registry: 1008 policy violation, 1011 internal error, 1013 try again later.
    code = 1011 if error.status == 500 else 1013 if isinstance(error, Unavailable) else 1008
    if websocket.application_state is not WebSocketState.DISCONNECTED:
        await websocket.close(code, _said(error)[:_LONGEST_REASON])


def _headers_of(error: HeykitError) -> dict[str, str]:
    if isinstance(error, Unavailable | Throttled):
        # RFC 9110, section 10.2.3: Retry-After is a whole number of seconds.
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if isinstance(error, TokenError):
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return {}


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    given: object = error.detail  # FastAPI's own exception takes any JSON for it
    detail = given if isinstance(given, str) else _phrase(error.status_code)
    code = f"http.{error.status_code}"
    # RFC 9110, sections 15.4.5 and 6.4.1: neither 1xx, 204 nor 304 has content.
    if error.status_code < 200 or error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=error.headers)
    return _answer(error.status_code, detail, code, headers=error.headers)


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The values that the client sent stay out: one may be a password, and it ends in logs on the way.
    errors = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors)
    return _answer(422, wrong, "request.invalid", errors=errors)


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises it again once this is sent, and the server logs it.
    return _answer(500, "Something went wrong here; it has been logged.", "http.500")


def _answer(
    status: int,
    detail: str,
    code: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, object]] | None = None,
) -> Response:
    problem = asdict(Problem(_phrase(status), status, detail, code, errors=errors))
    content = {key: value for key, value in problem.items() if value is not None}
    return JSONResponse(content, status, headers, media_type=PROBLEM_JSON)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
