"""Sessions by cookie: set by this host alone, sent by no other site's doing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.testclient import TestClient
from httpx2 import Response as Answer
from starlette.websockets import WebSocketDisconnect

from heykit import lifespan, lifetime, provided, scope
from heykit.security.sessions import Session, Sessions, memory_sessions
from heykit.web import problems, session_cookie, session_id
from tests.heygen.world import START, Clock

HOST = "https://app.example"
NAME = "__Host-session"


class Site:
    """An application that knows people by a cookie, and a browser."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.closed: list[list[str]] = []
        self.app = FastAPI(lifespan=lifespan)
        problems(self.app)
        self._add_routes()

    def _add_routes(self) -> None:
        app, clock = self.app, self.clock

        @scope.application
        def sessions() -> AbstractAsyncContextManager[Sessions]:
            return memory_sessions(idle=3600, absolute=86_400, on_revoked=ended, now=clock)

        async def ended(session: Session) -> None:
            await lifetime.end(app, by, session.id)

        cookie = session_cookie(sessions, trusted_origins=["https://partner.example"], now=clock)
        by = session_id(cookie.session)

        @scope.session(by=by)
        async def cart() -> AsyncGenerator[list[str]]:
            items: list[str] = []
            yield items
            self.closed.append(items)

        @app.post("/login")
        async def login(request: Request, response: Response, all: Sessions = provided(sessions)) -> str:
            return (await cookie.start(request, response, all, "ada")).id

        @app.post("/sudo")
        async def sudo(
            request: Request,
            response: Response,
            all: Sessions = provided(sessions),
            _: Session = provided(cookie.session),
        ) -> str:
            renewed = await cookie.renew(request, response, all)
            assert renewed is not None
            return renewed.id

        @app.post("/logout")
        async def logout(request: Request, response: Response, all: Sessions = provided(sessions)) -> None:
            await cookie.end(request, response, all)

        @app.get("/me")
        async def me(session: Session = provided(cookie.session)) -> str:
            return session.id

        @app.post("/cart")
        async def add(item: str, items: list[str] = provided(cart)) -> list[str]:
            items.append(item)
            return items

        @app.websocket("/ws")
        async def talk(websocket: WebSocket, session: Session = provided(cookie.session)) -> None:
            await websocket.accept()
            await websocket.send_text(session.user)
            await websocket.close()


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def browser(site: Site) -> Iterator[TestClient]:
    with TestClient(site.app, base_url=HOST) as client:
        yield client


def login(browser: TestClient) -> Answer:
    answer = browser.post("/login")
    assert answer.status_code == 200
    return answer


def test_the_cookie_is_for_this_host_alone_and_no_script_reads_it(browser: TestClient) -> None:
    answer = login(browser)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    secret, *attributes = rest.split("; ")
    assert name == NAME
    assert len(secret) == 22
    assert {each.lower() for each in attributes} == {"httponly", "max-age=86400", "path=/", "samesite=lax", "secure"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == browser.get("/me").json() != secret


def test_without_a_cookie_or_with_a_made_up_one_nobody_is_known(browser: TestClient) -> None:
    for cookies in ({}, {NAME: "AAAAAAAAAAAAAAAAAAAAAA"}, {NAME: ""}, {NAME: "x" * 5000}, {"session": "x"}):
        browser.cookies.clear()
        for name, value in cookies.items():
            browser.cookies.set(name, value, domain="app.example")
        answer = browser.get("/me")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == f'Cookie cookie-name="{NAME}"'
        assert answer.json()["code"] == "http.401"


def test_a_secret_that_a_client_chose_is_not_kept_at_login(browser: TestClient) -> None:
    browser.cookies.set(NAME, "AAAAAAAAAAAAAAAAAAAAAA", domain="app.example")
    answer = login(browser)
    assert "AAAAAAAAAAAAAAAAAAAAAA" not in answer.headers["set-cookie"]


def test_to_log_in_again_ends_the_session_before(browser: TestClient) -> None:
    login(browser)
    before = browser.cookies[NAME]
    login(browser)
    assert browser.cookies[NAME] != before
    browser.cookies.clear()
    browser.cookies.set(NAME, before, domain="app.example")
    assert browser.get("/me").status_code == 401


def test_who_may_do_more_than_before_has_another_secret(browser: TestClient) -> None:
    first = login(browser).json()
    before = browser.cookies[NAME]
    answer = browser.post("/sudo")
    assert answer.json() == browser.get("/me").json() != first
    browser.cookies.clear()
    browser.cookies.set(NAME, before, domain="app.example")
    assert browser.get("/me").status_code == 401


def test_to_log_out_ends_the_session_and_takes_the_cookie_away(browser: TestClient) -> None:
    login(browser)
    secret = browser.cookies[NAME]
    answer = browser.post("/logout")
    assert 'session=""; ' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert NAME not in browser.cookies
    browser.cookies.set(NAME, secret, domain="app.example")
    assert browser.get("/me").status_code == 401
    browser.cookies.clear()
    assert browser.post("/logout").status_code == 200


def test_a_session_that_is_used_lives_on(browser: TestClient, site: Site) -> None:
    login(browser)
    for _ in range(10):
        site.clock.turn(3000)
        assert browser.get("/me").status_code == 200
    site.clock.turn(3600)
    assert browser.get("/me").status_code == 401


SAME = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": HOST},
    {"Origin": HOST},
    {"Origin": "https://APP.example"},
    {"Origin": "https://partner.example", "Sec-Fetch-Site": "cross-site"},
    {},  # no browser
]
CROSS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HOST},
    {"Sec-Fetch-Site": "anything"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://app.example.evil.example"},
    {"Origin": "https://app.example:8443"},
    {"Origin": "https://partner.example.evil.example"},
    {"Origin": "app.example"},
    {"Origin": "https://["},
    {"Origin": "\u00e4".encode("latin-1").decode("latin-1")},
]


