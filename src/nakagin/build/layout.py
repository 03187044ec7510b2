"""Where COPY and ADD put what: from patterns and a destination to pairs of target and item. Pure but for looks.

Rules of docs.docker.com/reference/dockerfile#copy: a folder's contents are copied, not the folder; several sources
need a destination that ends in a slash; `--parents` keeps the folders of the sources.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.build.tree import Item, Placed, find, new_folder, resolve, walk
from nakagin.dockerfile.ignore import Patterns, segment_regular
from nakagin.errors import Invalid, NotFound
from nakagin.storage.tarread import DIRECTORY, FILE, SYMLINK, Entry
from nakagin.storage.tree import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nakagin.build.tree import Tree

_WILD = re.compile(rb"[*?\[\\]")
_PIVOT = "/./"


class Owner(NamedTuple):
    uid: int
    gid: int


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What one COPY asks for, names resolved to numbers. `owner` None keeps the files' own."""

    sources: tuple[str, ...]
    destination: str
    """Absolute, a trailing slash kept."""
    owner: Owner | None = None
    mode: Callable[[Entry], int] | None = None
    exclude: tuple[str, ...] = ()
    parents: bool = False
    keep_owner: bool = False
    literal: bool = False
    """Whether the sources are names as they are, not patterns."""
    what: str = "COPY"


def select(wish: Wish, tree: Tree) -> list[tuple[str, Item]]:
    """The sources that the patterns match, each with the pattern that chose it. NotFound names the nearest."""
    chosen: list[tuple[str, Item]] = []
    for source in wish.sources:
        found = list(_matches(source.replace(_PIVOT, "/"), tree, literal=wish.literal))
        if not found:
            where = "there" if wish.keep_owner else "in the build context (or .dockerignore leaves it out)"
            raise NotFound(f"{wish.what} {source}: no such file {where}", hint=_nearest(source, tree))
        chosen += [(source, item) for item in found]
    return chosen


def _matches(source: str, tree: Tree, *, literal: bool) -> Iterator[Item]:
    pattern = os.fsencode(source)
    if literal or not _WILD.search(pattern):
        item = find(tree, pattern)
        if item is not None:
            yield item
        return
    yield from _glob(tree, b"", [part for part in pattern.split(b"/") if part not in (b"", b".")])


def _glob(tree: Tree, folder: bytes, parts: Sequence[bytes]) -> Iterator[Item]:
    first, rest = parts[0], parts[1:]
    if first == b"**":
        if rest:
            yield from _glob(tree, folder, rest)
        for child in tree.children(folder):
            if child.is_folder:
                yield from _glob(tree, child.path, parts)
            elif not rest:
                yield child
        return
    form = re.compile(segment_regular(os.fsdecode(first)))
    for child in tree.children(folder):
        if not form.fullmatch(os.fsdecode(child.name)):
            continue
        if not rest:
            yield child
        elif child.is_folder:
            yield from _glob(tree, child.path, rest)


def _nearest(source: str, tree: Tree) -> str | None:
    import difflib

    folder, _, name = source.strip("/").rpartition("/")
    above = find(tree, os.fsencode(folder))
    if above is None or not above.is_folder:
        return None
    names = [os.fsdecode(child.name) for child in tree.children(above.path)]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else None


def place(wish: Wish, tree: Tree, below: Tree) -> list[Placed]:
    """Every file and folder with its target, sorted, folders that are missing above them included.

    `below` is what the image already has. Raises NotFound, Invalid (a file where a folder must be).
    """
    chosen = select(wish, tree)
    is_folder = wish.destination.endswith("/") or wish.destination in ("", ".")
    if len(chosen) > 1 and not is_folder and (len(wish.sources) > 1 or not chosen[0][1].is_folder):
        raise Invalid(
            f"when using {wish.what} with more than one source file, the destination must be a directory",
            hint=f"end it with a slash: {wish.destination}/",
        )
    root = resolve(os.fsencode(wish.destination), below.look)
    existing = below.look(root)
    if existing is not None and not existing.is_folder and is_folder:
        raise Invalid(f"{wish.what}: the destination {wish.destination} is not a directory")
    into = is_folder or (existing is not None and existing.is_folder)
    excluded = Patterns(wish.exclude)
    targets = {
        target: each
        for source, item in chosen
        for target, each in _targets(wish, tree, source, item, root, excluded, into=into)
        if target != root
        or existing is None
        or not existing.is_folder  # a folder that is there stays as it is
    }
    _check(wish, targets, below)
    whole = _with_parents(targets, below)
    return [Placed(target, _owned(wish, whole[target]), tree) for target in sorted(whole)]


