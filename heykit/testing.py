"""For tests of applications: fakes that behave like what they stand in for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from fastapi import FastAPI

from heykit._instances import Overrides
from heykit._provider import Provider
from heykit._standing_in import standing_in

__all__ = ["overridden"]


@contextmanager
def overridden(app: FastAPI, overrides: Overrides) -> Generator[None]:
    """Put overrides into an application before its lifespan, and take them out after.

    A plain callable over a provider lives as long as that provider would, and is opened once in that time: a route and
    what lies beneath it see the same object, also where the provider itself would be called for each set of scopes that
    is asked of the user. (Put in by hand, FastAPI calls it for each request and each place.)
    """
    before = dict(app.dependency_overrides)
    app.dependency_overrides.update(
        {key: standing_in(key, fake) if isinstance(key, Provider) else fake for key, fake in overrides.items()}
    )
    try:
        yield
    finally:
        app.dependency_overrides.clear()
        app.dependency_overrides.update(before)
