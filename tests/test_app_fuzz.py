"""Whatever is asked of the API, on both databases: it is answered, and never with 500."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.served import Served, served
from tests.servers import PostgresServer

PASSWORD = "correct horse battery"
ROUTES = [
    ("POST", "/api/v1/register"), ("POST", "/api/v1/auth/token"), ("POST", "/api/v1/auth/revoke"),
    ("POST", "/api/v1/auth/password"), ("GET", "/api/v1/auth/sessions"), ("DELETE", "/api/v1/auth/sessions/{id}"),
    ("POST", "/api/v1/auth/logout"), ("GET", "/api/v1/users/me"), ("GET", "/api/v1/videos"), ("POST", "/api/v1/videos"),
    ("GET", "/api/v1/videos/{id}"), ("DELETE", "/api/v1/videos/{id}"), ("GET", "/api/v1/avatars"),
    ("PUT", "/api/v1/avatars/{id}"), ("DELETE", "/api/v1/avatars/{id}"), ("GET", "/api/v1/admin/users"),
]  # fmt: skip
FIELDS = [
    "name", "password", "username", "grant_type", "refresh_token", "token", "current_password", "new_password", "title",
    "script", "avatar_id", "hair", "colours", "voice", "description",
]  # fmt: skip

odd = st.sampled_from(
    [
        "",
        "\0",
        "\ud800",
        "a\0b",
        "x" * 3000,
        "\U0001f98a",
        "' OR 1=1 --",
        "%00",
        "..",
        "password",
        "refresh_token",
        "ada",
    ]
)
values = odd | st.text(max_size=8) | st.integers(-(10**30), 10**30) | st.none() | st.booleans() | st.floats()
objects = st.dictionaries(st.sampled_from(FIELDS), values | st.lists(values, max_size=2), max_size=6)
bodies = (
    objects.map(lambda found: json.dumps(found).encode())
    | st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(FIELDS), odd, max_size=5).map(
        lambda found: "&".join(f"{name}={value}" for name, value in found.items()).encode("utf-8", "surrogatepass")
    )
    | st.sampled_from([b"[" * 5000, b"{" * 5000, b"\xff\xfe{\x00}\x00", b'{"name": 1e999}', b"NaN", b"1" * 5000])
)
FORM = "application/x-www-form-urlencoded"
types = st.sampled_from(
    [
        *("application/json", FORM, "multipart/form-data; boundary=x", "multipart/form-data", "text/plain", ""),
        *("application/json; charset=utf-16", "\xa0", f"{FORM}; charset=x"),
    ]
)
paths = st.sampled_from(
    ["%00", "a%00b", "%ed%a0%80", "%ff", "x", "0" * 32, "0" * 64, "..%2f", "a" * 2000, "%20", "amelia", "%F0%9F%A6%8A"]
)
queries = st.sampled_from(
    [
        "",
        "?limit=x",
        "?limit=0",
        "?limit=" + "9" * 50,
        "?cursor=%00",
        "?cursor=%ed%a0%80",
        "?cursor=x",
        "?limit=1&limit=2",
    ]
)
tokens = st.sampled_from(["", "Bearer", "Bearer x", "Bearer x.y.z", "Basic YTpi", "Bearer \xff"])


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def grace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grace]:
    found = {}
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        assert isinstance(server, PostgresServer)
        found = {"HEYGEN_DATABASE__URL": server.url(server.create_database())}
    with served(tmp_path_factory.mktemp("asked"), found) as running:
        yield Grace(running)


class Grace:
    """A person who logs in once more whenever she was logged out."""

    def __init__(self, api: Served) -> None:
        self.api = api
        self._known: Mapping[str, str] = {}

    @property
    def headers(self) -> Mapping[str, str]:
        if self.api.client.get("/api/v1/users/me", headers=self._known).status_code == 401:
            form = {"username": "grace", "password": PASSWORD}
            self.api.client.post("/api/v1/register", json={"name": "grace", "password": PASSWORD})
            answer = self.api.client.post("/api/v1/auth/token", data=form)
            self._known = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self._known


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ROUTES), st.tuples(paths, queries), st.tuples(types, bodies), st.none() | tokens)
def test_nothing_is_answered_with_500(
    grace: Grace, route: tuple[str, str], where: tuple[str, str], content: tuple[str, bytes], token: str | None
) -> None:
    kind, body = content
    method, path = route
    given_headers = grace.headers if token is None else {"Authorization": token}
    headers = {**given_headers, "Content-Type": kind, "User-Agent": "\xff\x01"}
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = grace.api.client.request(method, path.format(id=where[0]) + where[1], content=body, headers=encoded)
    assert answer.status_code < 500, (answer.status_code, answer.text)
    assert "Traceback" not in grace.api.output
