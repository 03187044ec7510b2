"""What the build cache may keep in the long run (daemon.json: `builder.gc`), worked out for a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid
from nakagin.spec.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.build.cleanup import Limits

_GB = 10**9


class Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One rule: sizes as "20GB" or "10%" of the disk; `filter` as of `builder prune` ("unused-for=48h")."""

    all: bool = False
    filter: tuple[str, ...] = ()
    keep_storage: str = ""
    """What `reserved_space` was called before."""
    reserved_space: str = ""
    max_used_space: str = ""
    min_free_space: str = ""

    def filters(self) -> dict[str, list[str]]:
        """`filter` by name. Raises Invalid."""
        found: dict[str, list[str]] = {}
        for word in self.filter:
            name, mark, value = word.replace("==", "=").partition("=")
            if not mark:
                raise Invalid(f"builder.gc: invalid filter {word!r}", hint="as in unused-for=48h")
            found.setdefault(name, []).append(value)
        return found


class Collection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`builder.gc`: the rules, or the sizes of the one that there is without any."""

    enabled: bool = True
    policy: tuple[Rule, ...] = ()
    default_keep_storage: str = ""
    default_reserved_space: str = ""
    default_max_used_space: str = ""
    default_min_free_space: str = ""

    def check(self) -> None:
        """Invalid for sizes and filters that are none. Imports nothing: settings are read before all else."""
        reserved, most = self.default_reserved_space, self.default_max_used_space
        for text in (self.default_keep_storage, reserved, most, self.default_min_free_space):
            _size(text, 1)
        for rule in self.policy:
            rule.filters()
            for text in (rule.keep_storage, rule.reserved_space, rule.max_used_space, rule.min_free_space):
                _size(text, 1)

    def limits(self, disk: int) -> Sequence[Limits]:
        """What is pruned by, one after the other, on a disk of so many bytes. Raises Invalid."""
        from nakagin.build.cleanup import Limits

        if not self.enabled:
            return ()
        if self.policy:
            return [_limits(rule, disk) for rule in self.policy]
        reserved = self.default_reserved_space or self.default_keep_storage
        return [
            Limits(
                reserved=_size(reserved, disk) if reserved else min(disk // 10, 10 * _GB),
                most=_size(self.default_max_used_space, disk) or min(disk * 4 // 5, 100 * _GB),
                free=_size(self.default_min_free_space, disk) or disk // 5,
            )
        ]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key `builder` of daemon.json."""

    gc: Collection = Collection()
    entitlements: dict[str, bool] = {}
    """Taken, and without effect here: a build asks for what it is allowed."""


def _limits(rule: Rule, disk: int) -> Limits:
    from nakagin.build.cleanup import limits_of

    return limits_of(
        rule.filters(),
        all=rule.all,
        reserved=_size(rule.reserved_space or rule.keep_storage, disk),
        most=_size(rule.max_used_space, disk),
        free=_size(rule.min_free_space, disk),
    )


def _size(text: str, disk: int) -> int:
    if text.endswith("%") and text[:-1].isdecimal():
        return disk * min(int(text[:-1]), 100) // 100
    return parse_size(text) if text else 0
