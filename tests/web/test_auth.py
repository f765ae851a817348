"""The routes of logging in and out, as clients see them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response as Answer
from starlette.types import Message

from heykit import lifespan, provided, scope
from heykit.errors import Unavailable
from heykit.security import jwt
from heykit.security.audit import SecurityEvent, as_json
from heykit.security.keys import Key, KeySet, generate_key, key_from_secret, key_set, key_set_from_jwks
from heykit.security.logins import Logins, login_service
from heykit.security.remote_keys import RemoteKeys, remote_key_set
from heykit.security.sessions import Sessions, memory_sessions
from heykit.security.throttle import Limit, Throttle, memory_throttle
from heykit.security.tokens import Tokens, token_issuer
from heykit.web import Claims, auth_router, bearer, health_router, in_session, jwks_router, problems
from tests.asgi import http_scope
from tests.heygen.world import Clock
from tests.security.members import EasyPasswords, people

SECRET = key_from_secret(b"k" * 32, id="2026-11", created_at=time.time() - 2 * 86_400)
PASSWORD = "correct horse"


class Flaky:
    """Sessions whose store may be away."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.is_away = False

    def __getattr__(self, name: str) -> object:
        if self.is_away:
            raise Unavailable("their store is away")
        return getattr(self._sessions, name)


class Service:
    def __init__(self) -> None:
        self.clock = Clock()
        self.events: list[SecurityEvent] = []
        self.flaky: Flaky | None = None
        self.app = FastAPI(lifespan=lifespan)
        problems(self.app)
        self._add_routes()

    def _add_routes(self) -> None:
        app, clock = self.app, self.clock

        @scope.application
        async def key() -> Key:
            return SECRET

        @scope.application
        async def sessions() -> AsyncGenerator[Sessions]:
            async with memory_sessions(now=clock) as opened:
                self.flaky = Flaky(opened)
                yield self.flaky  # type: ignore[misc]

        @scope.application
        def throttle() -> AbstractAsyncContextManager[Throttle]:
            return memory_throttle(account=Limit(3, per=60), now=clock)

        @scope.application
        async def tokens(signing: Key = provided(key), all: Sessions = provided(sessions)) -> Tokens:
            return token_issuer(signing, all, signing, issuer="us", audience="api", audit=self.events.append, now=clock)

        @scope.application
        async def logins(
            all: Sessions = provided(sessions), of: Tokens = provided(tokens), limits: Throttle = provided(throttle)
        ) -> Logins:
            return login_service(
                people(), EasyPasswords(), all, of, throttle=limits, audit=self.events.append, now=clock
            )

        bare = bearer(key, issuer="us", audience="api", token_url="auth/token", now=clock)
        claims, trusting = in_session(bare, sessions), in_session(bare, sessions, when_away="accept")

        @app.get("/me")
        async def me(who: Claims = provided(claims)) -> str:
            return str(who["sub"])

        @app.get("/trusting")
        async def trust(who: Claims = provided(trusting)) -> str:
            return str(who["sub"])

        app.include_router(auth_router(logins, sessions, claims), prefix="/auth")
        app.include_router(health_router())


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(service.app, headers={"User-Agent": "Firefox"}) as opened:
        yield opened


def token(client: TestClient, **form: str) -> Answer:
    return client.post("/auth/token", data=form)


def login(client: TestClient, username: str = "ada", password: str = PASSWORD) -> dict[str, str]:
    answer = token(client, grant_type="password", username=username, password=password)
    assert answer.status_code == 200, answer.text
    given: dict[str, str] = answer.json()
    return given


def who(pair: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


def test_a_name_and_a_password_give_tokens_as_oauth_has_it(client: TestClient) -> None:
    answer = token(client, grant_type="password", username="ada", password=PASSWORD)
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert given.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (given["token_type"], given["expires_in"]) == ("bearer", 1800)
    assert client.get("/me", headers=who(given)).json() == "7"
    assert token(client, username="ada", password=PASSWORD).status_code == 200  # as before grants were named


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password", "username": "ada", "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": PASSWORD}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "password", "username": "ada"}, "invalid_request"),
        ({"grant_type": "password"}, "invalid_request"),
        ({}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "PASSWORD", "username": "ada", "password": PASSWORD}, "unsupported_grant_type"),
    ],
)
def test_whatever_else_is_refused_as_oauth_clients_know_it(
    client: TestClient, form: dict[str, str], error: str
) -> None:
    answer = client.post("/auth/token", data=form)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"


