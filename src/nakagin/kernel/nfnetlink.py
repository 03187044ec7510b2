"""A table with one chain of rules, straight through netlink (<linux/netfilter/nf_tables.h>).

For the few rules that a start makes in a container's own namespace: there libnftables spends a millisecond (a
context, five queries, its parser) on what takes the kernel a quarter of one. Everything else goes by
`nftables`. A rule is a list of expressions, made by the functions below.
"""

from __future__ import annotations

import os
import socket
import struct

from nakagin.kernel.netlink import attribute, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Rule = Sequence[bytes]

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>
_NETFILTER = 12
_REQUEST, _EXCL, _CREATE, _APPEND = 0x1, 0x200, 0x400, 0x800
_ERROR, _NESTED = 2, 0x8000
_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 16, 17, 10
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = 0, 2, 3, 6

# <linux/netfilter/nf_tables.h>: attributes of tables, chains, hooks and rules, then those of expressions
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE, _HOOK_NUMBER, _HOOK_PRIORITY = 1, 3, 4, 7, 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS, _LIST_ELEMENT = 1, 2, 4, 1
_EXPRESSION_NAME, _EXPRESSION_DATA, _VALUE = 1, 2, 1
_PAYLOAD_DREG, _PAYLOAD_BASE, _PAYLOAD_OFFSET, _PAYLOAD_LENGTH, _PAYLOAD_SREG = 1, 2, 3, 4, 5
_PAYLOAD_SUM_TYPE, _PAYLOAD_SUM_OFFSET, _INTERNET_SUM = 6, 7, 1
_CMP_SREG, _CMP_OP, _CMP_DATA, _EQUAL = 1, 2, 3, 0
_META_DREG, _META_KEY, _META_L4PROTO = 1, 2, 16
_IMMEDIATE_DREG, _IMMEDIATE_DATA = 1, 2
_REGISTER = 1

NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
OUTPUT = 3  # NF_INET_LOCAL_OUT
RAW = -300  # NF_IP_PRI_RAW

_header = struct.Struct("=IHHII")


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!i", value))


def _expression(name: str, data: bytes = b"") -> bytes:
    inner = _text(_EXPRESSION_NAME, name)
    return inner + attribute(_EXPRESSION_DATA | _NESTED, data) if data else inner


def _is(value: bytes) -> bytes:
    data = attribute(_CMP_DATA | _NESTED, attribute(_VALUE, value))
    return _expression("cmp", _number(_CMP_SREG, _REGISTER) + _number(_CMP_OP, _EQUAL) + data)


def packet_has(base: int, offset: int, value: bytes) -> Rule:
    """Go on only where the packet has these bytes there: `base` is NETWORK_HEADER or TRANSPORT_HEADER."""
    where = _number(_PAYLOAD_BASE, base) + _number(_PAYLOAD_OFFSET, offset)
    where += _number(_PAYLOAD_LENGTH, len(value))
    return [_expression("payload", _number(_PAYLOAD_DREG, _REGISTER) + where), _is(value)]


def protocol_is(number: int) -> Rule:
    """Go on only where the packet is of this protocol (IPPROTO_*)."""
    return [_expression("meta", _number(_META_DREG, _REGISTER) + _number(_META_KEY, _META_L4PROTO)),
            _is(bytes([number]))]  # fmt: skip


def untracked() -> Rule:
    """Keep the packet out of connection tracking."""
    return [_expression("notrack")]


def set_transport(offset: int, value: bytes, checksum: int) -> Rule:
    """Write these bytes into the transport header, whose checksum is at offset `checksum`."""
    data = attribute(_IMMEDIATE_DATA | _NESTED, attribute(_VALUE, value))
    where = _number(_PAYLOAD_BASE, TRANSPORT_HEADER) + _number(_PAYLOAD_OFFSET, offset)
    where += _number(_PAYLOAD_LENGTH, len(value)) + _number(_PAYLOAD_SUM_TYPE, _INTERNET_SUM)
    where += _number(_PAYLOAD_SUM_OFFSET, checksum)
    return [
        _expression("immediate", _number(_IMMEDIATE_DREG, _REGISTER) + data),
        _expression("payload", _number(_PAYLOAD_SREG, _REGISTER) + where),
    ]


def replace_table(table: str, chain: str, hook: int, priority: int, rules: Sequence[Rule]) -> None:
    """Put an IPv4 table with one filter chain there, in the network namespace that the caller is in.

    What a table of that name held before goes, in one transaction. Raises OSError.
    """
    # Not by deleting it in any case: the kernel then waits for a grace period of RCU, 10 ms on a busy machine.
    try:
        _perform(_batch(table, chain, hook, priority, rules))
    except FileExistsError:
        _perform(_batch(table, chain, hook, priority, rules, again=True))


def _batch(
    table: str, chain: str, hook: int, priority: int, rules: Sequence[Rule], *, again: bool = False
) -> bytes:
    place = _number(_HOOK_NUMBER, hook) + _number(_HOOK_PRIORITY, priority)
    chained = _text(_CHAIN_TABLE, table) + _text(_CHAIN_NAME, chain)
    chained += attribute(_CHAIN_HOOK | _NESTED, place) + _text(_CHAIN_TYPE, "filter")
    named = _text(_TABLE_NAME, table)
    batch = [(_DELTABLE, 0, named)] if again else []
    batch += [(_NEWTABLE, _CREATE | _EXCL, named), (_NEWCHAIN, _CREATE, chained)]
    batch += [(_NEWRULE, _CREATE | _APPEND, _rule(table, chain, each)) for each in rules]
    return b"".join(_encoded(batch))


def _rule(table: str, chain: str, rule: Rule) -> bytes:
    expressions = b"".join(attribute(_LIST_ELEMENT | _NESTED, each) for each in rule)
    named = _text(_RULE_TABLE, table) + _text(_RULE_CHAIN, chain)
    return named + attribute(_RULE_EXPRESSIONS | _NESTED, expressions)


def _encoded(batch: Sequence[tuple[int, int, bytes]]) -> Iterator[bytes]:
    bound = struct.pack("!BBH", 0, 0, _SUBSYSTEM)
    yield _header.pack(20, _BATCH_BEGIN, _REQUEST, 0, 0) + bound
    family = struct.pack("!BBH", socket.AF_INET, 0, 0)
    for number, (kind, flags, body) in enumerate(batch, 1):
        yield (
            _header.pack(20 + len(body), _SUBSYSTEM << 8 | kind, _REQUEST | flags, number, 0) + family + body
        )
    yield _header.pack(20, _BATCH_END, _REQUEST, len(batch) + 1, 0) + bound


def _perform(batch: bytes) -> None:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, _NETFILTER) as kernel:
        kernel.send(batch)
        # The kernel has worked it off when `send` returns, and speaks of errors only.
        try:
            while True:
                for kind, _, _, body in messages(kernel.recv(65536)):
                    number = -struct.unpack_from("=i", body)[0] if kind == _ERROR else 0
                    if number:
                        raise OSError(number, f"nf_tables: {os.strerror(number)}")
        except BlockingIOError:
            return
