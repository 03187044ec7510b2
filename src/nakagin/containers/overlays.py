"""Binds that are written over (`-v SOURCE:TARGET:O`): the source stays as it is, changes lie with the container.

DATA/over/NUMBER/upper   what the container changed; NUMBER is the mount's place in the record
                /work    overlayfs's own
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.storage.copytree import copy_attributes
from nakagin.storage.overlay import escaped
from nakagin.storage.overlay import options as overlay_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nakagin.containers.model import Container, MountSpec
    from nakagin.containers.surroundings import Surroundings


class Over(NamedTuple):
    """One of them: `target` inside the container, the host's folders `upper` and `source`."""

    target: str
    upper: str
    source: str


def overs(around: Surroundings, record: Container) -> Iterator[Over]:
    """Those of a container, with the upper folders that are made; none before its first start."""
    for number, spec in enumerate(record.mounts):
        upper = _place(around, record, number, "upper")
        if spec.overlay and os.path.isdir(upper):
            yield Over(spec.target, upper, spec.source)


def prepare(around: Surroundings, record: Container, number: int) -> MountSpec:
    """The mount with overlayfs's options, its folders made. Raises OSError."""
    spec = record.mounts[number]
    upper, work = (_place(around, record, number, part) for part in ("upper", "work"))
    if not os.path.isdir(upper):
        os.makedirs(work, mode=0o700, exist_ok=True)
        _make_alike(spec.source, upper)
    options = (f"lowerdir={escaped(spec.source)}", f"upperdir={escaped(upper)}", f"workdir={escaped(work)}")
    return msgspec.structs.replace(spec, options=(*options, *overlay_options()))


def as_they_are(around: Surroundings, record: Container) -> list[MountSpec]:
    """All mounts of a container, those that are written over with the options for a look that changes nothing."""
    found = list(record.mounts)
    for number, spec in enumerate(found):
        upper = _place(around, record, number, "upper")
        if spec.overlay and os.path.isdir(upper):
            lower = f"lowerdir={escaped(upper)}:{escaped(spec.source)}"
            found[number] = msgspec.structs.replace(spec, options=(lower, *overlay_options()))
        elif spec.overlay:
            found[number] = msgspec.structs.replace(spec, overlay=False, read_only=True)
    return found


def to_write(around: Surroundings, record: Container) -> list[MountSpec]:
    """All mounts of a container, those that are written over as its own start would have them. Raises OSError."""
    return [
        prepare(around, record, number) if spec.overlay else spec for number, spec in enumerate(record.mounts)
    ]


def _place(around: Surroundings, record: Container, number: int, part: str) -> str:
    return f"{around.data_dir(record.id)}/over/{number}/{part}"


def _make_alike(source: str, upper: str) -> None:
    """The upper folder lends the merged one its owner, mode and attributes: they shall be the source's."""
    made = f"{upper}.new"
    os.makedirs(made, mode=0o700, exist_ok=True)
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in (source, made)]
    try:
        copy_attributes(*fds)
    finally:
        for fd in fds:
            os.close(fd)
    os.rename(made, upper)
