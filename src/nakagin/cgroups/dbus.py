"""The little of D-Bus that asking systemd for a scope takes: calls, answers and signals on the system bus.

Messages are little-endian; the format is that of the D-Bus specification, "Message Protocol". Values are
Python's: int, bool, str, list for an array, tuple for a struct, (signature, value) for a variant.
"""

from __future__ import annotations

import _socket
import os

from nakagin.errors import StepFailed, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

SYSTEM_BUS = "/run/dbus/system_bus_socket"

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
# SERIAL is no field, but stands in the fixed part of the header; here it is kept among them.
SERIAL, PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(9)
_HEADER_SIGNATURES = {
    PATH: "o", INTERFACE: "s", MEMBER: "s", ERROR_NAME: "s", REPLY_SERIAL: "u", DESTINATION: "s", SENDER: "s",
    SIGNATURE: "g",
}  # fmt: skip

# Bytes of a fixed type, which are also its alignment; strings and arrays align as their length does.
_FIXED = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8}
_ALIGNMENT = {**_FIXED, "s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8}
_SIGNED = "nix"
_LARGEST = 1 << 24


def split(signature: str) -> list[str]:
    """The complete types of a signature: "sa(sv)u" is "s", "a(sv)", "u"."""
    found = []
    while signature:
        end = _end(signature)
        found.append(signature[:end])
        signature = signature[end:]
    return found


def _end(signature: str) -> int:
    if signature[0] == "a":
        return 1 + _end(signature[1:])
    if signature[0] != "(":
        return 1
    depth = 0
    for index, letter in enumerate(signature):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return index + 1
    raise ValueError(f"unbalanced signature {signature!r}")


def encode(signature: str, *values: object) -> bytes:
    """The values, one for each complete type of `signature`, as they stand at the start of a message's body."""
    data = bytearray()
    for kind, value in zip(split(signature), values, strict=True):
        _encode(data, kind, value)
    return bytes(data)


def _align(data: bytearray, kind: str) -> None:
    data.extend(bytes(-len(data) % _ALIGNMENT[kind[0]]))


def _encode(data: bytearray, kind: str, value: Any) -> None:
    _align(data, kind)
    letter = kind[0]
    if letter in _FIXED:
        data.extend(int(value).to_bytes(_FIXED[letter], "little", signed=letter in _SIGNED))
    elif letter in "so":
        text = value.encode()
        data.extend(len(text).to_bytes(4, "little") + text + b"\0")
    elif letter == "g":
        data.extend(bytes([len(value)]) + value.encode() + b"\0")
    elif letter == "v":
        _encode(data, "g", value[0])
        _encode(data, value[0], value[1])
    elif letter == "(":
        for each, part in zip(split(kind[1:-1]), value, strict=True):
            _encode(data, each, part)
    else:
        place = len(data)
        data.extend(bytes(4))
        _align(data, kind[1:])  # the padding before the first element is not counted
        begin = len(data)
        for each in value:
            _encode(data, kind[1:], each)
        data[place : place + 4] = (len(data) - begin).to_bytes(4, "little")


def decode(signature: str, data: bytes) -> list[Any]:
    """The values of a body. ValueError for one that ends too early."""
    reader = _Reader(data)
    return [reader.value(kind) for kind in split(signature)]


class _Reader:
    """Takes values off a body, front to back."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def value(self, kind: str) -> Any:
        """The next value of this type."""
        letter = kind[0]
        self.at += -self.at % _ALIGNMENT[letter]
        if letter in _FIXED:
            number = int.from_bytes(self._take(_FIXED[letter]), "little", signed=letter in _SIGNED)
            return bool(number) if letter == "b" else number
        if letter in "sog":
            text = self._take(int.from_bytes(self._take(1 if letter == "g" else 4), "little")).decode()
            self._take(1)
            return text
        if letter == "v":
            inner = self.value("g")
            return inner, self.value(inner)
        if letter == "(":
            return tuple(self.value(each) for each in split(kind[1:-1]))
        size = int.from_bytes(self._take(4), "little")
        self.at += -self.at % _ALIGNMENT[kind[1]]
        end = self.at + size
        found = []
        while self.at < end:
            found.append(self.value(kind[1:]))
        return found

    def _take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise ValueError("a D-Bus message ends too early")
        self.at += count
        return taken


class Message:
    """One message that came in."""

    __slots__ = ("fields", "kind", "values")

    def __init__(self, kind: int, fields: dict[int, Any], values: list[Any]) -> None:
        self.kind = kind
        self.fields = fields
        self.values = values


def build(kind: int, serial: int, fields: dict[int, Any], signature: str = "", *values: object) -> bytes:
    """A whole message."""
    body = encode(signature, *values)
    if signature:
        fields = {**fields, SIGNATURE: signature}
    header = [(code, (_HEADER_SIGNATURES[code], value)) for code, value in fields.items()]
    head = encode("yyyyuua(yv)", ord("l"), kind, 0, 1, len(body), serial, header)
    return head + bytes(-len(head) % 8) + body


class Bus:
    """A connection to a bus as this process's user. Use as a context manager."""

    __slots__ = ("_kept", "_serial", "_socket")

    def __init__(self, path: str = SYSTEM_BUS, patience: float = 30.0) -> None:
        """Connect and say hello; `patience` in seconds for every answer. Raises Unavailable, StepFailed."""
        self._serial = 0
        self._kept: list[Message] = []
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._socket.settimeout(patience)
        try:
            self._socket.connect(path)
            # EXTERNAL: the bus asks the kernel who we are; the uid goes in hexadecimal digits of its digits.
            self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
            answer = self._line()
            if not answer.startswith(b"OK "):
                raise Unavailable(f"the system bus {path} refuses: {answer.decode(errors='replace').strip()}")
            self._socket.sendall(b"BEGIN\r\n")
            self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        except OSError as error:
            self.close()
            raise Unavailable(
                f"the system bus {path} does not answer: {error.strerror or error}",
                hint="is the package dbus installed?",
            ) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def call(
        self, to: str, path: str, interface: str, member: str, signature: str = "", *values: object
    ) -> list[Any]:
        """Call a method; its results. Raises StepFailed with the other side's words (cause "name: text")."""
        self._serial += 1
        serial = self._serial
        fields = {PATH: path, INTERFACE: interface, MEMBER: member, DESTINATION: to}
        step = f"ask {to} to {member}"
        try:
            self._socket.sendall(build(METHOD_CALL, serial, fields, signature, *values))
            while True:
                message = self._receive()
                if message.fields.get(REPLY_SERIAL) == serial:
                    break
                self._kept.append(message)
        except OSError as error:
            raise StepFailed(step, error.strerror or str(error), errno=error.errno or 0) from None
        if message.kind == ERROR:
            words = str(message.values[0]) if message.values else ""
            raise StepFailed(step, f"{message.fields.get(ERROR_NAME)}: {words}")
        return message.values

    def signal(self, member: str) -> list[Any]:
        """The values of the next signal of this name. Raises StepFailed when none comes in time."""
        try:
            while True:
                message = self._kept.pop(0) if self._kept else self._receive()
                if message.kind == SIGNAL and message.fields.get(MEMBER) == member:
                    return message.values
        except OSError as error:
            raise StepFailed(f"wait for {member}", error.strerror or str(error)) from None

    def _receive(self) -> Message:
        fixed = self._exactly(16)
        order, kind, _, _, length, serial, fields_length = decode("yyyyuuu", fixed)
        if order != ord("l") or max(length, fields_length) > _LARGEST:
            raise OSError(71, "the bus speaks another protocol")
        rest = self._exactly(fields_length + -fields_length % 8)
        fields = dict(decode("yyyyuua(yv)", fixed + rest)[6])
        plain = {SERIAL: serial, **{code: value for code, (_, value) in fields.items()}}
        body = self._exactly(length)
        return Message(kind, plain, decode(plain.get(SIGNATURE, ""), body))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise OSError(104, "the bus has hung up")
            data += more
        return data

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._exactly(1)
        return line
