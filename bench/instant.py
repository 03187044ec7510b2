"""An engine that answers at once and does nothing: what `docker run` takes with it is the client's own share."""

from __future__ import annotations

import os
import selectors
import socket
import tempfile
import threading
from types import TracebackType
from typing import Self

_COMMON = b"Api-Version: 1.50\r\nOstype: linux\r\nContent-Type: application/json\r\n"
_CREATED = b'{"Id":"' + b"a" * 64 + b'","Warnings":[]}\n'
_ENDED = b'{"StatusCode":0}\n'
_PIECE = 1 << 18


class Instant:
    """For the length of the context it answers the requests of one `docker run` after the other at `host`.

    Each of the client's requests is expected in one piece, but for the body of create; output and exit follow the
    start immediately.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nakagin-bench-")
        path = os.path.join(self._folder.name, "sock")
        self.host = f"unix://{path}"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        self._ending, self._ended = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for each in (self._server, self._ended):
            self._selector.register(each, selectors.EVENT_READ)
        self._attached: socket.socket | None = None
        self._waiting: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()
        self._thread.join()
        for key in [*self._selector.get_map().values()]:
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._folder.cleanup()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._ended:
                    return
                if key.fileobj is self._server:
                    connection, _ = self._server.accept()
                    self._selector.register(connection, selectors.EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj.fileno() >= 0:  # not closed by what came before it in this turn
                    self._answer(key.fileobj)

    def _answer(self, connection: socket.socket) -> None:
        request = connection.recv(_PIECE)
        if not request:
            self._selector.unregister(connection)
            if connection is not self._attached:  # that one has only closed its input
                connection.close()
            return
        line = request.split(b"\r\n", 1)[0]
        if line.startswith(b"HEAD "):
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + _COMMON + b"Content-Length: 0\r\n\r\n")
        elif b"/containers/create" in line:
            if request.endswith(b"\r\n\r\n"):
                connection.recv(_PIECE)
            length = b"Content-Length: %d\r\n\r\n" % len(_CREATED)
            connection.sendall(b"HTTP/1.1 201 Created\r\n" + _COMMON + length + _CREATED)
        elif b"/attach" in line:
            self._attached = connection
            upgrade = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            connection.sendall(upgrade + b"Content-Type: application/vnd.docker.raw-stream\r\n\r\n")
        elif b"/wait" in line:
            self._waiting = connection
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + _COMMON + b"Transfer-Encoding: chunked\r\n\r\n")
        elif b"/start" in line:
            connection.sendall(b"HTTP/1.1 204 No Content\r\n" + _COMMON + b"\r\n")
            assert self._attached is not None
            assert self._waiting is not None
            if self._attached in self._selector.get_map():
                self._selector.unregister(self._attached)
            self._attached.close()
            self._waiting.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(_ENDED), _ENDED))
