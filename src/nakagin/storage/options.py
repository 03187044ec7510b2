"""The options of `--storage-opt`: an engine's (daemon.json: storage-opts) and those of one container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Invalid
from nakagin.spec.size import parse_size
from nakagin.storage.bounded import SMALLEST
from nakagin.storage.unpack import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KNOWN = "overlay2.size=SIZE, layer-size=SIZE, layer-entries=NUMBER, high-water=PERCENT%"


class StorageOptions(msgspec.Struct, frozen=True):
    """`high_water` is the share of the disk (0 to 1) from which unused images are cleaned away; None: never.

    `container_size` bounds what a container may write, in bytes; 0: nothing does.
    """

    bounds: Bounds = Bounds()
    high_water: float | None = None
    container_size: int = 0


def parse_options(options: Sequence[str]) -> StorageOptions:
    """The options of these KEY=VALUE words. Raises Invalid."""
    found = StorageOptions()
    for text in options:
        key, _, value = text.partition("=")
        match key.strip():
            case "overlay2.size":
                found = msgspec.structs.replace(found, container_size=_container_size(value))
            case "layer-size":
                bounds = msgspec.structs.replace(found.bounds, size=parse_size(value, key))
                found = msgspec.structs.replace(found, bounds=bounds)
            case "layer-entries" if value.isdigit() and int(value):
                bounds = msgspec.structs.replace(found.bounds, entries=int(value))
                found = msgspec.structs.replace(found, bounds=bounds)
            case "high-water" if (
                value.removesuffix("%").isdigit() and 1 <= int(value.removesuffix("%")) <= 99
            ):
                found = msgspec.structs.replace(found, high_water=int(value.removesuffix("%")) / 100)
            case _:
                raise Invalid(f"invalid storage option {text!r}", hint=f"known are {_KNOWN}")
    return found


def container_size(options: Mapping[str, str], standard: int) -> int:
    """How many bytes a container may write, by its own options or else the engine's; 0: no bound. Raises Invalid."""
    for name in options:
        if name.lower() != "size":
            raise Invalid(f"Unknown option {name}", hint="--storage-opt size=SIZE")
    return next(map(_container_size, options.values()), standard)


def _container_size(text: str) -> int:
    size = parse_size(text, "size")
    if size < SMALLEST:
        raise Invalid(f"a container's size is at least {SMALLEST >> 20} MiB, not {text}")
    return size
