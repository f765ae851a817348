"""The HeyGen AI API from end to end: as a process, on both databases, killed and started again."""

from __future__ import annotations

import json
import signal
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.served import SECONDS, Served, refused, served
from tests.servers import PostgresServer, ValkeyServer

PASSWORD = "correct horse battery"


@pytest.fixture
def settings(database_url: str) -> Mapping[str, str]:
    """PostgreSQL by one setting, nothing else changed."""
    return {"HEYGEN_DATABASE__URL": database_url}


@pytest.fixture
def api(tmp_path: Path, settings: Mapping[str, str]) -> Iterator[Served]:
    with served(tmp_path, settings) as running:
        yield running


COLOURS = dict.fromkeys(("wall", "light", "skin", "hair", "clothes"), "#0a0b0c")


def register(api: Served, name: str = "ada") -> dict[str, str]:
    """Register and log in; the header that says who is asking."""
    api.client.post("/api/v1/register", json={"name": name, "password": PASSWORD}).raise_for_status()
    return login(api, name)


def login(api: Served, name: str = "ada") -> dict[str, str]:
    answer = api.client.post("/api/v1/auth/token", data={"username": name, "password": PASSWORD})
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def order(api: Served, who: Mapping[str, str], script: str = "Hello, world.", title: str = "Hello") -> str:
    answer = api.client.post("/api/v1/videos", json={"title": title, "script": script}, headers=who)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def finished(api: Served, who: Mapping[str, str], id: str) -> dict[str, Any]:
    """Wait until a video is rendered."""
    until = time.monotonic() + SECONDS
    while True:
        video: dict[str, Any] = api.client.get(f"/api/v1/videos/{id}", headers=who).json()
        if video["status"] in {"done", "failed"}:
            return video
        assert time.monotonic() < until, f"{video} is not finished after {SECONDS} s"
        time.sleep(0.05)


def test_a_person_registers_orders_a_video_watches_it_render_and_opens_it(api: Served) -> None:
    who = register(api)
    id = order(api, who, "Hello, world. This is my first video & it is <great>!")

    with api.client.stream("GET", f"/api/v1/videos/{id}/events", headers=who) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        told = [line for line in events.iter_lines() if line.startswith("data:")]
    assert told[-1] == 'data: {"status": "done", "progress": 100}'

    file = api.client.get(f"/api/v1/videos/{id}/content", headers=who)
    assert file.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in file.headers["content-security-policy"]
    words = " ".join(ET.fromstring(file.content).itertext())
    assert all(word in words for word in ("first", "video", "&", "<great>!"))

    listed = api.client.get("/api/v1/videos", headers=who).json()
    assert [video["id"] for video in listed["items"]] == [id]
    analytics = api.client.get("/api/v1/users/me/analytics", headers=who).json()
    assert analytics["by_status"]["done"] == 1
    assert api.client.delete(f"/api/v1/videos/{id}", headers=who).status_code == 204
    assert api.client.get(f"/api/v1/videos/{id}", headers=who).status_code == 404


def test_pages_follow_their_cursor_and_others_videos_are_not_there(api: Served) -> None:
    who, other = register(api), register(api, "grace")
    ids = [order(api, who, title=f"number {n}") for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = api.client.get(
            "/api/v1/videos", params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2}, headers=who
        )
        seen += [video["id"] for video in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]
    assert api.client.get(f"/api/v1/videos/{ids[0]}", headers=other).status_code == 404
    assert api.client.get("/api/v1/videos", headers=other).json()["items"] == []


def test_an_admin_is_made_by_hand_and_sees_users_and_the_details_of_health(
    tmp_path: Path, settings: Mapping[str, str]
) -> None:
    with served(tmp_path, settings) as api:
        who = register(api)
        assert api.client.get("/api/v1/admin/users", headers=who).status_code == 403
        assert api.client.get("/health/config", headers=who).status_code == 403
        api.end(signal.SIGINT)
    assert refused(tmp_path, settings, "--make-admin", "nobody")[0] == 2
    assert refused(tmp_path, settings, "--make-admin", "ada") == (0, "")
    with served(tmp_path, settings) as api:
        who = login(api)
        users = api.client.get("/api/v1/admin/users", headers=who).json()["items"]
        assert [(user["name"], user["role"]) for user in users] == [("ada", "admin")]
        assert "password" not in str(users)
        pages = ("dependencies", "resources", "services", "cache", "config", "security")
        bodies = {page: api.client.get(f"/health/{page}", headers=who) for page in pages}
        assert {page: body.status_code for page, body in bodies.items()} == dict.fromkeys(pages, 200)
        assert {"database", "files"} <= bodies["resources"].json()["checks"].keys()
        assert bodies["cache"].json()["checks"]["profile_cache"]["figures"].keys() >= {"hits", "misses"}
        assert {"key": "database.url", "origin": "HEYGEN_DATABASE__URL"} in bodies["config"].json()["settings"]
        assert {len(setting) for setting in bodies["config"].json()["settings"]} == {2}
        assert settings["HEYGEN_DATABASE__URL"] not in bodies["config"].text
        assert bodies["dependencies"].json()["checks"]["current_user"]["scope"] == "request"


