"""Settings from a YAML file."""

from __future__ import annotations

from pathlib import Path

from heykit.config.files import Broken, File, Lines
from heykit.config.protocol import OpenSource


def yaml_file(path: str | Path, *, required: bool = True) -> OpenSource:
    """Take settings from one YAML document (1.2, core schema: `no` and `on` are text); it needs the extra `yaml`.

    Anchors, aliases and `<<` are read, tags of others and keys that stand twice are faults. A file that is missing is a
    fault if `required`. Raises ImportError where PyYAML is not installed.
    """
    from importlib.util import find_spec

    if find_spec("yaml") is None:
        raise ImportError("yaml_file needs PyYAML: pip install 'heykit[yaml]'", name="yaml")
    return File(path, required=required, format="YAML", parse=parse, locate=_locate)


def parse(text: str) -> object:
    """Read YAML, or say where it is broken."""
    from heykit.config.yaml_nodes import read

    found = read(text)
    return found if isinstance(found, Broken) else found[0]


def _locate(text: str) -> Lines:
    from heykit.config.yaml_nodes import read

    found = read(text)
    return {} if isinstance(found, Broken) else found[1]
