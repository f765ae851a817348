"""Routes whose chain of dependencies is resolved straight down a list."""

from __future__ import annotations

from fastapi.routing import APIRoute


def compiled(route_class: type[APIRoute]) -> type[APIRoute]:
    return route_class


CompiledRoute: type[APIRoute] = compiled(APIRoute)
