"""Lifetimes for FastAPI's `Depends`, and the parts every service needs.

The `Depends` chain is the wiring: `scope.application`, `scope.request` and `scope.function` say how long a thing lives,
`provided` says who gives it, `lifespan` opens and closes what lives long. The components (`heykit.config`, `.database`,
`.cache`, `.security`, `.resources`) know neither FastAPI nor each other and are usable alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heykit import scope as scope
    from heykit.compiled import CompiledRoute as CompiledRoute
    from heykit.errors import HeykitError as HeykitError
    from heykit.lifetime import lifespan as lifespan
    from heykit.lifetime import lifespan_with as lifespan_with
    from heykit.lifetime import opened as opened
    from heykit.lifetime import request_scope as request_scope
    from heykit.scope import Provider as Provider
    from heykit.scope import provided as provided

    __version__: str
else:
    # The front door is lazy: a component alone loads neither FastAPI nor a driver.
    def __getattr__(name: str) -> object:
        from contextlib import suppress
        from importlib import import_module, metadata

        home = {
            "scope": "scope",
            "CompiledRoute": "compiled",
            "HeykitError": "errors",
            "lifespan": "lifetime",
            "lifespan_with": "lifetime",
            "opened": "lifetime",
            "request_scope": "lifetime",
            "Provider": "scope",
            "provided": "scope",
        }
        if name == "__version__":
            with suppress(metadata.PackageNotFoundError):  # a copy that was never installed has no version
                return metadata.version("heykit")
        if name not in home:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"heykit.{home[name]}")
        return module if name == home[name] else getattr(module, name)


__all__ = [
    "CompiledRoute",
    "HeykitError",
    "Provider",
    "__version__",
    "lifespan",
    "lifespan_with",
    "opened",
    "provided",
    "request_scope",
    "scope",
]
