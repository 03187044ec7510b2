"""A body (of a request, of an answer from elsewhere) as a blocking file for a worker thread.

The loop reads ahead of the thread, so that neither waits for the other piece by piece: on a busy machine every
such wait costs a turn of the scheduler.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from nakagin.errors import Damaged, Invalid, NakaginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import WriteableBuffer
    from aiohttp.streams import StreamReader

    from nakagin.api.call import Call

_AHEAD = 8 << 20
_BATCH = 1 << 17
_MOMENT = 0.01


def body_file(call: Call, *, patience: float | None = None) -> IO[bytes]:
    """A request's body as a blocking file; to be read in a worker thread. OSError where nothing comes for so long."""
    return cast(IO[bytes], BodyFile(call.request.content, patience=patience))


@contextmanager
def sent_file(call: Call) -> Iterator[IO[bytes]]:
    """The body as a file; where it is damaged, the client sent it so: Invalid, not Damaged as for the store."""
    try:
        with body_file(call) as file:
            yield file
    except Damaged as error:
        raise Invalid(error.message, hint=error.hint) from error


class BodyFile(io.RawIOBase):
    """Made in the loop, read in a thread, closed in the loop. `listen` hears in the loop how many bytes came."""

    def __init__(
        self,
        content: StreamReader,
        what: str = "the request's body",
        listen: Callable[[int], None] | None = None,
        patience: float | None = None,
    ) -> None:
        self._content = content
        self._what = what
        self._listen = listen
        self._patience = patience
        self.came = 0
        """How many bytes so far."""
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._failure: BaseException | None = None
        self._ended = False
        self._gathering = False
        self._room = asyncio.Event()
        self._pump = self._loop.create_task(self._run())

    async def _run(self) -> None:
        failure: BaseException | None = None
        try:
            while data := await self._content.readany():
                self.came += len(data)
                if self._listen is not None:
                    self._listen(self.came)
                with self._changed:
                    self._pieces.append(data)
                    self._size += len(data)
                    is_full = self._size > _AHEAD
                    self._room.clear()
                    if self._size >= _BATCH or not self._gathering:
                        self._changed.notify()
                if is_full:
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001 - handed to the reading thread, which raises it
            failure = error
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._changed:
                self._failure, self._ended = failure, True
                self._changed.notify()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """What is there, at most `size` bytes; waits for some. A connection that breaks raises its error."""
        if size < 0:
            return self.readall()
        with self._changed:
            if not self._changed.wait_for(lambda: self._pieces or self._ended, self._patience):
                raise OSError(f"{self._what} stopped coming for {self._patience:g} seconds")
            # Clients write a tar in many small pieces; to be woken for each costs more than the work on it.
            self._gathering = True
            self._changed.wait_for(lambda: self._size >= _BATCH or self._ended, _MOMENT)
            self._gathering = False
            if not self._pieces and self._failure is not None:
                if isinstance(self._failure, NakaginError):
                    raise self._failure
                raise OSError(f"{self._what} was cut: {self._failure}") from self._failure
            found = []
            while self._pieces and size:
                piece = self._pieces.popleft()
                if len(piece) > size:
                    self._pieces.appendleft(piece[size:])
                    piece = piece[:size]
                found.append(piece)
                size -= len(piece)
                self._size -= len(piece)
            wake = not self._ended and self._size <= _AHEAD // 2
        if wake:
            self._loop.call_soon_threadsafe(self._room.set)
        return b"".join(found)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Stop reading ahead."""
        if not self.closed:
            self._loop.call_soon_threadsafe(self._pump.cancel)
        super().close()
