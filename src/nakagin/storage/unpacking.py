"""The engine's side of `worker`: one layer on its way from a blob's file, perhaps still growing, into a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import StepFailed
from nakagin.kernel.fds import send_fds
from nakagin.storage.compression import Peeked
from nakagin.storage.unpack import Bounds, Unpacked, unpack
from nakagin.storage.worker import LARGEST_PACKET, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.storage.compression import Readable

# A process costs some 70 ms; smaller layers are unpacked by the calling thread in less.
_WORTH_A_PROCESS = 4 << 20
_STEP = 1 << 20
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Answer(msgspec.Struct):
    """A packet of the worker."""

    progress: int | None = None
    done: Unpacked | None = None
    failed: Failure | None = None


_answer = msgspec.json.Decoder(_Answer).decode


class Unpacking:
    """One layer. `have` and `end` say how much of the blob there is, `finish` waits for the result.

    Whoever began it calls `close` in the end; then nothing of it runs. The folder is the caller's.
    """

    def __init__(self, folder: str, blob: int, size: int, bounds: Bounds, slots: threading.Semaphore) -> None:
        """Unpack the blob open as `blob` (duplicated here), which will have about `size` bytes, into `folder`.

        `slots` bounds the number of processes that run before their layer's turn.
        """
        self.folder = folder
        self._blob = os.dup(blob)
        self._bounds = bounds
        self._slots = slots
        self._large = size >= _WORTH_A_PROCESS
        self._has_slot = False
        self._have = 0
        self._told = 0
        self._worker: _Worker | None = None

    def have(self, size: int) -> None:
        """So many bytes of the blob are in its file."""
        self._have = size
        if not self._large or size - self._told < _STEP:
            return
        if self._worker is None and self._slots.acquire(blocking=False):
            self._has_slot = True
            self._begin()
        if self._worker is not None:
            self._told = size
            self._worker.tell({"have": size})

    def end(self, size: int) -> None:
        """The blob is complete, verified, and has this size."""
        self._have = size
        if self._worker is not None:
            self._worker.tell({"end": size})

    def finish(self, lower: Sequence[str], progress: Callable[[int], None] | None = None) -> Unpacked:
        """Over these folders (topmost first): the result, or the error. Long. `progress` gets bytes of the blob."""
        if not self._large:
            return self._here(lower)
        if self._worker is None:
            self._begin()
            self.end(self._have)
        assert self._worker is not None
        self._worker.tell({"lower": list(lower)})
        return self._worker.result(progress)

    def close(self) -> None:
        """End the process, if there is one, and let go of the blob."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
        if self._has_slot:
            self._has_slot = False
            self._slots.release()
        if self._blob >= 0:
            os.close(self._blob)
            self._blob = -1

    def _begin(self) -> None:
        root = os.open(self.folder, _OPEN_DIRECTORY)
        try:
            self._worker = _Worker(root, self._blob, self._bounds)
        finally:
            os.close(root)

    def _here(self, lower: Sequence[str]) -> Unpacked:
        os.lseek(self._blob, 0, os.SEEK_SET)
        with open(self._blob, "rb", buffering=0, closefd=False) as stream:
            return _unpack(stream, self.folder, lower, self._bounds)


def unpack_stream(stream: Readable, folder: str, lower: Sequence[str], bounds: Bounds) -> Unpacked:
    """Unpack any stream into `folder` over `lower`: a small one here, a large one by a process. Long."""
    head = Peeked(stream, _WORTH_A_PROCESS)
    if len(head.head) < _WORTH_A_PROCESS:
        return _unpack(head, folder, lower, bounds)
    root = os.open(folder, _OPEN_DIRECTORY)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _STEP)
        worker = _Worker(root, reading, bounds)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(root)
        os.close(reading)
    try:
        worker.tell({"lower": list(lower)})
        _pour(head, writing)
        return worker.result(None)
    finally:
        worker.kill()


def _pour(stream: Readable, pipe: int) -> None:
    """All bytes of the stream into the pipe, which is closed; where its other end is, the worker says why."""
    try:
        while data := stream.read(_STEP):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(pipe, rest) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(pipe)


def _unpack(stream: Readable, folder: str, lower: Sequence[str], bounds: Bounds) -> Unpacked:
    root = os.open(folder, _OPEN_DIRECTORY)
    try:
        return unpack(stream, root, lambda: [os.fsencode(each) for each in lower], bounds)
    finally:
        os.close(root)


class _Worker:
    """One process of `worker`."""

    def __init__(self, root: int, blob: int, bounds: Bounds) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nakagin.storage.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/", env=_environment(),
            )  # fmt: skip
        send_fds(self._socket, msgspec.json.encode({"bounds": bounds}), [root, blob])

    def tell(self, message: dict[str, object]) -> None:
        """Send a packet; a worker that has ended says why in `result`."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.send(msgspec.json.encode(message))

    def result(self, progress: Callable[[int], None] | None) -> Unpacked:
        """Wait for it."""
        while packet := self._receive():
            answer = _answer(packet)
            if answer.failed is not None:
                raise answer.failed.error()
            if answer.done is not None:
                return answer.done
            if progress is not None and answer.progress is not None:
                progress(answer.progress)
        code = self._process.wait()
        raise StepFailed("unpack a layer", f"its process ended with {code}", hint="was memory short?")

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(LARGEST_PACKET)
        except ConnectionResetError:
            return b""

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()


def _environment() -> dict[str, str]:
    """That of the engine, with a way to this package, wherever it was imported from."""
    place = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [place, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
