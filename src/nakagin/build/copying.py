"""COPY and ADD: what is taken from where, and the layer that it makes."""

from __future__ import annotations

import asyncio
import posixpath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.build.archives import contents, is_archive
from nakagin.build.context import Context
from nakagin.build.layout import Owner, Wish, framed, place, select
from nakagin.build.modes import parse_mode
from nakagin.build.promised import Promised
from nakagin.build.remotes import GitSource, remote
from nakagin.build.stack import Stack
from nakagin.build.tree import content_digest, find
from nakagin.build.writing import copied
from nakagin.containers import users
from nakagin.dockerfile import instructions as i
from nakagin.errors import Invalid
from nakagin.registry.download import name_of
from nakagin.storage.tarread import FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from nakagin.build.remotes import UrlSource
    from nakagin.build.state import State
    from nakagin.build.tree import Placed, Tree
    from nakagin.build.underway import Build
    from nakagin.images.model import StoredLayer


class Prepared(NamedTuple):
    """A copy that is known and not yet made; `digest` is that of all files at their targets.

    `kind` is what was named: "file", "dir", or "multi" for several of them.
    """

    digest: str
    kind: str
    make: Callable[[], Awaitable[tuple[str, StoredLayer | None]]]


class _Found(NamedTuple):
    """As Prepared, for worker threads."""

    digest: str
    kind: str
    make: Callable[[], tuple[str, StoredLayer | None]]


class _Group(NamedTuple):
    """Sources that lie in one tree. `foreign`: with the owners that they have there; `literal`: no patterns."""

    tree: Tree
    names: tuple[str, ...]
    foreign: bool = False
    unpack: bool = False
    literal: bool = False


