"""Who is asking, and may they."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from heykit import lifespan, provided, scope
from heykit.security import jwt
from heykit.security.keys import Key, KeySet, key_from_secret
from heykit.web import Claims, bearer, problems, require_permission, require_role, session_id

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_000_000.0


@dataclass(frozen=True)
class User:
    name: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]


USERS = {
    "admin": User("admin", ("admin",), ("*",)),
    "reader": User("reader", ("user",), ("read:videos",)),
}


@scope.application
async def signing() -> Key | KeySet:
    return key_from_secret(SECRET)


claims = bearer(signing, issuer="heykit", audience="tests", token_url="token", now=lambda: NOW)


@scope.request
async def user(of: Claims = provided(claims)) -> User:
    return USERS[str(of["sub"])]


admin = require_role(user, "admin")
reader = require_permission(user, "read:videos")
writer = require_permission(user, "write:videos")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    problems(app)

    @app.get("/me")
    async def me(asking: User = provided(user)) -> str:
        return asking.name

    @app.get("/admin")
    async def of_admin(asking: User = provided(admin)) -> str:
        return asking.name

    @app.get("/read")
    async def read(asking: User = provided(reader)) -> str:
        return asking.name

    @app.get("/write")
    async def write(asking: User = provided(writer)) -> str:
        return asking.name

    return app


def without(claim: str) -> str:
    """A token that lacks a claim."""
    given = {"sub": "reader", "iss": "heykit", "aud": "tests", "exp": NOW + 60}
    return jwt.encode({k: v for k, v in given.items() if k != claim}, key_from_secret(SECRET), typ="at+jwt")


def token(name: str = "reader", *, secret: bytes = SECRET, typ: str = "at+jwt", **changed: object) -> str:
    given: Mapping[str, object] = {
        "sub": name,
        "iss": "heykit",
        "aud": "tests",
        "exp": NOW + 60,
        **changed,
    }
    return jwt.encode(given, key_from_secret(secret), typ=typ)


def asked(app: FastAPI, path: str, authorization: str | None) -> tuple[int, str]:
    """The status, and the challenge where there is one."""
    with TestClient(app) as client:
        headers = {} if authorization is None else {"authorization": authorization}
        response = client.get(path, headers=headers)
    return response.status_code, response.headers.get("www-authenticate", "")


def test_a_good_token_tells_who_is_asking(app: FastAPI) -> None:
    assert asked(app, "/me", f"Bearer {token()}") == (200, "")


@pytest.mark.parametrize("authorization", [None, "", "Basic dXNlcjpwYXNz"])
def test_without_a_token_the_challenge_has_no_error_code(app: FastAPI, authorization: str | None) -> None:
    assert asked(app, "/me", authorization) == (401, "Bearer")


@pytest.mark.parametrize(
    "bad",
    [
        token(exp=NOW - 31),
        token(iat=NOW + 31),
        token(secret=SECRET[::-1]),
        token(aud="others"),
        token(iss="others"),
        token(typ="jwt"),
        token() + "A",
        "a.b.c",
        "x" * 100_000,
        "not a token at all",
        "",
        without("exp"),
        without("sub"),
    ],
    ids=[
        "expired",
        "early",
        "forged",
        "audience",
        "issuer",
        "kind",
        "changed",
        "nonsense",
        "long",
        "spaces",
        "empty",
        "no exp",
        "no sub",
    ],
)
def test_a_bad_token_is_refused_as_invalid(app: FastAPI, bad: str) -> None:
    status, challenge = asked(app, "/me", f"Bearer {bad}")
    assert status == 401
    assert challenge.startswith('Bearer error="invalid_token", error_description="')
    assert time.time() > NOW  # the clock is ours, not the machine's


def test_a_clock_that_differs_a_little_is_no_reason_to_refuse(app: FastAPI) -> None:
    assert asked(app, "/me", f"Bearer {token(iat=NOW + 2)}") == (200, "")
    assert asked(app, "/me", f"Bearer {token(exp=NOW - 2)}") == (200, "")


def test_a_role_lets_pass_and_its_lack_is_403_not_401(app: FastAPI) -> None:
    assert asked(app, "/admin", f"Bearer {token('admin')}") == (200, "")
    status, challenge = asked(app, "/admin", f"Bearer {token()}")
    assert status == 403
    assert 'error="insufficient_scope"' in challenge


def test_a_permission_lets_pass_and_its_lack_is_403(app: FastAPI) -> None:
    assert asked(app, "/read", f"Bearer {token()}")[0] == 200
    assert asked(app, "/write", f"Bearer {token()}")[0] == 403
    assert asked(app, "/write", f"Bearer {token('admin')}")[0] == 200


def test_a_session_is_one_login(app: FastAPI) -> None:
    """What is kept by it is one for one token, and there is none without an identifier."""

    @scope.session(by=session_id(claims))
    async def basket() -> list[str]:
        return []

    shop = FastAPI(lifespan=lifespan)
    problems(shop)

    @shop.post("/{thing}")
    async def put(thing: str, into: list[str] = provided(basket)) -> list[str]:
        into.append(thing)
        return into

    with TestClient(shop) as client:
        tokens = token(jti="first"), token(jti="second"), token()
        first, second, none = ({"authorization": f"Bearer {one}"} for one in tokens)
        assert client.post("/a", headers=first).json() == ["a"]
        assert client.post("/b", headers=first).json() == ["a", "b"]
        assert client.post("/c", headers=second).json() == ["c"]
        assert client.post("/d", headers=none).status_code == 401


def test_guarded_routes_show_their_scheme_in_openapi(app: FastAPI) -> None:
    schema = app.openapi()
    assert schema["paths"]["/admin"]["get"]["security"] == [{"OAuth2PasswordBearer": []}]
    flow = schema["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]
    assert flow["tokenUrl"] == "token"
