"""app.py as a process of its own, as a person starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2

APP = Path(__file__).parent.parent / "app.py"
SECONDS = 30  # for anything that must happen; nothing waits so long unless it fails


class Served:
    """A running API: what it printed, and a client that asks it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for("Application startup complete")
        self.url = self.wait_for("/docs").rpartition(": ")[2].removesuffix("/docs")
        self.client = httpx2.Client(base_url=self.url, timeout=SECONDS)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> str:
        """Wait until a line with this text is printed."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for line in self.lines:
                if text in line:
                    return line
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was not printed:\n{self.output}")

    def end(self, how: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(how)
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def close(self) -> None:
        if hasattr(self, "client"):
            self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()


def environment(directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEYGEN_")}
    return {**kept, "HEYGEN_APP__DATA": str(directory / "data"), **settings}


def started(directory: Path, settings: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(APP), *arguments],
        cwd=directory,
        env=environment(directory, settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def served(directory: Path, settings: Mapping[str, str]) -> Iterator[Served]:
    """Serve on a free port from a directory."""
    api: Served | None = None
    process = started(directory, settings, "--port", "0")
    try:
        api = Served(process)
        yield api
    finally:
        if api is not None:
            api.close()
        elif process.poll() is None:
            process.kill()
            process.wait(SECONDS)


def refused(directory: Path, settings: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """The exit code and the output of a start that must fail."""
    process = started(directory, settings, *(arguments or ("--port", "0")))
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output