class Copying:
    """One COPY or ADD, its variables filled in."""

    def __init__(self, build: Build, it: i.Copy | i.Add, state: State) -> None:
        self._build = build
        self._it = it
        self._state = state

    async def prepare(self) -> Prepared:
        """Find the files and their targets. Raises NotFound, Invalid."""
        groups = await self._groups(promises=True)
        wish = await self._wish()
        found = await asyncio.to_thread(self._find, groups, wish)

        async def make() -> tuple[str, StoredLayer | None]:
            whole = found
            if any(isinstance(group.tree, Promised) for group in groups):
                whole = await asyncio.to_thread(self._find, await self._groups(promises=False), wish)
            return await asyncio.to_thread(whole.make)

        return Prepared(found.digest, found.kind, make)

    async def _groups(self, *, promises: bool) -> list[_Group]:
        """The sources, in order, by the tree that has them; with `promises`, files that are known by their checksum
        are not fetched."""
        it, build = self._it, self._build
        if isinstance(it, i.Copy):
            if it.origin:
                return [_Group(await build.tree_of(it.origin), it.sources, foreign=True)]
            return [_Group(await build.context(), it.sources)] if it.sources else []
        assert isinstance(it, i.Add)
        groups = []
        for source in it.sources:
            there = remote(source)
            if there is None:
                unpack = it.unpack is not False
                groups.append(_Group(await build.context(), (source,), unpack=unpack))
            else:
                groups.append(await self._from_elsewhere(it, there, promise=promises))
        return groups

    async def _from_elsewhere(self, it: i.Add, there: GitSource | UrlSource, *, promise: bool) -> _Group:
        sources = self._build.sources
        if isinstance(there, GitSource):
            return _Group(await sources.fetched(there, it.checksum, keep_git_dir=it.keep_git_dir), ("/",))
        name = name_of(there.url)
        if not name and _is_folder(it.destination) and not it.unpack:
            raise Invalid(
                f"cannot determine filename for source {there.url}", hint="name the file as the destination"
            )
        algorithm, _, digest = it.checksum.partition(":")
        tree: Tree
        if promise and name and algorithm == "sha256" and not it.unpack:
            tree = Promised(name.encode(), digest, sources.FETCHED_MODE)
            sources.note(there, it.checksum)
        else:
            tree = await sources.fetched(there, it.checksum, keep_git_dir=False)
        return _Group(tree, (name or "/",), unpack=it.unpack is True, literal=True)

    async def _wish(self) -> Wish:
        it, state = self._it, self._state
        workdir = state.editor.config.get("WorkingDir") or "/"
        destination = posixpath.join("/", workdir, it.destination)
        if _is_folder(it.destination):
            destination = posixpath.normpath(destination).rstrip("/") + "/"
        owner = None
        if it.chown:
            below = self._build.workshop.stack(state.chain)
            known = users.resolve_user(it.chown, (), _text(below, b"etc/passwd"), _text(below, b"etc/group"))
            owner = Owner(known.uid, _group(it.chown, known.uid, known.gid))
        return Wish(
            sources=it.sources, destination=destination, owner=owner, exclude=it.exclude,
            mode=parse_mode(it.chmod) if it.chmod else None, what=it.keyword,
            parents=isinstance(it, i.Copy) and it.parents,
        )  # fmt: skip

    def _find(self, groups: Sequence[_Group], wish: Wish) -> _Found:
        build, it, state = self._build, self._it, self._state
        below = Stack(()) if it.link else build.workshop.stack(state.chain)
        whole: dict[bytes, Placed] = {}
        number = len(self._it.sources) + len(self._it.documents)
        if number > 1 and not wish.destination.endswith("/"):
            raise Invalid(
                f"when using {wish.what} with more than one source file, the destination must be a directory",
                hint=f"end it with a slash: {wish.destination}/",
            )
        for group in groups:
            for each in self._placed(group, wish, below):
                known = whole.get(each.target)
                # A folder that is only there for what is in it says nothing about itself.
                if known is None or each.item.place is not None or each.item.path:
                    whole[each.target] = each
        for each in self._inline(wish, below):
            whole.setdefault(each.target, each) if each.item.is_folder else whole.update({each.target: each})
        placed = [whole[target] for target in sorted(whole)]
        taken = [item for group in groups for _, item in select(_from_group(wish, group), group.tree)]
        several = len(taken) + len(it.documents) > 1
        kind = "multi" if several else "dir" if taken and taken[0].is_folder else "file"

        def make() -> tuple[str, StoredLayer | None]:
            pieces = copied(framed(placed, below), latest_ns=build.epoch_ns, new_ns=build.now_ns())
            return build.workshop.from_tar(pieces, state.chain)

        return _Found(content_digest(placed), kind, make)

    def _placed(self, group: _Group, wish: Wish, below: Tree) -> Iterator[Placed]:
        own = _from_group(wish, group)
        if not group.unpack:
            yield from place(own, group.tree, below)
            return
        plain = []
        for name, item in select(own, group.tree):
            if item.is_folder or not is_archive(group.tree, item):
                plain.append(name)
                continue
            inside = self._build.hold(contents(group.tree, item, self._build.temporary))
            into = wish.destination if wish.destination.endswith("/") else f"{wish.destination}/"
            yield from place(
                msgspec.structs.replace(
                    own, sources=("/",), destination=into, keep_owner=True, owner=None, mode=None
                ),
                inside,
                below,
            )
        if plain:
            yield from place(
                msgspec.structs.replace(own, sources=tuple(dict.fromkeys(plain))), group.tree, below
            )

    def _inline(self, wish: Wish, below: Tree) -> list[Placed]:
        """The heredocs as files of their own little context."""
        files = {each.name.encode(): each.body.encode() for each in self._it.documents}
        if not files:
            return []
        context = Context.empty(self._build.temporary, files)
        names = tuple(each.name for each in self._it.documents)
        return place(msgspec.structs.replace(wish, sources=names, exclude=(), parents=False), context, below)


def _from_group(wish: Wish, group: _Group) -> Wish:
    return msgspec.structs.replace(wish, sources=group.names, keep_owner=group.foreign, literal=group.literal)


def _is_folder(destination: str) -> bool:
    return destination in (".", "./") or destination.endswith(("/.", "/"))


def _text(tree: Tree, path: bytes) -> str:
    """A small file of the image; "" where there is none."""
    item = find(tree, path)
    if item is None or item.entry.type != FILE:
        return ""
    return b"".join(tree.chunks(item)).decode(errors="replace")


def _group(text: str, uid: int, gid: int) -> int:
    """A number alone stands for the group too, as in Docker."""
    return uid if text.isdecimal() else gid
