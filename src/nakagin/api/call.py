"""One request as the handlers see it: name, API version, query values in Docker's lenient forms, the body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from nakagin.errors import Invalid
from nakagin.spec import gojson

if TYPE_CHECKING:
    from nakagin.api.scope import Scope
    from nakagin.engine import Engine

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")
Filters = dict[str, list[str]]

#: The largest JSON body; archives are streamed and have no limit.
BODY_LIMIT = 16 << 20
CHUNK = 1 << 18

# The loop holds tasks only weakly; these must not be lost when their client is.
_deeds: set[asyncio.Future[Any]] = set()

_FALSE = frozenset({"", "0", "no", "false", "none"})
_filters_decoder = msgspec.json.Decoder(dict[str, list[str] | dict[str, bool]])


class Call:
    """A request to one handler; `name` is the variable part of the path, `version` as (major, minor).

    `scope` is the socket's, if it has one, and `forced` are the filters that it adds to the client's.
    `begun` is set when a part of the answer is out, after which no other can be given.
    """

    __slots__ = ("begun", "engine", "forced", "name", "query", "request", "scope", "version")

    def __init__(self, engine: Engine, request: web.BaseRequest, name: str, version: tuple[int, int]) -> None:
        self.engine = engine
        self.request = request
        self.name = name
        self.version = version
        self.query = request.query
        self.begun = False
        self.scope: Scope | None = None
        self.forced: Filters = {}

    def text(self, key: str, default: str = "") -> str:
        """A query value as it is."""
        value = self.query.get(key, default)
        return value or default

    def texts(self, key: str) -> list[str]:
        """All non-empty values of a query key that may be repeated."""
        return [value for value in self.query.getall(key, ()) if value]

    def flag(self, key: str, default: bool = False) -> bool:
        """A query value as Docker reads booleans: anything but "", 0, no, false and none is true."""
        value = self.query.get(key)
        return default if value is None else value.strip().lower() not in _FALSE

    def number(self, key: str, default: int | None = None) -> int | None:
        """A query value as an integer; raises Invalid, naming the key."""
        value = self.query.get(key)
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise Invalid(f'invalid value "{value}" for {key}: not a number') from None

    def required_number(self, key: str) -> int:
        """As `number`, but it must be there."""
        value = self.number(key)
        if value is None:
            raise Invalid(f"the query parameter {key} is missing")
        return value

    def moment(self, key: str) -> int | None:
        """A query value "seconds[.fraction]" since the epoch in nanoseconds; None when absent."""
        value = self.query.get(key)
        if not value:
            return None
        seconds, _, fraction = value.partition(".")
        try:
            return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
        except ValueError:
            raise Invalid(
                f'invalid value "{value}" for {key}', hint="give seconds since the epoch, as 1700000000.5"
            ) from None

    def filters(self) -> Filters:
        """The `filters` of a list: {"status": ["running"]} or Docker's {"status": {"running": true}}."""
        value = self.query.get("filters")
        if not value:
            return dict(self.forced)
        try:
            decoded = _filters_decoder.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid(f"invalid filters: {error}") from None
        found = {key: list(values) for key, values in decoded.items()}
        for key, values in self.forced.items():
            found[key] = [*found.get(key, ()), *values]
        return found

    async def body(self, kind: type[T]) -> T:
        """The JSON body as `kind`; an absent body is an empty object."""
        raw = await self.request.read()
        if raw and (given := self.request.content_type) not in (
            "application/json",
            "application/octet-stream",
        ):
            # aiohttp calls a missing Content-Type application/octet-stream; clients forget it.
            raise Invalid(f"unsupported Content-Type header ({given}): must be 'application/json'")
        return gojson.decode(raw, kind)

    async def document(self) -> dict[str, Any]:
        """The JSON body where it has no fixed form (`POST /commit` without a config sends none)."""
        raw = await self.request.read()
        try:
            decoded = msgspec.json.decode(raw) if raw else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid(f"invalid JSON: {error}") from None
        return decoded if isinstance(decoded, dict) else {}

    @property
    def upgrades(self) -> bool:
        """Whether the client asks for the connection to be upgraded to a raw one."""
        wanted = self.request.headers.get("Upgrade", "").lower()
        return "tcp" in wanted or "h2c" in wanted

    async def unbroken(self, deed: Coroutine[Any, Any, R]) -> R:
        """Await `deed`, which goes on to its end even if the client hangs up: nothing is left half done."""
        task = asyncio.ensure_future(deed)
        _deeds.add(task)
        task.add_done_callback(_deeds.discard)
        return await asyncio.shield(task)

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw body in pieces, for archives."""
        return self.request.content.iter_chunked(CHUNK)
