"""The HeyGen AI API: scripts become videos of avatars that speak them. Read it from top to bottom.

python app.py                          serves it, with all it needs in ./heygen-data
python app.py --make-admin NAME        gives a registered user the role admin
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Body, Depends, FastAPI, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from heykit import heygen, lifespan_with, opened, provided, scope, web
from heykit.cache import Cache, json_codec, optional
from heykit.config import Loaded, environment, explain, json_file, load, toml_file
from heykit.database import Database, connect, migrate, sqlite
from heykit.errors import HeykitError, Unavailable
from heykit.heygen import Content, Page, Profile, Progress, Settings, Shared, Users, Video, Videos
from heykit.lifetime import end
from heykit.resilience import Retry
from heykit.resources import FileStore, file_store, made_directory, redis_client
from heykit.security.audit import SecurityEvent, as_json
from heykit.security.key_file import key_from_file
from heykit.security.keys import Key, key_from_secret
from heykit.security.logins import Logins, login_service
from heykit.security.passwords import Passwords, argon2
from heykit.security.sessions import SESSION_MIGRATIONS, Session, Sessions, database_sessions, redis_sessions
from heykit.security.throttle import THROTTLE_MIGRATIONS, Throttle, database_throttle, redis_throttle
from heykit.security.tokens import Tokens, token_issuer
from heykit.web import require_permission, require_role
from heykit.web.serving import bound, serve

VERSION: Final = "1.0"
ISSUER: Final = "heygen"
AUDIENCE: Final = "heygen-api"
LONGEST_BODY: Final = 256 * 1024  # bytes: far above any order, far below what would fill the memory
MOST_PAGES: Final = 64 * 1024 * 1024  # bytes of pages kept in memory, whoever asks for how many
PATIENCE: Final = Retry(attempts=4, wait=1, deadline=5, on=(Unavailable,))  # with what may still be starting
logger = logging.getLogger("heykit.app")


# ---------------------------------------------------------------------------------------------------------- settings

SOURCES: Final = (
    toml_file("heygen.toml", required=False),
    json_file("config/app.json", required=False),
    environment("HEYGEN_"),
)


# --------------------------------------------------------------------------------------------------------- providers


@scope.application
async def configuration() -> Loaded[Settings]:
    return explain(Settings, SOURCES)


@scope.application
async def settings(loaded: Loaded[Settings] = provided(configuration)) -> Settings:
    given = loaded.settings
    if given.video.api_key is not None:
        logger.warning("video.api_key is set, and not used yet: videos are the built-in previews")
    return given


@scope.application
async def data_directory(config: Settings = provided(settings)) -> Path:
    return await made_directory(config.app.data)


@scope.application(retry=PATIENCE)
async def database(
    config: Settings = provided(settings), data: Path = provided(data_directory)
) -> AsyncGenerator[Database]:
    url, most = config.database.url, config.database.max_connections
    async with sqlite(data / "heygen.db") if url is None else connect(url, max_connections=most) as db:
        await migrate(db, [*heygen.MIGRATIONS, *SESSION_MIGRATIONS, *THROTTLE_MIGRATIONS])
        yield db


@scope.application
def files(data: Path = provided(data_directory)) -> AbstractAsyncContextManager[FileStore]:
    return file_store(data / "files")


@scope.application
async def signing_key(config: Settings = provided(settings), data: Path = provided(data_directory)) -> Key:
    if config.security.secret_key is not None:
        return key_from_secret(config.security.secret_key.reveal())
    return await key_from_file(data / "signing-key")


@scope.singleton  # its limit on hashing at once is the whole process's, however many applications run in it
def passwords() -> AbstractAsyncContextManager[Passwords]:
    return argon2()


@scope.application(retry=PATIENCE)
async def redis(config: Settings = provided(settings)) -> AsyncGenerator[Shared]:
    if config.redis.url is None:
        yield Shared(None)
    else:
        async with redis_client(config.redis.url, max_connections=20) as client:
            yield Shared(client)


@scope.application
async def bell(shared: Shared = provided(redis)) -> AsyncGenerator[heygen.Bell]:
    if shared.redis is None:
        yield heygen.Bell()  # each process looks every second for what the others have changed
    else:
        async with heygen.shared_bell(shared.redis) as rung:
            yield rung


@scope.application
def profile_cache(shared: Shared = provided(redis)) -> AbstractAsyncContextManager[Cache[Profile | None]]:
    return shared.cache("profiles", optional(json_codec(Profile)), max_size=10_000)


@scope.application
def page_cache(shared: Shared = provided(redis)) -> AbstractAsyncContextManager[Cache[Page[Video]]]:
    return shared.cache("pages", json_codec(Page[Video]), max_size=MOST_PAGES, weigh=heygen.bytes_of_page)


@scope.application
def avatar_cache(shared: Shared = provided(redis)) -> AbstractAsyncContextManager[Cache[tuple[heygen.Avatar, ...]]]:
    return shared.cache("avatars", json_codec(tuple[heygen.Avatar, ...]), max_size=1)


# ---------------------------------------------------------------------------------------------------------- services


@scope.application
async def users(
    db: Database = provided(database),
    hashes: Passwords = provided(passwords),
    profiles: Cache[Profile | None] = provided(profile_cache),
) -> Users:
    return heygen.user_store(db, hashes, cache=profiles)


@scope.application
async def avatars(
    db: Database = provided(database), catalogue: Cache[tuple[heygen.Avatar, ...]] = provided(avatar_cache)
) -> heygen.Avatars:
    return heygen.avatar_store(db, cache=catalogue)


@scope.application
async def videos(
    db: Database = provided(database),
    store: FileStore = provided(files),
    rung: heygen.Bell = provided(bell),
    speakers: heygen.Avatars = provided(avatars),
    pages: Cache[Page[Video]] = provided(page_cache),
) -> Videos:
    return heygen.video_store(db, store, rung, catalogue=speakers.all, cache=pages)


@scope.application
async def watcher(db: Database = provided(database), rung: heygen.Bell = provided(bell)) -> heygen.Watch:
    return heygen.watch_videos(db, rung)


@scope.application
async def renderer(
    config: Settings = provided(settings), speakers: heygen.Avatars = provided(avatars)
) -> heygen.Renderer:
    return heygen.storyboard_renderer(speakers.all, seconds_per_caption=config.video.seconds_per_caption)


@scope.application
def worker(
    config: Settings = provided(settings),
    db: Database = provided(database),
    draw: heygen.Renderer = provided(renderer),
    store: FileStore = provided(files),
    rung: heygen.Bell = provided(bell),
    pages: Cache[Page[Video]] = provided(page_cache),
) -> AbstractAsyncContextManager[heygen.RenderWorker]:
    jobs = heygen.render_queue(db, rung, cache=pages)
    return heygen.render_worker(jobs, draw, store, rung, at_once=config.video.at_once)


# ---------------------------------------------------------------------------------------------------------- security


def audit(event: SecurityEvent) -> None:
    logging.getLogger("heykit.audit").info(as_json(event))


@scope.application
def sessions(
    shared: Shared = provided(redis), db: Database = provided(database), rung: heygen.Bell = provided(bell)
) -> AbstractAsyncContextManager[Sessions]:
    async def ended(session: Session) -> None:
        heygen.ring_end(rung, session)
        await end(app, session_id, session.id)

    if shared.redis is None:
        return database_sessions(db, on_revoked=ended)
    return redis_sessions(shared.redis, prefix=shared.name("session"), on_revoked=ended)


@scope.application
def throttle(
    shared: Shared = provided(redis), db: Database = provided(database)
) -> AbstractAsyncContextManager[Throttle]:
    if shared.redis is None:
        return database_throttle(db)
    return redis_throttle(shared.redis, prefix=shared.name("throttle"))


@scope.application
async def tokens(
    config: Settings = provided(settings), key: Key = provided(signing_key), all: Sessions = provided(sessions)
) -> Tokens:
    lifetime = 60 * config.security.access_token_expire_minutes
    return token_issuer(key, all, key, issuer=ISSUER, audience=AUDIENCE, lifetime=lifetime, audit=audit)


@scope.application
async def logins(
    store: Users = provided(users),
    hashes: Passwords = provided(passwords),
    all: Sessions = provided(sessions),
    of: Tokens = provided(tokens),
    limits: Throttle = provided(throttle),
) -> Logins:
    return login_service(store, hashes, all, of, throttle=limits, audit=audit)


# ------------------------------------------------------------------------------------------------------ who is asking

bearer = web.bearer(signing_key, issuer=ISSUER, audience=AUDIENCE, token_url="api/v1/auth/token")  # noqa: S106 - an address
claims = web.in_session(bearer, sessions, when_away="accept")
session_id = web.session_id(claims)


@scope.request
async def current_user(of: web.Claims = provided(claims), store: Users = provided(users)) -> Profile:
    user = await store.profile(str(of["sub"]))
    if user is None:
        raise web.unauthorised("the user of this token is gone")
    return user


admin = require_role(current_user, "admin")
viewer = require_permission(current_user, "read:videos")
author = require_permission(current_user, "write:videos")
casting = require_permission(current_user, "write:avatars")
analyst = require_permission(current_user, "read:analytics")


@scope.request
async def owned_video(id: str, user: Profile = provided(viewer), of: Videos = provided(videos)) -> Video:
    return await of.get(user, id)


@scope.session(by=session_id, idle=60)
def progress_hub(
    id: str | None = provided(session_id),
    watch: heygen.Watch = provided(watcher),
    all: Sessions = provided(sessions),
    rung: heygen.Bell = provided(bell),
) -> AbstractAsyncContextManager[heygen.ProgressHub]:
    return heygen.progress_hub(watch, until=partial(heygen.session_end, rung, all, str(id)))


@scope.request
def progress(
    video: Video = provided(owned_video), of: heygen.ProgressHub = provided(progress_hub)
) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
    return of.watching(video.id)


@scope.request
def content(
    id: str, user: Profile = provided(viewer), of: Videos = provided(videos)
) -> AbstractAsyncContextManager[Content]:
    return of.content(user, id)  # open until the last byte is sent


# ------------------------------------------------------------------------------------------------------------ routes

InBody = Annotated[str, Body(embed=True)]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(description="1 to 100")]
api = APIRouter(prefix="/api/v1")


@api.post("/register", status_code=201, tags=["users"])
async def register(name: InBody, password: InBody, store: Users = provided(users)) -> Profile:
    return (await store.register(name, password)).profile


@api.get("/users/me", tags=["users"])
async def me(user: Profile = provided(current_user)) -> Profile:
    return user


@api.get("/users/me/analytics", tags=["users"])
async def analytics(
    days: int = 30, user: Profile = provided(analyst), of: Videos = provided(videos)
) -> heygen.Analytics:
    return await of.analytics(user, days=days)


@api.get("/admin/users", tags=["admin"])
async def list_users(
    cursor: Cursor = None, limit: Limit = 20, _: Profile = provided(admin), store: Users = provided(users)
) -> Page[Profile]:
    found = await store.page(cursor, limit=limit)
    return Page(tuple(user.profile for user in found.items), found.next_cursor)


@api.get("/avatars", tags=["videos"], dependencies=[Depends(require_permission(current_user, "read:avatars"))])
async def list_avatars(of: heygen.Avatars = provided(avatars)) -> Sequence[heygen.Avatar]:
    return await of.all()


@api.put("/avatars/{id}", tags=["admin"])
async def put_avatar(
    id: str,
    name: InBody,
    description: InBody,
    voice: InBody,
    hair: Annotated[heygen.Hair, Body(embed=True)],
    colours: Annotated[heygen.Colours, Body(embed=True)],
    _: Profile = provided(casting),
    of: heygen.Avatars = provided(avatars),
) -> heygen.Avatar:
    return await of.put(heygen.Avatar(id, name, description, voice, hair, colours))


@api.delete("/avatars/{id}", status_code=204, tags=["admin"])
async def delete_avatar(id: str, _: Profile = provided(casting), of: heygen.Avatars = provided(avatars)) -> None:
    await of.delete(id)


@api.post("/videos", status_code=201, tags=["videos"])
async def create_video(
    title: InBody,
    script: InBody,
    avatar_id: InBody = heygen.AVATARS[0].id,
    user: Profile = provided(author),
    of: Videos = provided(videos),
) -> Video:
    return await of.create(user, title=title, script=script, avatar_id=avatar_id)


@api.get("/videos", tags=["videos"])
async def list_videos(
    cursor: Cursor = None, limit: Limit = 20, user: Profile = provided(viewer), of: Videos = provided(videos)
) -> Page[Video]:
    return await of.page(user, cursor, limit=limit)


@api.get("/videos/{id}", tags=["videos"])
async def get_video(video: Video = provided(owned_video)) -> Video:
    return video


@api.delete("/videos/{id}", status_code=204, tags=["videos"])
async def delete_video(id: str, user: Profile = provided(author), of: Videos = provided(videos)) -> None:
    await of.delete(user, id)


@api.get("/videos/{id}/content", tags=["videos"], response_class=StreamingResponse)
async def get_content(file: Content = provided(content)) -> StreamingResponse:
    return web.streamed(file.chunks, size=file.size, media_type=file.media_type)


@api.get("/videos/{id}/events", tags=["videos"], response_class=EventSourceResponse)
async def get_events(steps: AsyncIterator[Progress] = provided(progress)) -> AsyncGenerator[ServerSentEvent]:
    async for step in steps:
        yield ServerSentEvent(event="progress", data=step)


# ------------------------------------------------------------------------------------------------------- application

app = FastAPI(
    title="HeyGen AI API",
    version=VERSION,
    lifespan=lifespan_with(worker),
    responses=web.problem_response(),
    max_body_size=LONGEST_BODY,
)
app.include_router(api)
app.include_router(web.auth_router(logins, sessions, claims), prefix="/api/v1/auth")
app.include_router(web.health_router(details=admin, version=VERSION))
web.problems(app)


async def make_admin(name: str) -> None:
    async with opened(users) as store:
        await store.grant(name, "admin")


def main() -> int:
    parser = argparse.ArgumentParser(description="The HeyGen AI API")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--make-admin", metavar="NAME", help="give a registered user the role admin, and stop")
    given = parser.parse_args()
    try:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
        config = load(Settings, SOURCES).app
        if config.debug:
            logging.root.setLevel(logging.DEBUG)
        if given.make_admin is not None:
            anyio.run(make_admin, given.make_admin)
            return 0
        listening = bound(given.host, given.port)
    except HeykitError as error:
        print(error, file=sys.stderr)
        return 2
    host, port = listening.getsockname()[:2]
    print(f"HeyGen AI API: http://{f'[{host}]' if ':' in host else host}:{port}/docs", flush=True)
    serve(app, listening, debug=config.debug, trusted_proxies=config.trusted_proxies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
