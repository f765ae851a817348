from __future__ import annotations

import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio import CapacityLimiter
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st

from heykit.health import Checked, Health
from heykit.security import _argon2id, _scrypt, passwords
from heykit.security.passwords import MAX_PASSWORD_BYTES, argon2

# Published by the reference implementation (phc-winner-argon2, test.c), and RFC 7914 §12.
ARGON2_REFERENCE = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
SCRYPT_RFC = bytes.fromhex(
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
)


class FakeScheme:
    """Remembers what it was asked; each piece of work waits at the gate."""

    name = "fake"

    def __init__(self, *, open_gate: bool = True) -> None:
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.started = threading.Event()
        if open_gate:
            self.gate.set()

    def hashed(self, password: bytes, salt: bytes) -> str:
        self._work("hash")
        return f"fake:{password.decode()}:{salt.hex()}"

    def reads(self, stored: str) -> bool:
        return stored.startswith("fake:")

    def is_current(self, stored: str) -> bool:
        return not stored.startswith("fake:old:")

    def matches(self, password: bytes, stored: str) -> bool:
        self._work("check")
        return stored.startswith(f"fake:{password.decode()}:")

    def _work(self, name: str) -> None:
        self.calls.append(name)
        self.started.set()
        assert self.gate.wait(10)


@asynccontextmanager
async def faked(scheme: FakeScheme, at_once: int = 1) -> AsyncIterator[passwords._Passwords]:
    yield passwords._Passwords([scheme], CapacityLimiter(at_once), bytes)


async def until_waiting(made: passwords._Passwords, count: int) -> None:
    while (await made.health()).figures["waiting"] != count:
        await anyio.lowlevel.checkpoint()


async def test_a_password_verifies_against_its_own_hash_and_no_other() -> None:
    async with argon2() as made:
        stored = await made.hash("correct horse")
        assert await made.verify("correct horse", stored)
        assert not await made.verify("correct horsf", stored)
        assert not await made.verify("", stored)


async def test_a_hash_is_argon2id_at_owasps_parameters_with_a_new_salt_each_time() -> None:
    async with argon2() as made:
        one, other = await made.hash("x"), await made.hash("x")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other


async def test_the_salt_comes_from_the_given_entropy() -> None:
    async with argon2(entropy=lambda length: b"s" * length) as made:
        stored = await made.hash("x")
        assert stored == await made.hash("x")
    salt, derived = stored.split("$")[-2:]
    assert salt == b64encode(b"s" * 16).decode().rstrip("=")
    assert len(derived) == 43  # 32 bytes


async def test_nobody_verifies_against_no_hash() -> None:
    async with argon2() as made:
        assert not await made.verify("x", None)


async def test_the_published_argon2id_hash_verifies() -> None:
    async with argon2() as made:
        assert await made.verify("password", ARGON2_REFERENCE)
        assert not await made.verify("passwort", ARGON2_REFERENCE)


async def test_the_published_scrypt_hash_verifies() -> None:
    salt, derived = (b64encode(raw).decode().rstrip("=") for raw in (b"SodiumChloride", SCRYPT_RFC))
    stored = f"$scrypt$ln=14,r=8,p=1${salt}${derived}"
    async with argon2() as made:
        assert await made.verify("pleaseletmein", stored)
        assert not await made.verify("pleaseletmeout", stored)


async def test_without_argon2_scrypt_takes_over_and_its_hashes_stay_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(**_: object) -> object:
        raise UnsupportedAlgorithm("no Argon2")

    with monkeypatch.context() as patch:
        patch.setattr(_argon2id, "Argon2id", lacking)
        async with argon2() as made:
            stored = await made.hash("x")
            health = await _health(made)
            assert (health.status, health.reason[:30]) == ("warn", "scrypt: this OpenSSL has no Ar")
            assert not await made.verify("password", ARGON2_REFERENCE)
    assert stored.startswith("$scrypt$ln=17,r=8,p=1$")
    async with argon2() as made:
        assert await made.verify("x", stored)


TAIL = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
MALFORMED = [
    "",
    "!",
    "$",
    "x" * 100_000,
    ARGON2_REFERENCE + "\n",
    ARGON2_REFERENCE + "=",
    ARGON2_REFERENCE[:40],
    ARGON2_REFERENCE.replace("argon2id", "argon2i"),
    ARGON2_REFERENCE.replace("v=19", "v=16"),
    ARGON2_REFERENCE.replace("$v=19", ""),
    "$argon2id$v=19$m=4294967295,t=2,p=1" + TAIL,
    "$argon2id$v=19$m=99999999999999999999,t=2,p=1" + TAIL,
    "$argon2id$v=19$m=262145,t=1,p=1" + TAIL,
    "$argon2id$v=19$m=19456,t=999,p=1" + TAIL,
    "$argon2id$v=19$m=262144,t=5,p=1" + TAIL,
    "$argon2id$v=19$m=19456,t=2,p=17" + TAIL,
    "$argon2id$v=19$m=7,t=2,p=1" + TAIL,
    "$argon2id$v=19$m=0,t=2,p=1" + TAIL,
    "$argon2id$v=19$m=19456,t=0,p=1" + TAIL,
    "$argon2id$v=19$m=19456,t=2,p=0" + TAIL,
    "$argon2id$v=19$m=١٩٤٥٦,t=2,p=1" + TAIL,
    "$argon2id$v=19$t=2,m=19456,p=1" + TAIL,
    "$scrypt$ln=99,r=8,p=1" + TAIL,
    "$scrypt$ln=19,r=8,p=1" + TAIL,
    "$scrypt$ln=17,r=99,p=1" + TAIL,
    "$scrypt$ln=18,r=9,p=1" + TAIL,
    "$scrypt$ln=17,r=8,p=3" + TAIL,
    "$scrypt$ln=18,r=8,p=9" + TAIL,
    "$scrypt$ln=0,r=8,p=1" + TAIL,
]


