"""The session keyring: without its own, a container would find the host session's keys (keyrings(7))."""

from __future__ import annotations

import os

from nakagin.kernel import abi
from nakagin.kernel.calls import Call

_SESSION = -3  # KEY_SPEC_SESSION_KEYRING
# What the kernel gives a session keyring (the possessor all, its user view, read and link), and search by the
# user, so that processes of the same user can find it.
_PERMISSIONS = 0x3F13_0000 | 0x0008_0000


def session_calls(name: str) -> list[Call]:
    """What gives the calling process a new session keyring named `name`."""
    words = "join a session keyring"
    return [
        Call(words, abi.NR_KEYCTL, abi.KEYCTL_JOIN_SESSION_KEYRING, os.fsencode(name)),
        Call(words, abi.NR_KEYCTL, abi.KEYCTL_SETPERM, _SESSION, _PERMISSIONS),
    ]
