"""`RUN --mount`: what each mount shows, and where its files are on the host."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from nakagin.build import running
from nakagin.build.agents import agent_socket
from nakagin.build.layout import Wish, place
from nakagin.build.stack import Stack
from nakagin.build.tree import content_digest, find
from nakagin.build.writing import Pieces, copied
from nakagin.containers.model import MountSpec
from nakagin.containers.shelf import Handed, HandedFile
from nakagin.dockerfile.fault import DockerfileError
from nakagin.errors import NotFound
from nakagin.images.model import timestamp
from nakagin.storage.tarread import TarReader
from nakagin.storage.trash import Trash
from nakagin.storage.unpack import Bounds, Unpacker
from nakagin.tasks import to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from nakagin.build.state import State
    from nakagin.build.tree import Placed, Tree
    from nakagin.build.underway import Build
    from nakagin.dockerfile.instructions import Mount


class Granted(NamedTuple):
    """What a step's container gets: mounts, variables, secrets as files and variables."""

    mounts: list[MountSpec]
    environment: dict[str, str]
    files: list[HandedFile]
    hidden: dict[str, str]
    """Variables that no record may have."""

    def handed(self) -> Handed:
        """The secrets."""
        return Handed(tuple(f"{name}={value}" for name, value in self.hidden.items()), tuple(self.files))

    def targets(self) -> list[str]:
        """Every place where something is mounted."""
        return [*(mount.target for mount in self.mounts), *(file.target for file in self.files)]


class CacheFolder(NamedTuple):
    """A cache with its files; times are RFC 3339 in UTC."""

    name: str
    """That of the folder."""
    path: str
    id: str
    created: str
    used: str
    in_use: bool


class CacheFolders:
    """The folders of `type=cache` mounts below one data root; they outlive builds. Beside each lies its id."""

    def __init__(self, root: str) -> None:
        self.root = os.path.join(root, "build", "cache")
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        self._trash = Trash(root)
        self._locks: dict[str, asyncio.Lock] = {}
        self._used: set[str] = set()
        self._mounted: Counter[str] = Counter()

    def path(self, id: str) -> str:
        """Where the files of a cache are."""
        return os.path.join(self.root, hashlib.sha256(id.encode()).hexdigest()[:32])

    @contextmanager
    def mounted(self, id: str) -> Iterator[str]:
        """The folder of a cache while a step has it; whether it is there already or not."""
        path = self.path(id)
        with open(f"{path}.id", "w") as stream:
            stream.write(id)
        self._mounted[path] += 1
        try:
            yield path
        finally:
            self._mounted[path] -= 1
            os.utime(f"{path}.id")

    def all(self) -> list[CacheFolder]:
        """Every cache."""
        names = sorted(os.listdir(self.root))
        return [self._folder(name.removesuffix(".id")) for name in names if name.endswith(".id")]

    def _folder(self, name: str) -> CacheFolder:
        path = os.path.join(self.root, name)
        with open(f"{path}.id") as stream:
            id = stream.read()
        written = os.stat(f"{path}.id").st_mtime
        status = os.stat(path) if os.path.isdir(path) else None
        created = min(status.st_ctime, written) if status else written
        return CacheFolder(
            name, path, id, timestamp(created), timestamp(written), bool(self._mounted.get(path))
        )

    def remove(self, name: str) -> None:
        """Throw a cache away, unless a step has it."""
        path = os.path.join(self.root, name)
        if not self._mounted.get(path):
            self._trash.take(path)
            self._trash.take(f"{path}.id")

    def lock(self, id: str) -> asyncio.Lock:
        """For `sharing=locked`: who holds it has the cache alone."""
        return self._locks.setdefault(id, asyncio.Lock())

    @asynccontextmanager
    async def private(self, id: str) -> AsyncIterator[str]:
        """For `sharing=private`: a folder that no other build uses at the same time."""
        number = 0
        while (name := f"{id}#{number}" if number else id) in self._used:
            number += 1
        self._used.add(name)
        try:
            yield name
        finally:
            self._used.discard(name)


