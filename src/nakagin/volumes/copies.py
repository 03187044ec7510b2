"""Volumes copied, compared, and carried in and out as tar streams. Everything here blocks."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from nakagin.errors import Conflict, Damaged, Invalid, StepFailed
from nakagin.storage.collect import folder_tar
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.copytree import copy_tree
from nakagin.storage.extract import Extraction
from nakagin.storage.tarread import TarReader
from nakagin.volumes.model import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nakagin.storage.compression import Readable
    from nakagin.volumes.volumes import Volumes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PIECE = 1 << 20


def clone(volumes: Volumes, name: str, wanted: str, labels: Mapping[str, str] | None = None) -> str:
    """A new volume with the same content, limit and labels (and `labels`); its name. Whole or not at all.

    File systems that can share blocks (btrfs, xfs) copy nothing. NotFound, Conflict (the name is taken), Exhausted.
    """
    known = volumes.inspect(name)
    if wanted in volumes:
        raise Conflict(f"a volume named {wanted} exists already")
    options = {"size": known["Options"]["size"]} if "size" in (known["Options"] or {}) else {}
    made = volumes.ensure(wanted, options=options, labels={**(known["Labels"] or {}), **(labels or {})})
    user = f"clone:{wanted}"
    try:
        with volumes.used(name, user) as source, volumes.used(wanted, user) as target:
            below = os.open(source, _DIRECTORY)
            try:
                into = os.open(target, _DIRECTORY)
                try:
                    copy_tree(below, into)
                finally:
                    os.close(into)
            finally:
                os.close(below)
    except BaseException as error:
        volumes.remove(made.name)
        if isinstance(error, OSError):
            raise StepFailed(f"copy the volume {name}", str(error), errno=error.errno or 0) from error
        raise
    return made.name


def snapshot(volumes: Volumes, name: str, wanted: str = "") -> str:
    """A clone that says of what it is one, called NAME-YYYYmmdd-HHMMSS unless `wanted` says otherwise."""
    stamp = wanted or f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    return clone(volumes, name, stamp, {SNAPSHOT: name})


def exported(volumes: Volumes, name: str) -> Iterator[bytes]:
    """The content as a tar, in pieces; names begin with "./". NotFound by the call itself."""
    volumes.path(name)
    return _exported(volumes, name)


def _exported(volumes: Volumes, name: str) -> Iterator[bytes]:
    with volumes.used(name, f"export:{os.urandom(4).hex()}") as place:
        folder = os.open(place, _DIRECTORY)
        try:
            yield from folder_tar(folder, b".")
        finally:
            os.close(folder)


def import_(volumes: Volumes, name: str, body: Readable) -> None:
    """Unpack a tar, plain or compressed, into the volume, over what is there. NotFound, Invalid, Exhausted."""
    with volumes.used(name, f"import:{os.urandom(4).hex()}") as place:
        root = os.open(place, os.O_PATH | _DIRECTORY)
        try:
            with reading("the archive"):
                reader = TarReader(decompressed(body)[1])
                Extraction(root, "/").run(reader)
                reader.drain()
        except Damaged as error:
            raise Invalid(error.message, hint=error.hint) from error
        finally:
            os.close(root)


def changes(volumes: Volumes, name: str, other: str) -> list[tuple[str, str]]:
    """(kind, path) of what differs in `name` from `other`: "A" added, "C" changed, "D" deleted; by path."""
    user = f"diff:{os.urandom(4).hex()}"
    with volumes.used(name, user) as new, volumes.used(other, user) as old:
        found: list[tuple[str, str]] = []
        _compare(os.fsencode(new), os.fsencode(old), b"", found)
        return sorted(found, key=lambda each: each[1])


def _compare(new: bytes, old: bytes, path: bytes, found: list[tuple[str, str]]) -> None:
    present, before = _entries(new + path), _entries(old + path)
    for name in present.keys() | before.keys():
        inner = path + b"/" + name
        there, was = present.get(name), before.get(name)
        if was is None:
            found.append(("A", os.fsdecode(inner)))
        elif there is None:
            found.append(("D", os.fsdecode(inner)))
        else:
            both_folders = stat.S_ISDIR(there.st_mode) and stat.S_ISDIR(was.st_mode)
            if _differ(new + inner, old + inner, there, was, both_folders):
                found.append(("C", os.fsdecode(inner)))
            if both_folders:
                _compare(new, old, inner, found)
        if was is None and there is not None and stat.S_ISDIR(there.st_mode):
            found += [("A", os.fsdecode(below)) for below in _all_below(new, inner)]


def _entries(folder: bytes) -> dict[bytes, os.stat_result]:
    try:
        return {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(folder)}
    except OSError:
        return {}  # removed meanwhile


def _all_below(top: bytes, path: bytes) -> Iterator[bytes]:
    for name, status in _entries(top + path).items():
        yield path + b"/" + name
        if stat.S_ISDIR(status.st_mode):
            yield from _all_below(top, path + b"/" + name)


def _differ(new: bytes, old: bytes, there: os.stat_result, was: os.stat_result, folders: bool) -> bool:
    if (there.st_mode, there.st_uid, there.st_gid) != (was.st_mode, was.st_uid, was.st_gid):
        return True
    if folders:
        return False
    if there.st_size != was.st_size or there.st_rdev != was.st_rdev:
        return True
    if stat.S_ISLNK(there.st_mode):
        return os.readlink(new) != os.readlink(old)
    if there.st_mtime_ns == was.st_mtime_ns or not stat.S_ISREG(there.st_mode):
        return False
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(new, flags), "rb") as one, open(os.open(old, flags), "rb") as two:
        while (piece := one.read(_PIECE)) == two.read(_PIECE):
            if not piece:
                return False
        return True
