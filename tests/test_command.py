"""The command line reads an application where it stands: `check` lists its faults, `graph` draws it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from heykit.__main__ import main

ROOT = Path(__file__).parent.parent
_numbers = itertools.count()
Write = Callable[..., str]

HEAD = """
from contextlib import asynccontextmanager
from functools import partial
from fastapi import APIRouter, FastAPI
from heykit import lifespan, lifespan_with, provided, scope

@scope.application
async def number() -> int:
    return 1

@scope.request
async def of_request() -> int:
    return 1

@scope.application
async def captor(held: int = provided(of_request)) -> int:
    return held
"""
APP = f"""{HEAD}
app = FastAPI()

@app.get("/")
async def page(of: int = provided(number)) -> int:
    return of
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module into the current directory, and give its name: another each time, since imports are kept."""
    monkeypatch.chdir(tmp_path)

    def written(source: str, name: str = "service") -> str:
        module = f"{name}_{next(_numbers)}"
        (tmp_path / f"{module}.py").write_text(dedent(source).lstrip("\n"), encoding="utf-8")
        return module

    return written


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: its status, and what it wrote to stdout and stderr."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, *capsys.readouterr()

    return ran


Run = Callable[..., tuple[int, str, str]]


def line_of(module: str, text: str) -> int:
    """The line of a text in a module."""
    return Path(f"{module}.py").read_text(encoding="utf-8").split(text)[0].count("\n") + 1


# --------------------------------------------------------------------------------------------------------------- check


def test_a_sound_application_has_no_fault(write: Write, run: Run) -> None:
    assert run("check", f"{write(APP)}:app") == (0, "1 dependency, no fault\n", "")


def test_a_compiled_route_that_is_left_to_fastapi_is_named_with_its_reason(write: Write, run: Run) -> None:
    module = write(f"""{HEAD}
from heykit import CompiledRoute
app = FastAPI()
app.router.route_class = CompiledRoute

@app.get("/")
async def page(of: int = provided(number)) -> int:
    return of

@app.get("/stream")
async def stream(of: int = provided(number)):
    yield of
""")
    said = "1 dependency, no fault\n/stream is left to FastAPI: its endpoint is a generator\n"
    assert run("check", f"{module}:app") == (0, said, "")


def test_every_fault_is_a_line_with_file_and_line_number(write: Write, run: Run) -> None:
    module = write(f"""{HEAD}
@scope.application
async def wrong(of: str = provided(captor)) -> str:
    return of

app = FastAPI()

@app.get("/")
async def page(of: str = provided(wrong)) -> str:
    return of
""")
    status, out, err = run("check", f"{module}:app")
    first, second = out.splitlines()
    assert (status, err) == (1, "")
    assert first.startswith(
        f"{module}.py:{line_of(module, 'async def captor')}: captor lives as long as the application"
    )
    assert first.endswith("[captive]")
    assert second.startswith(f"{module}.py:{line_of(module, 'async def wrong')}: 'of' of wrong is given captor")


@pytest.mark.parametrize(
    "target",
    [
        "FastAPI(lifespan=lifespan_with(captor))",
        "routers(lifespan_with(captor))",
        "routers(lifespan_with(number), lifespan_with(captor))",
        "FastAPI(lifespan=own)",
        "FastAPI(lifespan=own_with_a_name)",
    ],
)
def test_what_only_a_lifespan_names_is_checked_too(target: str, write: Write, run: Run) -> None:
    module = write(f"""{HEAD}
def routers(*lifespans):
    app = FastAPI(lifespan=lifespan)
    for each in lifespans:
        app.include_router(APIRouter(lifespan=each))
    return app

@asynccontextmanager
async def own(app):
    async with lifespan_with(captor)(app) as state:
        yield state

opens = lifespan_with(captor)

@asynccontextmanager
async def own_with_a_name(app):
    async with opens(app) as state:
        yield state

