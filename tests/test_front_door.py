"""The front door: what `import heykit` gives, and what it leaves unloaded."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from shutil import copytree

import pytest

import heykit

HEYKIT = Path(heykit.__file__).parent


def printed(code: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=HEYKIT.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", heykit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert hasattr(heykit, name)


def test_the_version_is_the_installed_one() -> None:
    assert heykit.__version__ == metadata.version("heykit")


def test_a_copy_that_was_never_installed_has_no_version(tmp_path: Path) -> None:
    copytree(HEYKIT, tmp_path / "heykit")

    alone = printed(
        f"import sys; sys.path.append({str(tmp_path)!r}); import heykit; print(hasattr(heykit, '__version__'))",
        "-I",
        "-S",
    )

    assert alone == "False"


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lifespam'"):
        getattr(heykit, "lifespam")  # noqa: B009 - a misspelt name is an error to mypy


@pytest.mark.parametrize("component", ["config", "cache", "database", "resources", "security.access", "resilience"])
def test_a_component_alone_loads_neither_fastapi_nor_a_driver(component: str) -> None:
    heavy = ("fastapi", "starlette", "pydantic", "asyncpg", "redis", "sqlite3")

    loaded = printed(f"import sys, heykit.{component}; print([name for name in {heavy!r} if name in sys.modules])")

    assert loaded == "[]"
