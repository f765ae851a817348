"""One request to the application of a case, and everything that can be seen of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

import anyio
import anyio.lowlevel
from fastapi import FastAPI
from starlette.types import Message

from tests.asgi import http_scope
from tests.graph_apps import Log
from tests.graphs import Case


@dataclass(frozen=True)
class Outcome:
    """`messages` is what reached the client; `raised` what came out of the application, and out of its lifespan."""

    messages: tuple[str, ...]
    log: tuple[str, ...]
    raised: Sequence[str]


async def outcome(app: FastAPI, case: Case, log: Log) -> Outcome:
    """Ask once, as a server would."""
    messages: list[str] = []
    raised: list[str] = []
    log.gated = case.cancelled in {"endpoint", "closing"}
    with anyio.fail_after(20):
        async with app.router.lifespan_context(app) as state:
            asking = _ask(app, case, dict(state or {}), messages, raised)
            if case.cancelled == "never":  # in a task of its own, with no scope round it
                await asyncio.create_task(asking)
            else:
                await _ask_and_cancel(asking, log, raised)
    return Outcome(tuple(messages), tuple(log), raised)


async def _ask_and_cancel(asking: Coroutine[object, object, None], log: Log, raised: list[str]) -> None:
    with anyio.CancelScope() as request:
        log.request = request
        async with anyio.create_task_group() as tasks:
            if log.gated:
                tasks.start_soon(_cancel_at_the_gate, log, request)
            await asking
            tasks.cancel_scope.cancel()
    if request.cancelled_caught:
        raised.append("cancelled")


async def _cancel_at_the_gate(log: Log, request: anyio.CancelScope) -> None:
    await log.waiting.wait()
    request.cancel()
    with anyio.CancelScope(shield=True):
        for _ in range(5):  # so that a cancellation that reaches what waits at the gate gets there first
            await anyio.lowlevel.checkpoint()
        log.gate.set()


async def _ask(app: FastAPI, case: Case, state: dict[str, object], messages: list[str], raised: list[str]) -> None:
    body = json.dumps({"b": 3} if case.sends_body else {"b": "not a number"}).encode()
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await anyio.sleep_forever()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if case.leaves and sum(shown.startswith("body") for shown in messages) > 0:
            raise OSError("the client has left")
        messages.append(_shown(message))

    try:
        await app(_scope(case, state), receive, send)
    except Exception as error:  # noqa: BLE001 - whatever comes out is part of the outcome
        raised.append(_named(error))


def _named(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"group of {', '.join(map(_named, error.exceptions))}"
    return type(error).__name__


def _shown(message: Message) -> str:
    if message["type"] == "http.response.start":
        return f"start {message['status']} {sorted(message['headers'])}"
    return f"body {message.get('body', b'')!r} {message.get('more_body', False)}"


def _scope(case: Case, state: dict[str, object]) -> dict[str, object]:
    path = "/again/" if case.asked_again else "/"
    headers = [(b"content-type", b"application/json")]
    headers += [(b"h", b"1")] * case.sends_header + [(b"cookie", b"c=5")] * case.sends_cookie
    query = f"q={2 if case.sends_query else 'x'}&o={4 if case.sends_own else 'x'}"
    return http_scope(path, method="POST", query=query, headers=headers, state=state)
