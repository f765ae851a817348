"""Claims by name and type."""

from __future__ import annotations

import pytest

from heykit.security import jwt
from heykit.security.jwt import Claims
from heykit.security.keys import key_from_secret
from tests.security.refusals import refused

KEY = key_from_secret(b"k" * 32)
ALL: dict[str, object] = {
    "iss": "us", "sub": "7", "aud": ["api", "app"], "exp": 2000, "nbf": 1000.5, "iat": 1000, "jti": "j", "sid": "s",
    "own": {"any": [1, None]},
}  # fmt: skip


def test_registered_claims_have_names_and_types() -> None:
    token = jwt.encode(ALL, KEY)
    claims = Claims(jwt.decode(token, KEY, audience="api", now=lambda: 1500))
    assert (claims.issuer, claims.subject, claims.audience) == ("us", "7", ("api", "app"))
    assert (claims.expires_at, claims.not_before, claims.issued_at) == (2000, 1000.5, 1000)
    assert (claims.id, claims.session) == ("j", "s")
    assert claims == ALL
    assert claims["own"] == {"any": [1, None]}


def test_what_is_not_there_is_none() -> None:
    claims = Claims()
    assert [claims.issuer, claims.subject, claims.expires_at, claims.not_before, claims.issued_at] == [None] * 5
    assert [claims.id, claims.session] == [None] * 2
    assert claims.audience == ()
    assert Claims(aud="api").audience == ("api",)


@pytest.mark.parametrize(
    "wrong", [{"iss": 5}, {"sub": None}, {"aud": [1]}, {"aud": []}, {"exp": "1"}, {"nbf": True}, {"iat": float("nan")}]
)
def test_one_of_another_type_is_refused_when_it_is_read_and_when_it_is_written(wrong: dict[str, object]) -> None:
    for read in ("issuer", "subject", "audience", "expires_at", "not_before", "issued_at", "id"):
        with refused("token.claims"):
            getattr(Claims(wrong), read)
    with refused("token.claims"):
        jwt.encode(Claims(wrong), KEY)
