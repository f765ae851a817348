"""Configuration that explains itself: nested frozen dataclasses, read from files, variables and mappings.

    @dataclass(frozen=True)
    class Database:
        url: str
        max_connections: Annotated[int, Between(1, 100)] = 20

    @dataclass(frozen=True)
    class Settings:
        database: Database
        secret_key: Annotated[Secret[str], MinLength(32)]

    settings = load(Settings, [toml_file("heygen.toml", required=False), environment("HEYGEN_")])

Later sources win, key by key; `HEYGEN_DATABASE__URL` sets `database.url`. `load` raises one `ConfigError` with every
fault at once, each with its key, what was expected and where it stands (the variable, or file and line), and with the
nearest spelling of a misspelt name. `explain` gives the same settings with the origin of each. No secret and no user
info of a URL stands in any message, and no text that is named like a secret (`password`, `api_key`), whatever its type.

Settings are str, int, float, bool, Path, timedelta, `ByteSize`, `Url`, enumerations, `Literal`, unions and optionals,
`list[T]`, `tuple`, `dict[str, T]`, `Secret[T]` and frozen dataclasses. Rules are `Annotated` metadata: `Pattern`,
`MinLength`, `MaxLength`, `Between`, `OneOf`, or any function that takes the value and returns what it expected, or
None. Where a section needs rules over several fields, its `__post_init__` may raise `ValueError`. Defaults are not
judged by rules. A source of one's own is an object with `read`, which returns a `Layer`.
"""

from __future__ import annotations

from heykit._lazy import front_door

TYPE_CHECKING = False  # as `typing` calls it; type checkers go by the name
if TYPE_CHECKING:
    from heykit.config._dotenv import dotenv as dotenv
    from heykit.config._environment import environment as environment
    from heykit.config._json_file import json_file as json_file
    from heykit.config._mapping import mapping as mapping
    from heykit.config._secrets_directory import secrets_directory as secrets_directory
    from heykit.config._toml_file import toml_file as toml_file
    from heykit.config._yaml_file import yaml_file as yaml_file
    from heykit.config.dynamic import Config as Config
    from heykit.config.dynamic import read as read
    from heykit.config.explaining import Entry as Entry
    from heykit.config.explaining import Loaded as Loaded
    from heykit.config.explaining import explain as explain
    from heykit.config.loading import load as load
    from heykit.config.protocol import Key as Key
    from heykit.config.protocol import Layer as Layer
    from heykit.config.protocol import Source as Source
    from heykit.config.protocol import Text as Text
    from heykit.config.protocol import Trail as Trail
    from heykit.config.rules import Between as Between
    from heykit.config.rules import MaxLength as MaxLength
    from heykit.config.rules import MinLength as MinLength
    from heykit.config.rules import OneOf as OneOf
    from heykit.config.rules import Pattern as Pattern
    from heykit.config.secret import Secret as Secret
    from heykit.config.sizes import ByteSize as ByteSize
    from heykit.config.urls import Url as Url
    from heykit.config.watching import watch as watch
    from heykit.errors import ConfigError as ConfigError
    from heykit.errors import ConfigFault as ConfigFault
else:
    __getattr__, __dir__ = front_door(
        __name__,
        {
            "heykit.config._dotenv": "dotenv",
            "heykit.config._environment": "environment",
            "heykit.config._json_file": "json_file",
            "heykit.config._mapping": "mapping",
            "heykit.config._secrets_directory": "secrets_directory",
            "heykit.config._toml_file": "toml_file",
            "heykit.config._yaml_file": "yaml_file",
            "heykit.config.dynamic": "Config read",
            "heykit.config.explaining": "Entry Loaded explain",
            "heykit.config.loading": "load",
            "heykit.config.protocol": "Key Layer Source Text Trail",
            "heykit.config.rules": "Between MaxLength MinLength OneOf Pattern",
            "heykit.config.secret": "Secret",
            "heykit.config.sizes": "ByteSize",
            "heykit.config.urls": "Url",
            "heykit.config.watching": "watch",
            "heykit.errors": "ConfigError ConfigFault",
        },
    )

__all__ = [
    "Between",
    "ByteSize",
    "Config",
    "ConfigError",
    "ConfigFault",
    "Entry",
    "Key",
    "Layer",
    "Loaded",
    "MaxLength",
    "MinLength",
    "OneOf",
    "Pattern",
    "Secret",
    "Source",
    "Text",
    "Trail",
    "Url",
    "dotenv",
    "environment",
    "explain",
    "json_file",
    "load",
    "mapping",
    "read",
    "secrets_directory",
    "toml_file",
    "watch",
    "yaml_file",
]
