"""Connection tracking: forget the flows that lead to an address (ctnetlink, Linux 5.8 or newer).

Import-light. Used when a published address goes: a client that keeps sending datagrams would otherwise
be led to the old container for ever.
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
_TUPLE_REPLY, _TUPLE_IP, _FILTER = 2, 1, 25
_V4_SRC, _V6_SRC = 1, 3
_ORIGINAL_FLAGS, _REPLY_FLAGS = 1, 2
_BY_SOURCE = 1  # CTA_FILTER_F_CTA_IP_SRC
_header = struct.Struct("=IHHIIBBH")


def request(address: str) -> bytes:
    """The message that deletes every flow whose answers come from `address`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    source = attribute(_V6_SRC if family == socket.AF_INET6 else _V4_SRC, socket.inet_pton(family, address))
    flags = attribute(_ORIGINAL_FLAGS, struct.pack("=I", 0)) + attribute(
        _REPLY_FLAGS, struct.pack("=I", _BY_SOURCE)
    )
    body = attribute(_TUPLE_REPLY | _NESTED, attribute(_TUPLE_IP | _NESTED, source))
    body += attribute(_FILTER | _NESTED, flags)
    return _header.pack(_header.size + len(body), _DELETE, _REQUEST_ACK, 1, 0, family, 0, 0) + body


def forget(address: str) -> None:
    """Delete every tracked flow that is answered from `address`. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER) as kernel:
        kernel.send(request(address))
        for _, _, _, body in messages(kernel.recv(65536)):
            number = -struct.unpack_from("=i", body)[0]
            if number:
                raise OSError(number, f"forget flows to {address}: {os.strerror(number)}")