def rendering(api: Served, who: Mapping[str, str]) -> int:
    """How many videos of the first page are being rendered."""
    return sum(v["status"] == "rendering" for v in api.client.get("/api/v1/videos", headers=who).json()["items"])


def test_killing_it_during_twenty_renders_loses_none(tmp_path: Path, settings: Mapping[str, str]) -> None:
    slow = {**settings, "HEYGEN_VIDEO__SECONDS_PER_CAPTION": "0.3", "HEYGEN_VIDEO__AT_ONCE": "20"}
    with served(tmp_path, slow) as api:
        who = register(api)
        ids = [order(api, who, "One. Two. Three. Four. Five.") for _ in range(20)]
        until = time.monotonic() + SECONDS
        while rendering(api, who) < 10:
            assert time.monotonic() < until, api.output
        api.end(signal.SIGKILL)
    with served(tmp_path, {**settings, "HEYGEN_VIDEO__SECONDS_PER_CAPTION": "0"}) as api:
        videos = [finished(api, login(api), id) for id in ids]
        assert [video["status"] for video in videos] == ["done"] * 20
        contents = [api.client.get(f"/api/v1/videos/{id}/content", headers=login(api)) for id in ids]
        assert {content.status_code for content in contents} == {200}


def test_ctrl_c_in_the_middle_of_a_render_ends_cleanly_and_the_job_goes_on_at_the_next_start(
    tmp_path: Path, settings: Mapping[str, str]
) -> None:
    with served(tmp_path, {**settings, "HEYGEN_VIDEO__SECONDS_PER_CAPTION": "20"}) as api:
        who = register(api)
        id = order(api, who)
        with api.client.stream("GET", f"/api/v1/videos/{id}/events", headers=who) as events:
            lines = events.iter_lines()
            next(line for line in lines if "rendering" in line)
            api.process.send_signal(signal.SIGINT)  # with a client still listening
            assert [line for line in lines if line] == []  # whose stream is ended, not broken off
            assert api.end(signal.SIGINT) == 0  # and impatiently once more
        assert "Application shutdown complete" in api.output
        assert "Traceback" not in api.output
        assert "ERROR" not in api.output
    with served(tmp_path, {**settings, "HEYGEN_VIDEO__SECONDS_PER_CAPTION": "0"}) as api:
        assert finished(api, login(api), id)["status"] == "done"


def test_a_session_has_so_many_streams_and_another_of_the_same_user_its_own(
    tmp_path: Path, settings: Mapping[str, str]
) -> None:
    with served(tmp_path, {**settings, "HEYGEN_VIDEO__SECONDS_PER_CAPTION": "20"}) as api:
        who = register(api)
        path = f"/api/v1/videos/{order(api, who)}/events"
        with ExitStack() as streams:
            for _ in range(20):
                open_ = streams.enter_context(api.client.stream("GET", path, headers=who))
                assert open_.status_code == 200
            refused_ = api.client.get(path, headers=who)
            assert (refused_.status_code, refused_.json()["code"]) == (429, "heygen.too_many_streams")
            other = streams.enter_context(api.client.stream("GET", path, headers=login(api)))
            assert next(other.iter_lines()).startswith("event: progress")


