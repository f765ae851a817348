"""A graph as a picture: Mermaid for a page, DOT for Graphviz, the same text on every run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from heykit._graph import Graph, Use
from heykit._needs import Dependency, name_of
from heykit._provider import Provider

Form: TypeAlias = Literal["mermaid", "dot"]
Kind: TypeAlias = Literal["endpoint", "function", "request", "plain", "session", "keyed", "application", "singleton"]
Tie: TypeAlias = Literal["needs", "key", "fallback", "cycle"]


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of dependency is drawn: by title, by shape and by colour, so that no one of them is needed."""

    title: str
    meaning: str
    fill: str
    edge: str
    opens: str
    closes: str
    shape: str
    style: str = "filled"


# In the order in which a request meets them; each fill carries dark text in a light and in a dark page.
LOOKS: Final[Mapping[Kind, Look]] = MappingProxyType(
    {
        "endpoint": Look("endpoints", "a route", "#f6f8fa", "#57606a", "([", "])", "oval"),
        "plain": Look("plain functions", "called once a request", "#d8dee4", "#57606a", "[", "]", "box"),
        "function": Look("function", "closed before the response", "#ffd8a8", "#b35900", "{{", "}}", "hexagon"),
        "request": Look(
            "request", "closed after the response", "#fff3a3", "#8a6d00", "(", ")", "box", "filled,rounded"
        ),
        "session": Look("session", "one a user session", "#c3e6b5", "#2f7d32", "[/", "/]", "note"),
        "keyed": Look("keyed", "one a key", "#a8e0d8", "#00796b", "[[", "]]", "component"),
        "application": Look("application", "one an application", "#a9cdf5", "#1f5fae", "[(", ")]", "cylinder"),
        "singleton": Look("singleton", "one an event loop", "#d5c1f2", "#6b3fb5", "[/", "\\]", "octagon"),
    }
)
INK: Final = "#1a1a1a"
RED: Final = "#d1242f"
GREY: Final = "#767676"  # as readable on white as on black


def draw(graph: Graph, form: Form = "mermaid") -> str:
    """Draw every dependency, and the endpoints that name them, each pointing to what it needs.

    Lifetimes stand in boxes of their own, cycles in red. `form` is "mermaid" (above 500 arrows it wants a larger
    `maxEdges`) or "dot". Raises `ValueError` for another form.
    """
    if form not in FORMS:
        raise ValueError(f"form= is one of {', '.join(FORMS)}: not {form!r}")
    return "\n".join([*FORMS[form](_picture_of(graph)), ""])


@dataclass(frozen=True, slots=True)
class Box:
    """One dependency or endpoint."""

    id: str
    label: str
    note: str
    kind: Kind
    in_cycle: bool


@dataclass(frozen=True, slots=True)
class Arrow:
    """From what needs to what is needed."""

    start: str
    end: str
    tie: Tie


@dataclass(frozen=True, slots=True)
class Picture:
    """What both forms draw."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @property
    def groups(self) -> Mapping[Kind, Sequence[Box]]:
        found: dict[Kind, list[Box]] = {}
        for box in self.boxes:
            found.setdefault(box.kind, []).append(box)
        return found


# ------------------------------------------------------------------------------------------------- what is to be drawn


def _picture_of(graph: Graph) -> Picture:
    kinds = _kinds(graph)
    labels = _labels(kinds)
    targets = sorted(kinds, key=lambda target: (list(LOOKS).index(kinds[target]), labels[target]))
    ids = _ids(targets, kinds, labels)
    loops = _loops({target: [use.target for use in node.uses] for target, node in graph.nodes.items()})
    notes = _notes(graph)
    boxes = tuple(
        Box(ids[target], labels[target], notes.get(target, ""), kinds[target], target in loops) for target in targets
    )
    order = {box.id: at for at, box in enumerate(boxes)}
    arrows = dict.fromkeys(Arrow(ids[start], ids[end], tie) for start, end, tie in _ties(graph, loops))
    return Picture(boxes, tuple(sorted(arrows, key=lambda arrow: (order[arrow.start], order[arrow.end], arrow.tie))))


def _kinds(graph: Graph) -> dict[Dependency, Kind]:
    """Sort into lifetimes; a plain function that stands in for a provider has that provider's."""
    kinds: dict[Dependency, Kind] = {use.holder: "endpoint" for use in graph.entries}
    for target in graph.nodes:
        kinds[target] = target.lifetime if isinstance(target, Provider) else "plain"
    kinds.update((use.target, use.lives) for use in graph.uses() if use.lives != "call")
    return kinds


