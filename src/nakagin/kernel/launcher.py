"""A program of a few instructions that stands between the runtime and the user's program.

CVE-2019-5736: an image whose command is /proc/self/exe makes the runtime execute itself inside the
container, and whoever then opens /proc/PID/exe there holds the host's interpreter. So the runtime never
executes a container's file itself. It executes this program, 200 bytes in a sealed memory file, which does
nothing but execute the user's program: "/proc/self/exe" then is the sealed file, which nobody can write.
It costs 0.2 ms; executing the interpreter again from a read-only clone would cost a Python start.

A script that names /proc/self/exe as its interpreter gets the launcher a second time, without the socket,
and that ends it.

    runtime ── fexecve(memory file) ──► launcher ── execve(path) ──► the user's program
                                           └─ on failure: writes b"x" + errno to the report socket, exits 127
"""

from __future__ import annotations

import fcntl
import os

from nakagin.kernel import abi

# if fcntl(fd, F_SETFD, FD_CLOEXEC) < 0: exit_group(127)
# execve(path, argv, envp)
# message = b"x" + (-result); write(fd, message, 5); exit_group(127)
# `fd` is the 32-bit word after the code and `path` follows it.
_CODE = {
    "x86_64": (
        "b848000000"  # mov eax, SYS_fcntl
        "8b3d59000000"  # mov edi, [fd]
        "be02000000"  # mov esi, F_SETFD
        "ba01000000"  # mov edx, FD_CLOEXEC
        "0f05"  # syscall
        "85c0"  # test eax, eax
        "783b"  # js exit                 no report socket: executed a second time
        "488b0c24"  # mov rcx, [rsp]          the number of arguments
        "488d742408"  # lea rsi, [rsp+8]        argv
        "488d54cc10"  # lea rdx, [rsp+rcx*8+16] envp
        "488d3d38000000"  # lea rdi, [path]
        "b83b000000"  # mov eax, SYS_execve
        "0f05"  # syscall
        "f7d8"  # neg eax
        "50"  # push rax
        "c64424ff78"  # mov byte [rsp-1], 'x'
        "b801000000"  # mov eax, SYS_write
        "8b3d1a000000"  # mov edi, [fd]
        "488d7424ff"  # lea rsi, [rsp-1]
        "ba05000000"  # mov edx, 5
        "0f05"  # syscall
        "b8e7000000"  # exit: mov eax, SYS_exit_group
        "bf7f000000"  # mov edi, 127
        "0f05"  # syscall
        "6690"  # nop
    ),
    "aarch64": (
        "49030018"  # ldr w9, fd
        "e003092a"  # mov w0, w9
        "410080d2"  # mov x1, F_SETFD
        "220080d2"  # mov x2, FD_CLOEXEC
        "280380d2"  # mov x8, SYS_fcntl
        "010000d4"  # svc 0
        "2002f837"  # tbnz w0, 31, exit       no report socket: executed a second time
        "e30340f9"  # ldr x3, [sp]            the number of arguments
        "e1230091"  # add x1, sp, 8           argv
        "220c038b"  # add x2, x1, x3, lsl 3
        "42200091"  # add x2, x2, 8           envp
        "00020010"  # adr x0, path
        "a81b80d2"  # mov x8, SYS_execve
        "010000d4"  # svc 0
        "e003004b"  # neg w0, w0
        "030f8052"  # mov w3, 'x'
        "e30f1f38"  # strb w3, [sp, -16]!
        "e01300b8"  # stur w0, [sp, 1]
        "00010018"  # ldr w0, fd
        "e1030091"  # mov x1, sp
        "a20080d2"  # mov x2, 5
        "080880d2"  # mov x8, SYS_write
        "010000d4"  # svc 0
        "e00f80d2"  # exit: mov x0, 127
        "c80b80d2"  # mov x8, SYS_exit_group
        "010000d4"  # svc 0
    ),
}
_MACHINE_NUMBER = {"x86_64": 62, "aarch64": 183}  # EM_* of elf.h
_ADDRESS = 0x400000
_HEADERS = 64 + 56
_MFD_EXEC = 0x10


def image(path: str, report_fd: int, machine: str = abi.MACHINE) -> bytes:
    """The ELF file that executes `path` and reports a failure on `report_fd`."""
    body = bytes.fromhex(_CODE[machine]) + report_fd.to_bytes(4, "little") + os.fsencode(path) + b"\0"
    size = _HEADERS + len(body)

    def words(width: int, *numbers: int) -> bytes:
        return b"".join(number.to_bytes(width, "little") for number in numbers)

    header = b"\x7fELF\x02\x01\x01" + bytes(9)  # 64 bits, little-endian
    header += words(2, 2, _MACHINE_NUMBER[machine]) + words(4, 1)  # an executable
    header += words(8, _ADDRESS + _HEADERS, 64, 0) + words(4, 0)  # entry, program headers, no sections
    header += words(2, 64, 56, 1, 64, 0, 0)
    segment = words(4, 1, 5) + words(8, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)  # load, read and execute
    return header + segment + body


def seal(path: str, report_fd: int) -> int:
    """A sealed memory file (close-on-exec) with the launcher for `path`; execute it with os.execve(fd, …)."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("nakagin", flags | _MFD_EXEC)
    except OSError:  # before Linux 6.3 every memory file is executable
        fd = os.memfd_create("nakagin", flags)
    os.write(fd, image(path, report_fd))
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd
