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
import select
import socket

from nakagin.kernel.netlink import attributes, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

LIBRARY = "libnftables.so.1"
# NFT_CTX_OUTPUT_JSON and _TERSE, in <nftables/libnftables.h>
_OUTPUT_JSON, _OUTPUT_TERSE = 1 << 4, 1 << 11

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
_NETFILTER, _GROUP_NFTABLES = 12, 7
_SUBSYSTEM, _NEWGEN = 10, 15
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, <linux/proc_ns.h>

_lock = _thread.allocate_lock()
_context: _Context | None = None

# libnftables reports errors as text only.
_ERRNOS = {os.strerror(each): each for each in (errno.EPERM, errno.ENOENT, errno.EEXIST, errno.EBUSY)}


def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise OSError(errno.ENOSYS, f"{LIBRARY} cannot be loaded: {error}") from error


class _Context:
    __slots__ = ("_free", "_handle", "_library")

    def __init__(self) -> None:
        self._handle = None
        library = _library()
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        for name, result, arguments in (
            ("nft_ctx_new", pointer, (ctypes.c_uint32,)),
            ("nft_ctx_free", None, (pointer,)),
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
        self._free = library.nft_ctx_free
        self._handle = library.nft_ctx_new(0)
        if not self._handle:
            raise OSError(errno.ENOMEM, "nftables: no context")
        library.nft_ctx_buffer_output(self._handle)
        library.nft_ctx_buffer_error(self._handle)

    def __del__(self) -> None:
        if self._handle:
            self._free(self._handle)

    def run(self, text: bytes, output: int = _OUTPUT_JSON) -> bytes:
        self._library.nft_ctx_output_set_flags(self._handle, output)
        status = self._library.nft_run_cmd_from_buffer(self._handle, text)
        answer: bytes = self._library.nft_ctx_get_output_buffer(self._handle) or b""
        if status:
            error = (self._library.nft_ctx_get_error_buffer(self._handle) or b"").decode(errors="replace")
            line = error.strip().partition("\n")[0].rpartition("Error: ")[2] or "failed"
            number = next((code for words, code in _ERRNOS.items() if words in line), errno.EINVAL)
            raise OSError(number, f"nftables: {line}")
        return answer


def run(commands: str) -> dict[str, Any]:
    """Perform nft commands, one a line, as one atomic transaction; the answer of a list command, else {}.

    Raises OSError with nft's words; with ENOSYS where the library is not installed.
    """
    output = _perform(commands, _OUTPUT_JSON)
    answer: dict[str, Any] = json.loads(output) if output.strip() else {}
    return answer


def show(table: str) -> str:
    """An inet table as nft writes it, without what is in its maps and sets. Raises as `run` does."""
    return _perform(f"list table inet {table}", _OUTPUT_TERSE).decode(errors="replace")


def _perform(commands: str, output: int) -> bytes:
    global _context
    with _lock:
        if _context is None:
            _context = _Context()
        return _context.run(commands.encode(), output)


class Watch:
    """Changes of one table by other processes, from the kernel's own announcements; a context manager."""

    __slots__ = ("_own", "_relevant", "_socket", "_table")

    def __init__(self, table: str) -> None:
        self._table = table.encode() + b"\0"
        self._relevant = False
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETFILTER
        )
        self._socket.bind((0, 1 << (_GROUP_NFTABLES - 1)))
        # Announcements name their maker as the initial pid namespace numbers it.
        initial = os.stat("/proc/self/ns/pid").st_ino == _INITIAL_PID_NAMESPACE
        self._own = os.getpid() if initial else self._learn_own_number()

    def _learn_own_number(self) -> int:
        """What we are called there: the maker of a change that only we can have made. 0 where it is not told."""
        mine = b"nakagin_" + os.urandom(6).hex().encode()
        run(f"add table inet {mine.decode()}\ndelete table inet {mine.decode()}\n")
        seen = False
        while select.select([self._socket], [], [], 1)[0]:
            for kind, attrs in self._announcements():
                seen = seen or attrs.get(1) == mine + b"\0"
                if seen and kind == _NEWGEN:
                    return _maker(attrs)
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def foreign_change(self) -> bool:
        """Read what was announced; whether a finished transaction of somebody else touched the table."""
        foreign = False
        try:
            for kind, attrs in self._announcements():
                if kind != _NEWGEN:
                    self._relevant = self._relevant or attrs.get(1) == self._table
                    continue
                foreign = foreign or (self._relevant and _maker(attrs) != self._own)
                self._relevant = False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return True  # announcements were lost: assume the worst
        return foreign

    def _announcements(self) -> Iterator[tuple[int, dict[int, bytes]]]:
        """What has come: kinds (NFT_MSG_*) and attributes. A transaction ends with NEWGEN."""
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                return
            for kind, _, _, body in messages(data):
                if kind >> 8 == _SUBSYSTEM:
                    yield kind & 0xFF, attributes(body, 4)


def _maker(attrs: dict[int, bytes]) -> int:
    """Whose transaction has ended: NFTA_GEN_PROC_PID."""
    return int.from_bytes(attrs.get(2, b""), "big")
