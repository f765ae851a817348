"""Lifetimes for FastAPI's `Depends`, and the parts every service needs.

The `Depends` chain is the wiring: `scope.application`, `scope.request` and `scope.function` say how long a thing lives,
`provided` says who gives it, `lifespan` opens and closes what lives long. The components (`heykit.config`, `.database`,
`.cache`, `.security`, `.resources`) know neither FastAPI nor each other and are usable alone.
"""

from __future__ import annotations

from heykit._lazy import front_door

TYPE_CHECKING = False  # as `typing` calls it; type checkers go by the name
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
    _find, __dir__ = front_door(
        __name__,
        {
            "heykit.compiled": "CompiledRoute",
            "heykit.errors": "HeykitError",
            "heykit.lifetime": "lifespan lifespan_with opened request_scope",
            "heykit.scope": "Provider provided scope",
        },
    )

    # The front door is lazy: a component alone loads neither FastAPI nor a driver.
    def __getattr__(name: str) -> object:
        if name != "__version__":
            return _find(name)
        from importlib import metadata

        try:
            return metadata.version("heykit")
        except metadata.PackageNotFoundError:
            raise AttributeError("a copy of heykit that was never installed has no version") from None


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
