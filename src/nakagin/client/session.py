"""Requests and answers over kept-alive connections, with the engine's errors as exceptions.

A `Session` belongs to one thread at a time. Every request takes an idle connection (or opens one) and
gives it back when its answer has been read to the end.
"""

from __future__ import annotations

import os

from nakagin.client import http1
from nakagin.client.frames import JSONSequence
from nakagin.client.refusals import not_json, refusal
from nakagin.client.transport import Connection
from nakagin.errors import Invalid, Unavailable
from nakagin.spec.document import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, BinaryIO, Self

    from nakagin.client.endpoint import Endpoint
    from nakagin.client.hijack import Stream

    Query = Mapping[str, object]
    Body = bytes | BinaryIO | Iterable[bytes]
    Document = dict[str, Any]
    Documents = list[Document]
    Texts = list[str]
    Filters = Mapping[str, str | bool | list[str]]

API_VERSION = "1.50"
MINIMUM_API_VERSION = "1.24"
SESSION_TIMEOUT = -1.0
_PIECE = 1024 * 1024
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")


class Response:
    """An answer whose head has arrived. Read the body once: `json`, `read`, `iterate` or `documents`."""

    __slots__ = ("_connection", "_parser", "_session", "what")

    def __init__(
        self, session: Session, connection: Connection, parser: http1.ResponseParser, what: str
    ) -> None:
        self._session = session
        self._connection: Connection | None = connection
        self._parser = parser
        self.what = what

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._parser.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers; names in lower case."""
        return self._parser.headers

    def fileno(self) -> int:
        """The connection's descriptor, for poll: readable means that `iterate` goes on."""
        return self._connection.socket.fileno() if self._connection is not None else -1

    def iterate(self) -> Iterator[bytes]:
        """The body's bytes as they arrive. Unavailable when the connection ends before the body does."""
        parser = self._parser
        try:
            while True:
                if piece := parser.take():
                    yield piece
                if parser.finished:
                    break
                assert self._connection is not None
                parser.feed(self._connection.receive())
            self._release()
        finally:
            self.close()

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.iterate())

    def json(self) -> Any:
        """The body as JSON; None for an empty one; Damaged where it is none."""
        data = self.read()
        if not data.strip():
            return None
        try:
            return parse(data)
        except Invalid:
            raise not_json(self.what, data) from None

    def documents(self) -> Iterator[Any]:
        """The JSON documents of a streamed body, as they arrive."""
        sequence = JSONSequence()
        for piece in self.iterate():
            yield from sequence.feed(piece)
        if sequence.inside_document:
            raise Unavailable(f"{self.what}: the engine's answer ended in the middle of a JSON document")

    def _release(self) -> None:
        if self._connection is not None and self._parser.keep_alive:
            self._session.give_back(self._connection)
            self._connection = None

    def shut(self) -> None:
        """End the connection while another thread reads from it: it finds the end."""
        if self._connection is not None:
            self._connection.shut()

    def close(self) -> None:
        """Drop the connection unless the answer was read to its end; again is no error."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Session:
    """Sends requests to one endpoint. `timeout` (seconds) bounds each wait for bytes; None waits for ever.

    `version` None asks the engine once (`/_ping`) and speaks the lower of its API version and ours.
    """

    def __init__(
        self, endpoint: Endpoint, *, timeout: float | None = 60.0, version: str | None = None
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.headers: dict[str, str] = {"User-Agent": "nakagin"}
        self.labels: dict[str, str] = {}
        """What everything that is made gets; see `Lease`."""
        self._version = version
        self._idle: list[Connection] = []

    def twin(self) -> Session:
        """Another session with the same engine, for another thread."""
        return Session(self.endpoint, timeout=self.timeout, version=self._version)

    def labelled(self, body: Document) -> Document:
        """The body of a create request with the session's labels."""
        return {**body, "Labels": {**(body.get("Labels") or {}), **self.labels}} if self.labels else body

    @property
    def version(self) -> str:
        """The API version in use."""
        if self._version is None:
            with self.request("HEAD", "/_ping", versioned=False) as answer:
                answer.read()
                offered = answer.headers.get("api-version") or MINIMUM_API_VERSION
            self._version = min(offered, API_VERSION, key=version_key)
        return self._version

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        data: Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = SESSION_TIMEOUT,
        versioned: bool = True,
    ) -> Response:
        """Send, and wait for the answer's head. `body` goes as JSON, `data` as it is (chunked unless bytes).

        Raises an EngineError for a status from 300 on, Unavailable where no engine answers in time.
        """
        target = self._target(path, query, versioned)
        connection = self._connection(self.timeout if timeout == SESSION_TIMEOUT else timeout)
        parser = http1.ResponseParser(method)
        try:
            self._send(connection, method, target, body, data, {**self.headers, **(headers or {})})
            while not parser.head_complete:
                parser.feed(connection.receive())
            answer = Response(self, connection, parser, f"{method} {path}")
            if parser.status >= 300:
                raise refusal(parser.status, parser.reason, answer.read())
        except BaseException:
            connection.close()
            raise
        return answer

    def hijack(
        self,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        tty: bool | None = None,
        versioned: bool = True,
    ) -> Stream:
        """Turn a connection into a stream (attach, exec); `tty` None: the Content-Type tells if it is raw."""
        from nakagin.client.hijack import Stream

        connection = self._connection(self.timeout)
        parser = http1.ResponseParser("POST", may_upgrade=True)
        upgrade = {**self.headers, "Connection": "Upgrade", "Upgrade": "tcp"}
        target = self._target(path, query, versioned)
        try:
            self._send(connection, "POST", target, body, None, upgrade)
            while not parser.head_complete:
                parser.feed(connection.receive())
            if not parser.upgraded:
                rest = Response(self, connection, parser, f"POST {path}").read()
                raise refusal(parser.status, f"the engine did not open a stream ({parser.reason})", rest)
            connection.socket.settimeout(None)
            raw = tty if tty is not None else "raw-stream" in parser.headers.get("content-type", "raw-stream")
            return Stream(connection, parser.leftover, raw=raw)
        except BaseException:
            connection.close()
            raise

    def _target(self, path: str, query: Query | None, versioned: bool) -> str:
        prefix = self.endpoint.prefix + (f"/v{self.version}" if versioned else "")
        return prefix + path + encode_query(query)

    def _connection(self, timeout: float | None) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.stale():
                connection.socket.settimeout(timeout)
                return connection
            connection.close()
        return Connection(self.endpoint, timeout)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer has been read for the next request."""
        self._idle.append(connection)

    def _send(
        self,
        connection: Connection,
        method: str,
        target: str,
        body: object,
        data: Body | None,
        headers: dict[str, str],
    ) -> None:
        if body is not None:
            data = render(body).encode()
            headers["Content-Type"] = "application/json"
        whole = data if isinstance(data, bytes) else b"" if data is None and method == "POST" else None
        head = http1.encode_request(
            method,
            target,
            self.endpoint.host_header,
            headers,
            length=None if whole is None else len(whole),
            chunked=data is not None and whole is None,
        )
        try:
            if data is None or isinstance(data, bytes):
                connection.send(head + (whole or b""))
                return
            connection.send(head)
            for piece in _pieces(data):
                connection.send(http1.encode_chunk(piece))
            connection.send(http1.encode_chunk(b""))
        except (BrokenPipeError, ConnectionResetError):
            # The engine stopped reading: it has refused the upload and its answer says why.
            return

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()


def _pieces(data: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(data, "read", None)
    if read is None:
        yield from (piece for piece in data if piece)
        return
    while piece := read(_PIECE):
        yield piece


def version_key(version: str) -> tuple[int, ...]:
    """ "1.41" → (1, 41), so that versions compare."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def encode_query(query: Query | None) -> str:
    """ "?a=1&b=x": None is left out, a bool is 1 or 0, a list repeats the key, a dict is JSON."""
    pairs: list[str] = []
    for key, value in (query or {}).items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is None:
                continue
            pairs.append(f"{quote(key)}={quote(_query_text(each))}")
    return "?" + "&".join(pairs) if pairs else ""


def _query_text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return render(value) if isinstance(value, dict) else str(value)


def quote(text: str, keep: str = "") -> str:
    """Percent-encode for a URL except also `keep` (urllib.parse would cost its import)."""
    safe = _SAFE | frozenset(keep.encode()) if keep else _SAFE
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in os.fsencode(text))


def document(answer: Response) -> Document:
    """The JSON object of an answer; an empty answer is an empty object."""
    found = answer.json()
    return found if isinstance(found, dict) else {}


def filter_query(filters: Filters | None) -> dict[str, list[str]] | None:
    """Filters in the engine's form: {"name": ["a"], "all": ["true"]}; None where there are none."""
    if not filters:
        return None
    return {key: value if isinstance(value, list) else [_word(value)] for key, value in filters.items()}


def _word(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()
