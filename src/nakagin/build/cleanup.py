"""What the build cache takes on the disk, and getting rid of it: `system df`, `builder prune`, a disk that runs full.

The cache has results of steps (layers, which images may have too), the folders of `RUN --mount=type=cache`, and
contexts of folders that were built.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid
from nakagin.images.filters import until
from nakagin.images.model import moment, timestamp
from nakagin.images.space import parts_of
from nakagin.storage.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nakagin.build.builder import Builder
    from nakagin.build.cache import Made
    from nakagin.build.kept import KeptContext
    from nakagin.build.mounting import CacheFolder

REGULAR, MOUNT, LOCAL = "regular", "exec.cachemount", "source.local"
"""The types of things in the cache, as BuildKit calls them."""

_FIELDS = ("id", "parent", "type", "description", "inuse", "shared", "private", "label")


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the cache. Times are RFC 3339 in UTC. What is `shared` with an image (or another result) is on
    the disk anyway: removing it from the cache frees nothing."""

    id: str
    type: str
    description: str
    size: int
    shared: bool = False
    in_use: bool = False
    created: str = ""
    used: str = ""
    uses: int = 0

    def document(self) -> dict[str, object]:
        """Docker's BuildCache."""
        return {
            "ID": self.id,
            "Type": self.type,
            "Description": self.description,
            "InUse": self.in_use,
            "Shared": self.shared,
            "Size": self.size,
            "CreatedAt": self.created,
            "LastUsedAt": self.used,
            "UsageCount": self.uses,
        }


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune leaves: what was used after `unused_since` (seconds since the epoch), and so many bytes.

    Without `all`, what an image has too stays in the cache.
    """

    all: bool = False
    unused_since: float = math.inf
    reserved: int = 0
    most: int = 0
    free: int = 0
    matching: Mapping[str, str] = {}

    def keep_bytes(self, total: int, free: int) -> int:
        """How many of `total` bytes may stay while the disk has `free` ones (as BuildKit works it out)."""
        if not (self.reserved or self.most or self.free):
            return 0
        keep = self.most
        if (lacking := self.free - free) > 0:
            keep = min(keep, total - lacking) if keep else total - lacking
        return max(keep, self.reserved)

    def concern(self, stored: Stored) -> bool:
        """Whether the thing may go."""
        if stored.in_use or (stored.shared and not self.all):
            return False
        return self.fit(stored)

    def fit(self, stored: Stored) -> bool:
        """Whether the thing is what the filters name."""
        if moment(stored.used).timestamp() > self.unused_since:
            return False
        return all(_fits(stored, field, value) for field, value in self.matching.items())


def limits_of(
    filters: Mapping[str, Sequence[str]],
    *,
    all: bool = False,
    reserved: int = 0,
    most: int = 0,
    free: int = 0,
) -> Limits:
    """The limits of Docker's filters of a cache prune; the rest as in Limits. Raises Invalid."""
    ages = [value for name in ("until", "unused-for") for value in filters.get(name, ())]
    if len(ages) > 1:
        raise Invalid("conflicting filters: until and unused-for mean the same, once")
    matching = {}
    for name, values in filters.items():
        if name in ("until", "unused-for", "label!"):
            continue
        if name not in _FIELDS:
            raise Invalid(
                f"invalid filter '{name}'", hint=f"known are until, unused-for, {', '.join(_FIELDS)}"
            )
        if len(values) > 1:
            raise Invalid(f"filter {name!r} expects only one value")
        matching[name] = values[0] if values else "true"
    unused_since = until(ages[0]) if ages else math.inf
    return Limits(
        all=all, unused_since=unused_since, reserved=reserved, most=most, free=free, matching=matching
    )


def _fits(stored: Stored, field: str, value: str) -> bool:
    match field:
        case "id":
            return stored.id.startswith(value)
        case "type":
            return stored.type == value
        case "description":
            return stored.description == value
        case "inuse":
            return stored.in_use == _truth(value)
        case "shared":
            return stored.shared == _truth(value)
        case "private":
            return stored.shared != _truth(value)
        case _:
            return False  # results know neither their parents nor labels


def _truth(value: str) -> bool:
    return value.lower() in ("true", "1")


# --- What is there


