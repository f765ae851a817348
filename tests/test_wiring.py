"""A wiring is checked before anything opens: every fault at once, each with file and line and what to do."""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Annotated, Any, Generic, Protocol, TextIO, TypedDict, TypeVar

import pytest
from fastapi import Depends, FastAPI, Header, Request
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient

from heykit import lifespan, provided, scope, wiring
from heykit.errors import WiringError
from heykit.scope import Provider
from heykit.wiring import Fault

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Store(Protocol[T_co]):
    async def get(self, key: str, /) -> T_co | None: ...
    def size(self) -> int: ...


class Box(Generic[T]):
    """Satisfies no Store: it has no `size`."""

    async def get(self, key: str, /) -> T | None:
        return None


class Shelf(Box[T]):
    def size(self) -> int:
        return 0


@scope.application
async def number() -> int:
    return 1


@scope.request
async def of_request() -> str:
    return "request"


@scope.function
async def transaction() -> AsyncGenerator[str]:
    yield "transaction"


def line_of(function: Callable[..., object]) -> int:
    """The line of a function's `def`."""
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if "def " in line)


def fault_of(*roots: FastAPI | Provider[Any]) -> Fault:
    """The one fault of a wiring."""
    (fault,) = wiring.check(wiring.read(*roots))
    return fault


def test_a_sound_wiring_has_no_fault() -> None:
    @scope.application
    async def doubled(of: int = provided(number)) -> int:
        return of * 2

    @scope.request
    async def service(n: int = provided(doubled), on: str = provided(transaction)) -> str:
        return f"{n} {on}"

    assert wiring.check(wiring.read(service)) == []


def test_a_circle_is_named_from_end_to_end() -> None:
    first, second = circle()
    fault = fault_of(first)
    assert fault.code == "cycle"
    assert "one -> two -> one" in fault.message or "two -> one -> two" in fault.message
    assert fault.file == __file__
    assert fault.line in {line_of(first.factory), line_of(second.factory)}


def circle() -> tuple[Provider[int], Provider[int]]:
    async def two(of: int) -> int:
        return of

    provider_of_two = scope.application(two)

    @scope.application
    async def one(of: int = provided(provider_of_two)) -> int:
        return of

    # Only a name that is read later can close a circle.
    parameter = inspect.Parameter("of", inspect.Parameter.KEYWORD_ONLY, default=provided(one))
    two.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return one, provider_of_two


def test_a_long_lived_thing_may_not_hold_a_short_lived_one() -> None:
    @scope.application
    async def captor(held: str = provided(of_request)) -> str:
        return held

    fault = fault_of(captor)
    assert (fault.code, fault.file, fault.line) == ("captive", __file__, line_of(captor.factory))
    assert "captor lives as long as the application and would hold of_request" in fault.message


def test_nor_through_a_plain_function() -> None:
    async def between(held: str = provided(transaction)) -> str:
        return held

    @scope.application
    async def captor(value: str = provided(between)) -> str:
        return value

    assert (fault_of(captor).code, fault_of(captor).line) == ("captive", line_of(between))


def test_what_closes_after_the_response_may_not_hold_a_transaction_that_is_over() -> None:
    @scope.request
    async def service(on: str = provided(transaction)) -> str:
        return on

    @scope.request
    async def late(of: str = provided(service)) -> AsyncGenerator[str]:
        yield of

    fault = fault_of(late)
    assert (fault.code, fault.line) == ("held", line_of(late.factory))
    assert "transaction" in fault.message


@pytest.mark.parametrize("annotation", [Request, HTTPConnection, Annotated[str, Header()], str])
def test_what_opens_with_the_application_has_no_request_to_take_from(annotation: object) -> None:
    async def early(value: object) -> object:
        return value

    early.__annotations__["value"] = annotation
    provider = scope.application(early)
    fault = fault_of(provider)
    assert (fault.code, fault.line) == ("unprovided", line_of(early))
    assert "nothing provides 'value' of early" in fault.message


def test_a_parameter_without_its_provided_is_reported_by_us_and_not_by_fastapi_at_declaration() -> None:
    @scope.request
    async def forgetful(store: Store[int]) -> int:
        return store.size()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: int = provided(forgetful)) -> int:
        return value

    fault = fault_of(app)
    assert (fault.code, fault.line) == ("unprovided", line_of(forgetful.factory))
    assert "store = provided(...)" in fault.message


def test_a_default_is_enough_for_what_opens_with_the_application() -> None:
    @scope.application
    async def sized(size: int = 10) -> int:
        return size

    assert wiring.check(wiring.read(sized)) == []


def annotated(annotation: object, provider: Provider[Any]) -> list[Fault]:
    """The faults of an endpoint that annotates a provider so."""

    async def endpoint(value: object = provided(provider)) -> None: ...

    endpoint.__annotations__["value"] = annotation
    app = FastAPI()
    app.get("/")(endpoint)
    return wiring.check(wiring.read(app))


@scope.application
async def shelf() -> AsyncGenerator[Shelf[int]]:
    yield Shelf()


@scope.application
async def box() -> Box[int]:
    return Box()


