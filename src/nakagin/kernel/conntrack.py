"""Connection tracking: forget flows, by where their answers come from or by where they were sent (ctnetlink).

Import-light; Linux 5.8 or newer. Used when a published port comes or goes: a client that keeps sending
datagrams would otherwise be led to the old container, or past the new one, for ever.
"""

from __future__ import annotations

import os
import socket
import struct

from nakagin.kernel.netlink import attribute, messages

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
_NETFILTER = 12
_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_REQUEST_ACK = 0x1 | 0x4
_NESTED = 0x8000
_TUPLE_ORIGINAL, _TUPLE_REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_V4_SOURCE, _V6_SOURCE = 1, 3
_NUMBER, _TARGET_PORT = 1, 3
_ORIGINAL_FLAGS, _REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_PROTOCOL, _BY_TARGET_PORT = 1 << 0, 1 << 3, 1 << 5  # CTA_FILTER_F_… of the kernel
_ENOENT = 2
_header = struct.Struct("=IHHIIBBH")


def _request(family: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _header.pack(_header.size + len(body), _DELETE, _REQUEST_ACK, 1, 0, family, 0, 0) + body


def _filtered(original: int, reply: int) -> bytes:
    flags = attribute(_ORIGINAL_FLAGS, struct.pack("=I", original))
    return attribute(_FILTER | _NESTED, flags + attribute(_REPLY_FLAGS, struct.pack("=I", reply)))


def request_from(address: str) -> bytes:
    """The message that deletes every flow whose answers come from `address`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = _V6_SOURCE if family == socket.AF_INET6 else _V4_SOURCE
    source = attribute(_TUPLE_IP | _NESTED, attribute(kind, socket.inet_pton(family, address)))
    return _request(family, attribute(_TUPLE_REPLY | _NESTED, source), _filtered(0, _BY_SOURCE))


def request_to(protocol: str, port: int, *, ipv6: bool) -> bytes:
    """The message that deletes every flow that was sent to `port`."""
    number = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}[protocol]
    target = attribute(_NUMBER, bytes([number])) + attribute(_TARGET_PORT, port.to_bytes(2, "big"))
    original = attribute(_TUPLE_ORIGINAL | _NESTED, attribute(_TUPLE_PROTOCOL | _NESTED, target))
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    return _request(family, original, _filtered(_BY_PROTOCOL | _BY_TARGET_PORT, 0))


def forget(address: str) -> None:
    """Delete every tracked flow that is answered from `address`. Raises OSError."""
    _perform(request_from(address), f"forget flows to {address}")


def forget_port(protocol: str, port: int, *, ipv6: bool) -> None:
    """Delete every tracked flow that was sent to `port`, of whatever address. Raises OSError."""
    _perform(request_to(protocol, port, ipv6=ipv6), f"forget flows to {protocol} port {port}")


def _perform(request: bytes, what: str) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as kernel:
        kernel.send(request)
        for _, _, _, body in messages(kernel.recv(65536)):
            number = -struct.unpack_from("=i", body)[0]
            if number and number != _ENOENT:
                raise OSError(number, f"{what}: {os.strerror(number)}")