def stored(builder: Builder) -> list[Stored]:
    """Everything in the cache in the order in which it may go: the least recently used first, and no result before
    those that stand on it. Long: it walks the cache folders."""
    results = _results(builder)
    order = {result.id: place for place, result in results}
    folders, contexts = map(_folder, builder.folders.all()), map(_context, builder.contexts.all())
    found = [*(result for _, result in results), *folders, *contexts]
    return sorted(found, key=lambda each: order.get(each.id, (each.used, 0)))


def _results(builder: Builder) -> list[tuple[tuple[str, int], Stored]]:
    """The results with layers, each with what orders them. Every part of the disk counts once: for the lowest result
    that needs it, and not at all where an image has it."""
    layers, sizes = builder.images.layers, builder.images.part_sizes()
    seen = {part for image in builder.images.list() for part in parts_of(image)}
    busy = builder.images.under_way()
    stacks = {
        made: [layer.chain_id for layer in layers.stack(made.chain)] if layers.exists(made.chain) else []
        for made in builder.cache.all()
        if made.layer is not None
    }
    lasts: dict[str, str] = {}
    for made, stack in stacks.items():
        for chain in stack:
            lasts[chain] = max(lasts.get(chain, ""), made.used)
    found = []
    for made, stack in sorted(stacks.items(), key=lambda each: len(each[1])):
        parts = {*_parts(made), *(f"layer {chain}" for chain in stack)}
        own = parts - seen
        seen |= own
        result = Stored(
            id=made.key, type=REGULAR, description=made.text, shared=not own, in_use=made.chain in busy,
            size=sum(sizes.get(part, 0) for part in own or _parts(made)),
            created=made.created, used=made.used, uses=made.uses,
        )  # fmt: skip
        found.append(((lasts.get(made.chain, made.used), -len(stack)), result))
    return found


def _parts(made: Made) -> tuple[str, str]:
    """What a result itself has on the disk, by the names of `space.parts_of`."""
    return made.layer.digest if made.layer else "", f"layer {made.chain}"


def _folder(folder: CacheFolder) -> Stored:
    return Stored(
        id=folder.name, type=MOUNT, description=f"cached mount {folder.id}", size=disk_usage(folder.path),
        in_use=folder.in_use, created=folder.created, used=folder.used,
    )  # fmt: skip


def _context(context: KeptContext) -> Stored:
    return Stored(
        id=context.name, type=LOCAL, description="local source for context", size=context.size,
        in_use=context.in_use, created=timestamp(context.used), used=timestamp(context.used),
    )  # fmt: skip


def own_size(things: Iterable[Stored]) -> int:
    """The bytes that only the cache takes."""
    return sum(each.size for each in things if not each.shared)


# --- Getting rid of it


def prune(builder: Builder, limits: Limits) -> tuple[list[str], int]:
    """Remove what the limits do not spare, the least recently used first; (ids, bytes freed). Long."""
    there = stored(builder)
    total = own_size(there)
    space = os.statvfs(builder.temporary)
    keep = limits.keep_bytes(total, space.f_bavail * space.f_frsize)
    gone: list[Stored] = []
    for each in there:
        if limits.concern(each) and (not keep or total > keep):
            gone.append(each)
            total -= 0 if each.shared else each.size
    return [each.id for each in gone], _remove(builder, gone, everything=limits.all and not limits.matching)


def _remove(builder: Builder, gone: Sequence[Stored], *, everything: bool) -> int:
    before = builder.images.disk_usage()
    builder.cache.forget(each.id for each in gone if each.type == REGULAR)
    if everything:
        builder.cache.forget_layerless()
    for each in gone:
        if each.type == MOUNT:
            builder.folders.remove(each.id)
        elif each.type == LOCAL:
            builder.contexts.remove(each.id)
    builder.images.collect()
    builder.cache.forget_layerless(lost=True)
    freed = before - builder.images.disk_usage()
    return freed + sum(each.size for each in gone if each.type != REGULAR)


def make_room(builder: Builder, is_enough: Callable[[], bool]) -> list[str]:
    """Remove what is not in use, the least recently used first, until there is room enough; the ids. Long."""
    gone = []
    for each in stored(builder):
        if is_enough():
            break
        if Limits().concern(each):
            _remove(builder, [each], everything=False)
            gone.append(each.id)
    return gone
