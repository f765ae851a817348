"""Settings from environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping

from heykit.config.mask import masked
from heykit.config.naming import Naming, Unknown
from heykit.config.protocol import Key, Layer, OpenSource
from heykit.config.variables import Variables


def environment(
    prefix: str, *, separator: str = "__", unknown: Unknown = "warn", variables: Mapping[str, str] | None = None
) -> OpenSource:
    """Take settings from variables like `HEYGEN_DATABASE__URL`, read when settings are loaded.

    A variable is the prefix and the key in capitals, its parts joined by `separator`. Text is converted to the
    setting's type: true/false/1/0/yes/no/on/off; lists as a JSON array or separated by commas; tables, and
    whole sections by their own name, as a JSON object, laid key by key over that of an earlier source; empty text is
    None where None is allowed. `HEYGEN_HOSTS__0` is one item, laid over the list of an earlier source, and
    `HEYGEN_LIMITS__CPU` the entry `cpu` of a table, however an earlier source writes its letters.

    A variable under the prefix that nearly spells a setting, or in another case, is a fault. One that resembles none,
    or that Kubernetes sets for a service, follows `unknown`: "warn" logs its name to the logger `heykit.config`, once
    for this source. With an empty prefix every other variable belongs to others and nothing is reported. `variables`
    takes the place of the process's environment.
    """
    return _Environment(Variables(Naming(prefix, separator, unknown)), variables)


class _Environment:
    def __init__(self, reader: Variables, variables: Mapping[str, str] | None) -> None:
        self._reader, self._variables = reader, variables

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        names = self._reader.names(keys)
        return self._reader.layer(names, self._texts(), masked)

    def read_all(self) -> Layer:
        return self._reader.everything(self._texts(), masked)

    def _texts(self) -> Mapping[str, str]:
        return os.environ if self._variables is None else self._variables
