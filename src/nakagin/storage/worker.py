"""One process that unpacks one layer while its bytes still arrive: `python -m nakagin.storage.worker FD`.

The engine stays responsive (no share of its interpreter lock is taken), and the layers of an image are unpacked
side by side. FD is a SOCK_SEQPACKET socket; JSON packets:

    engine → worker   {"bounds": {...}} with two descriptors: the layer's folder, and the blob's file or a pipe
                      of its bytes; of a file:
                      {"have": bytes}          so much of the blob's file is there
                      {"end": bytes}           and that is all of it
                      {"lower": [folders]}     the layers below, topmost first; some layers never wait for it
    worker → engine   {"progress": bytes}      so much of the blob was read
                      {"done": {...}}          an Unpacked
                      {"failed": {...}}        a Failure

When the engine goes away, so does this process.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
import threading
import time
from typing import Any

import msgspec

from nakagin import errors
from nakagin.errors import NakaginError
from nakagin.kernel.fds import receive_fds
from nakagin.storage.unpack import Bounds, unpack

LARGEST_PACKET = 1 << 18
_PROGRESS_EVERY = 0.1


class Failure(msgspec.Struct, frozen=True):
    """An error on its way to the engine."""

    kind: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The error in words; what is no error of ours is told with its type."""
        if isinstance(error, NakaginError):
            return cls(type(error).__name__, error.message, error.hint)
        return cls("NakaginError", f"unpacking a layer failed: {type(error).__name__}: {error}")

    def error(self) -> NakaginError:
        """The error again. A step's own fields are not kept."""
        found = getattr(errors, self.kind, NakaginError)
        if issubclass(found, errors.StepFailed):
            step, _, cause = self.message.partition(": ")
            return errors.StepFailed(step, cause, hint=self.hint)
        error: NakaginError = found(self.message, hint=self.hint)
        return error


class _Arriving:
    """The blob as a stream that waits for bytes that are still to come."""

    def __init__(self, control: socket.socket, fd: int) -> None:
        self._control = control
        self._fd = fd
        self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        self._changed = threading.Condition()
        self._have = 0
        self._end: int | None = None
        self._lower: list[bytes] | None = None
        self._offset = 0
        self._told = time.monotonic()

    def listen(self) -> None:
        """Take the engine's packets, for ever; ends the process with the engine."""
        while packet := self._control.recv(LARGEST_PACKET):
            message: dict[str, Any] = msgspec.json.decode(packet)
            with self._changed:
                if "lower" in message:
                    self._lower = [os.fsencode(folder) for folder in message["lower"]]
                self._have = message.get("have", self._have)
                self._end = message.get("end", self._end)
                self._changed.notify_all()
        os._exit(1)

    def read(self, size: int, /) -> bytes:
        if self._is_pipe:
            return os.read(self._fd, size)
        with self._changed:
            self._changed.wait_for(lambda: self._have > self._offset or self._end is not None)
            limit = self._have if self._end is None else self._end
        data = os.pread(self._fd, max(min(size, limit - self._offset), 0), self._offset)
        self._offset += len(data)
        if time.monotonic() - self._told > _PROGRESS_EVERY:
            self._told = time.monotonic()
            self._control.send(msgspec.json.encode({"progress": self._offset}))
        return data

    def lower(self) -> list[bytes]:
        """The folders below, when they are there."""
        with self._changed:
            self._changed.wait_for(lambda: self._lower is not None)
            return self._lower or []


def main(fd: int) -> None:
    """Unpack what the engine says, and tell it how that went."""
    control = socket.socket(fileno=fd)
    packet, fds = receive_fds(control, LARGEST_PACKET, 2)
    if len(fds) != 2:
        return  # the engine is gone
    bounds = msgspec.json.decode(packet, type=_Job).bounds
    stream = _Arriving(control, fds[1])
    threading.Thread(target=stream.listen, name="listen", daemon=True).start()
    os.umask(0)
    try:
        answer: dict[str, Any] = {"done": unpack(stream, fds[0], stream.lower, bounds, ahead=True)}
    except Exception as error:  # noqa: BLE001 - outermost frame of the process: the engine raises it again
        answer = {"failed": Failure.of(error)}
    control.send(msgspec.json.encode(answer))


class _Job(msgspec.Struct):
    bounds: Bounds


if __name__ == "__main__":
    logging.disable()
    main(int(sys.argv[1]))
