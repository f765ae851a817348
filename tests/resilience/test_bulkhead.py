"""A bulkhead: so many at once, so many who wait, and the rest is refused."""

from __future__ import annotations

import math

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import Unavailable
from heykit.resilience import Bulkhead, bulkhead
from heykit.web import problems


class Hall:
    """Calls that stay until they are let out."""

    def __init__(self, policy: Bulkhead) -> None:
        self.inside: list[int] = []
        self.most = 0
        self.refused: list[int] = []
        self._gates: dict[int, anyio.Event] = {}

        @bulkhead(policy)
        async def visit(number: int) -> None:
            self.inside.append(number)
            self.most = max(self.most, len(self.inside))
            try:
                await self.gate(number).wait()
            finally:
                self.inside.remove(number)

        self._visit = visit

    def gate(self, number: int) -> anyio.Event:
        return self._gates.setdefault(number, anyio.Event())

    async def come(self, number: int) -> None:
        try:
            await self._visit(number)
        except Unavailable:
            self.refused.append(number)


async def test_those_who_find_no_place_wait_in_their_order_and_the_rest_is_refused() -> None:
    hall = Hall(Bulkhead(at_once=2, waiting=2, wait=60))
    async with anyio.create_task_group() as visitors:
        for number in range(6):
            visitors.start_soon(hall.come, number)
            await anyio.wait_all_tasks_blocked()
        assert hall.inside == [0, 1]
        assert hall.refused == [4, 5]
        for number in range(4):
            hall.gate(number).set()
            await anyio.wait_all_tasks_blocked()
            assert number not in hall.inside
            assert hall.inside == [n for n in range(number + 1, 4) if n <= number + 2]
    assert hall.most == 2


async def test_who_has_waited_too_long_is_refused() -> None:
    hall = Hall(Bulkhead(at_once=1, waiting=1, wait=0.01))
    async with anyio.create_task_group() as visitors:
        visitors.start_soon(hall.come, 0)
        await anyio.wait_all_tasks_blocked()
        await hall.come(1)
        assert hall.refused == [1]
        hall.gate(0).set()
    await hall.come(0)  # no place is lost
    assert hall.refused == [1]


async def test_an_error_leaves_its_place() -> None:
    @bulkhead(Bulkhead(at_once=1))
    async def fails() -> None:
        raise KeyError

    for _ in range(3):
        with pytest.raises(KeyError):
            await fails()


Step = tuple[str, int]  # who comes, is let out, or is cancelled; or a turn of the loop
WHAT = st.sampled_from(["comes", "leaves", "is cancelled", "turn"])
STEPS = st.lists(st.tuples(WHAT, st.integers(0, 7)), max_size=40)


@given(st.integers(1, 3), st.integers(0, 3), STEPS)
async def test_whoever_is_cancelled_whenever_no_place_is_lost(places: int, waiting: int, steps: list[Step]) -> None:
    hall = Hall(Bulkhead(places, waiting, wait=60))
    scopes: dict[int, anyio.CancelScope] = {}

    async def come(number: int) -> None:
        with scopes[number]:
            await hall.come(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as visitors:
            for what, number in steps:
                if what == "comes" and number not in scopes:
                    scopes[number] = anyio.CancelScope()
                    visitors.start_soon(come, number)
                elif what == "leaves":
                    hall.gate(number).set()
                elif what == "is cancelled" and number in scopes:
                    scopes[number].cancel()
                elif what == "turn":
                    await anyio.lowlevel.checkpoint()
            for number in scopes:
                hall.gate(number).set()
        assert hall.most <= places
        await require_free(hall, places)


async def require_free(hall: Hall, places: int) -> None:
    """Raise unless as many as there are places come in at once."""
    before = len(hall.refused)
    async with anyio.create_task_group() as visitors:
        for number in range(100, 100 + places):
            visitors.start_soon(hall.come, number)
        await anyio.wait_all_tasks_blocked()
        assert len(hall.inside) == places
        assert len(hall.refused) == before
        for number in range(100, 100 + places):
            hall.gate(number).set()


def test_at_the_edge_it_is_503_with_retry_after() -> None:
    app = FastAPI()
    problems(app)
    refusing = bulkhead(Bulkhead(at_once=1, wait=2.5))

    @refusing
    async def outer() -> None:
        await inner()

    @refusing
    async def inner() -> None: ...

    app.get("/")(outer)
    response = TestClient(app).get("/")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    "wrong",
    [{"at_once": 0}, {"at_once": 1, "waiting": -1}, {"at_once": 1, "wait": 0.0}, {"at_once": 1, "wait": math.nan}],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a Bulkhead lets 1 call or more run"):
        Bulkhead(**wrong)  # type: ignore[arg-type]
