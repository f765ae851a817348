"""Access tokens and the refresh tokens that get the next ones, over every store of sessions."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import KeyRefused, TokenError
from heykit.security import jwt
from heykit.security.audit import LoggedIn, RefreshTokenReused, SecurityEvent, SessionEnded, TokenRefreshed, as_json
from heykit.security.keys import Key, generate_key, key_from_secret, key_set
from heykit.security.sessions import Sessions, memory_sessions
from heykit.security.tokens import TokenPair, Tokens, access_token, token_issuer
from tests.heygen.world import START, Clock
from tests.security.refusals import refused
from tests.security.sessions_world import DAY, HOUR, SessionWorld

KEY, REFRESH_KEY = key_from_secret(b"a" * 32, id="a"), key_from_secret(b"r" * 32, id="r")


@dataclass
class Issuer:
    tokens: Tokens
    sessions: Sessions
    clock: Clock
    events: list[SecurityEvent] = field(default_factory=list)

    def decoded(self, pair: TokenPair) -> dict[str, object]:
        return jwt.decode(pair.access_token, KEY, issuer="heygen", audience="api", typ="at+jwt", now=self.clock)


def issued(sessions: Sessions, clock: Clock, events: list[SecurityEvent], key: Key = KEY) -> Tokens:
    return token_issuer(
        key, sessions, REFRESH_KEY, issuer="heygen", audience="api", grace=20, audit=events.append, now=clock
    )


@pytest.fixture
async def issuer(world: SessionWorld) -> AsyncGenerator[Issuer]:
    async with world.open(idle=10 * HOUR, absolute=30 * DAY, per_user=100, now=world.clock) as sessions:
        made = Issuer(issued(sessions, world.clock, []), sessions, world.clock)
        made.tokens = issued(sessions, world.clock, made.events)
        yield made


async def test_a_login_gives_an_access_token_for_half_an_hour_and_what_gets_the_next(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7", ip="192.0.2.7", user_agent="Firefox")
    claims = issuer.decoded(pair)
    assert claims.pop("jti")
    assert claims == {
        "iss": "heygen",
        "aud": "api",
        "sub": "7",
        "client_id": "api",
        "iat": START,
        "exp": START + 1800,
        "sid": pair.session.id,
        "epoch": 0,
    }
    assert pair.expires_in == 1800
    assert [session.id for session in await issuer.sessions.of_user("7")] == [pair.session.id]
    assert issuer.events == [
        LoggedIn(at=START, user="7", session=pair.session.id, ip="192.0.2.7", user_agent="Firefox")
    ]


async def test_nothing_that_opens_anything_is_shown_or_stored(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    again = await issuer.tokens.refresh(pair.refresh_token)
    shown = f"{pair!r}{again!r}{issuer.events!r}{[as_json(event) for event in issuer.events]}"
    for hidden in (pair.refresh_token, pair.refresh_token.rpartition(".")[2], pair.access_token, again.refresh_token):
        assert hidden not in shown


async def test_a_refresh_token_is_changed_for_the_next_and_the_next_again(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    for generation in range(1, 6):
        issuer.clock.turn(HOUR)
        following = await issuer.tokens.refresh(pair.refresh_token, ip="192.0.2.9")
        assert following.refresh_token != pair.refresh_token
        assert following.session.id == pair.session.id
        assert issuer.decoded(following)["sub"] == "7"
        assert issuer.events[-1] == TokenRefreshed(
            at=issuer.clock(), user="7", session=pair.session.id, ip="192.0.2.9", generation=generation
        )
        pair = following


async def test_one_that_comes_again_within_the_grace_gets_the_same_successor(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    first = await issuer.tokens.refresh(pair.refresh_token)
    issuer.clock.turn(20)
    second = await issuer.tokens.refresh(pair.refresh_token)
    assert second.refresh_token == first.refresh_token
    assert issuer.decoded(second)
    assert sum(isinstance(event, TokenRefreshed) for event in issuer.events) == 1


async def test_one_that_comes_again_later_ends_the_session_for_thief_and_user(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    other = await issuer.tokens.issue("7")
    latest = await issuer.tokens.refresh(pair.refresh_token)
    issuer.clock.turn(21)
    with refused("token.reused"):
        await issuer.tokens.refresh(pair.refresh_token, ip="203.0.113.9")
    with refused("token.refresh"):
        await issuer.tokens.refresh(latest.refresh_token)
    assert issuer.events[-1] == RefreshTokenReused(
        at=issuer.clock(), user="7", session=pair.session.id, ip="203.0.113.9", generation=0
    )
    assert await issuer.sessions.by_id(pair.session.id) is None
    await issuer.tokens.refresh(other.refresh_token)


async def test_a_session_that_was_ended_refreshes_no_more(issuer: Issuer) -> None:
    pairs = [await issuer.tokens.issue("7") for _ in range(3)]
    await issuer.sessions.end(pairs[0].session.id)
    with refused("token.refresh"):
        await issuer.tokens.refresh(pairs[0].refresh_token)
    await issuer.sessions.end_all("7")
    for pair in pairs:
        with refused("token.refresh"):
            await issuer.tokens.refresh(pair.refresh_token)
    assert issuer.decoded(await issuer.tokens.issue("7"))["epoch"] == 1


async def test_a_session_that_nobody_used_refreshes_no_more(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    issuer.clock.turn(10 * HOUR)
    with refused("token.refresh"):
        await issuer.tokens.refresh(pair.refresh_token)


async def test_to_log_out_ends_the_session_whichever_token_is_shown(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    await issuer.tokens.refresh(pair.refresh_token)
    assert await issuer.tokens.revoke(pair.refresh_token, ip="192.0.2.7")
    assert not await issuer.tokens.revoke(pair.refresh_token)
    assert await issuer.sessions.of_user("7") == []
    assert issuer.events[-1] == SessionEnded(
        at=START, user="7", session=pair.session.id, ip="192.0.2.7", reason="logout"
    )


async def test_twenty_refreshes_at_once_of_a_hundred_sessions_have_one_winner_each(issuer: Issuer) -> None:
    pairs = [await issuer.tokens.issue(f"user {number % 10}") for number in range(100)]
    found: dict[str, list[str]] = {pair.refresh_token: [] for pair in pairs}

    async def refresh(token: str) -> None:
        found[token].append((await issuer.tokens.refresh(token)).refresh_token)

    async with anyio.create_task_group() as tasks:
        for pair in pairs:
            for _ in range(20):
                tasks.start_soon(refresh, pair.refresh_token)
    assert all(len(successors) == 20 and len(set(successors)) == 1 for successors in found.values())
    rotated = Counter(event.session for event in issuer.events if isinstance(event, TokenRefreshed))
    assert rotated == {pair.session.id: 1 for pair in pairs}  # no second winner
    for successors in found.values():
        await issuer.tokens.refresh(successors[0])  # no session lost


def swapped(token: str, at: int) -> str:
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


async def test_no_other_spelling_of_a_token_is_one(issuer: Issuer) -> None:
    token = (await issuer.tokens.issue("7")).refresh_token
    secret, generation, mac = token.split(".")
    wrong = [swapped(token, at) for at in range(len(token))]
    wrong += [f"{secret}.1.{mac}", f"{secret}.00.{mac}", f"{secret}.-0.{mac}", f"{secret}.+0.{mac}", f"{secret}..{mac}"]
    wrong += [f"{secret}.{generation}", f"{secret}.{generation}.", f" {token}", f"{token}\n", f"{token}=", f"{token}.x"]
    wrong += [f"{secret}.\u0660.{mac}", "", ".", "..", "x" * 10**6, "\ud800", f"{secret}.{10**400}.{mac}"]
    for each in wrong:
        with refused("token.refresh"):
            await issuer.tokens.refresh(each)
        assert not await issuer.tokens.revoke(each)
    await issuer.tokens.refresh(token)


@given(st.text(max_size=120) | st.none() | st.binary(max_size=20) | st.integers())
async def test_nothing_but_token_error_leaves_whatever_comes_in(token: object) -> None:
    async with memory_sessions() as sessions:
        with refused("token.refresh"):
            await issued(sessions, Clock(), []).refresh(token)  # type: ignore[arg-type]


async def test_a_token_of_another_service_costs_no_look_into_the_store() -> None:
    class Nothing:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    async with memory_sessions() as sessions:
        other = token_issuer(KEY, sessions, KEY, issuer="heygen", audience="api")
        token = (await other.issue("7")).refresh_token
    with refused("token.refresh"):
        await issued(Nothing(), Clock(), []).refresh(token)  # type: ignore[arg-type]


async def test_a_signed_token_passes_for_no_refresh_token_though_the_key_is_the_same(issuer: Issuer) -> None:
    secret = (await issuer.tokens.issue("7")).refresh_token.partition(".")[0]
    signed = f"{secret}.0"
    mac = base64.urlsafe_b64encode(REFRESH_KEY.sign(signed.encode())).rstrip(b"=").decode()
    with refused("token.refresh"):
        await issuer.tokens.refresh(f"{signed}.{mac}")


async def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(issuer: Issuer) -> None:
    pair = await issuer.tokens.issue("7")
    with refused("token.refresh"):
        await issuer.tokens.refresh(pair.access_token)
    with pytest.raises(TokenError):
        jwt.decode(pair.refresh_token, KEY, issuer="heygen", audience="api", typ="at+jwt")


async def test_refresh_keys_rotate_as_others_do(issuer: Issuer) -> None:
    new = key_from_secret(b"n" * 64, id="n")
    pair = await issuer.tokens.issue("7")

    def over(keys: list[Key]) -> Tokens:
        return token_issuer(KEY, issuer.sessions, key_set(keys), issuer="heygen", audience="api", now=issuer.clock)

    following = await over([new, REFRESH_KEY]).refresh(pair.refresh_token)
    await over([new]).refresh(following.refresh_token)
    with refused("token.refresh"):
        await over([new]).refresh(pair.refresh_token)


async def test_keys_of_two_halves_sign_access_tokens_and_no_refresh_tokens() -> None:
    es = generate_key("ES256", id="es")
    async with memory_sessions() as sessions:
        pair = await token_issuer(es, sessions, REFRESH_KEY, issuer="heygen", audience="api").issue("7")
        assert jwt.decode(pair.access_token, es, issuer="heygen", audience="api")["sub"] == "7"
        with pytest.raises(KeyRefused, match="shared secrets"):
            token_issuer(es, sessions, es, issuer="heygen", audience="api")


@pytest.mark.parametrize("wrong", [{"lifetime": 0}, {"lifetime": float("nan")}, {"grace": -1}, {"grace": float("inf")}])
async def test_times_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    async with memory_sessions() as sessions:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            token_issuer(KEY, sessions, REFRESH_KEY, issuer="heygen", audience="api", **wrong)  # type: ignore[arg-type]


def test_an_access_token_without_a_session_names_none() -> None:
    token = access_token(KEY, subject="7", issuer="us", audience="api", lifetime=60, now=lambda: START)
    claims = jwt.decode(token, KEY, issuer="us", audience="api", typ="at+jwt", now=lambda: START)
    assert claims.keys() == {"iss", "aud", "sub", "client_id", "iat", "exp", "jti"}
