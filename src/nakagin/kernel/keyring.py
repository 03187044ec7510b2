"""The session keyring: without its own, a container would find the host session's keys (keyrings(7))."""

from __future__ import annotations

import os

from nakagin.kernel import abi
from nakagin.kernel.libc import syscall

_SEARCH_BY_USER = 0x00080000


def join_new_session(name: str) -> None:
    """Join a new session keyring named `name` that processes of the same user can find. Raises OSError."""
    key = syscall(abi.NR_KEYCTL, abi.KEYCTL_JOIN_SESSION_KEYRING, os.fsencode(name))
    buffer = bytes(1024)
    length = syscall(abi.NR_KEYCTL, abi.KEYCTL_DESCRIBE, key, buffer, len(buffer))
    permissions = int(buffer[: length - 1].split(b";")[3], 16)
    syscall(abi.NR_KEYCTL, abi.KEYCTL_SETPERM, key, permissions | _SEARCH_BY_USER)
