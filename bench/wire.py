"""The smallest client of the engine API, on one kept-alive connection: it must not be what is measured."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Any, Self


class Refused(RuntimeError):
    """The engine answered with a bad status; the connection is still good."""


class Connection:
    """One HTTP/1.1 connection over a unix socket; requests go one after the other."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._buffer = b""
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send and receive one message; the decoded JSON (None where empty); Refused on a bad status."""
        payload = b"" if body is None else json.dumps(body).encode()
        self._socket.sendall(
            f"{method} /v1.41{path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        status, headers = self._head()
        text = self._body(status, headers)
        if status >= 400:
            raise Refused(f"{method} {path}: {status} {text.decode(errors='replace')}")
        return json.loads(text) if text.strip() else None

    def stream(self, path: str, body: object) -> bytes:
        """POST that takes the connection over and uses it up (exec start); all bytes until the end."""
        payload = json.dumps(body).encode()
        self._socket.sendall(
            f"POST /v1.41{path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        status, _ = self._head()
        if status not in {101, 200}:
            raise RuntimeError(f"POST {path}: {status}")
        while data := self._socket.recv(65536):
            self._buffer += data
        return self._buffer

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        return int(first.split()[1]), headers

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in {204, 304}:
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        length = int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            self._fill()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _chunks(self) -> bytes:
        whole = b""
        while True:
            while b"\r\n" not in self._buffer:
                self._fill()
            size, self._buffer = self._buffer.split(b"\r\n", 1)
            length = int(size.split(b";")[0], 16)
            while len(self._buffer) < length + 2:
                self._fill()
            whole += self._buffer[:length]
            self._buffer = self._buffer[length + 2 :]
            if length == 0:
                return whole

    def _fill(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise RuntimeError("the engine closed the connection")
        self._buffer += data