@pytest.mark.parametrize("headers", SAME)
def test_a_request_of_this_site_may_change_something(browser: TestClient, headers: dict[str, str]) -> None:
    login(browser)
    assert browser.post("/cart?item=x", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", CROSS)
def test_a_request_that_another_site_made_may_not_but_it_may_be_a_link(
    browser: TestClient, headers: dict[str, str]
) -> None:
    login(browser)
    given = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = browser.post("/cart?item=x", headers=given)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert browser.get("/me", headers=given).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/login", "/logout", "/sudo"])
@pytest.mark.parametrize("headers", CROSS[:7])
def test_another_site_logs_nobody_in_or_out(browser: TestClient, path: str, headers: dict[str, str]) -> None:
    login(browser)
    answer = browser.post(path, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert browser.get("/me").status_code == 200


@pytest.mark.parametrize(
    "planted",
    [b"\xa0__Host-session", b"\x85__Host-session", b"__host-session", b"\x1c__Host-session", b"__Host-session "],
)
def test_a_cookie_of_nearly_that_name_is_another(browser: TestClient, planted: bytes) -> None:
    login(browser)
    secret = browser.cookies[NAME].encode()
    browser.cookies.clear()
    assert browser.get("/me", headers={b"Cookie": planted + b"=" + secret}).status_code == 401
    both = b"__Host-session=" + secret + b"; " + planted + b"=AAAAAAAAAAAAAAAAAAAAAA"
    assert browser.get("/me", headers={b"Cookie": both}).status_code == 200


def test_of_two_cookies_of_that_name_nobody_knows_which_is_right(browser: TestClient) -> None:
    login(browser)
    secret = browser.cookies[NAME]
    browser.cookies.clear()
    for both in (f"{NAME}={secret}; {NAME}=x", f"{NAME}=x; {NAME}={secret}"):
        assert browser.get("/me", headers={"Cookie": both}).status_code == 401
    assert browser.get("/me", headers={"Cookie": f"a=b; {NAME}={secret}; c"}).status_code == 200


def test_a_websocket_of_another_site_is_refused(browser: TestClient) -> None:
    login(browser)
    secret = browser.cookies[NAME]
    cookie = {"Cookie": f"{NAME}={secret}"}
    with browser.websocket_connect("/ws", headers={**cookie, "Origin": HOST, "Host": "app.example"}) as talk:
        assert talk.receive_text() == "ada"
    with (
        pytest.raises(WebSocketDisconnect),
        browser.websocket_connect("/ws", headers={**cookie, "Origin": "https://evil.example", "Host": "app.example"}),
    ):
        pass


def test_what_is_kept_for_a_session_ends_with_it(browser: TestClient, site: Site) -> None:
    login(browser)
    assert browser.post("/cart?item=a").json() == ["a"]
    assert browser.post("/cart?item=b").json() == ["a", "b"]
    login(browser)  # which ends the session before
    assert browser.post("/cart?item=c").json() == ["c"]
    assert site.closed == [["a", "b"]]


def test_the_cookie_is_shown_in_the_docs(browser: TestClient) -> None:
    schema = browser.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"] == {"session": {"type": "apiKey", "in": "cookie", "name": NAME}}
    assert schema["paths"]["/me"]["get"]["security"] == [{"session": []}]


def test_over_plain_http_it_has_another_name() -> None:
    app = FastAPI(lifespan=lifespan)

    @scope.application
    def sessions() -> AbstractAsyncContextManager[Sessions]:
        return memory_sessions(now=lambda: START)

    cookie = session_cookie(sessions, secure=False, now=lambda: START)

    @app.post("/login")
    async def log_in(request: Request, response: Response, all: Sessions = provided(sessions)) -> str:
        return (await cookie.start(request, response, all, "ada")).id

    with TestClient(app) as client:
        set_cookie = client.post("/login").headers["set-cookie"]
    assert set_cookie.startswith("session=")
    assert "secure" not in set_cookie.lower()
