"""The tables, in SQL that PostgreSQL and SQLite both read.

A row of `videos` is also its job in the render queue. `due_at` is when a worker may next take the job: at once when it
is new, after a pause when rendering it was put off, at the end of the lease while one renders it.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["MIGRATIONS"]

_USERS = """
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- The name in lower case. Not an index on lower(name): what that gives depends on the server's locale.
    login TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX users_newest_first ON users (created_at, id);
"""

_VIDEOS = """
CREATE TABLE videos (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    script TEXT NOT NULL,
    avatar_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'rendering', 'done', 'failed')),
    progress INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 100),
    error TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    -- Its day in UTC. A column, since the two databases have no way in common to take the day of an instant.
    created_on DATE NOT NULL,
    finished_at TIMESTAMPTZ,
    file TEXT,
    size BIGINT CHECK (size >= 0),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    due_at TIMESTAMPTZ NOT NULL,
    lease TEXT,
    CHECK ((status = 'rendering') = (lease IS NOT NULL)),
    CHECK ((status IN ('done', 'failed')) = (finished_at IS NOT NULL)),
    CHECK ((status = 'done') = (file IS NOT NULL)),
    CHECK ((status = 'done') = (size IS NOT NULL)),
    CHECK (status <> 'failed' OR error IS NOT NULL)
);
CREATE INDEX videos_of_user ON videos (user_id, created_at, id);
CREATE INDEX videos_by_day ON videos (user_id, created_on, status);
CREATE INDEX videos_to_render ON videos (created_at, id, due_at, status) WHERE status IN ('queued', 'rendering');
"""

# Those that were added or changed; the others are in the code.
_AVATARS = """
CREATE TABLE avatars (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    voice TEXT NOT NULL,
    hair TEXT NOT NULL CHECK (hair IN ('short', 'long', 'bun')),
    wall_colour TEXT NOT NULL,
    light_colour TEXT NOT NULL,
    skin_colour TEXT NOT NULL,
    hair_colour TEXT NOT NULL,
    clothes_colour TEXT NOT NULL
);
"""

MIGRATIONS: Sequence[tuple[str, str]] = (
    ("heygen: users", _USERS),
    ("heygen: videos", _VIDEOS),
    ("heygen: avatars", _AVATARS),
)
