"""The flat table from method and path to handler."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from nakagin.api.call import Call

Handler = Callable[[Call], Coroutine[Any, Any, web.StreamResponse]]
Routes = Mapping[str, Handler]

#: Nouns whose names contain slashes: everything between the noun and the verb is the name.
_SLASHED = frozenset({"images", "distribution", "plugins"})


class Route(NamedTuple):
    """A handler, and whether it ends when its client goes (else it is carried through)."""

    handler: Handler
    follows_client: bool


class Table:
    """Finds handlers; keys are "GET /containers/*/json", where * stands for a name."""

    def __init__(self, *, deeds: Iterable[Routes], reads: Iterable[Routes]) -> None:
        """`deeds` are carried through when the client goes away, `reads` and streams end with it."""
        self._routes: dict[tuple[str, ...], Route] = {}
        for follows, group in ((False, deeds), (True, reads)):
            for key, handler in (item for routes in group for item in routes.items()):
                method, path = key.split()
                self._routes[method, *path.strip("/").split("/")] = Route(handler, follows)

    def find(self, method: str, path: str) -> tuple[Route, str] | None:
        """The route and the name in the path, or None."""
        parts = path.strip("/").split("/")
        routes = self._routes
        route = routes.get((method, *parts))
        if route is not None:
            return route, ""
        if len(parts) < 2:
            return None
        noun = parts[0]
        if noun in _SLASHED:
            if len(parts) > 2 and (route := routes.get((method, noun, "*", parts[-1]))):
                return route, "/".join(parts[1:-1])
            route = routes.get((method, noun, "*"))
            return (route, "/".join(parts[1:])) if route else None
        route = routes.get((method, noun, "*", *parts[2:]))
        return (route, parts[1]) if route else None
