"""Access tokens as a token endpoint gives them, and files as responses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from heykit.security import jwt
from heykit.security.keys import generate_key
from heykit.security.tokens import access_token
from heykit.web import streamed, token_granted, token_refused

NOW = 1_000_000.0


def test_an_access_token_has_the_claims_of_rfc_9068() -> None:
    key = generate_key()
    token = access_token(
        key, subject="7", issuer="us", audience="api", lifetime=60, now=lambda: NOW, entropy=lambda n: b"\1" * n
    )
    assert jwt.decode(token, key, issuer="us", audience="api", typ="at+jwt", now=lambda: NOW) == {
        "iss": "us",
        "aud": "api",
        "sub": "7",
        "client_id": "api",
        "iat": 1_000_000,
        "exp": 1_000_060,
        "jti": "01" * 16,
    }


def test_no_cache_may_keep_a_token() -> None:
    granted = token_granted("a token", lifetime=60)
    assert json.loads(bytes(granted.body)) == {"access_token": "a token", "token_type": "bearer", "expires_in": 60}
    assert granted.headers["cache-control"] == "no-store"


def test_a_refusal_is_told_as_oauth_clients_know_it() -> None:
    refused = token_refused("no user has this name and password")
    assert refused.status_code == 400
    assert json.loads(bytes(refused.body))["error"] == "invalid_grant"


async def test_a_browser_runs_nothing_out_of_a_file() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"<svg/>"

    response = streamed(chunks(), size=6, media_type="image/svg+xml")
    assert response.headers["content-security-policy"].startswith("sandbox;")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-length"] == "6"
