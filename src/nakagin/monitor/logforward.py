"""Sends a container's output, line by line, to the machine's logs: syslog and the journal.

The sockets are datagrams or streams of others, so sending may fail: a line that cannot be sent is lost here, never the
container, and it is still in the file that `logs` reads. Sources: RFC 3164, RFC 5424, systemd's
"Native Journal Protocol".
"""

from __future__ import annotations

import os
import socket
import struct
import time

from nakagin.monitor.logfile import LONGEST_LINE, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from nakagin.monitor.protocol import Message

    class Sink(Protocol):
        """Where output goes: a log file, another's log, or both."""

        def write(self, stream: str, data: bytes) -> None: ...

        def close(self) -> None: ...

        def clear(self) -> None: ...


_ERROR, _INFO = 3, 6
# A peer that takes nothing for so many seconds is given up for this line.
_PATIENCE = 1.0
_RETRY = 5.0


class Lines:
    """Cuts output into lines of at most 16 KiB, as Docker does, and hands them to `send`."""

    __slots__ = ("_partial", "_send")

    def __init__(self, send: Syslog | Journal) -> None:
        self._send = send
        self._partial: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Send each whole line of "stdout" or "stderr"; an unfinished one waits for its end."""
        *lines, rest = (self._partial.pop(stream, b"") + data).split(b"\n")
        for line in lines:
            for start in range(0, len(line) or 1, LONGEST_LINE):
                self._send.send(stream, line[start : start + LONGEST_LINE])
        while len(rest) >= LONGEST_LINE:
            self._send.send(stream, rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        if rest:
            self._partial[stream] = rest

    def clear(self) -> None:
        """What was sent is not ours any more."""

    def close(self) -> None:
        """Send unfinished lines and hang up."""
        for stream, rest in self._partial.items():
            self._send.send(stream, rest)
        self._partial.clear()
        self._send.close()


class _Peer:
    """A connection that is made when it is needed, and again after it broke."""

    __slots__ = ("_address", "_broken_at", "_family", "_kind", "_socket")

    def __init__(self, family: int, kind: int, address: str | tuple[str, int]) -> None:
        self._family = family
        self._kind = kind
        self._address = address
        self._socket: socket.socket | None = None
        self._broken_at = -_RETRY

    def send(self, data: bytes, fds: list[int] | None = None) -> bool:
        """Whether the peer took it."""
        for _ in range(2):  # once more with a new connection: the peer may have been restarted
            sock = self._connected()
            if sock is None:
                return False
            try:
                if fds:
                    socket.send_fds(sock, [data], fds)
                else:
                    sock.sendall(data)
                return True
            except TimeoutError:
                return False
            except OSError as error:
                if error.errno == 90:  # EMSGSIZE: another connection would not help
                    raise
                self.close()
        return False

    def _connected(self) -> socket.socket | None:
        if self._socket is not None:
            return self._socket
        if time.monotonic() - self._broken_at < _RETRY:
            return None
        sock = socket.socket(self._family, self._kind | socket.SOCK_CLOEXEC)
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(self._address)
        except OSError:
            sock.close()
            self._broken_at = time.monotonic()
            return None
        self._socket = sock
        return sock

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Syslog:
    """Lines for a syslog server, in the form "", rfc3164, rfc5424 or rfc5424micro."""

    __slots__ = ("_facility", "_form", "_hostname", "_peer", "_stream", "_tag")

    def __init__(self, wanted: Message) -> None:
        """`wanted`: address ("unix" | "unixgram" | "tcp" | "udp", place), facility (number), form, tag, hostname."""
        kind, place = wanted["address"]
        self._stream = kind in {"tcp", "unix"}
        family = socket.AF_UNIX
        if kind in {"tcp", "udp"}:
            place = tuple(place)
            family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self._peer = _Peer(family, socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM, place)
        self._facility = int(wanted["facility"])
        self._form = wanted["form"]
        self._tag = wanted["tag"]
        self._hostname = wanted["hostname"]

    def send(self, stream: str, line: bytes) -> None:
        """One message: standard error as an error, standard output as information."""
        severity = _ERROR if stream == "stderr" else _INFO
        text = self.head(self._facility * 8 + severity, time.time_ns()).encode() + line
        try:
            self._peer.send(text + b"\n" if self._stream else text)
        except OSError:
            pass  # longer than a datagram can be

    def head(self, priority: int, now: int) -> str:
        """What stands before a line."""
        pid = os.getpid()
        if self._form == "rfc3164":
            stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now // 1_000_000_000))
            return f"<{priority}>{stamp} {self._hostname} {self._tag}[{pid}]: "
        if self._form.startswith("rfc5424"):
            at = timestamp(now)
            stamp = f"{at[:26]}Z" if self._form == "rfc5424micro" else f"{at[:19]}Z"
            return f"<{priority}>1 {stamp} {self._hostname} {self._tag} {pid} {self._tag} - "
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now // 1_000_000_000))
        return f"<{priority}>{stamp} {self._tag}[{pid}]: "

    def close(self) -> None:
        """Hang up."""
        self._peer.close()


class Journal:
    """Lines for systemd's journal, with the fields that Docker's driver sets."""

    __slots__ = ("_fields", "_peer")

    def __init__(self, wanted: Message) -> None:
        """`wanted`: path of the journal's socket, fields."""
        self._peer = _Peer(socket.AF_UNIX, socket.SOCK_DGRAM, wanted["path"])
        self._fields = b"".join(_field(key, value.encode()) for key, value in wanted["fields"].items())

    def send(self, stream: str, line: bytes) -> None:
        """One entry; what is too long for a datagram goes as a sealed file in memory."""
        severity = _ERROR if stream == "stderr" else _INFO
        entry = self._fields + f"PRIORITY={severity}\n".encode() + _field("MESSAGE", line)
        try:
            self._peer.send(entry)
        except OSError:
            fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.write(fd, entry)
                self._peer.send(b"", [fd])
            except OSError:
                pass
            finally:
                os.close(fd)

    def close(self) -> None:
        """Hang up."""
        self._peer.close()


def _field(name: str, value: bytes) -> bytes:
    """A field of an entry; a value with line ends is preceded by its length."""
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
