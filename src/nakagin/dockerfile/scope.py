"""Which variables an instruction sees: global arguments, a stage's arguments, and its environment.

build arguments, platforms ─► global scope (FROM lines) ─► stage scope: ARG, ENV (ENV wins over ARG)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.dockerfile.fill import fill
from nakagin.dockerfile.instructions import Arg, Env

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROXIES = frozenset(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)
"""Build arguments that need no ARG: RUN sees them, the history and the cache do not."""


class Globals:
    """The arguments before the first FROM. `platform` has TARGETPLATFORM and its kin."""

    def __init__(
        self,
        arguments: Iterable[Arg],
        given: Mapping[str, str],
        platform: Mapping[str, str],
        escape: str = "\\",
    ) -> None:
        self.given = given
        self.escape = escape
        self.consumed: set[str] = set()
        """Names of build arguments that some ARG declared."""
        self.values: dict[str, str] = dict(platform)
        for argument in arguments:
            filled, _ = fill(argument, self.values, escape)
            for name, default in filled.arguments:
                value = self.override(name, default)
                if value is not None:
                    self.values[name] = value

    def override(self, name: str, default: str | None) -> str | None:
        """The value of a declared argument: what the build was given, or its default."""
        if name in self.given:
            self.consumed.add(name)
            return self.given[name]
        return default

    def unused(self) -> frozenset[str]:
        """Build arguments that no ARG declared so far; proxies need none."""
        return frozenset(self.given) - self.consumed - PROXIES


class Scope:
    """The variables within one stage, from its base image (or stage) on."""

    def __init__(
        self, outer: Globals, environment: Mapping[str, str], arguments: Mapping[str, str | None] = {}
    ) -> None:
        self.outer = outer
        self.environment = dict(environment)
        self.arguments = dict(arguments)

    @property
    def variables(self) -> dict[str, str]:
        """What expansion sees: arguments that have a value, environment over them."""
        set_arguments = {name: value for name, value in self.arguments.items() if value is not None}
        return {**set_arguments, **self.environment}

    @property
    def declared(self) -> frozenset[str]:
        """Every name that an ARG or ENV brought, also without a value."""
        return frozenset(self.arguments) | frozenset(self.environment)

    def enter(self, instruction: Arg | Env) -> None:
        """What an already filled ARG or ENV adds."""
        if isinstance(instruction, Env):
            self.environment.update(instruction.pairs)
            return
        for name, default in instruction.arguments:
            value = self.outer.override(name, default)
            self.arguments[name] = self.outer.values.get(name) if value is None else value

    def proxies(self) -> dict[str, str]:
        """The proxy settings that RUN sees though no ARG names them."""
        return {name: value for name, value in self.outer.given.items() if name in PROXIES}