@pytest.mark.parametrize("stored", MALFORMED, ids=lambda stored: stored[:45])
def test_a_stored_hash_that_asks_too_much_or_is_none_is_read_by_no_scheme(stored: str) -> None:
    assert not _argon2id.reads(stored)
    assert not _scrypt.reads(stored)


@pytest.mark.parametrize("stored", ["$argon2id$v=19$m=262144,t=4,p=16" + TAIL, "$argon2id$v=19$m=8,t=1,p=1" + TAIL])
def test_a_stored_hash_may_ask_as_much_as_the_bounds_allow(stored: str) -> None:
    assert _argon2id.reads(stored)


@pytest.mark.parametrize("cost", ["ln=18,r=8,p=1", "ln=17,r=16,p=1", "ln=17,r=8,p=1"])
def test_a_stored_scrypt_hash_may_ask_for_256_mib(cost: str) -> None:
    assert _scrypt.reads(f"$scrypt${cost}{TAIL}")


@given(st.text(max_size=60) | st.from_regex(_argon2id._STORED, fullmatch=True))
@settings(max_examples=50)
def test_reading_any_text_is_quiet(stored: str) -> None:
    _argon2id.reads(stored)
    _scrypt.reads(stored)


async def test_a_hash_that_only_looks_like_one_is_refused() -> None:
    async with argon2() as made:
        for stored in (
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHR$" + "A" * 43,
            "$scrypt$ln=1,r=1,p=1$c29tZXNhbHQ$" + "A" * 45,
        ):
            assert not await made.verify("x", stored)


async def test_whatever_is_stored_a_check_does_the_work_of_one() -> None:
    scheme = FakeScheme()
    async with faked(scheme) as made:
        assert await made.verify("x", "fake:x:00")
        for stored in (None, "", "$argon2id$nonsense", "fake:y:00"):
            assert not await made.verify("x", stored)
    assert scheme.calls == ["check", "hash", "hash", "hash", "check"]


async def test_a_password_has_a_bounded_length_in_bytes() -> None:
    scheme = FakeScheme()
    longest, longer = "x" * MAX_PASSWORD_BYTES, "ü" * (MAX_PASSWORD_BYTES // 2) + "x"
    async with faked(scheme) as made:
        assert await made.verify(longest, await made.hash(longest))
        scheme.calls.clear()
        for refused in (longer, "x" * 10_000_000, "\ud800"):
            assert not await made.verify(refused, "fake:x:00")
            with pytest.raises(ValueError, match="at most 1024 bytes"):
                await made.hash(refused)
    assert scheme.calls == []


async def test_no_more_are_hashed_at_once_than_asked_for() -> None:
    scheme = FakeScheme(open_gate=False)
    async with faked(scheme, at_once=2) as made, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(made.hash, "x")
        await until_waiting(made, 3)
        assert Health("warn", "security", (await made.health()).reason, {"at_once": 2, "waiting": 3}) == (
            await made.health()
        )
        assert len(scheme.calls) <= 2
        scheme.gate.set()
    assert len(scheme.calls) == 5


async def test_who_waits_in_line_may_leave_it() -> None:
    scheme = FakeScheme(open_gate=False)
    async with faked(scheme) as made, anyio.create_task_group() as tasks:
        tasks.start_soon(made.hash, "first")
        await until_started(scheme)
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(made.hash, "second")
            await until_waiting(made, 1)
            impatient.cancel_scope.cancel()
        assert (await made.health()).figures["waiting"] == 0
        scheme.gate.set()
    assert scheme.calls == ["hash"]


async def test_a_cancelled_check_leaves_no_thread_behind_and_its_place_free() -> None:
    scheme = FakeScheme(open_gate=False)
    async with faked(scheme) as made:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.verify, "x", None)
            await until_started(scheme)
            tasks.cancel_scope.cancel()
            scheme.gate.set()
        assert made._limiter.borrowed_tokens == 0
        assert await made.verify("x", "fake:x:00")


async def until_started(scheme: FakeScheme) -> None:
    while not scheme.started.is_set():
        await anyio.lowlevel.checkpoint()


async def test_health_names_the_algorithm_and_how_many_wait() -> None:
    async with argon2(at_once=3) as made:
        assert Health("pass", "security", "Argon2id", {"at_once": 3, "waiting": 0}) == await _health(made)


async def test_by_default_as_many_are_hashed_at_once_as_there_are_processors() -> None:
    async with argon2() as made:
        at_once = (await _health(made)).figures["at_once"]
    assert 1 <= int(at_once) <= (os.cpu_count() or 1)


async def test_one_at_a_time_is_enough() -> None:
    async with argon2(at_once=1) as made:
        assert (await _health(made)).figures["at_once"] == 1


@pytest.mark.parametrize("at_once", [0, -1])
async def test_at_least_one_is_hashed_at_once(at_once: int) -> None:
    with pytest.raises(ValueError, match="at_once"):
        async with argon2(at_once=at_once):
            raise AssertionError("opened")


def test_cryptography_loads_only_when_passwords_open() -> None:
    code = "import sys, heykit.security.passwords; sys.exit('cryptography' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def _health(made: object) -> Health:
    assert isinstance(made, Checked)
    return await made.health()