def _notes(graph: Graph) -> dict[Dependency, str]:
    replaced: dict[Dependency, dict[str, None]] = defaultdict(dict)
    for use in graph.uses():
        if use.replaced is not None:
            replaced[use.target][name_of(use.replaced)] = None
    return {target: f"instead of {', '.join(sorted(names))}" for target, names in replaced.items()}


def _ties(graph: Graph, loops: Mapping[Dependency, int]) -> Iterator[tuple[Dependency, Dependency, Tie]]:
    for use in graph.entries:
        yield use.holder, use.target, "needs"
    for holder, node in graph.nodes.items():
        for use in node.uses:
            in_loop = holder in loops and loops[holder] == loops.get(use.target)
            yield holder, use.target, "cycle" if in_loop else "key" if _is_key(use) else "needs"
        if node.fallback is not None:
            yield holder, node.fallback.target, "fallback"


def _is_key(use: Use) -> bool:
    keyed = use.holder.options.keyed if isinstance(use.holder, Provider) else None
    return keyed is not None and not use.parameter


def _labels(targets: Collection[Dependency]) -> dict[Dependency, str]:
    """Give each a name of its own: its module's before it where several modules have it, and a number after that."""
    homes: dict[str, set[str]] = defaultdict(set)
    for target in targets:
        homes[name_of(target)].add(target.__module__)
    full = {target: _qualified(target, homes[name_of(target)]) for target in targets}
    return dict(zip(full, _numbered(full.values(), "#"), strict=True))


def _qualified(target: Dependency, homes: Collection[str]) -> str:
    return name_of(target) if len(homes) == 1 else f"{target.__module__}.{name_of(target)}"


def _ids(
    targets: Iterable[Dependency], kinds: Mapping[Dependency, Kind], labels: Mapping[Dependency, str]
) -> dict[Dependency, str]:
    """Make ids that a change elsewhere in the graph leaves as they are; the kind in front keeps keywords out."""
    wanted = {target: re.sub(r"[^0-9A-Za-z]+", "_", f"{kinds[target]}_{labels[target]}") for target in targets}
    return dict(zip(wanted, _numbered(wanted.values(), "_"), strict=True))


def _numbered(names: Iterable[str], mark: str) -> Iterator[str]:
    """Tell equal names apart: the second has a 2."""
    taken: set[str] = set()
    for name in names:
        unique, count = name, 1
        while unique in taken:
            count += 1
            unique = f"{name}{mark}{count}"
        taken.add(unique)
        yield unique


def _loops(needs: Mapping[Dependency, Iterable[Dependency]]) -> dict[Dependency, int]:
    """Number the circles: what waits for itself, directly or through others, with what is in the same circle.

    Kosaraju's algorithm: walked against the arrows, what finished last reaches exactly what it is reached from.
    """
    against: dict[Dependency, list[Dependency]] = {target: [] for target in needs}
    for target, beneath in needs.items():
        for found in beneath:
            against[found].append(target)
    seen: set[Dependency] = set()
    finished = [found for target in needs for found in _finishing(target, needs, seen)]
    seen = set()
    loops: dict[Dependency, int] = {}
    for number, target in enumerate(reversed(finished)):
        circle = list(_finishing(target, against, seen))
        if len(circle) > 1 or target in needs[target]:
            loops.update(dict.fromkeys(circle, number))
    return loops


def _finishing(
    start: Dependency, arrows: Mapping[Dependency, Iterable[Dependency]], seen: set[Dependency]
) -> Iterator[Dependency]:
    """Walk depth first over what was not seen before, and give each after what it points to."""
    waiting = [] if start in seen else [(start, iter(arrows[start]))]
    seen.add(start)
    while waiting:
        current, beneath = waiting[-1]
        fresh = next((found for found in beneath if found not in seen), None)
        if fresh is None:
            waiting.pop()
            yield current
        else:
            seen.add(fresh)
            waiting.append((fresh, iter(arrows[fresh])))


# ------------------------------------------------------------------------------------------------------------- Mermaid


_LINES: Final[Mapping[Tie, str]] = MappingProxyType(
    {"needs": "-->", "key": "-. key .->", "fallback": "-. fallback .->", "cycle": "== cycle ==>"}
)