def _targets(
    wish: Wish, tree: Tree, source: str, item: Item, root: bytes, excluded: Patterns, *, into: bool
) -> Iterator[tuple[bytes, Item]]:
    """What one source becomes."""
    base = root
    if wish.parents:
        base = _join(root, _kept_parents(source, item))
        above = item.path.rpartition(b"/")[0] if not item.is_folder else item.path
        yield from _folders_of(tree, root, base, above)
    if item.is_folder:

        def prune(child: Item) -> bool:
            path = os.fsdecode(child.path[len(item.path) :].lstrip(b"/"))
            return excluded.prunes(path) if child.is_folder else excluded.excludes(path)

        if base:
            yield base, item
        for child in walk(tree, item, prune):
            yield _join(base, child.path[len(item.path) :].lstrip(b"/")), child
        return
    if excluded.excludes(os.fsdecode(item.name)):
        return
    name = (
        os.fsencode(source.rstrip("/").rpartition("/")[2])
        if not _WILD.search(os.fsencode(source))
        else item.name
    )
    yield (_join(base, name) if into or wish.parents else base), item


def _kept_parents(source: str, item: Item) -> bytes:
    """The folders that `--parents` keeps: those after the pivot `/./`, or all."""
    pivot = source.find(_PIVOT)
    dropped = len(clean(os.fsencode(source[:pivot]))) if pivot >= 0 else 0
    path = item.path[dropped:].lstrip(b"/")
    return path if item.is_folder else path.rpartition(b"/")[0]


def _folders_of(tree: Tree, root: bytes, base: bytes, path: bytes) -> Iterator[tuple[bytes, Item]]:
    """The kept parent folders, with the attributes that they have in the source."""
    while base != root and path:
        item = tree.look(path)
        if item is not None:
            yield base, item
        base, path = base.rpartition(b"/")[0], path.rpartition(b"/")[0]


def _join(folder: bytes, name: bytes) -> bytes:
    return b"/".join(part for part in (folder, name) if part)


def _check(wish: Wish, targets: dict[bytes, Item], below: Tree) -> None:
    for target, item in targets.items():
        known = below.look(target)
        if known is None:
            continue
        if known.is_folder and not item.is_folder:
            raise Invalid(f"{wish.what}: cannot put a file over the directory /{os.fsdecode(target)}")
        if item.is_folder and not known.is_folder and known.entry.type != SYMLINK:
            raise Invalid(f"{wish.what}: cannot put a directory over the file /{os.fsdecode(target)}")


def _with_parents(targets: dict[bytes, Item], below: Tree) -> dict[bytes, Item]:
    """The targets, and a plain folder for each one above them that the image has not."""
    found = dict(targets)
    for target in targets:
        parent = target.rpartition(b"/")[0]
        while parent and parent not in found and below.look(parent) is None:
            found[parent] = Item(b"", new_folder())
            parent = parent.rpartition(b"/")[0]
    return found


def framed(placed: Iterable[Placed], below: Tree) -> list[Placed]:
    """With the folders above them that the image has, as they are there.

    An engine that unpacks a layer by itself gives a folder that the layer does not have any mode it likes, and an
    overlay then shows that one.
    """
    whole = {each.target: each for each in placed}
    for target in list(whole):
        parent = target.rpartition(b"/")[0]
        while parent and parent not in whole:
            known = below.look(parent)
            if known is not None and known.is_folder:
                whole[parent] = Placed(parent, known, below)
            parent = parent.rpartition(b"/")[0]
    return [whole[target] for target in sorted(whole)]


def _owned(wish: Wish, item: Item) -> Item:
    """The item with the owner and mode that it gets."""
    old = item.entry
    entry = Entry(b"", old.type, old.mode)
    entry.size, entry.mtime_ns, entry.linkname, entry.xattrs = (
        old.size,
        old.mtime_ns,
        old.linkname,
        old.xattrs,
    )
    entry.major, entry.minor = old.major, old.minor
    entry.uid, entry.gid = wish.owner or ((old.uid, old.gid) if wish.keep_owner else (0, 0))
    if old.type == SYMLINK:
        entry.mode = 0o777  # the kernel knows no other; what stands in an archive is the packer's fancy
    elif wish.mode is not None and old.type in (FILE, DIRECTORY):
        entry.mode = wish.mode(old)
    return item._replace(entry=entry)
