"""Programs for other processors: told when this machine can not run them. It can where an emulator is registered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nakagin.build.tree import find
from nakagin.errors import Unsupported
from nakagin.storage.tarread import FILE

if TYPE_CHECKING:
    from nakagin.build.stack import Stack
    from nakagin.spec.platform import Platform

_HEADER = 20
_MACHINES = {
    3: "386", 8: "mips64le", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64",
    258: "loong64",
}  # fmt: skip
"""e_machine of elf(5), by Go's words."""


def architecture_of(stack: Stack, program: str) -> str:
    """What a program of an image is for; "" where that is not known (a script, nothing there)."""
    item = find(stack, os.fsencode(program))
    if item is None or item.entry.type != FILE:
        return ""
    head = next(iter(stack.chunks(item)), b"")[:_HEADER]
    if len(head) < _HEADER or not head.startswith(b"\x7fELF"):
        return ""
    return _MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"), "")


def explained(stack: Stack, program: str, here: Platform) -> Unsupported | None:
    """Why a program that could not be started can not run here, where that is because of its processor."""
    architecture = architecture_of(stack, program)
    if not architecture or architecture == here.architecture:
        return None
    return Unsupported(
        f"{program} is a program for linux/{architecture}, this machine is {here}, and no emulator is registered",
        hint="install qemu-user-static and binfmt-support (its entries need the flag F), or do this step in a stage "
        "with FROM --platform=$BUILDPLATFORM and copy what it makes",
    )
