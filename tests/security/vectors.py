"""Published test data. It is not part of the project: it is read where it lies, or the tests say that it is absent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from heykit.security._algorithms import fitting
from heykit.security.keys import Algorithm

ROOT = Path(os.environ.get("HEYKIT_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
Members = dict[str, object]


@dataclass(frozen=True)
class Vector:
    """One published token: the key it is for, what it is called, whether it is valid."""

    name: str
    jwk: Members
    token: str
    result: str


def read(path: str) -> Members:
    file = ROOT / path
    if not file.exists():
        pytest.skip(f"Published vectors are absent: {file}. Set HEYKIT_VECTORS to the folder that holds them.")
    return cast("Members", json.loads(file.read_text(encoding="utf-8")))


def wycheproof() -> list[Vector]:
    groups = cast("list[Members]", read("wycheproof/json_web_signature_test.json")["testGroups"])
    return [
        Vector(str(test["tcId"]), _key(group), _token(test["jws"]), str(test["result"]))
        for group in groups
        for test in cast("list[Members]", group["tests"])
    ]


def rfc() -> list[Vector]:
    examples = cast("list[Members]", read("rfc/rfc_examples.json")["jws"])
    return [Vector(str(e["name"]), _key(e), str(e["token"]), str(e["result"])) for e in examples]


def cookbook(path: str) -> Vector:
    example = read(f"cookbook/{path}")
    given, made = cast("Members", example["input"]), cast("Members", example["output"])
    return Vector(path, cast("Members", given["key"]), _token(made.get("compact", made["json"])), "valid")


def algorithms(vector: Vector) -> list[Algorithm]:
    """What the key could be for: what it says, or all that its type allows."""
    if "alg" in vector.jwk:
        return [cast("Algorithm", vector.jwk["alg"])]
    return fitting(vector.jwk.get("kty"), vector.jwk.get("crv"))


def thumbprints() -> list[tuple[Members, str]]:
    examples = cast("list[Members]", read("rfc/rfc_examples.json")["thumbprints"])
    return [(cast("Members", e["jwk"]), str(e["sha256"])) for e in examples]


def _key(group: Members) -> Members:
    return cast("Members", group.get("public") or group.get("private"))


def _token(jws: object) -> str:
    return jws if isinstance(jws, str) else json.dumps(jws)
