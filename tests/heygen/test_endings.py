"""What was opened for a session hears of its end."""

from __future__ import annotations

import anyio

from heykit.errors import HeykitError, Unavailable
from heykit.heygen import Bell, Progress, progress_hub, ring_end, session_end
from heykit.security.sessions import Session, Sessions, memory_sessions


async def test_it_is_heard_at_once_where_the_bell_rings() -> None:
    bell = Bell()

    async def ended(session: Session) -> None:
        ring_end(bell, session)

    async with memory_sessions(on_revoked=ended) as sessions, anyio.create_task_group() as tasks:
        login, other = await sessions.start("ada"), await sessions.start("ada")
        over: list[str] = []

        async def wait(id: str) -> None:
            await session_end(bell, sessions, id)
            over.append(id)

        for each in (login, other):
            tasks.start_soon(wait, each.session.id)
        await anyio.wait_all_tasks_blocked()
        bell.ring_all_here()  # anything may have changed, and nothing has
        await anyio.wait_all_tasks_blocked()
        assert over == []
        await sessions.end(login.session.id)
        await anyio.wait_all_tasks_blocked()
        assert over == [login.session.id]
        tasks.cancel_scope.cancel()
    assert bell.listeners() == 0


async def test_it_is_seen_a_little_later_where_none_rings() -> None:
    async with memory_sessions() as sessions:
        login = await sessions.start("ada")
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(5):
                tasks.start_soon(sessions.end, login.session.id)
                await session_end(Bell(), sessions, login.session.id, look_every=0.01)


class Away:
    """Sessions whose store is away for the first two looks."""

    def __init__(self, sessions: Sessions) -> None:
        self.looks = 0
        self._sessions = sessions

    async def by_id(self, id: str, /) -> Session | None:
        self.looks += 1
        if self.looks < 3:
            raise Unavailable("away") if self.looks == 1 else HeykitError("refused")
        return await self._sessions.by_id(id)


async def test_a_store_that_is_away_ends_nothing() -> None:
    async with memory_sessions() as sessions:
        away = Away(sessions)
        with anyio.fail_after(5):
            await session_end(Bell(), away, "x", look_every=0.01)  # type: ignore[arg-type]
        assert away.looks == 3


async def test_streams_end_with_the_session_and_no_more_begin() -> None:
    ended = anyio.Event()

    async def watch(id: str) -> object:
        yield Progress("rendering", 5)
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with progress_hub(watch, until=ended.wait) as hub, hub.watching("x") as steps:  # type: ignore[arg-type]
            assert await anext(steps) == Progress("rendering", 5)
            ended.set()
            assert [step async for step in steps] == []
