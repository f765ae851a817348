"""Errors as RFC 9457 problem responses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from heykit.errors import DatabaseError, FileMissing, HeykitError, IntegrityError, TokenError, Unavailable
from heykit.web import problems


@dataclass
class Login:
    name: str
    password: int


def answers(error: Exception) -> tuple[int, dict[str, object], dict[str, str]]:
    """Status, body and headers of a route that raises."""
    app = FastAPI()
    problems(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    response = TestClient(app, raise_server_exceptions=False).get("/")
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json(), dict(response.headers)


def test_what_a_database_refuses_is_told_without_its_words() -> None:
    status, body, _ = answers(IntegrityError('insert on table "videos" violates constraint "videos_user_id_fkey"'))
    assert (status, body["code"]) == (409, "database.integrity")
    assert "videos" not in str(body)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (FileMissing("no file of that name"), 404, "file.missing"),
        (TokenError("it has expired", code="token.expired"), 401, "token.expired"),
        (HTTPException(418, "a teapot"), 418, "http.418"),
    ],
)
def test_an_error_is_told_with_status_code_and_what_it_says(error: Exception, status: int, code: str) -> None:
    got, body, _ = answers(error)
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    assert (got, body["status"], body["code"], body["detail"]) == (status, status, code, detail)
    assert body["type"] == "about:blank"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatabaseError("SELECT secret"), 500),
        (HeykitError("secret"), 500),
        (ValueError("secret"), 500),
        (Unavailable("cannot connect to secret:5432"), 503),
    ],
)
def test_what_went_wrong_inside_stays_inside(error: Exception, expected: int) -> None:
    status, body, _ = answers(error)
    assert status == expected
    assert "secret" not in str(body)


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1, "1"), (2.1, "3")])
def test_what_is_away_says_when_to_come_again(seconds: float, header: str) -> None:
    _, _, headers = answers(Unavailable("away", retry_after=seconds))
    assert headers["retry-after"] == header


def test_a_refused_token_is_challenged() -> None:
    _, _, headers = answers(TokenError("it has expired"))
    assert headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_the_headers_of_an_http_exception_are_kept() -> None:
    _, _, headers = answers(HTTPException(401, headers={"WWW-Authenticate": "Bearer"}))
    assert headers["www-authenticate"] == "Bearer"


def test_a_detail_that_is_no_text_is_replaced_by_the_status_phrase() -> None:
    assert answers(HTTPException(404, {"any": "JSON"}))[1]["detail"] == "Not Found"


def test_not_modified_has_no_body() -> None:
    app = FastAPI()
    problems(app)

    @app.get("/")
    async def fail() -> None:
        raise HTTPException(304, headers={"ETag": '"1"'})

    response = TestClient(app).get("/")
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"1"')


def login(content: bytes) -> tuple[int, dict[str, object]]:
    app = FastAPI()
    problems(app)

    @app.post("/")
    async def take(body: Login) -> None: ...

    response = TestClient(app).post("/", content=content, headers={"content-type": "application/json"})
    return response.status_code, response.json()


def test_a_wrong_field_is_named_and_what_was_sent_is_not_echoed() -> None:
    status, body = login(b'{"name": "me", "password": "hunter2"}')
    assert status == 422
    assert body["errors"] == [
        {
            "loc": ["body", "password"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        }
    ]
    assert "hunter2" not in str(body)


def test_a_body_that_is_no_json_is_told_so() -> None:
    status, body = login(b"{not json")
    assert (status, body["code"]) == (422, "request.invalid")
    assert "JSON decode error" in str(body["detail"])


def test_an_unknown_path_is_a_problem_too() -> None:
    app = FastAPI()
    problems(app)
    response = TestClient(app).get("/nowhere")
    assert (response.status_code, response.json()["title"]) == (404, "Not Found")


@pytest.mark.parametrize(("error", "code"), [(HeykitError("inside"), 1011), (Unavailable("away"), 1013)])
def test_an_open_websocket_is_closed_with_the_code_that_comes_nearest(error: Exception, code: int) -> None:
    app = FastAPI()
    problems(app)

    @app.websocket("/")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        raise error

    with TestClient(app).websocket_connect("/") as websocket, pytest.raises(WebSocketDisconnect) as closed:
        websocket.receive_text()
    assert closed.value.code == code
    assert "inside" not in closed.value.reason


def test_a_websocket_that_is_not_open_yet_is_refused() -> None:
    app = FastAPI()
    problems(app)

    @app.websocket("/")
    async def socket(websocket: WebSocket) -> None:
        raise Unavailable("away")

    with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect("/"):
        raise AssertionError("it must not open")
