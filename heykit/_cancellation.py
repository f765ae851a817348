"""Cancellation as anyio has it, asked after at less cost: a request asks several times.

Where anyio keeps its scopes is its own affair. Only reading is done here, and where nothing is found there, the answer
is the one that costs more and is right as well.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Mapping
from typing import Any, Final, cast

from anyio import CancelScope

_MOVED: Final = (AttributeError, ImportError, RuntimeError)  # what looking where anyio keeps nothing comes to


def cleanup_scope() -> CancelScope | None:
    """Make the scope that shields a request's clean-up, where anyio could cancel it: not outside all its scopes."""
    try:
        return None if _innermost() is None else _scope_on_asyncio()()
    except _MOVED:
        return CancelScope()


@functools.cache
def nobodys_scope() -> CancelScope:
    """Give a scope that is never entered: shielding it does nothing."""
    return CancelScope()


def may_be_pending() -> bool:
    """Tell whether `checkpoint_if_cancelled` could have something to raise."""
    try:
        scope = _innermost()
        while scope is not None:
            if scope.cancel_called:
                return True
            if scope.shield:
                return False
            scope = scope._parent_scope  # noqa: SLF001 - see above
    except _MOVED:
        return True
    return False


def _innermost() -> Any:
    state = _states().get(asyncio.current_task())
    return None if state is None else state.cancel_scope


@functools.cache
def _states() -> Mapping[object, Any]:
    return cast("Mapping[object, Any]", importlib.import_module("anyio._backends._asyncio")._task_states)  # noqa: SLF001 - see above


@functools.cache
def _scope_on_asyncio() -> type[CancelScope]:
    # `CancelScope()` finds out each time which event loop runs, which costs as much again; it makes one class of them.
    return type(CancelScope())
