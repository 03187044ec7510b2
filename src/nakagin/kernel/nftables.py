"""nf_tables through libnftables (libnftables(3), nft(8), libnftables-json(5)), in this process.

Commands go in as nft's own language: its JSON input crashes on maps with joined values (1.0.6). Answers come
out as JSON.

The library is loaded at the first call: 5 ms once, 2 MB; a small transaction then takes 0.1 ms. The
context belongs to the network namespace of the first call.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import json
import os
import socket

from nakagin.kernel.netlink import attributes, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

LIBRARY = "libnftables.so.1"
_OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON, in <nftables/libnftables.h>

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
_NETFILTER, _GROUP_NFTABLES = 12, 7
_SUBSYSTEM, _NEWGEN = 10, 15

_lock = _thread.allocate_lock()
_context: _Context | None = None

# libnftables reports errors as text only.
_ERRNOS = {os.strerror(each): each for each in (errno.EPERM, errno.ENOENT, errno.EEXIST, errno.EBUSY)}


class _Context:
    __slots__ = ("_handle", "_library")

    def __init__(self) -> None:
        library = ctypes.CDLL(LIBRARY)
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        for name, result, arguments in (
            ("nft_ctx_new", pointer, (ctypes.c_uint32,)),
            ("nft_ctx_buffer_output", number, (pointer,)),
            ("nft_ctx_buffer_error", number, (pointer,)),
            ("nft_ctx_output_set_flags", None, (pointer, ctypes.c_uint)),
            ("nft_run_cmd_from_buffer", number, (pointer, text)),
            ("nft_ctx_get_output_buffer", text, (pointer,)),
            ("nft_ctx_get_error_buffer", text, (pointer,)),
        ):
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        self._library = library
        self._handle = library.nft_ctx_new(0)
        if not self._handle:
            raise OSError(errno.ENOMEM, "nftables: no context")
        library.nft_ctx_buffer_output(self._handle)
        library.nft_ctx_buffer_error(self._handle)
        library.nft_ctx_output_set_flags(self._handle, _OUTPUT_JSON)

    def run(self, text: bytes) -> bytes:
        status = self._library.nft_run_cmd_from_buffer(self._handle, text)
        output: bytes = self._library.nft_ctx_get_output_buffer(self._handle) or b""
        if status:
            error = (self._library.nft_ctx_get_error_buffer(self._handle) or b"").decode(errors="replace")
            line = error.strip().partition("\n")[0].rpartition("Error: ")[2] or "failed"
            number = next((code for words, code in _ERRNOS.items() if words in line), errno.EINVAL)
            raise OSError(number, f"nftables: {line}")
        return output


def run(commands: str) -> dict[str, Any]:
    """Perform nft commands, one a line, as one atomic transaction; the answer of a list command, else {}.

    Raises OSError with nft's words; with ENOSYS where the library is not installed.
    """
    global _context
    with _lock:
        if _context is None:
            try:
                _context = _Context()
            except OSError as error:
                if error.errno is not None:
                    raise
                raise OSError(errno.ENOSYS, f"{LIBRARY} cannot be loaded: {error}") from error
        output = _context.run(commands.encode())
    answer: dict[str, Any] = json.loads(output) if output.strip() else {}
    return answer


class Watch:
    """Changes of one table by other processes, from the kernel's own announcements; a context manager."""

    __slots__ = ("_relevant", "_socket", "_table")

    def __init__(self, table: str) -> None:
        self._table = table.encode() + b"\0"
        self._relevant = False
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETFILTER
        )
        self._socket.bind((0, 1 << (_GROUP_NFTABLES - 1)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def foreign_change(self) -> bool:
        """Read what was announced; whether a finished transaction of somebody else touched the table."""
        foreign = False
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                return foreign
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                foreign = True  # announcements were lost: assume the worst
                continue
            for kind, _, _, body in messages(data):
                if kind >> 8 != _SUBSYSTEM:
                    continue
                attrs = attributes(body, 4)
                if kind & 0xFF != _NEWGEN:
                    self._relevant = self._relevant or attrs.get(1) == self._table
                    continue
                # The end of a transaction: its maker's pid is in attribute 2 (NFTA_GEN_PROC_PID).
                pid = int.from_bytes(attrs.get(2, b""), "big")
                foreign = foreign or (self._relevant and pid != os.getpid())
                self._relevant = False
