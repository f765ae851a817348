"""What loading 30 settings from a JSON file and the environment takes, and what importing costs.

Run it from the root of the repository: `python -m tests.benchmarks.config`; it compares with pydantic-settings where
that is installed. The first load, which compiles the class, is not counted. The figures are medians of rounds in which
both take turns. An import is timed in processes of its own, each above another: the package alone; its parts that a
program uses, named from it, for the package loads each when it is named; and these in a module that writes settings as
dataclasses, above such a module without them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import field, make_dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from heykit.config import environment, json_file, load
from tests.benchmarks.driving import say

MOST_LOADING, MOST_IMPORTING = 150e-6, 15e-3  # seconds
NAMES = [f"{kind}_{at}" for kind in ("text", "number", "ratio", "flag", "path") for at in range(6)]
TYPES: dict[str, tuple[type, object]] = {
    "text": (str, "a text"), "number": (int, 7), "ratio": (float, 0.5), "flag": (bool, True), "path": (Path, "/a/b"),
}  # fmt: skip
USED = "from heykit.config import MinLength, Secret, environment, json_file, load"
JUDGED = ("heykit.config", "settings with its parts")
SETTINGS = """
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
@dataclass(frozen=True)
class Settings:
    directory: Path
    name: Annotated[str, "a name"]
"""


def kind_of(name: str) -> tuple[type, object]:
    return TYPES[name.partition("_")[0]]


def ours(file: Path) -> Callable[[], object]:
    section = make_dataclass("Section", [(name, kind_of(name)[0]) for name in NAMES[::2]], frozen=True)
    rest: list[Any] = [(name, kind_of(name)[0]) for name in NAMES[1::2]]
    settings = make_dataclass(
        "Settings", [("section", section), *rest, ("more", dict[str, int], field(default_factory=dict))], frozen=True
    )
    sources = [json_file(file), environment("BENCH_")]
    return lambda: load(settings, sources)


def of_pydantic(file: Path) -> Callable[[], object]:
    made: Any = importlib.import_module("pydantic_settings")
    pydantic: Any = importlib.import_module("pydantic")
    section = pydantic.create_model("Section", **{name: (kind_of(name)[0], ...) for name in NAMES[::2]})

    class Base(made.BaseSettings):  # type: ignore[misc,no-any-unimported]
        model_config = made.SettingsConfigDict(env_prefix="BENCH_", env_nested_delimiter="__", json_file=file)

        @classmethod
        def settings_customise_sources(cls, settings_cls: Any, **sources: Any) -> Any:
            return sources["env_settings"], made.JsonConfigSettingsSource(settings_cls)

    fields = {name: (kind_of(name)[0], ...) for name in NAMES[1::2]}
    settings: Any = pydantic.create_model("Settings", __base__=Base, section=(section, ...), **fields)
    made_settings: Callable[[], object] = settings
    return made_settings


def seconds(call: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


def loading(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "settings.json"
        in_section = {name: kind_of(name)[1] for name in NAMES[::2]}
        file.write_text(json.dumps({"section": in_section, **{name: kind_of(name)[1] for name in NAMES[1:20:2]}}))
        os.environ |= {f"BENCH_{name.upper()}": str(kind_of(name)[1]) for name in NAMES[21::2]}
        os.environ["BENCH_SECTION__TEXT_0"] = "other"
        ways = {"heykit": ours(file)}
        if find_spec("pydantic_settings"):
            ways["pydantic-settings"] = of_pydantic(file)
        took: dict[str, list[float]] = {name: [] for name in ways}
        for call in ways.values():
            call()
        for _ in range(rounds):
            for name, call in ways.items():
                took[name].append(seconds(call, 20))
    for name, each in took.items():
        say(f"30 settings from JSON and {len(os.environ)} variables, {name}: {median(each) * 1e6:.0f} µs")
    own = median(took["heykit"])
    say(f"  150 µs at most  {'pass' if own <= MOST_LOADING else 'FAIL'}")


def started(program: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", program], check=True, env=kept)


def importing(rounds: int) -> None:
    programs = {
        "nothing": "",
        "settings": SETTINGS,
        "heykit.config": "import heykit.config",
        "its parts": USED,
        "settings with its parts": SETTINGS + USED,
    }
    if find_spec("pydantic_settings"):
        programs["pydantic-settings"] = "from pydantic_settings import BaseSettings"
    took: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        started(program)  # compiled and kept, as installed packages are
    for _ in range(rounds):
        for name, program in programs.items():
            began = time.perf_counter()
            started(program)
            took[name].append(time.perf_counter() - began)
    for name, above in {**dict.fromkeys(programs, "nothing"), "settings with its parts": "settings"}.items():
        added = median(took[name]) - median(took[above])
        verdict = f"  15 ms at most  {'pass' if added <= MOST_IMPORTING else 'FAIL'}" if name in JUDGED else ""
        if name != "nothing":
            say(f"import of {name} above {above}: {added * 1e3:.1f} ms{verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    loading(rounds)
    importing(rounds)


if __name__ == "__main__":
    main()
