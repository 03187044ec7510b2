"""Protocol buffers as far as BuildKit's messages need them: fields by number, without generated code. Pure.

encoding: protobuf.dev/programming-guides/encoding. A message is what `decode` gives: each field's values in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Value = int | bytes | str | bool

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Message:
    """A decoded message; a field that is not there has its type's empty value."""

    def __init__(self, data: bytes) -> None:
        """Raises Damaged."""
        self._fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(data):
            key, at = _varint(data, at)
            value: int | bytes
            match key & 7:
                case 0:
                    value, at = _varint(data, at)
                case 2:
                    size, at = _varint(data, at)
                    value, at = data[at : at + size], at + size
                case 1 | 5 as kind:
                    size = 8 if kind == _FIXED64 else 4
                    value, at = data[at : at + size], at + size
                case kind:
                    raise Damaged(f"a message has a field of the unknown kind {kind}")
            if at > len(data):
                raise Damaged("a message ends in the middle of a field")
            self._fields.setdefault(key >> 3, []).append(value)

    def has(self, number: int) -> bool:
        """Whether the field is there."""
        return number in self._fields

    def data(self, number: int) -> bytes:
        """The last value of a bytes field."""
        value = self._fields.get(number, [b""])[-1]
        return value if isinstance(value, bytes) else b""

    def text(self, number: int) -> str:
        """The last value of a string field."""
        return self.data(number).decode(errors="replace")

    def texts(self, number: int) -> list[str]:
        """A repeated string field."""
        return [
            each.decode(errors="replace") for each in self._fields.get(number, ()) if isinstance(each, bytes)
        ]

    def number(self, number: int) -> int:
        """The last value of an integer field; int64 keeps its sign."""
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            return 0
        return value - (1 << 64) if value >> 63 else value

    def message(self, number: int) -> Message:
        """The last value of a message field."""
        return Message(self.data(number))

    def messages(self, number: int) -> list[Message]:
        """A repeated message field."""
        return [Message(each) for each in self._fields.get(number, ()) if isinstance(each, bytes)]

    def map(self, number: int) -> dict[str, str]:
        """A map<string, string>."""
        return {each.text(1): each.text(2) for each in self.messages(number)}

    def byte_map(self, number: int) -> dict[str, bytes]:
        """A map<string, bytes>."""
        return {each.text(1): each.data(2) for each in self.messages(number)}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Damaged("a message ends in the middle of a number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
        shift += 7


def _number(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """A message of (number, value); empty values are left out, as proto3 has it."""
    found = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            if value:
                found += _number(number << 3 | _VARINT) + _number(value)
            continue
        data = value.encode() if isinstance(value, str) else value
        if data:
            found += _number(number << 3 | _BYTES) + _number(len(data)) + data
    return bytes(found)


def present(number: int, data: bytes) -> bytes:
    """A message field that counts also where it is empty."""
    return _number(number << 3 | _BYTES) + _number(len(data)) + data


def entries(number: int, values: Mapping[str, str | bytes]) -> bytes:
    """A map field."""
    return b"".join(present(number, encode([(1, key), (2, value)])) for key, value in values.items())


def moment(number: int, nanoseconds: int) -> bytes:
    """A google.protobuf.Timestamp field."""
    return present(number, encode([(1, nanoseconds // 10**9), (2, nanoseconds % 10**9)]))
