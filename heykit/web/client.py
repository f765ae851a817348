"""What a request says of who sent it."""

from __future__ import annotations

from typing import NamedTuple

from fastapi.requests import HTTPConnection

__all__ = ["Client", "client_of"]


class Client(NamedTuple):
    """The address of a client and what it calls itself, empty where it does not say."""

    ip: str
    user_agent: str


def client_of(connection: HTTPConnection) -> Client:
    """Give who sent a request: behind a proxy it is that, unless the server trusts what it forwards."""
    ip = connection.client.host if connection.client is not None else ""
    return Client(ip, connection.headers.get("user-agent", ""))
