"""Run this interpreter from a read-only copy of its own mount: a second wall before CVE-2019-5736.

The launcher (kernel/launcher.py) keeps the interpreter from ever being executed in a container. A process
that lives long, as the zygote does, affords this too: its children's /proc/PID/exe lies on a detached
mount that is read-only, so even a container with CAP_SYS_PTRACE cannot open it for writing.
"""

from __future__ import annotations

import os
import sys

from nakagin.kernel import abi, fds, mount, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_OWN = "/proc/self/exe"


def is_sealed() -> bool:
    """Whether this interpreter was executed from a read-only mount."""
    return bool(os.statvfs(_OWN).f_flag & os.ST_RDONLY)


def reexec(keep_fds: Iterable[int]) -> None:
    """Execute this interpreter again from the read-only copy, with the same arguments; once.

    `keep_fds` stay open. Returns where it is sealed already, and where the kernel does not let this
    process make such a copy (no privilege, Linux before 5.12): the launcher protects there alone.
    """
    process.set_dumpable(False)
    if is_sealed():
        return
    try:
        copy = mount.open_tree(abi.AT_FDCWD, os.readlink(_OWN))
        mount.set_attributes(copy, add=abi.MOUNT_ATTR_RDONLY | abi.MOUNT_ATTR_NOSUID | abi.MOUNT_ATTR_NODEV)
    except OSError:
        return
    fds.set_inheritable(keep_fds)
    os.execve(copy, sys.orig_argv, os.environ)  # noqa: S606