class Mounting:
    """The mounts of the steps of one build."""

    def __init__(self, build: Build, folders: CacheFolders) -> None:
        self._build = build
        self._folders = folders
        self.caches: dict[str, str] = {}
        """The cache mounts that the build has used: their folders by id."""

    async def digest(self, mount: Mount) -> str:
        """Of what a mount shows, as far as the result may depend on it: binds only."""
        if mount.kind != "bind":
            return ""
        tree = await self._tree(mount)
        placed = await asyncio.to_thread(self._placed, mount, tree)
        return await asyncio.to_thread(content_digest, placed)

    async def _tree(self, mount: Mount) -> Tree:
        return await self._build.tree_of(mount.origin) if mount.origin else await self._build.context()

    def _placed(self, mount: Mount, tree: Tree) -> Sequence[Placed]:
        source = mount.source or "/"
        if find(tree, os.fsencode(source)) is None:
            raise NotFound(f"RUN --mount: {source} is not there", hint="see source= and from=")
        wanted = "/root/" if self._is_file(tree, source) else "/root"
        return place(Wish(sources=(source,), destination=wanted, keep_owner=True), tree, Stack(()))

    def _is_file(self, tree: Tree, source: str) -> bool:
        item = find(tree, os.fsencode(source))
        return item is not None and not item.is_folder

    @asynccontextmanager
    async def granted(self, plan: running.RunPlan, state: State, folder: str) -> AsyncIterator[Granted]:
        """The mounts of a RUN for the time of its step; files that are only for it lie in `folder`."""
        granted = Granted([], {}, [], {})
        async with AsyncExitStack() as leave:
            await self._lock(plan, state, leave)
            for number, mount in enumerate(plan.mounts):
                target = running.target_of(mount, state.editor.config.get("WorkingDir", ""))
                place_for = os.path.join(folder, f"mount{number}")
                match mount.kind:
                    case "bind":
                        granted.mounts.append(await self._bind(mount, target, place_for))
                    case "cache":
                        granted.mounts.append(await self._cache(mount, target, leave))
                    case "tmpfs":
                        options = (f"size={mount.size}",) if mount.size else ()
                        granted.mounts.append(
                            MountSpec(type="tmpfs", target=target, options=options, origin="tmpfs")
                        )
                    case "secret":
                        await self._secret(mount, target, granted)
                    case _:
                        await self._agent(mount, target, folder, granted, leave)
            yield granted

    async def _lock(self, plan: running.RunPlan, state: State, leave: AsyncExitStack) -> None:
        """Have the caches with `sharing=locked` alone; in one order everywhere, so that no two steps wait in a ring."""
        workdir = state.editor.config.get("WorkingDir", "")
        locked = {
            self._cache_id(mount, running.target_of(mount, workdir))
            for mount in plan.mounts
            if mount.kind == "cache" and mount.sharing == "locked"
        }
        for id in sorted(locked):
            await leave.enter_async_context(self._folders.lock(id))

    async def _bind(self, mount: Mount, target: str, folder: str) -> MountSpec:
        """The files as a copy of their own: the step may write, and what it writes is gone with it."""
        tree = await self._tree(mount)
        placed = await asyncio.to_thread(self._placed, mount, tree)
        await to_the_end(asyncio.to_thread(_unpack, placed, folder))
        source = os.path.join(folder, "root")
        if self._is_file(tree, mount.source or "/"):
            (name,) = os.listdir(source)
            source = os.path.join(source, name)
        return MountSpec(type="bind", target=target, source=source, read_only=mount.read_only is not False)

    async def _cache(self, mount: Mount, target: str, leave: AsyncExitStack) -> MountSpec:
        id = self._cache_id(mount, target)
        if mount.sharing == "private":
            id = await leave.enter_async_context(self._folders.private(id))
        path = leave.enter_context(self._folders.mounted(id))
        self.caches[id] = path
        if not os.path.isdir(path) and not await self._build.imports.mount(id, path):
            if mount.origin:
                placed = await asyncio.to_thread(self._placed, mount, await self._tree(mount))
                await to_the_end(asyncio.to_thread(_seed, placed, path))
            else:
                os.mkdir(path)
            os.chmod(path, 0o755 if mount.mode is None else mount.mode)
            os.chown(path, mount.uid, mount.gid)
        return MountSpec(type="bind", target=target, source=path, read_only=mount.read_only is True)

    def _cache_id(self, mount: Mount, target: str) -> str:
        """Caches of one name are one, within the namespace that the build was given."""
        prefix = self._build.request.given.get("BUILDKIT_CACHE_MOUNT_NS", "")
        return f"{prefix}/{mount.id or target}" if prefix else mount.id or target

    async def _secret(self, mount: Mount, target: str, granted: Granted) -> None:
        id = mount.id or os.path.basename(target)
        value = await self._build.supplies.secret(id)
        if value is None:
            if mount.required:
                raise DockerfileError(
                    f"secret {id} is required and was not given", hint=f"--secret id={id},src=FILE"
                )
            return
        if mount.variable:
            granted.hidden[mount.variable] = value.decode(errors="surrogateescape")
            if not mount.target:
                return
        mode = 0o400 if mount.mode is None else mount.mode
        granted.files.append(HandedFile(target, value, mode, mount.uid, mount.gid))

    async def _agent(
        self, mount: Mount, target: str, folder: str, granted: Granted, leave: AsyncExitStack
    ) -> None:
        supplies, id = self._build.supplies, mount.id or "default"
        if not supplies.has_agent(id):
            if mount.required:
                raise DockerfileError(f"the ssh agent {id} is required and was not given", hint=f"--ssh {id}")
            return
        path = await leave.enter_async_context(
            agent_socket(
                supplies,
                id,
                folder,
                uid=mount.uid,
                gid=mount.gid,
                mode=0o600 if mount.mode is None else mount.mode,
            )
        )
        granted.mounts.append(MountSpec(type="bind", target=target, source=path))
        granted.environment.setdefault("SSH_AUTH_SOCK", target)


def _unpack(placed: Iterable[Placed], folder: str) -> None:
    os.mkdir(folder, 0o755)
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Unpacker(root, lambda: (), Bounds()).run(TarReader(Pieces(copied(placed))))
    finally:
        os.close(root)


def _seed(placed: Iterable[Placed], path: str) -> None:
    """The first content of a cache; it appears whole."""
    _unpack(placed, f"{path}.new")
    os.rename(os.path.join(f"{path}.new", "root"), path)
    shutil.rmtree(f"{path}.new")
