"""Sessions by cookie, for browsers: a cookie that no other site sets, and requests that no other site makes.

cookie = session_cookie(sessions)

@app.post("/login")
async def login(request: Request, response: Response, form: ..., all: Sessions = provided(sessions)) -> None:
    user = await authenticate(...)
    await cookie.start(request, response, all, user.id)

@app.get("/me")
async def me(session: Session = provided(cookie.session)) -> str:
    return session.user
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Response
from fastapi.requests import HTTPConnection
from fastapi.security import APIKeyCookie

from heykit import provided, scope
from heykit.scope import Provider
from heykit.security.sessions import Session, Sessions, Started
from heykit.web.client import client_of

__all__ = ["SessionCookie", "is_cross_site", "session_cookie"]

# RFC 9110, section 9.2.1: methods that are defined to change nothing.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True)
class SessionCookie:
    """A cookie that holds the secret of a session.

    `session` gives the session of a request, which lives on by it, and answers 401 where there is none. It and the
    methods answer 403 where another site made the browser send the request: nobody is logged in or out by them either.
    """

    name: str
    session: Provider[Session]
    trusted_origins: Collection[str]
    is_secure: bool
    now: Callable[[], float]

    async def start(self, connection: HTTPConnection, response: Response, sessions: Sessions, user: str) -> Session:
        """Start a session for a user who has shown who they are, and end the one that the cookie held before."""
        before = await sessions.get(self.secret_of(connection))
        client = client_of(connection)
        login = await sessions.start(user, ip=client.ip, user_agent=client.user_agent)
        if before is not None:
            await sessions.end(before.id)
        self.write(response, login)
        return login.session

    async def renew(self, connection: HTTPConnection, response: Response, sessions: Sessions) -> Session | None:
        """Give the session another secret: whenever its user may do more than before."""
        renewed = await sessions.renew(self.secret_of(connection))
        if renewed is None:
            return None
        self.write(response, renewed)
        return renewed.session

    async def end(self, connection: HTTPConnection, response: Response, sessions: Sessions) -> None:
        """End the session of a request, and have its cookie forgotten."""
        session = await sessions.get(self.secret_of(connection))
        if session is not None:
            await sessions.end(session.id)
        response.delete_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def secret_of(self, connection: HTTPConnection) -> str:
        """Give what the cookie of a request holds, nothing where it has none; 403 for one of another site."""
        if is_cross_site(connection, self.trusted_origins):
            raise HTTPException(403, "the request comes from another site")
        return _cookie(connection, self.name)

    def write(self, response: Response, login: Started) -> None:
        """Set the cookie for as long as the session may last."""
        response.set_cookie(
            self.name,
            login.secret,
            max_age=max(0, math.ceil(login.session.expires_at - self.now())),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )
        # RFC 9111, section 7.3: no cache may keep it.
        response.headers["Cache-Control"] = "no-store"


def session_cookie(
    sessions: Provider[Sessions],
    *,
    trusted_origins: Collection[str] = (),
    secure: bool = True,
    now: Callable[[], float] = time.time,
) -> SessionCookie:
    """Keep sessions by a cookie `__Host-session`: Secure, HttpOnly, SameSite=Lax, for this very host.

    Requests that may change something, and WebSockets, are refused where the browser says that another site made it
    send them, unless that is one of `trusted_origins`, such as `https://app.example`. `secure=False` is for tests over
    plain HTTP: the cookie is named `session` then, and any site beneath the same domain could set it.
    """
    # RFC 6265bis, section 4.1.3.2: browsers take such a name only with Secure, Path=/ and without Domain.
    name = "__Host-session" if secure else "session"
    trusted = frozenset(origin.lower().rstrip("/") for origin in trusted_origins)
    scheme = Depends(APIKeyCookie(name=name, auto_error=False, scheme_name="session"))

    @scope.request
    async def session(
        connection: HTTPConnection,
        all: Sessions = provided(sessions),
        _: str | None = scheme,  # shows the cookie in the docs
    ) -> Session:
        found = await all.touch(cookie.secret_of(connection))
        if found is None:
            # RFC 9110, section 15.5.2: a 401 has a challenge.
            raise HTTPException(401, "log in first", headers={"WWW-Authenticate": f'Cookie cookie-name="{name}"'})
        return found

    cookie = SessionCookie(name, session, trusted, secure, now)
    return cookie


def _cookie(connection: HTTPConnection, name: str) -> str:
    """Give the value of the cookie of this very name, nothing where there is none or more than one."""
    # RFC 6265, section 5.4: names are bytes between `;` and `=`, with a space before. Starlette strips whatever Unicode
    # takes for one, and so takes a name that no browser guards for one that it does.
    values = []
    for header, line in connection.scope["headers"]:
        if header == b"cookie":
            for pair in line.split(b";"):
                found, equals, value = pair.strip(b" \t").partition(b"=")
                if equals and found == name.encode("ascii"):
                    values.append(value)
    return values[0].decode("latin-1") if len(values) == 1 else ""


def is_cross_site(connection: HTTPConnection, trusted_origins: Collection[str] = ()) -> bool:
    """True for a request that may change something and that another site made a browser send.

    What no browser has sent is nobody's forgery. Origins are trusted in lower case, without a slash at the end.
    """
    if connection.scope["type"] == "http" and connection.scope["method"] in _SAFE:
        return False
    origin = connection.headers.get("origin", "").lower()
    if origin and origin in trusted_origins:
        return False
    # Fetch Metadata, section 2.3: browsers say themselves whether site, or only host and port, are another's.
    fetched_by = connection.headers.get("sec-fetch-site")
    if fetched_by is not None:
        return fetched_by not in {"same-origin", "none"}
    # Those who do not say it yet name the origin; RFC 6454, section 7.3: "null" is one that they hide.
    return bool(origin) and not _is_same_host(origin, connection.headers.get("host", ""))


def _is_same_host(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host.lower() != ""
    except ValueError:
        return False
