"""Drive applications through ASGI, side by side in one process, and say how much processor time a request took."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from fastapi import FastAPI
from starlette.types import Message, Scope, Send

from tests.asgi import http_scope
from tests.benchmarks.graphs import Module

Measured = Mapping[str, Sequence[float]]  # microseconds a request, by contender, a figure a round

WARM_UP = 3  # rounds that are not counted


@dataclass(frozen=True)
class Served:
    """An application whose lifespan runs; `within`: its requests run in a scope that could cancel them."""

    app: FastAPI
    state: Mapping[str, object]
    within: bool = False

    async def ask(self, path: str = "/") -> tuple[int, object]:
        """Ask once; give the status and the body."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await asyncio.create_task(self._asked(http_scope(path, state=self.state), send))
        return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))

    async def drive(self, requests: int, path: str = "/") -> float:
        """Ask many times; give microseconds of processor time a request."""
        started = time.process_time()
        for _ in range(requests):
            await asyncio.create_task(self._asked(http_scope(path, state=self.state), _send))
        return (time.process_time() - started) / requests * 1e6

    async def _asked(self, scope: Scope, send: Send) -> None:
        """A server has a task for each request, and no scope of anyio's round it; some middleware does."""
        if self.within:
            with anyio.CancelScope():
                await self.app(scope, _receive, send)
        else:
            await self.app(scope, _receive, send)


@asynccontextmanager
async def served(app: FastAPI, *, within: bool = False) -> AsyncGenerator[Served]:
    async with app.router.lifespan_context(app) as state:
        yield Served(app, state or {}, within)


async def require_right(module: Module, on: Served, generators: int) -> None:
    """Raise unless a contender gives the right answer and closes all it opened."""
    before = module.closed
    answer = await on.ask()
    if answer != (200, module.answer) or module.closed - before != generators:
        raise AssertionError(
            f"{module.names['__name__']} answers {answer} and closes {module.closed - before} generators, "
            f"not {(200, module.answer)} and {generators}"
        )


async def interleaved(contenders: Mapping[str, Served], rounds: int, requests: int) -> Measured:
    """Drive each in every round, each round beginning with another; the first rounds warm up."""
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(WARM_UP + rounds):
        for name in _rotated(list(contenders), turn):
            gc.collect()  # the garbage of one is not charged to the next; while it is driven, collection is on
            figure = await contenders[name].drive(requests)
            if turn >= WARM_UP:
                measured[name].append(figure)
    return measured


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    low: float
    median: float
    high: float

    def __format__(self, form: str) -> str:
        return f"{self.median:{form}}  [{self.low:{form}} .. {self.high:{form}}]"


def spread(values: Sequence[float]) -> Spread:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high)


def over(measured: Measured, name: str, base: str) -> list[float]:
    """How much more one took than another, round by round."""
    return [mine - other for mine, other in zip(measured[name], measured[base], strict=True)]


def ratio(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """How much of one is another, round by round."""
    return spread([mine / other for mine, other in zip(upper, lower, strict=True)])


def verdict(figure: float, bar: float) -> str:
    return "pass" if figure <= bar else "FAIL"


def say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _rotated(names: list[str], by: int) -> Iterator[str]:
    yield from names[by % len(names) :]
    yield from names[: by % len(names)]


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    """A client that takes everything at once."""
