"""The keys of another service: asked for once, kept, asked for again when that may help, and never lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import anyio
import pytest

from heykit.errors import Unavailable
from heykit.security import jwt
from heykit.security.keys import Key, generate_key, key_set, public_jwks
from heykit.security.remote_keys import remote_key_set
from tests.heygen.world import Clock
from tests.security.refusals import refused

URL = "https://accounts.example/.well-known/jwks.json"
OLD, NEW = generate_key("ES256", id="old"), generate_key("ES256", id="new")


@dataclass
class Service:
    """Another service: what it publishes, how long it takes, and how often it was asked."""

    body: bytes = b""
    asked: list[str] = field(default_factory=list)
    failure: Exception | None = None
    pause: float = 0.0

    def publish(self, *keys: Key) -> None:
        self.body = json.dumps(public_jwks(key_set(keys))).encode()

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        await anyio.sleep(self.pause)
        if self.failure is not None:
            raise self.failure
        return self.body


@pytest.fixture
def service() -> Service:
    made = Service()
    made.publish(OLD)
    return made


def signed(key: Key, sub: str = "7") -> str:
    return jwt.encode({"sub": sub}, key)


async def test_it_is_asked_once_for_many_tokens(service: Service) -> None:
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        for _ in range(5):
            token = signed(OLD)
            assert jwt.decode(token, await remote.keys_for(token)) == {"sub": "7"}
        assert service.asked == [URL]
        assert remote.stats() == {"fetched": 1, "failed": 0}


async def test_it_is_asked_once_by_many_at_once(service: Service) -> None:
    service.pause = 0.01
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(remote.keys_for, signed(OLD))
        assert len(service.asked) == 1


async def test_who_leaves_while_it_is_asked_fails_nobody_else(service: Service) -> None:
    service.pause = 0.05
    found = []

    async def ask() -> None:
        found.append(await remote.keys_for(signed(OLD)))

    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote, anyio.create_task_group() as tasks:
        leader = anyio.CancelScope()

        async def lead() -> None:
            with leader:
                await remote.keys_for(signed(OLD))

        tasks.start_soon(lead)
        await anyio.sleep(0.01)
        for _ in range(10):
            tasks.start_soon(ask)
        await anyio.sleep(0.01)
        leader.cancel()
    assert len(found) == 10
    assert len(service.asked) == 1


async def test_an_unknown_key_is_asked_for_but_not_too_often(service: Service) -> None:
    clock = Clock()
    async with remote_key_set(URL, service, algorithms=["ES256"], cool_down=30, clock=clock) as remote:
        await remote.keys_for(signed(OLD))
        service.publish(NEW, OLD)
        clock.turn(29)
        with refused("token.key"):
            jwt.decode(signed(NEW), await remote.keys_for(signed(NEW)))
        assert len(service.asked) == 1
        clock.turn(1)
        assert jwt.decode(signed(NEW), await remote.keys_for(signed(NEW))) == {"sub": "7"}
        assert len(service.asked) == 2
        for _ in range(100):  # made up, to make us ask
            await remote.keys_for(signed(generate_key("ES256", id="made up")))
        assert len(service.asked) == 2


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", "." * 100, "x" * 10**6])
async def test_what_is_no_token_is_no_reason_to_ask(service: Service, token: str) -> None:
    clock = Clock()
    async with remote_key_set(URL, service, algorithms=["ES256"], clock=clock) as remote:
        await remote.keys_for(signed(OLD))
        clock.turn(100)
        await remote.keys_for(token)
        assert len(service.asked) == 1


async def test_a_set_that_has_grown_old_is_asked_for_again(service: Service) -> None:
    clock = Clock()
    async with remote_key_set(URL, service, algorithms=["ES256"], max_age=3600, clock=clock) as remote:
        await remote.keys_for(signed(OLD))
        service.publish(NEW)
        clock.turn(3600)
        with refused("token.key"):  # it was taken back there
            jwt.decode(signed(OLD), await remote.keys_for(signed(OLD)))
        assert len(service.asked) == 2


async def test_while_one_asks_again_the_others_go_on_with_the_old_keys(service: Service) -> None:
    clock = Clock()
    async with remote_key_set(URL, service, algorithms=["ES256"], max_age=3600, clock=clock) as remote:
        await remote.keys_for(signed(OLD))
        clock.turn(3600)
        service.pause = 0.2
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(remote.keys_for, signed(OLD))
            await anyio.sleep(0.02)
            with anyio.fail_after(0.1):
                assert await remote.keys_for(signed(OLD))
        assert len(service.asked) == 2


BROKEN = [
    b"", b"[]", b"null", b"{}", b'{"keys": []}', b'{"keys": {}}', b"\xff\xfe", b"<html>", b'{"keys": [{"kty": "RSA"}]}',
    b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', b'{"keys": [' + b'{"kty": "EC"},' * 200 + b'{"kty": "EC"}]}',
    b" " * 2 * 1024 * 1024,
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN)
async def test_what_is_no_key_set_changes_nothing(service: Service, body: bytes) -> None:
    clock = Clock()
    async with remote_key_set(URL, service, algorithms=["ES256"], clock=clock) as remote:
        await remote.keys_for(signed(OLD))
        service.body = body
        clock.turn(3600)
        assert jwt.decode(signed(OLD), await remote.keys_for(signed(OLD))) == {"sub": "7"}
        assert remote.stats() == {"fetched": 1, "failed": 1}
        assert (await remote.health()).status == "pass"
        clock.turn(60)
        assert (await remote.health()).status == "warn"


async def test_where_it_is_away_the_old_keys_serve_for_a_day_and_no_longer(service: Service) -> None:
    clock = Clock()
    async with remote_key_set(URL, service, algorithms=["ES256"], keep_for=86_400, clock=clock) as remote:
        await remote.keys_for(signed(OLD))
        service.failure = OSError("no route")
        for _ in range(23):
            clock.turn(3600)
            assert jwt.decode(signed(OLD), await remote.keys_for(signed(OLD))) == {"sub": "7"}
        clock.turn(3600)
        with pytest.raises(Unavailable, match="cannot be fetched"):
            await remote.keys_for(signed(OLD))
        service.failure = None
        clock.turn(30)
        assert jwt.decode(signed(OLD), await remote.keys_for(signed(OLD))) == {"sub": "7"}


async def test_where_it_was_never_there_it_is_away_and_asked_again_later(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    service.failure = ValueError("a secret of theirs")
    async with remote_key_set(URL, service, algorithms=["ES256"], clock=clock) as remote:
        assert (await remote.health()).status == "pass"
        for _ in range(5):
            with pytest.raises(Unavailable):
                await remote.keys_for(signed(OLD))
        with pytest.raises(Unavailable) as away:
            await remote.keys_for(signed(OLD))
        assert away.value.retry_after == 30
        assert len(service.asked) == 1
        assert (await remote.health()).status == "warn"
        service.failure = None
        clock.turn(30)
        assert await remote.keys_for(signed(OLD))
        assert (await remote.health()).figures["keys"] == 1
    assert "a secret of theirs" not in caplog.text
    assert "ValueError" in caplog.text


async def test_an_answer_that_never_comes_is_not_waited_for(service: Service) -> None:
    service.pause = 60
    async with remote_key_set(URL, service, algorithms=["ES256"], timeout=0.05) as remote:
        with pytest.raises(Unavailable):
            await remote.keys_for(signed(OLD))


async def test_a_key_that_cannot_be_used_is_left_out(service: Service) -> None:
    keys = [
        dict(OLD.public_jwk()),
        {"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"},
        {"kty": "new"},
        {"kty": "EC"},
    ]
    service.body = json.dumps({"keys": keys}).encode()
    async with remote_key_set(URL, service, algorithms=["ES256", "RS256"]) as remote:
        found = await remote.keys_for(signed(OLD))
        assert [key.id for key in found] == ["old"]


async def test_a_key_for_another_algorithm_is_left_out(service: Service) -> None:
    service.publish(OLD, generate_key("ES384", id="other"))
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        assert [key.id for key in await remote.keys_for(signed(OLD))] == ["old"]


@pytest.mark.parametrize("url", ["http://accounts.example/keys", "ftp://x", "", "HTTPS//", "file:///etc/passwd"])
async def test_only_https_is_asked(service: Service, url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        await remote_key_set(url, service, algorithms=["ES256"]).__aenter__()


async def test_http_is_asked_where_that_is_allowed(service: Service) -> None:
    async with remote_key_set("http://localhost/keys", service, algorithms=["ES256"], allow_http=True) as remote:
        assert await remote.keys_for(signed(OLD))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_age": 0}, {"max_age": float("nan")}, {"cool_down": -1}, {"cool_down": 4000}, {"keep_for": 10},
        {"timeout": 0}, {"timeout": float("inf")}, {"algorithms": []},
    ],
)  # fmt: skip
async def test_settings_that_make_no_sense_are_refused(service: Service, wrong: dict[str, object]) -> None:
    settings: dict[str, object] = {"algorithms": ["ES256"], **wrong}
    with pytest.raises(ValueError, match=r"times|algorithms"):
        await remote_key_set(URL, service, **settings).__aenter__()  # type: ignore[arg-type]
