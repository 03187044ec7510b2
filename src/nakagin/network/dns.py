"""DNS messages as far as this house speaks them: questions read, answers made (RFC 1035, RFC 6891). Pure.

What comes from a container or from a server is hostile until it has been read here: every length is checked,
every compression pointer must lead backwards.
"""

from __future__ import annotations

import struct
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

#: What a client without EDNS takes by UDP, and the most that we send to one that offers more.
PLAIN_SIZE, LARGEST_DATAGRAM, LARGEST_STREAM = 512, 4096, 65535
#: Seconds for which a container's program may remember a name: addresses change when containers do.
TTL = 5

_QR, _TC, _RD, _RA = 0x8000, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_header = struct.Struct("!HHHHHH")
_record = struct.Struct("!HHIH")  # type, class, seconds to live, length of the data
# The owner's name of each of our records: a pointer to the question (RFC 1035, 4.1.4).
_OWNER = b"\xc0\x0c"
_LONGEST_NAME = 255

Record = tuple[int, bytes]  # type, data


class Malformed(ValueError):
    """A message that is not what it says."""


class Question:
    """The one question of a query. `name` is in lower case, without the last dot; "" is the root.

    `size` is how large a datagram the asker takes, `edns` whether it said so by EDNS; `end` is where the
    question section ends. `plain` is False for names with a dot inside of a label: nobody here has one.
    """

    __slots__ = ("edns", "end", "flags", "kind", "klass", "name", "plain", "size")

    def __init__(self, name: str, kind: int, klass: int, flags: int, end: int) -> None:
        self.name = name
        self.kind = kind
        self.klass = klass
        self.flags = flags
        self.end = end
        self.plain = True
        self.edns = False
        self.size = PLAIN_SIZE

    @property
    def opcode(self) -> int:
        return (self.flags & _OPCODE) >> 11


def read_question(message: bytes) -> Question:
    """The question of a query. Raises Malformed: not a query, none or several questions, cut short."""
    if len(message) < 12:
        raise Malformed("shorter than a header")
    _, flags, questions, answers, authorities, additional = _header.unpack_from(message)
    if flags & _QR:
        raise Malformed("an answer, not a question")
    if questions != 1:
        raise Malformed(f"{questions} questions")
    labels, at = _labels(message, 12)
    if at + 4 > len(message):
        raise Malformed("cut short")
    kind, klass = struct.unpack_from("!HH", message, at)
    name = b".".join(labels).lower().decode("latin-1")
    found = Question(name, kind, klass, flags, at + 4)
    found.plain = not any(b"." in each for each in labels)
    if additional and not answers and not authorities:
        _read_edns(message, found)
    return found


def _labels(message: bytes, at: int) -> tuple[list[bytes], int]:
    """The labels of a name that is written out, and where it ends."""
    labels: list[bytes] = []
    begin = at
    while at < len(message):
        length = message[at]
        if not length:
            return labels, at + 1
        if length > 63:
            raise Malformed("a pointer in a question")
        at += 1 + length
        if at - begin >= _LONGEST_NAME:
            raise Malformed("a name of more than 255 bytes")
        labels.append(message[at - length : at])
    raise Malformed("a name without end")


def _read_edns(message: bytes, question: Question) -> None:
    """Of the additional section only an OPT record in the first place is looked at; it is nowhere else."""
    at = question.end
    if len(message) >= at + 11 and not message[at]:
        kind, size = struct.unpack_from("!HH", message, at + 1)
        if kind == OPT:
            question.edns = True
            question.size = min(max(size, PLAIN_SIZE), LARGEST_DATAGRAM)


def answer(
    query: bytes, question: Question, records: Sequence[Record], *, code: int = NOERROR, limit: int = 0
) -> bytes:
    """The answer to a query: `records` are of the question's name. Cut with TC set beyond `limit` bytes.

    `limit` 0 is what the asker takes by UDP.
    """
    limit = limit or question.size
    tail = b"\0" + _record.pack(OPT, LARGEST_DATAGRAM, 0, 0) if question.edns else b""
    room = limit - question.end - len(tail)
    body = []
    cut = 0
    for kind, data in records:
        room -= 12 + len(data)
        if room < 0:
            cut = _TC
            break
        body.append(_OWNER + _record.pack(kind, IN, TTL, len(data)) + data)
    flags = _QR | (question.flags & (_OPCODE | _RD)) | _RA | cut | code
    head = _header.pack(int.from_bytes(query[:2], "big"), flags, 1, len(body), 0, len(tail) and 1)
    return head + query[12 : question.end] + b"".join(body) + tail