app = {target}
""")
    status, out, _ = run("check", f"{module}:app")
    assert (status, out.count("[captive]"), len(out.splitlines())) == (1, 1, 1)


def test_a_lifespan_may_not_open_what_a_request_opens(write: Write, run: Run) -> None:
    module = write(f"{HEAD}\napp = FastAPI(lifespan=lifespan_with(of_request))")
    status, out, _ = run("check", f"{module}:app")
    assert status == 1
    assert "of_request is named in lifespan_with(...)" in out


def test_a_lifespan_whose_closure_is_not_filled_yet_names_nothing(write: Write, run: Run) -> None:
    module = write(f"""{HEAD}
def make():
    async def life(app):
        yield late
    app = FastAPI(lifespan=life)
    if app is None:
        late = 1
    return app
""")
    assert run("check", f"{module}:make")[0] == 0


def test_nothing_is_opened(write: Write, run: Run) -> None:
    module = write("""
    from fastapi import FastAPI
    from heykit import lifespan_with, scope

    @scope.application
    async def loud() -> int:
        raise SystemExit("opened")

    app = FastAPI(lifespan=lifespan_with(loud))
    """)
    assert run("check", f"{module}:app") == (0, "1 dependency, no fault\n", "")


# -------------------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    "attribute", ["app", "number", "create", "create_with_default", "prepared", "wrapped", "Here.app", "Here.create"]
)
def test_a_target_is_an_application_a_provider_or_a_function_that_returns_an_application(
    attribute: str, write: Write, run: Run
) -> None:
    module = write(f"""{APP}
class Middleware:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

def create() -> FastAPI:
    return app

def create_with_default(debug: bool = False) -> FastAPI:
    return app

prepared = partial(lambda it: it, app)
wrapped = Middleware(Middleware(app))

class Here:
    app = app
    create = staticmethod(create)
""")
    assert run("check", f"{module}:{attribute}") == (0, "1 dependency, no fault\n", "")


def test_the_current_directory_is_importable_and_only_for_as_long_as_needed(write: Write, run: Run) -> None:
    before = list(sys.path)
    assert run("check", f"{write(APP)}:app")[0] == 0
    assert sys.path == before


def test_a_module_in_a_package_is_named_with_dots(write: Write, run: Run) -> None:
    package = Path(write("", "package")).absolute()
    package.mkdir()
    (package / "main.py").write_text(APP)
    Path(f"{package}.py").unlink()
    assert run("check", f"{package.name}.main:app")[0] == 0


def test_what_a_module_prints_while_it_is_imported_is_not_part_of_the_drawing(write: Write, run: Run) -> None:
    module = write("print('hello')" + APP)
    status, out, err = run("graph", f"{module}:app")
    assert (status, err) == (0, "hello\n")
    assert out.startswith("%%{init")


# --------------------------------------------------------------------------------------------------------------- graph


def test_a_drawing_is_mermaid_or_dot(write: Write, run: Run) -> None:
    target = f"{write(APP)}:app"
    plain, mermaid, dot = (
        run("graph", target),
        run("graph", target, "--form", "mermaid"),
        run("graph", target, "--form=dot"),
    )
    assert plain == mermaid
    assert mermaid[0] == dot[0] == 0
    assert "  endpoint_page --> application_number\n" in mermaid[1]
    assert "  endpoint_page -> application_number\n" in dot[1]
    assert dot[1].startswith("digraph wiring {\n")
    assert dot[1].endswith("\n}\n")


def test_a_wiring_with_faults_can_be_drawn(write: Write, run: Run) -> None:
    status, out, _ = run("graph", f"{write(HEAD)}:captor")
    assert status == 0
    assert "application_captor --> request_of_request" in out


# ------------------------------------------------------------------------------------------------------------ bad input


WANTED = "name a FastAPI application, a provider, or a function that returns an application"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{module}", "'{module}': name the module and the attribute, as in app:app"),
        ("", "'': name the module and the attribute, as in app:app"),
        (":app", "':app': this is no module:attribute, as in app:app"),
        ("{module}:", "'{module}:': this is no module:attribute, as in app:app"),
        ("{module}:app:app", "'{module}:app:app': this is no module:attribute, as in app:app"),
        ("{module}:app()", "'{module}:app()': this is no module:attribute, as in app:app"),
        ("{module}.py:app", "'{module}.py:app': name the module as an import does, as in {module}:app"),
        ("./api/{module}.py:app", "'./api/{module}.py:app': name the module as an import does, as in api.{module}:app"),
        ("{module}x:app", "there is no module {module}x: did you mean {module}?"),
        ("no_such_thing:app", "there is no module no_such_thing"),
        ("{module}.inner:app", "there is no module {module}.inner"),
        ("email.mine.text:app", "there is no module email.mine: did you mean email.mime?"),
        ("{module}:ap", "{module} has no ap: did you mean app?"),
        ("{module}:app.ruter", "{module}.app has no ruter: did you mean router?"),
        ("{module}:unknown", "{module} has no unknown"),
        ("{module}:one", "{module}:one is of type int: " + WANTED),
        ("{module}:app.router", "{module}:app.router is of type APIRouter: " + WANTED),
        ("{module}:returns_one", "{module}:returns_one is of type int: " + WANTED),
        ("os:path", "os:path is a module: " + WANTED),
        ("{module}:awaited", "{module}:awaited is async: name an application, or a plain function that returns one"),
        (
            "{module}:f",
            "{module}:f is called without arguments: missing a required argument: 'x'; give it a default",
        ),
        ("{module}:fails", "{module}:fails makes no application: ValueError: two lines ({module}.py:{line})"),
        ("{module}:Lazy.app", "{module}.Lazy.app cannot be read: RuntimeError: not now ({module}.py:{late})"),
    ],
)
def test_a_target_that_cannot_be_read_is_one_line_and_status_2(target: str, said: str, write: Write, run: Run) -> None:
    module = write(f"""{APP}
