"""A program for arm64 in a few bytes, and a kernel that knows who runs it."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QEMU = Path("/usr/bin/qemu-aarch64-static")
_BASE = 0x400000
_HEADERS = 64 + 56
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# In a mount namespace of its own; the entry goes with the last mount, so with this process.
_REGISTERED = """
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 1
printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register || exit 1
echo ready
exec cat
"""


def program(text: str) -> bytes:
    """A static executable that writes `text` and ends with 0: write(1, text, length), exit(0)."""
    data = text.encode()
    code = [
        0xD2800020,  # mov x0, #1
        0x10000000 | (7 << 5) | 1,  # adr x1, the text, seven instructions further
        0xD2800000 | (len(data) << 5) | 2,  # mov x2, #length
        0xD2800808,  # mov x8, #64 (write)
        0xD4000001,  # svc #0
        0xD2800000,  # mov x0, #0
        0xD2800BA8,  # mov x8, #93 (exit)
        0xD4000001,  # svc #0
    ]
    body = struct.pack(f"<{len(code)}I", *code) + data
    size = _HEADERS + len(body)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + body


@contextmanager
def emulated(name: str) -> Iterator[None]:
    """While this goes on, the kernel runs programs for arm64 with qemu, by an entry of this name."""
    entry = f":{name}:M::{_MAGIC}:{_MASK}:{QEMU}:F"
    helper = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _REGISTERED, "sh", entry],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr,
    )  # fmt: skip
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        assert helper.stdout.readline() == b"ready\n"
        yield
    finally:
        helper.stdin.close()
        helper.wait(10)
        helper.stdout.close()
