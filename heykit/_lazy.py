"""Front doors that load nothing: a package's public names, each found in its module when it is first asked for."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # what `typing` calls so, without loading `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def front_door(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` (PEP 562) of a package from each module's public names, divided by spaces.

    A module stands for itself where the name is its own. What was found once is a plain attribute of the package.
    """
    home = {name: module for module, each in names.items() for name in each.split()}

    def find(name: str) -> object:
        from importlib import import_module

        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(home[name])
        found = module if home[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, found)
        return found

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return find, listed
