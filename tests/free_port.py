"""A port for a server of a test."""

from __future__ import annotations

import os
import socket


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that was free a moment ago, outside the range the kernel gives to clients."""
    for _ in range(200):
        port = 20000 + int.from_bytes(os.urandom(2)) % 12000
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