def test_a_client_that_leaves_a_stream_leaves_nothing_behind(api: Served) -> None:
    who = register(api)
    id = order(api, who, "One. Two. Three. Four.")
    with api.client.stream("GET", f"/api/v1/videos/{id}/events", headers=who) as events:
        next(events.iter_lines())
    assert finished(api, who, id)["status"] == "done"
    assert "Traceback" not in api.output


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"title": "t", "script": ""}', 422),
        (b'{"title": "t", "script": "' + b"x" * 100_000 + b'"}', 422),
        (b'{"title": "t", "script": "s", "avatar_id": "nobody"}', 422),
        (b'{"title": "", "script": "s"}', 422),
        (b'{"title": "t"}', 422),
        (b"{not json", 422),
        (b"", 422),
        (b'{"title": "t", "script": "\\ud800"}', 422),
    ],
    ids=["empty", "100 kB", "avatar", "title", "missing", "no json", "nothing", "surrogate"],
)
def test_a_bad_order_is_told_what_is_wrong(live: Served, body: bytes, status: int) -> None:
    answer = live.client.post(
        "/api/v1/videos", content=body, headers={**live_user(live), "Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["detail"]


@pytest.mark.parametrize("id", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "x" * 3000, "%00", "é"])
def test_an_id_that_is_none_finds_nothing(live: Served, id: str) -> None:
    answer = live.client.get(f"/api/v1/videos/{id}/content", headers=live_user(live))
    assert answer.status_code == 404
    assert "root:" not in answer.text


def tokens(api: Served, **form: str) -> dict[str, Any]:
    answer = api.client.post("/api/v1/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    given: dict[str, Any] = answer.json()
    return given


def named(api: Served, pair: Mapping[str, str]) -> int:
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    return int(api.client.get("/api/v1/users/me", headers=headers).status_code)


def test_a_person_logs_in_refreshes_looks_at_sessions_and_logs_out(api: Served) -> None:
    register(api)
    first, second = (tokens(api, username="ada", password=PASSWORD) for _ in range(2))
    following = tokens(api, grant_type="refresh_token", refresh_token=first["refresh_token"])
    again = tokens(api, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again["refresh_token"] == following["refresh_token"] != first["refresh_token"]
    who = {"Authorization": f"Bearer {following['access_token']}"}
    sessions = api.client.get("/api/v1/auth/sessions", headers=who).json()
    assert [session["current"] for session in sessions] == [False, True, False]  # registering logs in, in these tests
    assert sessions[1]["ip"] == "127.0.0.1"
    assert api.client.delete(f"/api/v1/auth/sessions/{sessions[2]['id']}", headers=who).status_code == 204
    assert (named(api, second), named(api, following)) == (401, 200)
    body = {"current_password": PASSWORD, "new_password": "another one entirely"}
    changed = api.client.post("/api/v1/auth/password", headers=who, json=body).json()
    assert (named(api, following), named(api, changed)) == (401, 200)
    who = {"Authorization": f"Bearer {changed['access_token']}"}
    assert api.client.post("/api/v1/auth/logout", headers=who).status_code == 204
    assert named(api, changed) == 401
    told = [json.loads(line.partition("{")[1] + line.partition("{")[2]) for line in api.lines if '"event"' in line]
    assert [event["event"] for event in told] == [
        "LoggedIn", "LoggedIn", "LoggedIn", "TokenRefreshed", "SessionEnded", "PasswordChanged", "SessionEnded",
        "LoggedIn", "SessionEnded",
    ]  # fmt: skip
    for secret in (
        PASSWORD,
        first["refresh_token"],
        first["access_token"],
        changed["refresh_token"].rpartition(".")[2],
    ):
        assert secret not in api.output


LONG = "This is one sentence of many, each long enough for a caption of its own. " * 60
SLOWLY = {"HEYGEN_VIDEO__SECONDS_PER_CAPTION": "0.3"}  # it takes 18 seconds


def data(lines: Iterator[str]) -> Iterator[str]:
    return (line for line in lines if line.startswith("data"))


def test_a_stream_ends_with_its_session_and_no_other_does(tmp_path: Path, settings: Mapping[str, str]) -> None:
    with served(tmp_path, {**settings, **SLOWLY}) as api:
        who, other = register(api), login(api)
        path = f"/api/v1/videos/{order(api, who, LONG)}/events"
        with (
            api.client.stream("GET", path, headers=who) as ends,
            api.client.stream("GET", path, headers=other) as stays,
        ):
            steps, others = data(ends.iter_lines()), data(stays.iter_lines())
            assert [next(steps) for _ in range(2)]
            assert api.client.post("/api/v1/auth/logout", headers=who).status_code == 204
            assert all('"done"' not in step for step in steps)  # it ends long before
            assert [next(others) for _ in range(8)]
        assert api.client.get(path, headers=who).status_code == 401


@pytest.mark.parametrize(("trusted", "seen"), [("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")])
def test_where_a_client_says_it_comes_from_is_believed_of_trusted_proxies_alone(
    tmp_path: Path, trusted: str, seen: str
) -> None:
    with served(tmp_path, {"HEYGEN_APP__TRUSTED_PROXIES": trusted} if trusted else {}) as api:
        api.client.headers["X-Forwarded-For"] = "203.0.113.9"
        sessions = api.client.get("/api/v1/auth/sessions", headers=register(api)).json()
        assert [session["ip"] for session in sessions] == [seen]


def test_too_many_attempts_to_log_in_are_held_back(api: Served) -> None:
    register(api)
    answers = [api.client.post("/api/v1/auth/token", data={"username": "ADA", "password": "x"}) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [400] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) in range(60, 91)
    assert "AccountLocked" in api.output


def test_two_processes_know_the_same_sessions_and_count_the_same_attempts(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    for shared in ({}, {"HEYGEN_REDIS__URL": redis_url}):
        settings = {
            "HEYGEN_DATABASE__URL": database_url,
            "HEYGEN_APP__DATA": str(tmp_path / "data"),
            **SLOWLY,
            **shared,
        }
        with served(tmp_path, settings) as one, served(tmp_path, settings) as two:
            name = f"ada-{len(shared)}"
            who = register(one, name)
            pair = tokens(two, username=name, password=PASSWORD)
            assert (named(one, pair), named(two, pair)) == (200, 200)
            following = tokens(one, grant_type="refresh_token", refresh_token=pair["refresh_token"])
            path = f"/api/v1/videos/{order(one, who, LONG)}/events"
            with two.client.stream("GET", path, headers=who) as stream:
                steps = data(stream.iter_lines())
                assert next(steps)
                everywhere = {"Authorization": f"Bearer {following['access_token']}"}
                assert one.client.post("/api/v1/auth/logout-everywhere", headers=everywhere).status_code == 204
                if shared:  # else the other process sees it within half a minute
                    assert all('"done"' not in step for step in steps)
            assert (named(one, following), named(two, following)) == (401, 401)
            wrong = {"username": name, "password": "x"}
            answers = [(one, two)[at % 2].client.post("/api/v1/auth/token", data=wrong) for at in range(12)]
            assert answers[-1].status_code == 429


@pytest.mark.parametrize("token", ["x", "x.y.z", "x" * 50_000, "eyJhbGciOiJub25lIn0.e30."])
def test_a_token_that_is_none_is_refused(live: Served, token: str) -> None:
    answer = live.client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_wrong_password_and_an_unknown_name_are_refused_alike(live: Served) -> None:
    live_user(live)
    answers = [
        live.client.post("/api/v1/auth/token", data={"username": name, "password": "a wrong password"})
        for name in ("ada", "nobody")
    ]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(400, "invalid_grant")] * 2
    assert answers[0].json() == answers[1].json()


def test_a_name_is_registered_once(live: Served) -> None:
    live_user(live)
    answer = live.client.post("/api/v1/register", json={"name": "ADA", "password": PASSWORD})
    assert answer.status_code == 409


def test_the_docs_know_the_token_endpoint_and_what_a_problem_looks_like(live: Served) -> None:
    schema = live.client.get("/openapi.json").json()
    flow = schema["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]
    assert flow["tokenUrl"] == "api/v1/auth/token"
    responses = schema["paths"]["/api/v1/users/me"]["get"]["responses"]
    assert "application/problem+json" in responses["default"]["content"]
    assert live.client.get("/docs").status_code == 200


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One API for the tests that leave it as it was."""
    with served(tmp_path_factory.mktemp("live"), {}) as running:
        running.client.post("/api/v1/register", json={"name": "ada", "password": PASSWORD})
        yield running


def live_user(live: Served) -> dict[str, str]:
    return login(live)


def test_a_signing_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    with served(tmp_path, {}) as api:
        assert "made a signing key" in api.output
        who = register(api)
    with served(tmp_path, {}) as api:
        assert "made a signing key" not in api.output
        assert api.client.get("/api/v1/users/me", headers=who).json()["name"] == "ada"
    assert stat.S_IMODE((tmp_path / "data" / "signing-key").stat().st_mode) == 0o600


def test_avatars_are_changed_by_those_who_may(live: Served) -> None:
    who = live_user(live)
    greta = {"name": "Greta", "description": "A pilot.", "voice": "dry", "hair": "bun", "colours": COLOURS}
    assert live.client.put("/api/v1/avatars/greta", json=greta).status_code == 401
    assert live.client.put("/api/v1/avatars/greta", headers=who, json=greta).status_code == 403
    assert live.client.delete("/api/v1/avatars/amelia", headers=who).status_code == 403


def test_a_body_that_is_far_too_long_is_refused_before_it_is_read(live: Served) -> None:
    for headers in ({}, live_user(live)):
        answer = live.client.post("/api/v1/register", content=b"x" * 2_000_000, headers=headers)
        assert answer.status_code == 413


def test_a_database_file_that_is_removed_while_serving_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with served(tmp_path, {}) as api:
        register(api)
        (tmp_path / "data" / "heygen.db").rename(tmp_path / "elsewhere.db")
        answer = api.client.post("/api/v1/register", json={"name": "grace", "password": PASSWORD})
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        health = api.client.get("/health")
        assert (health.status_code, health.json()["checks"]["database"]["status"]) == (503, "fail")
        assert api.client.get("/docs").status_code == 200
        (tmp_path / "elsewhere.db").rename(tmp_path / "data" / "heygen.db")
        register(api, "grace")


def test_a_data_directory_of_any_name_holds_everything_and_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "my%20data?"
    with served(tmp_path, {"HEYGEN_APP__DATA": str(data)}) as api:
        register(api)
    assert {"heygen.db", "files", "signing-key"} <= {found.name for found in data.iterdir()}
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "heygen.db").stat().st_mode) == 0o600


def test_a_port_in_use_is_told_before_anything_opens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = refused(tmp_path, {}, "--port", str(port))
    assert code == 2
    assert f"127.0.0.1:{port} cannot be listened on (Address already in use)" in output
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file stands in the way")
    code, output = refused(tmp_path, {})
    assert code == 3
    assert f"{tmp_path / 'data'} cannot be made (File exists): choose another" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("heygen.toml", '[database]\nurl = "sqlite:///x"\nmax_connections = "many"\n', "heygen.toml:3"),
        ("heygen.toml", "[database\n", "heygen.toml:1"),
        ("config/app.json", '{\n "app": {"debgu": true}\n}', "config/app.json:2"),
        ("config/app.json", "{\n\n", "config/app.json"),
    ],
)
def test_a_broken_configuration_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    code, output = refused(tmp_path, {})
    assert code == 2
    assert told in output
    assert "Traceback" not in output


def test_every_wrong_setting_is_told_at_once_and_no_secret_with_it(tmp_path: Path) -> None:
    settings = {
        "HEYGEN_SECURITY__SECRET_KEY": "much too short",
        "HEYGEN_SECURITY__ACCESS_TOKEN_EXPIRE_MINUTES": "soon",
        "HEYGEN_DATABSE__URL": "sqlite:///x",
    }
    code, output = refused(tmp_path, settings)
    assert code == 2
    assert output.startswith("3 faults in the configuration:")
    assert "HEYGEN_DATABASE__URL" in output
    assert "much too short" not in output


@pytest.mark.parametrize(
    ("setting", "url", "provider"),
    [
        ("HEYGEN_DATABASE__URL", "postgresql://me:hunter2@127.0.0.1:{port}/videos", "database"),
        ("HEYGEN_REDIS__URL", "redis://me:hunter2@127.0.0.1:{port}/0", "redis"),
    ],
)
def test_a_server_that_is_away_at_the_start_ends_it_with_one_line_and_no_password(
    tmp_path: Path, setting: str, url: str, provider: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    code, output = refused(tmp_path, {setting: url.format(port=port)})
    assert code == 3
    assert f"StartupError: {provider}" in output
    assert "Traceback" not in output
    assert "hunter2" not in output


def bell_is(api: Served, status: str) -> None:
    """Wait until the health of the bell is this; what was asked a moment ago is not asked again."""
    until = time.monotonic() + SECONDS
    while api.client.get("/health").json()["checks"]["bell"]["status"] != status:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_two_processes_hear_each_other_through_redis_and_do_without_it(
    tmp_path: Path, postgres_url: str, valkey_server: ValkeyServer, redis_url: str
) -> None:
    """Each shows what the other renders; without Redis at the next poll."""
    shared = {
        "HEYGEN_DATABASE__URL": postgres_url,
        "HEYGEN_REDIS__URL": redis_url,
        "HEYGEN_APP__DATA": str(tmp_path / "data"),
    }
    with served(tmp_path, shared) as first, served(tmp_path, shared) as second:
        who = register(first)
        assert second.client.get("/health").json()["checks"]["bell"]["status"] == "pass"
        assert finished(second, who, order(first, who))["status"] == "done"
        valkey_server.kill()
        try:
            assert finished(second, who, order(first, who))["status"] == "done"
            bell_is(second, "warn")
            assert second.client.get("/health").status_code == 200  # it serves, but less well
        finally:
            valkey_server.start()
        bell_is(second, "pass")


def test_two_processes_keep_profiles_avatars_and_lists_and_each_sees_at_once_what_the_other_changes(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    shared = {
        "HEYGEN_DATABASE__URL": postgres_url,
        "HEYGEN_REDIS__URL": redis_url,
        "HEYGEN_APP__DATA": str(tmp_path / "data"),
    }

    def listed(api: Served) -> list[tuple[str, str]]:
        videos = api.client.get("/api/v1/videos", headers=who).json()["items"]
        return [(video["id"], video["status"]) for video in videos]

    def speakers(api: Served) -> list[str]:
        return [avatar["name"][0] for avatar in api.client.get("/api/v1/avatars", headers=who).json()]

    def figures(api: Served, name: str) -> dict[str, int]:
        answer = api.client.get("/health/cache", headers=who).json()
        return dict(answer["checks"][name]["figures"])

    with served(tmp_path, shared) as first, served(tmp_path, shared) as second:
        who = register(first)
        assert [listed(first), listed(second)] == [[], []]
        assert second.client.get("/api/v1/users/me", headers=who).json()["role"] == "user"
        assert second.client.get("/health/cache", headers=who).status_code == 403
        assert refused(tmp_path, shared, "--make-admin", "ada") == (0, "")  # a third process
        assert [api.client.get("/health/cache", headers=who).status_code for api in (first, second)] == [200, 200]

        greta = {"name": "Greta", "description": "A pilot.", "voice": "dry", "hair": "bun", "colours": COLOURS}
        assert [speakers(first), speakers(second)] == [list("ABCDEF")] * 2
        assert first.client.put("/api/v1/avatars/greta", headers=who, json=greta).status_code == 200
        assert [speakers(first), speakers(second)] == [list("ABCDEFG")] * 2
        kept = figures(second, "avatar_cache")["loads"]
        assert [speakers(second) for _ in range(10)] == [list("ABCDEFG")] * 10
        assert figures(second, "avatar_cache")["loads"] == kept
        assert second.client.delete("/api/v1/avatars/greta", headers=who).status_code == 204
        time.sleep(0.05)  # as long as a message may take
        assert [speakers(first), speakers(second)] == [list("ABCDEF")] * 2

        id = order(first, who)
        assert finished(second, who, id)["status"] == "done"
        assert [listed(first), listed(second)] == [[(id, "done")], [(id, "done")]]
        before = figures(second, "page_cache")
        for _ in range(10):
            assert listed(second) == [(id, "done")]
        until = time.monotonic() + SECONDS
        while (after := figures(second, "page_cache"))["l1_hits"] < before["l1_hits"] + 10:  # they are kept a moment
            assert time.monotonic() < until
            time.sleep(0.1)
        assert after["loads"] == before["loads"]

        assert second.client.delete(f"/api/v1/videos/{id}", headers=who).status_code == 204
        time.sleep(0.05)  # as long as a message may take
        assert [listed(first), listed(second)] == [[], []]


def test_a_database_that_dies_while_serving_fails_its_health_and_comes_back(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    with served(tmp_path, {"HEYGEN_DATABASE__URL": postgres_url}) as api:
        who = register(api)
        postgres_server.kill()
        try:
            answer = api.client.get("/api/v1/videos", headers=who)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert api.client.get("/health").status_code == 503
            assert api.client.get("/health/live").status_code == 200
            assert api.client.get("/docs").status_code == 200
        finally:
            postgres_server.start()
        until = time.monotonic() + SECONDS
        while api.client.get("/health").status_code != 200:
            assert time.monotonic() < until, api.output
            time.sleep(0.1)
        assert finished(api, who, order(api, who))["status"] == "done"
