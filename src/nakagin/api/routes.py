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
    """A handler, whether it ends when its client goes (else it is carried through), and its key in the table."""

    handler: Handler
    follows_client: bool
    key: str


class Table:
    """Finds handlers; keys are "GET /containers/*/json", where * stands for a name."""

    def __init__(self, *, deeds: Iterable[Routes], reads: Iterable[Routes]) -> None:
        """`deeds` are carried through when the client goes away, `reads` and streams end with it."""
        self._routes: dict[tuple[str, ...], Route] = {}
        for follows, group in ((False, deeds), (True, reads)):
            for key, handler in (item for routes in group for item in routes.items()):
                method, path = key.split()
                self._routes[method, *path.strip("/").split("/")] = Route(handler, follows, key)

    def find(self, method: str, path: str) -> tuple[Route, str] | None:
        """The route and the name in the path, or None."""
        parts = path.strip("/").split("/")
        routes = self._routes
        route = routes.get((method, *parts))
        if route is not None:
            return route, ""
        # What Docker lacks lives below /nakagin, with the same nouns.
        head = (method, *parts[:2]) if parts[0] == "nakagin" else (method, parts[0])
        rest = parts[len(head) - 1 :]
        if not rest:
            return None
        if head[-1] in _SLASHED:
            if len(rest) > 1 and (route := routes.get((*head, "*", rest[-1]))):
                return route, "/".join(rest[:-1])
            route = routes.get((*head, "*"))
            return (route, "/".join(rest)) if route else None
        route = routes.get((*head, "*", *rest[1:]))
        if route is not None:
            return route, rest[0]
        # A link has two names: /container/alias.
        route = routes.get((*head, "*", "*")) if len(rest) == 2 else None
        return (route, "/".join(rest)) if route else None
