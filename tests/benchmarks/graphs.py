"""Graphs of dependencies, and what a person would write for one of them with each contender.

A contender is a function from a graph to Python source, so that each runs real functions with real parameters, and the
hand-written one is straight code. All build the same values with the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from textwrap import indent
from typing import Literal, TypeAlias, cast

from fastapi import FastAPI

Lives: TypeAlias = Literal["application", "request"]
Form: TypeAlias = Literal["coroutine", "generator"]
Contender: TypeAlias = "Callable[[Graph], str]"

_MASK = 0xFFFF  # sums stay small integers, however large the graph


@dataclass(frozen=True)
class Node:
    """One dependency. Its value weighs one more than all it needs."""

    name: str
    lives: Lives
    form: Form = "coroutine"
    needs: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        return self.name.upper()


@dataclass(frozen=True)
class Graph:
    """Nodes, each after what it needs. An endpoint asks for the last one."""

    nodes: tuple[Node, ...]

    def living(self, lives: Lives) -> list[Node]:
        return [node for node in self.nodes if node.lives == lives]

    @property
    def root(self) -> Node:
        return self.nodes[-1]

    @property
    def generators(self) -> int:
        return sum(node.form == "generator" for node in self.nodes)

    @property
    def paths(self) -> int:
        """How many dependencies FastAPI's own resolution visits: every path from the endpoint down."""
        visits: dict[str, int] = {}
        for node in self.nodes:
            visits[node.name] = 1 + sum(visits[name] for name in node.needs)
        return visits[self.root.name]


def service(application: int, request: int) -> Graph:
    """Application things on those before them; a chain of request things on some of these, the first a generator."""
    things = [Node(f"a{i}", "application", needs=_two_before("a", i)) for i in range(application)]
    share = application // request
    chain = [
        Node(f"r{i}", "request", needs=(*_names("r", range(max(0, i - 1), i)), *_names("a", _share(i, share))))
        for i in range(request)
    ]
    return Graph((*things, replace(chain[0], form="generator"), *chain[1:]))


def diamonds(count: int, form: Form = "coroutine") -> Graph:
    """Request things, each on the two before it: as many paths as Fibonacci's rabbits."""
    return Graph(tuple(Node(f"r{i}", "request", form, _two_before("r", i)) for i in range(count)))


def fan(count: int) -> Graph:
    """Application things, all of them needed by one request thing."""
    things = [Node(f"a{i}", "application") for i in range(count)]
    return Graph((*things, Node("r0", "request", needs=tuple(node.name for node in things))))


def _two_before(prefix: str, index: int) -> tuple[str, ...]:
    return _names(prefix, range(max(0, index - 2), index))


def _share(index: int, size: int) -> range:
    return range(index * size, (index + 1) * size)


