"""Front doors that load nothing: a package's public names, each found in its module when it is first asked for."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` calls so, without loading `typing`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def front_door(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Make the `__getattr__` (PEP 562) of a package, given the public names of each module, separated by spaces.

    A module stands for itself where the name is its own. What was found once is a plain attribute of the package.
    """
    home = {name: module for module, each in names.items() for name in each.split()}

    def find(name: str) -> object:
        from importlib import import_module

        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(home[name])
        found = module if home[name] == f"{package}.{name}" else getattr(module, name)
        setattr(import_module(package), name, found)
        return found

    return find
