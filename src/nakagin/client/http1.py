"""HTTP/1.1 as bytes in, bytes out: no socket, no clock (RFC 9112, the part that a client of an engine needs).

A transport writes `encode_request(...)` and feeds what it receives to one `ResponseParser` per request. The
sync transport does so now; an async one can use the same two. Why this and not h11 or http.client stands in
docs/decisions/031-own-http-client-core.md: their import alone costs more than a whole `nakagin ps`.
"""

from __future__ import annotations

from nakagin.errors import Damaged, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 256 * 1024
_BODILESS = frozenset({204, 304})


def encode_request(
    method: str,
    target: str,
    host: str,
    headers: Mapping[str, str],
    *,
    length: int | None,
    chunked: bool = False,
) -> bytes:
    """The head of a request; `length` is the body's size in bytes, None without a body or when chunked."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif length is not None:
        lines.append(f"Content-Length: {length}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1:
        raise Damaged("a request line or header contains a line break")
    return text.encode("latin-1") + b"\r\n\r\n"


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked request body; empty data is its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ResponseParser:
    """Reads one response: feed bytes, then look at `status`, `headers`, `take()` and `finished`.

    After a 101 (or a 200 to a request that asked for an upgrade) `upgraded` is true, the parser is finished
    and `leftover` holds the first bytes of the new protocol.

        HEAD ──► FIXED ─────────┐
          ├────► CHUNK_SIZE ⇄ CHUNK_DATA ──► TRAILER ──► DONE
          ├────► UNTIL_CLOSE ───┘
          └────► DONE (204, 304, HEAD, upgraded)
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_may_upgrade",
        "_method",
        "_remaining",
        "_state",
        "headers",
        "keep_alive",
        "reason",
        "status",
        "upgraded",
    )

    def __init__(self, method: str, *, may_upgrade: bool = False) -> None:
        self._method = method
        self._may_upgrade = may_upgrade
        self._buffer = bytearray()
        self._body: list[bytes] = []
        self._state = "head"
        self._remaining = 0
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.keep_alive = True
        self.upgraded = False

    @property
    def head_complete(self) -> bool:
        """Status and headers of the final answer are known."""
        return self._state != "head"

    @property
    def finished(self) -> bool:
        """The whole answer has been received (its body may still wait in `take`)."""
        return self._state == "done"

    @property
    def leftover(self) -> bytes:
        """Bytes after the end of this answer: the upgraded stream's first ones."""
        return bytes(self._buffer)

    def take(self) -> bytes:
        """The body bytes received since the last call; empty when there are none."""
        taken = b"".join(self._body)
        self._body.clear()
        return taken

    def feed(self, data: bytes) -> None:
        """Accept received bytes; empty data is the end of the connection (Unavailable if too early)."""
        if not data:
            self._end_of_connection()
            return
        self._buffer += data
        while self._step():
            pass

    def _end_of_connection(self) -> None:
        if self._state == "until-close":
            self._state = "done"
            self.keep_alive = False
        elif self._state != "done":
            where = "before it answered" if self._state == "head" else "in the middle of its answer"
            raise Unavailable(f"the engine closed the connection {where}")

    def _step(self) -> bool:
        """Advance by one element; false when more bytes are needed."""
        match self._state:
            case "head":
                return self._read_head()
            case "fixed":
                return self._read_fixed()
            case "chunk-size":
                return self._read_chunk_size()
            case "chunk-data":
                return self._read_chunk_data()
            case "trailer":
                return self._read_trailer()
            case "until-close":
                self._body.append(bytes(self._buffer))
                self._buffer.clear()
        return False

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Damaged("the engine's answer has a head without end")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(" ")
        code, _, self.reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not code.isdigit():
            raise Damaged(
                f"not an HTTP answer: {lines[0][:80]!r}", hint="is this address really an engine's?"
            )
        self.status = int(code)
        if self.status < 200 and self.status != 101:
            return True
        self.headers = _headers(lines[1:])
        connection = self.headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
        self._state = self._framing()
        return True

    def _framing(self) -> str:
        plain_stream = (
            self._may_upgrade
            and self.status == 200
            and "content-length" not in self.headers
            and "transfer-encoding" not in self.headers
        )
        if self.status == 101 or plain_stream:
            self.upgraded = True
            self.keep_alive = False
            return "done"
        if self._method == "HEAD" or self.status in _BODILESS:
            return "done"
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return "chunk-size"
        if "content-length" in self.headers:
            self._remaining = _number(self.headers["content-length"], 10, "Content-Length")
            return "fixed" if self._remaining else "done"
        return "until-close"

    def _read_fixed(self) -> bool:
        self._cut(self._remaining)
        if self._remaining == 0:
            self._state = "done"
        return False

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._remaining = _number(line.partition(";")[0].strip(), 16, "chunk size")
        self._state = "chunk-data" if self._remaining else "trailer"
        return True

    def _read_chunk_data(self) -> bool:
        self._cut(self._remaining)
        if self._remaining:
            return False
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise Damaged("a chunk of the engine's answer does not end where it says")
        del self._buffer[:2]
        self._state = "chunk-size"
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if line == "":
            self._state = "done"
        return bool(line)

    def _cut(self, most: int) -> None:
        piece = bytes(self._buffer[:most])
        del self._buffer[: len(piece)]
        self._remaining -= len(piece)
        if piece:
            self._body.append(piece)

    def _line(self) -> str | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Damaged("a line of the engine's answer has no end")
            return None
        line = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 2]
        return line


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Damaged(f"not a header: {line[:80]!r}")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers


def _number(text: str, base: int, what: str) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise Damaged(f"not a {what}: {text[:80]!r}") from None
    if number < 0:
        raise Damaged(f"not a {what}: {text[:80]!r}")
    return number
