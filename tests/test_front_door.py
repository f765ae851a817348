"""The front door: what `import heykit` gives, and what it leaves unloaded."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from shutil import copytree
from types import ModuleType

import pytest

import heykit

HEYKIT = Path(heykit.__file__).parent
PACKAGES = ["heykit", *(f"heykit.{each.name}" for each in pkgutil.iter_modules(heykit.__path__) if each.ispkg)]


def public(door: ModuleType) -> set[str]:
    return set(door.__all__)


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


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_none_but_a_module_has_the_name_of_one(package: str) -> None:
    door = import_module(package)
    modules = {each.name for each in pkgutil.iter_modules(door.__path__)}

    assert all(isinstance(getattr(door, name), ModuleType) is (name in modules) for name in public(door))
    assert public(door) - {"__version__"} <= {*dir(door)}


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_in_a_front_door_what_is_there(package: str) -> None:
    door = import_module(package)
    written = ast.parse(inspect.getsource(door))
    seen = [each for each in ast.walk(written) if isinstance(each, ast.ImportFrom) and str(each.module) != "__future__"]

    for each in seen:
        home = import_module(str(each.module))
        for name in {one.name for one in each.names} & public(door):
            assert getattr(door, name) is getattr(home, name)
    assert public(door) - {"__version__"} <= {name.name for each in seen for name in each.names}


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