@scope.application
def store() -> AbstractAsyncContextManager[Store[int]]:
    raise AssertionError("never opened here")


@scope.application
async def unannotated():  # type: ignore[no-untyped-def]  # noqa: ANN201 - what it gives is not said
    return 1


@pytest.mark.parametrize(
    ("annotation", "provider"),
    [
        (int, shelf),
        (Store[int], box),
        (Store[str], store),
        (Box[str], box),
        (int | None, box),
        (str, number),
        (Shelf[int], box),
    ],
)
def test_an_annotation_its_factory_does_not_satisfy_is_a_fault(annotation: object, provider: Provider[Any]) -> None:
    (fault,) = annotated(annotation, provider)
    assert (fault.code, fault.file) == ("annotation", __file__)
    assert provider.__name__ in fault.message


@pytest.mark.parametrize(
    ("annotation", "provider"),
    [
        (Shelf[int], shelf),
        (Box[int], shelf),
        (Store[int], shelf),
        (Store[int] | None, shelf),
        (Store[int], store),
        (Shelf[int], store),  # a Protocol may well be it: nobody can tell
        (Store[object], store),
        (float, number),
        (Any, box),
        (object, box),
        (str, unannotated),
        ("OnlyTypeCheckersKnow", box),
    ],
)
def test_where_it_satisfies_or_nobody_can_tell_there_is_silence(annotation: object, provider: Provider[Any]) -> None:
    assert annotated(annotation, provider) == []


def test_annotated_with_depends_is_compared_as_well() -> None:
    app = FastAPI()

    @app.get("/")
    async def endpoint(value: Annotated[str, Depends(number)]) -> None: ...

    fault = fault_of(app)
    assert (fault.code, fault.line) == ("annotation", line_of(endpoint))


def test_neither_lifetime_nor_caching_can_be_chosen_at_the_place_of_use() -> None:
    app = FastAPI()

    @app.get("/")
    async def endpoint(
        once: Annotated[str, Depends(of_request, use_cache=False)],
        late: Annotated[str, Depends(transaction, scope="request")],
    ) -> None: ...

    codes = [(fault.code, fault.line) for fault in wiring.check(wiring.read(app))]
    assert codes == [("place", line_of(endpoint))] * 2


def test_every_fault_is_told_at_once_before_anything_opens() -> None:
    opened: list[str] = []

    @scope.application
    async def never() -> str:
        opened.append("never")
        return "never"

    @scope.application
    async def captor(held: str = provided(of_request), first: str = provided(never)) -> str:
        return held + first

    @scope.application
    async def poor(value: Store[int]) -> int:
        return value.size()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(one: str = provided(captor), two: int = provided(poor), three: str = provided(number)) -> None: ...  # type: ignore[assignment]

    with pytest.raises(WiringError) as caught, TestClient(app):
        raise AssertionError("it must not start")
    assert sorted(fault.code for fault in caught.value.faults) == ["annotation", "captive", "unprovided"]
    assert opened == []
    assert str(caught.value).startswith("3 faults in the wiring:\n  ")
    assert all(f"{__file__}:" in line for line in str(caught.value).splitlines()[1:])


def test_a_shared_graph_of_many_paths_is_read_once_a_node() -> None:
    """2^60 paths over 60 nodes."""
    last = number
    for _ in range(60):

        @scope.application
        async def node(left: int = provided(last), right: int = provided(last)) -> int:
            return left + right

        last = node
    assert wiring.check(wiring.read(last)) == []


class Named(Protocol):
    name: str


class SetsItself:
    def __init__(self) -> None:
        self.name = "set in __init__"


class Table(TypedDict):
    key: int


@scope.application
async def sets_itself() -> SetsItself:
    return SetsItself()


@scope.application
async def table() -> Table:
    return {"key": 1}


@scope.application
async def flag() -> bool:
    return True


@scope.application
async def module() -> ModuleType:
    return inspect


@scope.application
async def file() -> io.TextIOWrapper:
    raise AssertionError("never opened here")


@pytest.mark.parametrize(
    ("annotation", "provider"),
    [
        (Named, sets_itself),
        (Table, table),
        (Table | None, table),
        (float, flag),
        (complex, number),
        (Store[int], module),
        (TextIO, file),
    ],
)
def test_what_classes_do_not_show_is_not_held_against_them(annotation: object, provider: Provider[Any]) -> None:
    assert annotated(annotation, provider) == []


def test_a_limit_at_the_place_of_use_is_a_fault() -> None:
    app = FastAPI()

    @app.get("/")
    async def endpoint(once: Annotated[str, Depends(of_request, max_concurrency=1)]) -> None: ...

    assert fault_of(app).code == "place"


def test_an_override_check_of_many_paths_walks_each_once() -> None:
    """A diamond of thirty layers has 2^30 paths."""
    last = number
    for _ in range(30):

        @scope.application
        async def node(left: int = provided(last), right: int = provided(last)) -> int:
            return left + right

        last = node
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: int = provided(last)) -> int:
        return value

    with TestClient(app) as client:
        app.dependency_overrides[of_request] = lambda: "unrelated"
        assert client.get("/").json() == 2**30