def failure(query: bytes, code: int, *, recursion: bool = True) -> bytes:
    """An answer without records; where the question cannot be read, its header alone."""
    try:
        question = read_question(query)
    except Malformed:
        flags = _QR | (int.from_bytes(query[2:4], "big") & (_OPCODE | _RD)) | _RA | code
        return query[:2] + struct.pack("!HHHHH", flags, 0, 0, 0, 0)
    made = answer(query, question, (), code=code)
    return made if recursion else made[:3] + bytes([made[3] & ~_RA]) + made[4:]


def addresses_as_records(addresses: Iterable[str]) -> list[Record]:
    """A and AAAA records of addresses."""
    return [
        (AAAA, inet_pton(AF_INET6, each)) if ":" in each else (A, inet_pton(AF_INET, each))
        for each in addresses
    ]


def encode_name(name: str) -> bytes:
    """A name as it is written in records. Raises Malformed where DNS has no way to write it."""
    labels = [each.encode("latin-1", "replace") for each in name.split(".") if each]
    if any(len(each) > 63 for each in labels) or sum(map(len, labels)) + len(labels) >= _LONGEST_NAME:
        raise Malformed(f"{name} is too long a name")
    return b"".join(bytes([len(each)]) + each for each in labels) + b"\0"


def reversed_address(name: str) -> str:
    """The address that a name under in-addr.arpa or ip6.arpa asks for; "" for any other name."""
    head, dot, tail = name.rpartition(".arpa")
    if not dot or tail:
        return ""
    labels, _, zone = head.rpartition(".")
    parts = labels.split(".")[::-1]
    try:
        if zone == "in-addr" and len(parts) == 4:
            return inet_ntop(AF_INET, inet_pton(AF_INET, ".".join(parts)))
        if zone == "ip6" and len(parts) == 32 and all(len(each) == 1 for each in parts):
            return inet_ntop(AF_INET6, bytes.fromhex("".join(parts)))
    except (OSError, ValueError):
        pass
    return ""


# --- answers of servers ------------------------------------------------------------------------------------


def code_of(reply: bytes) -> int:
    """The response code of an answer."""
    return reply[3] & 0xF


def is_answer(query: bytes, reply: bytes) -> bool:
    """Whether `reply` answers `query`: the same id, marked as an answer, and the same question.

    Without the latter two a stranger's or a confused server's packet would be taken (RFC 5452). An error may
    come without a question.
    """
    if len(reply) < 12 or reply[:2] != query[:2] or not reply[2] & 0x80:
        return False
    if reply[4:6] == b"\0\0":
        return code_of(reply) not in {NOERROR, NXDOMAIN}
    if reply[4:6] != b"\0\1":
        return False
    try:
        asked, answered = _labels(query, 12), _labels(reply, 12)
    except Malformed:
        return False
    end = asked[1]
    return (
        end == answered[1]
        and query[12:end].lower() == reply[12:end].lower()
        and query[end : end + 4] == reply[end : end + 4]
    )


def is_settled(reply: bytes) -> bool:
    """Whether a server knows: that there is no such name is knowledge, a refusal is not."""
    return code_of(reply) in {NOERROR, NXDOMAIN}


def has_records(reply: bytes) -> bool:
    """Whether an answer holds something (or would, if it were not cut)."""
    return code_of(reply) == NOERROR and (reply[6:8] != b"\0\0" or bool(reply[2] & 2))


def addresses_in(reply: bytes) -> list[tuple[str, int]]:
    """(address, seconds to live) of every A and AAAA record of an answer; what is malformed ends the list."""
    found = []
    _, _, questions, answers, _, _ = _header.unpack_from(reply)
    at = 12
    try:
        for _ in range(questions):
            at = _skip_name(reply, at) + 4
        for _ in range(answers):
            at = _skip_name(reply, at)
            kind, klass, ttl, length = _record.unpack_from(reply, at)
            at += 10
            data = reply[at : at + length]
            at += length
            if klass == IN and (kind, len(data)) in {(A, 4), (AAAA, 16)}:
                found.append((inet_ntop(AF_INET if kind == A else AF_INET6, data), ttl))
    except (Malformed, struct.error):
        pass
    return found


def _skip_name(message: bytes, at: int) -> int:
    """Where a name ends: at its zero, or behind its first pointer, which need not be followed."""
    while at < len(message):
        length = message[at]
        if length >= 0xC0:
            return at + 2
        if length > 63:
            raise Malformed("an unknown kind of label")
        at += 1 + length
        if not length:
            return at
    raise Malformed("a name without end")