def _mermaid(picture: Picture) -> Iterator[str]:
    yield '%%{init: {"flowchart": {"nodeSpacing": 14, "rankSpacing": 50, "subGraphTitleMargin": {"bottom": 12}}}}%%'
    yield "flowchart LR"
    for kind, boxes in picture.groups.items():
        yield from _mermaid_group(kind, LOOKS[kind].title, map(_mermaid_box, boxes))
    yield from (f"  {arrow.start} {_LINES[arrow.tie]} {arrow.end}" for arrow in picture.arrows)
    legend = [f"legend_{kind}{_mermaid_shape(kind, _legend(kind, '<br/>'))}:::{kind}" for kind in picture.groups]
    yield from _mermaid_group("legend", "legend", ["direction LR", *legend])
    for kind in picture.groups:
        look = LOOKS[kind]
        yield f"  classDef {kind} fill:{look.fill},stroke:{look.edge},color:{INK}"
    yield f"  classDef group fill:none,stroke:{GREY},stroke-dasharray:4 3"
    red = [str(at) for at, arrow in enumerate(picture.arrows) if arrow.tie == "cycle"]
    if red:
        yield f"  classDef cycle stroke:{RED},stroke-width:4px"
        yield f"  class {','.join(box.id for box in picture.boxes if box.in_cycle)} cycle"
        yield f"  linkStyle {','.join(red)} stroke:{RED},stroke-width:3px"


def _mermaid_group(name: str, title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f'  subgraph in_{name}["{title}"]'
    yield from (f"    {line}" for line in lines)
    yield "  end"
    yield f"  class in_{name} group"


def _mermaid_box(box: Box) -> str:
    label = _mermaid_text(box.label)
    if box.note:
        label += f"<br/>{_mermaid_text(box.note)}"
    return f"{box.id}{_mermaid_shape(box.kind, label)}:::{box.kind}"


def _mermaid_shape(kind: Kind, label: str) -> str:
    return f'{LOOKS[kind].opens}"{label}"{LOOKS[kind].closes}'


def _mermaid_text(text: str) -> str:
    """Write what could be Mermaid's, Markdown's or HTML's own as a number: `#` begins an entity."""
    return re.sub(r"[^\w. ,]", lambda found: f"#{ord(found[0])};", _visible(text))


# ----------------------------------------------------------------------------------------------------------------- DOT


_EDGES: Final[Mapping[Tie, str]] = MappingProxyType(
    {
        "needs": "",
        "key": ' [label="key", style=dashed]',
        "fallback": ' [label="fallback", style=dashed]',
        "cycle": f' [label="cycle", color="{RED}", fontcolor="{RED}", penwidth=3]',
    }
)


_BREAK: Final = "\\n"


def _dot(picture: Picture) -> Iterator[str]:
    yield "digraph wiring {"
    yield '  graph [rankdir=LR, bgcolor="transparent", fontname="sans-serif", nodesep=0.15, ranksep=0.9]'
    yield f'  node [style=filled, fontname="sans-serif", fontcolor="{INK}", height=0.35, margin="0.12,0.05"]'
    yield f'  edge [color="{GREY}", fontcolor="{GREY}", fontname="sans-serif", fontsize=11]'
    for kind, boxes in picture.groups.items():
        yield from _dot_group(kind, boxes)
    yield from (f"  {arrow.start} -> {arrow.end}{_EDGES[arrow.tie]}" for arrow in picture.arrows)
    yield from _dot_legend(picture)
    yield "}"


def _dot_group(kind: Kind, boxes: Iterable[Box]) -> Iterator[str]:
    yield f"  subgraph cluster_{kind} {{"
    yield f'    graph [label="{LOOKS[kind].title}", fontcolor="{GREY}", color="{GREY}", style=dashed]'
    yield f"    node [{_dot_look(kind)}]"
    for box in boxes:
        label = _dot_text(box.label) + (_BREAK + _dot_text(box.note) if box.note else "")
        red = f', color="{RED}", penwidth=4' if box.in_cycle else ""
        yield f'    {box.id} [label="{label}"{red}]'
    yield "  }"


def _dot_legend(picture: Picture) -> Iterator[str]:
    yield "  subgraph cluster_legend {"
    yield f'    graph [label="legend", fontcolor="{GREY}", color="{GREY}", style=dashed]'
    for kind in picture.groups:
        yield f'    legend_{kind} [label="{_legend(kind, _BREAK)}", {_dot_look(kind)}]'
    yield "  }"


def _dot_look(kind: Kind) -> str:
    look = LOOKS[kind]
    return f'shape={look.shape}, style="{look.style}", fillcolor="{look.fill}", color="{look.edge}"'


def _dot_text(text: str) -> str:
    """Write what could be DOT's own so that it stands for itself: Graphviz reads HTML's entities in every label."""
    return _visible(text).translate(_DOT_ESCAPES)


_DOT_ESCAPES: Final = str.maketrans({"&": "&amp;", '"': r"\"", "\\": r"\\"})


# ------------------------------------------------------------------------------------------------------------ for both


FORMS: Final[Mapping[Form, Callable[[Picture], Iterator[str]]]] = MappingProxyType({"mermaid": _mermaid, "dot": _dot})


def _visible(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split()) or "?"


def _legend(kind: Kind, line_break: str) -> str:
    return f"{LOOKS[kind].title}{line_break}{LOOKS[kind].meaning}"