def _names(prefix: str, indices: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{prefix}{i}" for i in indices)


class Value:
    """What a node gives."""

    __slots__ = ("weight",)

    def __init__(self, weight: int) -> None:
        self.weight = weight


@dataclass(frozen=True)
class Module:
    """A contender's source, run."""

    names: dict[str, object]

    def build(self) -> FastAPI:
        return cast("Callable[[], FastAPI]", self.names["build"])()

    @property
    def answer(self) -> int:
        """What the endpoint must return."""
        return cast("int", self.names["answer"])

    @property
    def closed(self) -> int:
        """How many generators have run to their end."""
        return cast("int", self.names["closed"])


def run(source: str, name: str) -> Module:
    names: dict[str, object] = {"__name__": name.replace(" ", "_"), "Value": Value}
    exec(compile(source, f"<{name}>", "exec"), names)
    return Module(names)


# The contenders.


def hand_written(graph: Graph) -> str:
    """No dependencies at all: values from a closure, and calls in the right order."""
    opened = [f"open_{n.name} = asynccontextmanager({n.name})" for n in graph.nodes if n.form == "generator"]
    body = [_made(node) for node in graph.living("application")]
    factories = [_factory(node, _typed) for node in graph.living("request")]
    return _module(graph, [*factories, *opened], _endpoint("", _opening(graph)), before=body)


def flat(graph: Graph) -> str:
    """FastAPI's own, as cheap as it gets: the endpoint names every node, no node names another."""
    alone = Graph(tuple(replace(node, needs=()) for node in graph.nodes))
    named = ", ".join(_depends(node.name) for node in alone.nodes)
    endpoint = _endpoint(named, f"return {_sum(node.name for node in alone.nodes)}")
    return _module(alone, [*_states(alone), *_requests(alone, _depends)], endpoint, answer=len(alone.nodes))


def chained(graph: Graph) -> str:
    """FastAPI's own, as people write it: every dependency names its own."""
    readers = [_reader(node, ", ".join(map(_depends, node.needs))) for node in graph.living("application")]
    return _module(graph, [_lifespan(graph), *readers, *_requests(graph, _depends)], _ending(graph, _depends))


def providers(graph: Graph) -> str:
    """Every node a provider of heykit, on a plain route."""
    return _heykit(graph, "APIRoute")


def compiled(graph: Graph) -> str:
    """The same on a compiled route."""
    return _heykit(graph, "CompiledRoute")


def overridden(graph: Graph) -> str:
    """A compiled route while something unrelated is overridden."""
    return _heykit(graph, "CompiledRoute", after=["app.dependency_overrides[lambda: 1] = lambda: 2"])


def lazy(graph: Graph) -> str:
    """Application things opened when a request first needs them."""
    return _heykit(graph, "APIRoute", long="application(lazy=True)")


def keyed(graph: Graph) -> str:
    """What would be the application's is one of a tenant instead, and more tenants come than instances may stay."""
    return _heykit(graph, "CompiledRoute", long="keyed(by=tenant, limit=20)", by=_TENANT)


def plain_functions(graph: Graph) -> str:
    """Application things as heykit's providers, request things as FastAPI's plain functions."""
    return _module(graph, [_HEYKIT, *_declared(graph, "application"), *_requests(graph, _provided)], _last(graph))


def wireup(graph: Graph) -> str:
    """On FastAPI's own route, as its integration has it."""
    return _wireup(graph, "APIRoute")


def wireup_route(graph: Graph) -> str:
    """On the route class it has for speed."""
    return _wireup(graph, "WireupRoute")


def _wireup(graph: Graph, route: str) -> str:
    factories = [
        f'@injectable(lifetime="{"singleton" if node.lives == "application" else "scoped"}")\n{_factory(node, _typed)}'
        for node in graph.nodes
    ]
    container = f"setup(create_async_container(injectables=[{_list(graph)}]), app)"
    endpoint = _endpoint(f"root: Injected[{graph.root.type}]", "return root.weight")
    return _module(graph, [_WIREUP, *factories], endpoint, route=route, after=[container])


def dishka(graph: Graph) -> str:
    factories = [_factory(node, _typed) for node in graph.nodes]
    provided = [
        f"provider.provide({node.name}, scope=Scope.{'APP' if node.lives == 'application' else 'REQUEST'})"
        for node in graph.nodes
    ]
    endpoint = _endpoint(f"root: FromDishka[{graph.root.type}]", "return root.weight")
    container = "setup_dishka(make_async_container(provider), app)"
    return _module(graph, [_DISHKA, *factories, *provided], endpoint, route="DishkaRoute", after=[container])


# The pieces they are written with.

_COMMON = """\
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from fastapi import APIRouter, Depends, FastAPI
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute
closed = 0
lifespan = None
async def nothing():
    pass
"""
_HEYKIT = "from heykit import CompiledRoute, lifespan, provided, scope"
_TENANT = """\
asked = 0
@scope.request
async def tenant(connection: HTTPConnection) -> int:
    global asked
    asked += 1
    return asked % 100
"""
_WIREUP = """\
from wireup import Injected, create_async_container, injectable
from wireup.integration.fastapi import WireupRoute, setup
"""
_DISHKA = """\
from dishka import Provider, Scope, make_async_container
from dishka.integrations.fastapi import DishkaRoute, FromDishka, setup_dishka
provider = Provider()
"""


def _module(
    graph: Graph,
    parts: Sequence[str],
    endpoint: str,
    *,
    answer: int | None = None,
    route: str = "APIRoute",
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> str:
    """Give a module that declares the parts, and whose `build` makes an application with one route."""
    build = [
        *before,
        "app = FastAPI(lifespan=lifespan)",
        f"router = APIRouter(route_class={route})",
        f'@router.get("/")\n{endpoint}',
        "app.include_router(router)",
        *after,
        "return app",
    ]
    types = [f"class {node.type}(Value):\n    __slots__ = ()" for node in graph.nodes]
    ends = [f"answer = {graph.paths & _MASK if answer is None else answer}", "def build():"]
    return "\n".join([_COMMON, *types, *parts, *ends, indent("\n".join(build), "    ")])


def _heykit(graph: Graph, route: str, *, long: str = "application", by: str = "", after: Sequence[str] = ()) -> str:
    factories = [*_declared(graph, "application", long), *_declared(graph, "request")]
    return _module(graph, [_HEYKIT, by, *factories], _last(graph), route=route, after=after)


def _declared(graph: Graph, lives: Lives, lifetime: str = "") -> list[str]:
    return [f"@scope.{lifetime or lives}\n{_factory(node, _provided)}" for node in graph.living(lives)]


def _requests(graph: Graph, parameter: Callable[[str], str]) -> list[str]:
    return [_factory(node, parameter) for node in graph.living("request")]


def _factory(node: Node, parameter: Callable[[str], str]) -> str:
    parameters = ", ".join(map(parameter, node.needs))
    if node.form == "coroutine":
        return f"async def {node.name}({parameters}) -> {node.type}:\n    return {_value(node)}"
    body = indent(f"global closed\nyield {_value(node)}\nawait nothing()\nclosed += 1", "    ")
    return f"async def {node.name}({parameters}) -> AsyncIterator[{node.type}]:\n{body}"


def _value(node: Node) -> str:
    return f"{node.type}({_sum(node.needs, 1)})"


def _sum(names: Iterable[str], start: int = 0) -> str:
    return f"({' + '.join([str(start), *(f'{name}.weight' for name in names)])}) & {_MASK}"


def _typed(name: str) -> str:
    return f"{name}: {name.upper()}"


def _depends(name: str) -> str:
    return f"{_typed(name)} = Depends({name})"


def _provided(name: str) -> str:
    return f"{_typed(name)} = provided({name})"


def _endpoint(parameters: str, body: str) -> str:
    return f"async def endpoint({parameters}) -> int:\n{indent(body, '    ')}"


def _ending(graph: Graph, parameter: Callable[[str], str]) -> str:
    return _endpoint(parameter(graph.root.name), f"return {graph.root.name}.weight")


def _last(graph: Graph) -> str:
    return _ending(graph, _provided)


def _list(graph: Graph) -> str:
    return ", ".join(node.name for node in graph.nodes)


def _states(graph: Graph) -> list[str]:
    return [_lifespan(graph), *(_reader(node, "") for node in graph.living("application"))]


def _lifespan(graph: Graph) -> str:
    """Put the application's values into the lifespan's state, where reading them is cheapest."""
    things = graph.living("application")
    state = ", ".join(f'"{node.name}": the_{node.name}' for node in things)
    body = indent("\n".join([*map(_made, things), f"yield {{{state}}}"]), "    ")
    return f"@asynccontextmanager\nasync def lifespan(app):\n{body}"


def _reader(node: Node, parameters: str) -> str:
    head = f"async def {node.name}(connection: HTTPConnection{', ' * bool(parameters)}{parameters}) -> {node.type}:"
    return f'{head}\n    return connection.scope["state"]["{node.name}"]'


def _made(node: Node) -> str:
    return f"the_{node.name} = {_value(replace(node, needs=tuple(f'the_{name}' for name in node.needs)))}"


def _opening(graph: Graph) -> str:
    """Write the calls out: one generator is entered by `async with`, several by a stack."""
    stacked = graph.generators > 1
    lines = ["async with AsyncExitStack() as stack:"] if stacked else []
    depth = len(lines)
    for node in graph.living("request"):
        call = f"{node.name}({', '.join(f'the_{name}' for name in node.needs)})"
        if node.form == "coroutine":
            line = f"the_{node.name} = await {call}"
        elif stacked:
            line = f"the_{node.name} = await stack.enter_async_context(open_{call})"
        else:
            line = f"async with open_{call} as the_{node.name}:"
        lines.append(indent(line, "    " * depth))
        depth += line.endswith(":")
    return "\n".join([*lines, indent(f"return the_{graph.root.name}.weight", "    " * depth)])