def test_a_refresh_token_is_changed_for_the_next_pair(client: TestClient, service: Service) -> None:
    pair = login(client)
    service.clock.turn(1900)
    assert client.get("/me", headers=who(pair)).status_code == 401
    following = token(client, grant_type="refresh_token", refresh_token=pair["refresh_token"]).json()
    assert client.get("/me", headers=who(following)).json() == "7"
    again = token(client, grant_type="refresh_token", refresh_token=pair["refresh_token"]).json()
    assert again["refresh_token"] == following["refresh_token"]  # two tabs
    service.clock.turn(21)
    answer = token(client, grant_type="refresh_token", refresh_token=pair["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert client.get("/me", headers=who(following)).status_code == 401
    assert "set-cookie" not in answer.headers


def test_too_many_attempts_are_told_when_to_come_again(client: TestClient) -> None:
    for _ in range(3):
        assert token(client, username="ada", password="wrong").status_code == 400
    answer = token(client, username="ada", password=PASSWORD)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert answer.json()["status"] == 429
    login(client, "bob", "battery staple")


def test_sessions_are_listed_with_the_one_that_asks_and_ended_one_by_one(client: TestClient) -> None:
    first, second, other = login(client), login(client), login(client, "bob", "battery staple")
    listed = client.get("/auth/sessions", headers=who(second)).json()
    assert [session["current"] for session in listed] == [False, True]
    assert listed[0].keys() == {"id", "created_at", "seen_at", "ends_at", "ip", "user_agent", "current"}
    assert listed[0]["user_agent"] == "Firefox"
    of_bob = client.get("/auth/sessions", headers=who(other)).json()[0]["id"]
    assert client.delete(f"/auth/sessions/{of_bob}", headers=who(second)).status_code == 404
    assert client.delete("/auth/sessions/x", headers=who(second)).status_code == 404
    assert client.delete(f"/auth/sessions/{listed[0]['id']}", headers=who(second)).status_code == 204
    assert client.get("/me", headers=who(first)).status_code == 401
    assert client.get("/me", headers=who(second)).status_code == 200
    assert client.get("/me", headers=who(other)).status_code == 200


def test_to_log_out_is_to_be_out_at_once(client: TestClient) -> None:
    pair, other = login(client), login(client)
    assert client.post("/auth/logout", headers=who(pair)).status_code == 204
    answer = client.get("/me", headers=who(pair))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert token(client, grant_type="refresh_token", refresh_token=pair["refresh_token"]).status_code == 400
    assert client.post("/auth/logout", headers=who(pair)).status_code == 401
    assert client.get("/me", headers=who(other)).status_code == 200


def test_to_log_out_everywhere_ends_all_of_ones_sessions(client: TestClient) -> None:
    pairs, other = [login(client) for _ in range(3)], login(client, "bob", "battery staple")
    assert client.post("/auth/logout-everywhere", headers=who(pairs[0])).status_code == 204
    assert [client.get("/me", headers=who(pair)).status_code for pair in pairs] == [401] * 3
    assert client.get("/me", headers=who(other)).status_code == 200
    assert client.get("/me", headers=who(login(client))).status_code == 200


def test_a_refresh_token_is_revoked_by_whoever_has_it_and_nothing_is_told_of_others(client: TestClient) -> None:
    pair = login(client)
    for shown in (pair["refresh_token"], pair["refresh_token"], "x"):
        assert client.post("/auth/revoke", data={"token": shown}).status_code == 200
    assert client.get("/me", headers=who(pair)).status_code == 401


def test_another_password_ends_all_sessions_and_gives_new_tokens(client: TestClient) -> None:
    pair, other = login(client), login(client)
    body = {"current_password": PASSWORD, "new_password": "a longer one"}
    assert (
        client.post("/auth/password", json={**body, "current_password": "wrong"}, headers=who(pair)).status_code == 403
    )
    assert client.post("/auth/password", json={**body, "new_password": "short"}, headers=who(pair)).status_code == 422
    assert client.post("/auth/password", json=body).status_code == 401
    answer = client.post("/auth/password", json=body, headers=who(pair))
    assert answer.status_code == 200
    assert [client.get("/me", headers=who(each)).status_code for each in (pair, other)] == [401, 401]
    assert client.get("/me", headers=who(answer.json())).status_code == 200
    login(client, password="a longer one")
    assert token(client, username="ada", password=PASSWORD).status_code == 400


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions/x"), ("POST", "/auth/logout"),
    ("POST", "/auth/logout-everywhere"), ("POST", "/auth/password"),
])  # fmt: skip
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic YTpi"}])
def test_nobody_is_let_in_without_a_token(client: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    body = {"current_password": "x", "new_password": "y"} if path.endswith("password") else None
    answer = client.request(method, path, headers=headers, json=body)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def signed(clock: Clock, **claims: object) -> dict[str, str]:
    given = {"iss": "us", "aud": "api", "sub": "7", "exp": clock() + 60, **claims}
    return {"access_token": jwt.encode(given, SECRET, typ="at+jwt")}


def test_a_token_of_no_session_or_of_anothers_is_refused(client: TestClient, service: Service) -> None:
    sid = jwt.decode(login(client)["access_token"], SECRET, issuer="us", audience="api", now=service.clock)["sid"]
    assert client.get("/me", headers=who(signed(service.clock, sid=sid))).status_code == 200
    for claims in ({}, {"sid": "x"}, {"sid": 5}, {"sid": sid, "sub": "8"}, {"sid": sid, "epoch": 1}):
        assert client.get("/me", headers=who(signed(service.clock, **claims))).status_code == 401


def test_where_sessions_are_away_it_is_503_or_the_token_at_its_word(client: TestClient, service: Service) -> None:
    pair = login(client)
    assert service.flaky is not None
    service.flaky.is_away = True
    assert client.get("/me", headers=who(pair)).status_code == 503
    assert client.get("/trusting", headers=who(pair)).json() == "7"
    assert client.get("/trusting", headers={"Authorization": "Bearer x"}).status_code == 401
    assert token(client, username="ada", password=PASSWORD).status_code == 503
    service.flaky.is_away = False
    client.post("/auth/logout", headers=who(pair))
    assert client.get("/trusting", headers=who(pair)).status_code == 401


def test_no_token_and_no_password_is_in_any_event(client: TestClient, service: Service) -> None:
    pair = login(client)
    token(client, username="ada", password="s3cret-attempt")
    token(client, username="s3cret-attempt", password="x")
    following = token(client, grant_type="refresh_token", refresh_token=pair["refresh_token"]).json()
    client.post("/auth/logout", headers=who(pair))
    told = "\n".join(map(as_json, service.events))
    assert [json.loads(line)["event"] for line in told.splitlines()] == [
        "LoggedIn", "LoginFailed", "LoginFailed", "TokenRefreshed", "SessionEnded",
    ]  # fmt: skip
    mac = pair["refresh_token"].rpartition(".")[2]
    for hidden in (PASSWORD, "s3cret-attempt", mac, following["refresh_token"], pair["access_token"]):
        assert hidden not in told


def test_health_tells_keys_sessions_throttled_logins_and_refused_tokens(client: TestClient) -> None:
    pair = login(client)
    for _ in range(4):
        token(client, username="bob", password="wrong")
    for wrong in ("x", "a.b.c", pair["access_token"][:-3] + "AAA"):
        client.get("/me", headers={"Authorization": f"Bearer {wrong}"})
    client.get("/me", headers=who(pair))
    checks = client.get("/health/security").json()["checks"]
    assert checks["key"]["figures"] == {"keys": 1, "key 2026-11": "HS256, 2.0 days old"}
    assert checks["sessions"]["figures"]["active"] == 1
    assert checks["throttle"]["figures"]["throttled_by_account"] == 1
    refused = checks["bearer_tokens"]["figures"]
    assert refused["accepted"] == 1
    assert refused["token.malformed"] >= 2


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"grant_type=password&username=%00&password=%00", b"grant_type=password&username=a&username=b",
     b"grant_type=refresh_token&refresh_token=%ed%a0%80", b"username=" + b"x" * 100_000 + b"&password=y",
     b"[]", b"&&&"],
)  # fmt: skip
def test_no_form_answers_500(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert is_oauth_refusal(client.post("/auth/revoke", content=body, headers=headers))
    answer = client.post("/auth/token", content=body, headers=headers)
    assert is_oauth_refusal(answer, answer.json()["error"])


def is_oauth_refusal(answer: Answer, error: str = "invalid_request") -> bool:
    return (answer.status_code, answer.json()["error"], answer.headers["cache-control"]) == (
        400,
        error,
        "no-store",
    ) and answer.headers["content-type"] == "application/json"


def test_a_parameter_that_stands_twice_is_refused(client: TestClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for twice in ("username=ada&username=bob", "password=correct+horse&password=x", "grant_type=password&grant_type=x"):
        body = f"{twice}&username=ada&password=correct+horse" if "username=ada" not in twice else f"{twice}&password=x"
        assert is_oauth_refusal(client.post("/auth/token", content=body, headers=form))
    assert is_oauth_refusal(client.post("/auth/revoke", content="token=x&token=y", headers=form))


def test_what_is_no_form_is_refused_as_oauth_clients_know_it(client: TestClient) -> None:
    bodies = [
        ({"Content-Type": "application/json"}, b'{"grant_type": "password", "username": "ada", "password": "x"}'),
        ({"Content-Type": "multipart/form-data"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\nbroken"),
        ({"Content-Type": "multipart/form-data; boundary=x; charset=nonsense"}, b"--x--"),
        ({}, b"username=ada&password=x"),
    ]
    for headers, body in bodies:
        assert is_oauth_refusal(client.post("/auth/token", content=body, headers=headers)), (headers, body)
        assert is_oauth_refusal(client.post("/auth/revoke", content=body, headers=headers)), (headers, body)
    a_file = client.post("/auth/token", files={"username": b"ada"}, data={"password": PASSWORD})
    assert is_oauth_refusal(a_file)


def test_a_form_in_parts_is_one(client: TestClient) -> None:
    parts = {"grant_type": (None, "password"), "username": (None, "ada"), "password": (None, PASSWORD)}
    assert client.post("/auth/token", files=parts).status_code == 200


async def test_a_form_that_breaks_off_is_refused_without_an_error(service: Service) -> None:
    form = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"1000")]
    async with service.app.router.lifespan_context(service.app) as state:
        for path in ("/auth/token", "/auth/revoke"):
            sent: list[Message] = []
            coming = iter([{"type": "http.request", "body": b"use", "more_body": True}])

            async def receive(messages: Iterator[Message] = coming) -> Message:
                return next(messages, {"type": "http.disconnect"})

            async def send(message: Message, to: list[Message] = sent) -> None:
                to.append(message)

            await service.app(http_scope(path, method="POST", headers=form, state=state or {}), receive, send)
            assert sent[0]["status"] == 400


def test_an_access_token_is_not_revoked_and_says_so(client: TestClient) -> None:
    pair = login(client)
    assert is_oauth_refusal(client.post("/auth/revoke", data={"token": pair["access_token"]}), "unsupported_token_type")


def test_the_docs_tell_what_is_asked_and_answered(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    post = schema["paths"]["/auth/token"]["post"]
    form = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert form["properties"].keys() == {"grant_type", "username", "password", "refresh_token"}
    assert "Retry-After" in post["responses"]["429"]["headers"]
    assert post["responses"]["400"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TokenRefusal"
    }
    assert schema["components"]["schemas"]["TokenResponse"]["properties"].keys() == login(client).keys()
    assert schema["paths"]["/auth/sessions"]["get"]["security"] == [{"OAuth2PasswordBearer": []}]


def test_an_odd_session_id_finds_nothing(client: TestClient) -> None:
    pair = login(client)
    for odd in ("%00", "a%00b", "%ed%a0%80", "x" * 5000, "..%2f"):
        assert client.delete(f"/auth/sessions/{odd}", headers=who(pair)).status_code == 404


def published(keys: Key | KeySet) -> Answer:
    app = FastAPI(lifespan=lifespan)

    @scope.application
    async def signing() -> Key | KeySet:
        return keys

    app.include_router(jwks_router(signing))
    with TestClient(app) as client:
        return client.get("/.well-known/jwks.json")


def test_public_halves_are_published_where_others_look_for_them() -> None:
    new, old = generate_key("ES256", id="new"), generate_key("EdDSA", id="old")
    answer = published(key_set([new, old]))
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    found = key_set_from_jwks(answer.json())
    assert jwt.decode(jwt.encode({"sub": "7"}, new), found) == {"sub": "7"}
    assert not any("d" in key for key in answer.json()["keys"])


def test_a_shared_secret_is_not_published() -> None:
    assert published(SECRET).json() == {"keys": []}
    assert [key["kid"] for key in published(key_set([SECRET, generate_key("ES256", id="a")])).json()["keys"]] == ["a"]


def test_tokens_of_another_service_are_verified_with_its_keys() -> None:
    theirs = generate_key("ES256", id="theirs")
    app = FastAPI(lifespan=lifespan)
    problems(app)

    async def fetch(url: str) -> bytes:
        return json.dumps({"keys": [dict(theirs.public_jwk())]}).encode()

    @scope.application
    def remote() -> AbstractAsyncContextManager[RemoteKeys]:
        return remote_key_set("https://accounts.example/keys", fetch, algorithms=["ES256"])

    claims = bearer(remote, issuer="accounts", audience="api", token_url="x", now=lambda: 1000.0)

    @app.get("/me")
    async def me(of: Claims = provided(claims)) -> str:
        return str(of["sub"])

    given = {"iss": "accounts", "aud": "api", "sub": "7", "exp": 2000}
    with TestClient(app) as client:
        good = jwt.encode(given, theirs, typ="at+jwt")
        assert client.get("/me", headers={"Authorization": f"Bearer {good}"}).json() == "7"
        bad = jwt.encode(given, generate_key("ES256", id="theirs"), typ="at+jwt")
        assert client.get("/me", headers={"Authorization": f"Bearer {bad}"}).status_code == 401
