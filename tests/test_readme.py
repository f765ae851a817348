"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.served import served

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block("python"), "README.md", "exec"), names)
    with TestClient(names["app"]) as client:
        assert client.post("/guests", params={"name": "ada"}).status_code == 200
    connection = sqlite3.connect("guests.db")
    assert connection.execute("SELECT name FROM guests").fetchall() == [("ada",)]
    connection.close()


def curl(line: str, client: httpx2.Client) -> httpx2.Response:
    """Do what a curl command of the README does."""
    words = iter(shlex.split(line)[1:])
    url, headers, data, retries = "", {}, list[str](), 0
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            data.append(next(words))
        elif word == "-o":
            next(words)
        elif word in {"--retry", "--retry-delay"}:
            retries += int(next(words)) if word == "--retry" else 0
        elif word not in {"-s", "-sf", "--retry-all-errors"}:
            url = word
    path = url.removeprefix("localhost:8000")
    if not data:
        for _ in range(retries):
            if client.get(path, headers=headers).is_success:
                break
            time.sleep(1)
        return client.get(path, headers=headers)
    form = "&".join(re.sub(" ", "%20", text) for text in data) if "Content-Type" not in headers else data[0]
    return client.post(path, content=form, headers={"Content-Type": "application/x-www-form-urlencoded", **headers})


def test_the_curl_lines_lead_from_registering_to_the_finished_video(tmp_path: Path) -> None:
    """Each line works as printed, and answers with the members that are printed below it."""
    with served(tmp_path, {}) as api:
        known = {"$TOKEN": "", "$ID": ""}
        lines = block("console").splitlines()
        last: httpx2.Response | None = None
        for at, shown_line in enumerate(lines):
            if not shown_line.startswith("$ "):
                continue
            line = shown_line.replace("$TOKEN", known["$TOKEN"]).replace("$ID", known["$ID"])
            last = curl(line.removeprefix("$ "), api.client)
            assert last.is_success, last.text
            if at + 1 < len(lines):
                shown, got = json.loads(lines[at + 1]), last.json()
                assert shown.keys() == got.keys()
                known = {"$TOKEN": got.get("access_token", known["$TOKEN"]), "$ID": got.get("id", known["$ID"])}
        assert last is not None
        assert "first video" in " ".join(ET.fromstring(last.content).itertext())


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    ci = (Path(__file__).parent.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in ci
    assert README.count(".venv/bin/pytest") == 1
