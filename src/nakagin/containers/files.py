"""The archive API: files of a container looked at, read as a tar and written from one, running or not.

A running container is seen as its processes see it, with its volumes, binds and tmpfs; a stopped one is mounted
for the moment. Read-only roots and mounts are so here too: the kernel refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import stat
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from nakagin.containers import insidepath, rootfs, rootview
from nakagin.containers.commit import changes_tar, in_threads
from nakagin.containers.launch import resolve_identity
from nakagin.containers.remove import see_cleared
from nakagin.errors import Damaged, Denied, Invalid, NakaginError, NotFound, StepFailed, Unavailable
from nakagin.kernel import paths
from nakagin.storage.collect import file_tar, folder_tar
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.extract import Extraction
from nakagin.storage.tarread import TarReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.containers.watch import Watch
    from nakagin.storage.compression import Readable

    Document = dict[str, Any]


class Files:
    """The files of all containers of one engine; `path` may be relative to the root and end in "/" or "/."."""

    def __init__(self, shelf: Shelf, around: Surroundings, watch: Watch) -> None:
        self._shelf = shelf
        self._around = around
        self._watch = watch

    async def stat(self, reference: str, path: str) -> Document:
        """What is there: name, size, mode (Go's bits), mtime, linkTarget. NotFound, Invalid."""
        capsule, path = self._shelf.find(reference), insidepath.absolute(path)

        with await self._open(capsule) as view:
            return await asyncio.to_thread(_described, view.root, path, reference)

    def layer(self, reference: str) -> AsyncIterator[bytes]:
        """What the container changed as a layer's tar, in pieces: OCI whiteouts for what it deleted."""
        return in_threads(changes_tar(self._around, self._shelf.find(reference).record))

    async def read(self, reference: str, path: str) -> tuple[Document, AsyncIterator[bytes]]:
        """The stat and the tar of it, in pieces: a directory with all below it, a link as a link. NotFound, Invalid."""
        capsule, path = self._shelf.find(reference), insidepath.absolute(path)
        view = await self._open(capsule)
        try:
            shown = await asyncio.to_thread(_described, view.root, path, reference)
        except BaseException:
            view.close()
            raise
        self._watch.publish(capsule, "archive-path")
        return shown, in_threads(_tar(view, path))

    async def write(
        self,
        reference: str,
        path: str,
        body: Readable,
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        """Unpack a tar, plain or compressed, into the directory `path`; everything it names stays inside the root.

        With `copy_uid_gid` all of it belongs to the user that the container runs as. Raises NotFound, Invalid,
        Denied (read-only), Exhausted.
        """
        capsule, path = self._shelf.find(reference), insidepath.absolute(path)
        owner = None
        if copy_uid_gid and capsule.record.config.user:
            identity = await resolve_identity(self._around, capsule.record)
            owner = identity.uid, identity.gid

        def work(root: int) -> None:
            _check_place(root, path, reference)
            try:
                with reading("the archive"):
                    reader = TarReader(decompressed(body)[1])
                    Extraction(root, path, owner=owner, same_kind=no_overwrite_dir_non_dir).run(reader)
                    reader.drain()
            except Damaged as error:  # what the caller sent, nothing that is kept here
                raise Invalid(error.message, hint=error.hint) from error

        async with self._open_to_write(capsule, reference) as view:
            await asyncio.to_thread(work, view.root)
        self._watch.publish(capsule, "extract-to-dir")

    async def _open(self, capsule: Capsule) -> rootview.View:
        """The container's files, to be read; a stopped one may be started meanwhile."""
        with contextlib.suppress(_Ended):
            if capsule.record.running:
                return await _running(capsule)
        return await _stopped(rootfs.open_to_read, self._around, capsule.record)

    @asynccontextmanager
    async def _open_to_write(self, capsule: Capsule, reference: str) -> AsyncIterator[rootview.View]:
        view = None
        with contextlib.suppress(_Ended):
            if capsule.record.running:
                view = await _running(capsule)
        if view is not None:
            with view:
                yield view
            return
        # A stopped one stays so meanwhile: nothing of it may be mounted twice.
        async with capsule.lock:
            if self._shelf.get(capsule.id) is not capsule:
                raise NotFound(f"No such container: {reference}")
            if capsule.record.running:
                view = await _running(capsule)
            else:
                await see_cleared(self._around, capsule)
                view = await _stopped(rootfs.open_to_write, self._around, capsule.record)
            with view:
                yield view


class _Ended(Exception):
    """The container ended while its root was opened."""


async def _running(capsule: Capsule) -> rootview.View:
    monitor = capsule.monitor
    if monitor is None:
        raise _Ended
    try:
        view = rootview.of_process(capsule.record.facts.pid)
    except OSError:
        raise _Ended from None
    try:
        # The number might be another process's by now. The monitor reaps its container's: while it does not
        # say that it has ended, what was opened before was the container's.
        await monitor.request("state")
    except NakaginError:
        view.close()
        raise _Ended from None
    if monitor.ended:
        view.close()
        raise _Ended
    return view


async def _stopped(
    opened: Callable[[Surroundings, Container], rootview.View], around: Surroundings, record: Container
) -> rootview.View:
    def work() -> rootview.View:
        # The view has mounts of its own of what is mounted for the moment.
        with ExitStack() as stack:
            for spec in record.mounts:
                if spec.type == "volume":
                    stack.enter_context(around.volumes.used(spec.name, f"files:{record.id}"))
            return opened(around, record)

    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise StepFailed(f"open the files of {record.name}", str(error), errno=error.errno or 0) from error


def _described(root: int, path: str, container: str) -> Document:
    return insidepath.described(root, path, insidepath.find(root, path, container))


def _tar(view: rootview.View, path: str) -> Iterator[bytes]:
    """The tar, after which the view is closed."""
    name = os.fsencode(insidepath.base(path)).lstrip(b"/")
    fd = -1
    try:
        fd = insidepath.open_at(view.root, path)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            yield from folder_tar(fd, name, without=() if name else (b"dev",))
            return
        os.close(fd)
        fd = paths.open_in_root(view.root, posixpath.dirname(path), os.O_PATH | os.O_DIRECTORY)
        yield from file_tar(fd, name)
    except OSError as error:
        raise Unavailable(f"{path} changed while it was read: {error.strerror}") from error
    finally:
        if fd >= 0:
            os.close(fd)
        view.close()


def _check_place(root: int, path: str, container: str) -> None:
    """Say before anything is read that nothing can be written there."""
    try:
        fd = paths.open_in_root(root, path, os.O_PATH)
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {container}") from None
    except OSError as error:
        raise Invalid(f"{path} in container {container}: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISDIR(status.st_mode):
            raise Invalid("extraction point is not a directory")
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            of_root = status.st_dev == os.fstat(root).st_dev
            what = "container rootfs" if of_root else "mounted volume"
            raise Denied(f"{what} is marked read-only", hint=f"{path} in container {container}")
    finally:
        os.close(fd)