one = 1

def returns_one():
    return 1

async def awaited():
    return app

def f(x):
    return app

def fails():
    raise ValueError("two\\nlines")

class Late:
    @property
    def app(self):
        raise RuntimeError("not now")

Lazy = Late()
""")
    places = {
        "module": module,
        "line": line_of(module, "raise ValueError"),
        "late": line_of(module, "raise RuntimeError"),
    }
    for command in ("check", "graph"):
        assert run(command, target.format(**places)) == (2, "", f"heykit: {said.format(**places)}\n")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library' ({module}.py:1)"),
        ("from os import nothing", "ImportError: cannot import name 'nothing' from 'os' "),
        ("\ndef f():\n    raise KeyError('url')\nf()", "KeyError: 'url' ({module}.py:2)"),
        ("\n\nimport json\njson.loads('{')", "JSONDecodeError: Expecting property name enclosed in double quotes: "),
        ("x = 1\ndef f(:", "SyntaxError: invalid syntax ({module}.py:2)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 ({module}.py:2)"),
    ],
)
def test_what_goes_wrong_inside_the_module_is_shown_with_its_own_last_line(
    source: str, said: str, write: Write, run: Run
) -> None:
    module = write(source)
    status, out, err = run("check", f"{module}:app")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"heykit: {module} cannot be imported: " in err
    assert said.format(module=module) in err
    assert f"({module}.py:" in err


@pytest.mark.parametrize(
    "arguments", [[], ["check"], ["chekc", "app:app"], ["graph", "app:app", "--form", "svg"], ["check", "a:b", "c:d"]]
)
def test_arguments_that_are_no_command_are_one_line_and_status_2(arguments: list[str], run: Run) -> None:
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--help" in err


@pytest.mark.parametrize(("arguments", "part"), [(["--help"], "check"), (["check", "--help"], "status: 0 sound")])
def test_help_says_what_there_is(arguments: list[str], part: str, run: Run) -> None:
    status, out, _ = run(*arguments)
    assert status == 0
    assert part in out


# ------------------------------------------------------------------------------------------------------ a real process


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as a person would, beside `app.py`."""
    given = [sys.executable, "-m", "heykit", *arguments]
    return subprocess.run(
        given,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def test_the_api_of_this_repository_has_no_fault_and_opens_its_worker() -> None:
    checked = command("check", "app:app")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.endswith(" dependencies, no fault\n")
    assert "application_worker" in command("graph", "app:app").stdout


def test_its_drawing_is_the_same_in_every_process() -> None:
    first, second = (command("graph", "app:app", PYTHONHASHSEED=seed).stdout for seed in ("1", "2"))
    assert first == second


def test_a_terminal_that_knows_no_unicode_gets_numbers(tmp_path: Path) -> None:
    (tmp_path / "unicode_app.py").write_text(
        "from heykit import scope\n@scope.application\nasync def größe() -> int:\n    return 1\n", encoding="utf-8"
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    drawn = command("graph", "unicode_app:größe", PYTHONIOENCODING="ascii", PYTHONPATH=paths, PYTHONUTF8="1")
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert r'("gr\xf6\xdfe")' in drawn.stdout


CONFIGURED = """
from dataclasses import dataclass, field
from typing import Annotated
from fastapi import FastAPI
from heykit import lifespan_with, provided, scope
from heykit.config import Between, Loaded, Secret, environment, explain, mapping

@dataclass(frozen=True)
class Settings:
    url: str = "x"
    password: Secret[str] = Secret("s3cret")
    count: Annotated[int, Between(0, 9)] = 1

@scope.application
async def configuration() -> Loaded[Settings]:
    return explain(Settings, [mapping({"url": "postgresql://u:s3cret@h/x"}), environment("HEYKIT_TEST_")])

@scope.application
async def settings(loaded: Loaded[Settings] = provided(configuration)) -> Settings:
    return loaded.settings

app = FastAPI(lifespan=lifespan_with(settings))
"""


@pytest.mark.parametrize("attribute", ["configuration", "app", "settings"])
def test_config_shows_every_setting_with_its_origin_and_no_secret(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, attribute: str
) -> None:
    monkeypatch.setenv("HEYKIT_TEST_COUNT", "7")
    status = main(["config", f"{write(CONFIGURED)}:{attribute}"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [line.split("  ")[0] for line in lines] == ["setting", "url", "password", "count"]
    assert lines[3].split() == ["count", "7", "HEYKIT_TEST_COUNT", "int,", "from", "0", "to", "9"]
    assert "postgresql://***@h/x" in lines[1]
    assert "s3cret" not in "\n".join(lines)


def test_config_tells_every_fault(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEYKIT_TEST_COUNT", "x")
    monkeypatch.setenv("HEYKIT_TEST_PASSWROD", "s3cret")
    assert main(["config", f"{write(CONFIGURED)}:app"]) == 1
    told = capsys.readouterr().out
    assert "2 faults in the configuration" in told
    assert "did you mean HEYKIT_TEST_PASSWORD?" in told
    assert "s3cret" not in told


@pytest.mark.parametrize("form", ["toml", "env", "json"])
def test_config_writes_a_template_though_the_settings_are_wrong(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("HEYKIT_TEST_COUNT", "x")
    assert main(["config", f"{write(CONFIGURED)}:app", "--example", form, "--prefix", "HEYKIT_TEST_"]) == 0
    told = capsys.readouterr().out
    assert {"toml": "# count = 1", "env": "# HEYKIT_TEST_COUNT=1", "json": '"count": 1'}[form] in told


def test_a_template_of_variables_without_a_prefix_says_how_to_give_one(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(CONFIGURED)
    for more, warned in (([], True), (["--prefix", "X_"], False)):
        assert main(["config", f"{path}:app", "--example", "env", *more]) == 0
        assert ("give that of the variables" in capsys.readouterr().err) is warned


def test_an_application_without_a_configuration_says_so(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", f"{write(APP)}:app"]) == 2
    assert "no provider gives a Loaded[Settings]" in capsys.readouterr().err
