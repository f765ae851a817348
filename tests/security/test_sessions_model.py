"""Sessions of every store against a model that is a list, through whatever happens in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heykit.security.sessions import Sessions
from tests.heygen.world import START, Clock
from tests.security.sessions_world import SessionWorld

IDLE, ABSOLUTE, LIMIT, GRACE = 100.0, 1000.0, 3, 10.0


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass
class Known:
    """What the model knows of one session."""

    secret: str
    user: str
    began: float
    order: int
    seen: float
    generation: int = 0
    rotated: float = 0.0

    def lives(self, now: float) -> bool:
        return now < min(self.seen + IDLE, self.began + ABSOLUTE)


users = st.sampled_from(["ada", "bob"])
which = st.integers(0, 6)
steps = st.lists(
    st.tuples(st.just("start"), users)
    | st.tuples(st.just("touch"), which)
    | st.tuples(st.just("get"), which)
    | st.tuples(st.just("end"), which)
    | st.tuples(st.just("renew"), which)
    | st.tuples(st.just("advance"), which)
    | st.tuples(st.just("late"), which)
    | st.tuples(st.just("end_all"), users)
    | st.tuples(st.just("keep"), which)
    | st.tuples(st.just("turn"), st.sampled_from([1, 5, 11, 24, 30, 60, 99, 100, 500])),
    min_size=5,
    max_size=40,
)


class Model:
    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self.sessions = sessions
        self.clock = clock
        self.known: list[Known] = []  # all there ever were, those that ended among them
        self.gone: set[str] = set()
        self.epochs = {"ada": 0, "bob": 0}
        self.count = 0

    def living(self, user: str | None = None) -> list[Known]:
        now = self.clock()
        return [
            each
            for each in self.known
            if each.secret not in self.gone and each.lives(now) and user in {None, each.user}
        ]

    def pick(self, at: int) -> Known | None:
        return self.known[at % len(self.known)] if self.known else None

    def is_living(self, each: Known) -> bool:
        return each in self.living()

    async def step(self, what: str, argument: str | int) -> None:
        if what == "turn":
            self.clock.turn(int(argument))
        elif what == "start":
            await self.start(str(argument))
        elif what == "end_all":
            await self.end_all(str(argument), None)
        else:
            picked = self.pick(int(argument))
            if picked is not None:
                await getattr(self, what)(picked)

    async def start(self, user: str) -> None:
        living = self.living(user)
        self.gone.update(each.secret for each in living[: max(0, len(living) + 1 - LIMIT)])
        login = await self.sessions.start(user)
        self.count += 1
        self.known.append(Known(login.secret, user, self.clock(), self.count, self.clock()))
        assert login.session.epoch == self.epochs[user]
        self.clock.turn(0.5)  # so that the order of logins is one

    async def touch(self, each: Known) -> None:
        found = await self.sessions.touch(each.secret)
        assert (found is not None) is self.is_living(each)
        if found is not None and self.clock() - each.seen >= IDLE / 4:
            each.seen = self.clock()

    async def get(self, each: Known) -> None:
        found = await self.sessions.get(each.secret)
        assert (found is not None) is self.is_living(each)
        if found is not None:
            assert (found.user, found.created_at, found.seen_at) == (each.user, each.began, each.seen)
            assert (found.generation, found.epoch) == (each.generation, self.epochs[each.user])
            assert await self.sessions.by_id(found.id) == found

    async def end(self, each: Known) -> None:
        found = await self.sessions.get(each.secret)
        assert await self.sessions.end(found.id if found else "x") is self.is_living(each)
        self.gone.add(each.secret)

    async def renew(self, each: Known) -> None:
        renewed = await self.sessions.renew(each.secret)
        assert (renewed is not None) is self.is_living(each)
        if renewed is not None:
            self.gone.add(each.secret)
            place = self.known.index(each)
            following = Known(renewed.secret, each.user, each.began, each.order, self.clock(), 0, self.clock())
            self.known.insert(place + 1, following)  # as old as the one before

    async def advance(self, each: Known) -> None:
        outcome, _ = await self.sessions.advance(hashed(each.secret), each.generation, grace=GRACE)
        assert outcome == ("rotated" if self.is_living(each) else "unknown")
        if outcome == "rotated":
            each.generation += 1
            each.rotated = each.seen = self.clock()

    async def late(self, each: Known) -> None:
        """The refresh token before the latest."""
        if not each.generation:
            return
        is_living, in_grace = self.is_living(each), self.clock() - each.rotated <= GRACE
        outcome, _ = await self.sessions.advance(hashed(each.secret), each.generation - 1, grace=GRACE)
        assert outcome == ("unknown" if not is_living else "repeated" if in_grace else "reused")
        if outcome == "reused":
            self.gone.add(each.secret)

    async def end_all(self, user: str, keep: Known | None) -> None:
        found = None if keep is None else await self.sessions.get(keep.secret)
        ending = [each for each in self.living(user) if each is not keep]
        assert await self.sessions.end_all(user, keep=found.id if found else None) == len(ending)
        self.gone.update(each.secret for each in self.known if each.user == user and each is not keep)
        self.epochs[user] += 1

    async def keep(self, each: Known) -> None:
        await self.end_all(each.user, each if self.is_living(each) else None)

    async def agree(self) -> None:
        for user, epoch in self.epochs.items():
            listed = await self.sessions.of_user(user)
            assert [session.created_at for session in listed] == [each.began for each in self.living(user)]
            assert await self.sessions.epoch(user) == epoch


async def played(
    open_sessions: Callable[..., AbstractAsyncContextManager[Sessions]], played_steps: list[tuple[str, str | int]]
) -> None:
    clock = Clock(START)
    async with open_sessions(idle=IDLE, absolute=ABSOLUTE, per_user=LIMIT, now=clock) as sessions:
        for user in ("ada", "bob"):
            await sessions.end_all(user)
        model = Model(sessions, clock)
        model.epochs = {user: await sessions.epoch(user) for user in ("ada", "bob")}
        for what, argument in played_steps:
            await model.step(what, argument)
            await model.agree()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(played_steps=steps)
async def test_they_are_those_of_the_model(world: SessionWorld, played_steps: list[tuple[str, str | int]]) -> None:
    await played(world.open, played_steps)
