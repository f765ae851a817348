"""Thirteen faults as people make them: each names key, origin and what was expected, and nothing shows a secret."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from heykit.config import (
    Between,
    ConfigError,
    ConfigFault,
    MinLength,
    Secret,
    Source,
    Url,
    dotenv,
    environment,
    json_file,
    load,
    toml_file,
    yaml_file,
)

KEY = "hunter2-hunter2-hunter2-hunter2-"
DATABASE = "postgresql://me:hunter2@db.internal/app"


@dataclass(frozen=True)
class Database:
    url: Url
    pool: Annotated[int, Between(1, 100)] = 5


@dataclass(frozen=True)
class Settings:
    database: Database
    secret_key: Annotated[Secret[str], MinLength(32)]
    debug: bool = False
    ports: list[int] = field(default_factory=list)


class Planted(NamedTuple):
    """One fault: what the file and the variables say, and all that is to be said of it."""

    key: str
    origin: str
    expected: str
    file: str = ""
    text: str = ""
    variables: Mapping[str, str | None] = {}
    suggestion: str = ""


NAME = "the name of a setting"
PLANTED = {
    "missing": Planted("secret_key", "APP_SECRET_KEY", "secret str, 32 or more long", variables={"SECRET_KEY": None}),
    "wrong type": Planted("debug", "APP_DEBUG", "bool, true or false", variables={"DEBUG": "perhaps"}),
    "bad URL": Planted("database.url", "APP_DATABASE__URL", "URL", variables={"DATABASE__URL": "me:hunter2@db/app"}),
    "secret too short": Planted(
        "secret_key", "APP_SECRET_KEY", "32 or more long", variables={"SECRET_KEY": "hunter2"}
    ),
    "unknown key": Planted(
        "database.pol", "app.toml:3", NAME, "app.toml", "[database]\n\npol = 3\n", suggestion="pool"
    ),
    "misspelt variable": Planted(
        "database.pol", "APP_DATABASE__POL", NAME, variables={"DATABASE__POL": "3"}, suggestion="APP_DATABASE__POOL"
    ),
    "out of range": Planted("database.pool", "APP_DATABASE__POOL", "from 1 to 100", variables={"DATABASE__POOL": "0"}),
    "wrong value in a file": Planted("debug", "app.json:2", "bool", "app.json", '{\n"debug": "hm"\n}'),
    "invalid JSON": Planted("", "app.json:2", "valid JSON", "app.json", '{"secret_key": "hunter2"\n"debug": true}'),
    "invalid TOML": Planted("", "app.toml:2", "valid TOML", "app.toml", '\nsecret_key = "hunter2\n'),
    "invalid YAML": Planted("", "app.yaml:2", "valid YAML", "app.yaml", "a: 1\nsecret_key: hunter2: x\n"),
    "invalid lines": Planted("", ".env:2", "lines of NAME=value", ".env", "A=1\nhunter2\n"),
    "missing file": Planted("", "app.toml", "required=False", "app.toml"),
    "wrong case": Planted(
        "database.pool", "app_database__pool", NAME, variables={"app_database__pool": "3"},
        suggestion="APP_DATABASE__POOL",
    ),
    "bad item": Planted("ports[1]", "APP_PORTS", "int", variables={"PORTS": "80,eighty"}),
    "password in a URL that is wrong elsewhere": Planted(
        "database.url", "APP_DATABASE__URL", "URL", variables={"DATABASE__URL": "postgresql://me:hunter2@db:port/app"}
    ),
}  # fmt: skip
FILES = {".env": dotenv, ".json": json_file, ".toml": toml_file, ".yaml": yaml_file}


def environment_with(*planted: Planted) -> Source:
    held: dict[str, str | None] = {"APP_SECRET_KEY": KEY, "APP_DATABASE__URL": DATABASE}
    for one in planted:
        held |= {name if name.startswith("app_") else f"APP_{name}": value for name, value in one.variables.items()}
    return environment("APP_", variables={name: value for name, value in held.items() if value is not None})


def files_with(directory: Path, *planted: Planted) -> list[Source]:
    for one in planted:
        if one.text:
            (directory / one.file).write_text(one.text)
    paths = [directory / one.file for one in planted if one.file]
    return [FILES[path.suffix or path.name](path) for path in paths]


def told(directory: Path, *planted: Planted) -> tuple[list[ConfigFault], str]:
    """Give the faults, and all that a traceback with locals shows of heykit's own frames."""
    sources = [*files_with(directory, *planted), environment_with(*planted)]
    with pytest.raises(ConfigError) as caught:
        load(Settings, sources)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    inner = [frame for frame in frames if "heykit" in Path(frame.filename).parts]
    assert inner
    return list(caught.value.faults), str(caught.value) + "".join(traceback.StackSummary.from_list(inner).format())


def says(fault: ConfigFault, planted: Planted, directory: Path) -> bool:
    origin = fault.origin.replace(f"{directory}/", "")
    return (
        (fault.key, fault.suggestion) == (planted.key, planted.suggestion)
        and planted.expected in fault.expected
        and origin.startswith(planted.origin)
    )


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_it_names_key_origin_and_expectation_and_shows_no_secret(planted: Planted, tmp_path: Path) -> None:
    [fault], seen = told(tmp_path, planted)

    assert says(fault, planted, tmp_path)
    assert str(fault) in seen
    assert "hunter2" not in seen


def test_six_at_once_are_six(tmp_path: Path) -> None:
    names = ("missing", "bad URL", "unknown key", "invalid JSON", "wrong case", "bad item")
    planted = [PLANTED[name] for name in names]

    faults, seen = told(tmp_path, *planted)

    assert len(faults) == 6
    assert all(any(says(fault, one, tmp_path) for fault in faults) for one in planted)
    assert "hunter2" not in seen
