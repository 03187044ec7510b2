"""The program that runs on both sides, and the two forms of its root file system. It is busybox and a script."""

from __future__ import annotations

import io
import os
import tarfile

from nakagin.compare.cpio import Archive
from nakagin.compare.model import KINDS
from nakagin.errors import Unsupported

PATH = "/answer"
ANSWER = b"answer\n"
TOLD = b"told\n"
_BUSYBOX = "/bin/busybox"
_INSTALLED = (_BUSYBOX, "/usr/bin/busybox")

TURNS = 100_000
# No command but the shell's own, and the machine's own clock: what is measured is the processor.
COMPUTATION = f"""i=0
read begun rest < /proc/uptime
while [ $i -lt {TURNS} ]; do i=$((i + 1)); done
read ended rest < /proc/uptime
echo computed $begun $ended"""

# The console turns "\n" into "\r\n" in the machine, so both are asked to leave lines as they are.
_SCRIPT = f"""#!{_BUSYBOX} sh
b={_BUSYBOX}
$b stty -onlcr 2> /dev/null
$b echo answer
[ -e /proc/version ] || $b mount -t proc proc /proc
$b echo release $($b uname -r)
$b echo boot $($b cat /proc/sys/kernel/random/boot_id)
for kind in {" ".join(KINDS)}; do $b echo ns $($b readlink /proc/self/ns/$kind); done
{COMPUTATION}
$b echo told
exec $b sleep 2147483647
"""


def installed() -> str:
    """The path of this machine's static busybox; Unsupported says what to install."""
    for path in _INSTALLED:
        if os.path.exists(path):
            with open(path, "rb") as file:
                if b"/ld-" not in file.read(4096):  # no interpreter is named: it needs no libraries
                    return path
    raise Unsupported("there is no static busybox", hint="apt-get install busybox-static")


def busybox() -> bytes:
    """Its bytes."""
    with open(installed(), "rb") as file:
        return file.read()


def as_layer(binary: bytes) -> bytes:
    """A tar archive for an image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in ((_BUSYBOX, binary), (PATH, _SCRIPT.encode())):
            entry = tarfile.TarInfo(path[1:])
            entry.mode, entry.size = 0o755, len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def as_initramfs(binary: bytes) -> bytes:
    """A cpio archive for a kernel."""
    archive = Archive()
    archive.device("/dev/console", 5, 1)
    archive.device("/dev/null", 1, 3)
    archive.folder("/proc")
    archive.text(_BUSYBOX, binary, 0o755)
    archive.text(PATH, _SCRIPT, 0o755)
    return archive.packed()
