"""Serving: the port first, and an error that a person can read."""

from __future__ import annotations

import socket

import pytest
from fastapi import FastAPI
from starlette.types import Message

from heykit import lifespan_with, scope
from heykit.errors import StartupError
from heykit.web.serving import PortError, bound, telling


def test_a_free_port_is_taken_for_port_0() -> None:
    with bound("127.0.0.1", 0) as listening:
        assert listening.getsockname()[1] > 0


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("192.0.2.1", 0, "Cannot assign requested address"),  # RFC 5737: an address nobody has
        ("127.0.0.1", 70_000, "from 0 to 65535"),
        ("no such host.invalid", 0, "cannot be listened on"),
        ("a\udcff", 0, "is no host"),
        ("", 0, "is no host"),
    ],
)
def test_an_address_that_cannot_be_had_is_told_with_its_reason(host: str, port: int, why: str) -> None:
    with pytest.raises(PortError, match=why):
        bound(host, port)


def test_a_port_in_use_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(PortError, match=r"Address already in use\): choose another host or port"),
    ):
        bound("127.0.0.1", taken.getsockname()[1])


async def failed_start(error: Exception) -> tuple[str, BaseException]:
    """What an application whose start fails tells its server."""

    @scope.application
    async def broken() -> None:
        raise error

    return await started(FastAPI(lifespan=lifespan_with(broken)))


async def started(app: FastAPI) -> tuple[str, BaseException]:
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        told.append(message)

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is, it is given back
        await telling(app)({"type": "lifespan", "state": {}}, receive, send)
    (message,) = told
    assert message["type"] == "lifespan.startup.failed"
    return message["message"], raised.value


async def test_a_start_that_heykit_ends_is_told_in_one_line() -> None:
    message, error = await failed_start(OSError("the disk is full"))
    assert isinstance(error, StartupError)
    assert message.startswith("StartupError: broken (")
    assert message.endswith("could not be opened: OSError: the disk is full")
    assert "\n" not in message


async def test_the_trace_of_any_other_error_is_kept() -> None:
    from collections.abc import AsyncGenerator
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def mine(_: FastAPI) -> AsyncGenerator[None]:
        raise KeyError("mine")
        yield

    message, error = await started(FastAPI(lifespan=mine))
    assert isinstance(error, KeyError)
    assert "Traceback" in message
