"""A process without an interpreter: it performs lists of system calls that it receives on a socket.

It shares its parent's memory until it executes a program (CLONE_VM): no page is copied, no Python runs in
it, and whoever writes its script knows all that it will ever do. Its code, some thirty instructions, is

    clone3(args); in the parent return
    loop:   an entry's kind: END leaves · MUST reports a failure and leaves · MAY goes on
            RECEIVE goes on with the script that the call has just received, or leaves where none came

An entry is eight 64-bit words: kind, system call number, six arguments. A failure is reported as sixteen
bytes on the socket: the entry's address and the negative errno.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct

from nakagin.kernel import abi, fds
from nakagin.kernel.calls import Call, CallFailed, relocated
from nakagin.kernel.libc import fail, function, syscall
from nakagin.kernel.process import P_PIDFD, SIGCHLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from nakagin.kernel.calls import Argument

_mprotect = function("mprotect", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

_CODE = {
    "x86_64": (
        "4989d0"  # mov r8, rdx
        "b8b3010000"  # mov eax, SYS_clone3
        "0f05"  # syscall
        "4885c0"  # test rax, rax
        "7401"  # je child
        "c3"  # ret
        "4d89c4"  # child: mov r12, r8             the area
        "498d5c2440"  # lea rbx, [r12+0x40]          its first entry
        "488b2b"  # next: mov rbp, [rbx]          the kind
        "4885ed"  # test rbp, rbp
        "7460"  # je leave
        "488b4308"  # mov rax, [rbx+8]
        "488b7b10"  # mov rdi, [rbx+16]
        "488b7318"  # mov rsi, [rbx+24]
        "488b5320"  # mov rdx, [rbx+32]
        "4c8b5328"  # mov r10, [rbx+40]
        "4c8b4330"  # mov r8, [rbx+48]
        "4c8b4b38"  # mov r9, [rbx+56]
        "0f05"  # syscall
        "4883fd03"  # cmp rbp, RECEIVE
        "7411"  # je received
        "4885c0"  # test rax, rax
        "7906"  # jns good
        "4883fd02"  # cmp rbp, MAY
        "7512"  # jne failed
        "4883c340"  # good: add rbx, 64
        "ebc3"  # jmp next
        "4885c0"  # received: test rax, rax
        "7e26"  # jle leave
        "498b5c2418"  # mov rbx, [r12+24]            the received script
        "ebb7"  # jmp next
        "49895c2408"  # failed: mov [r12+8], rbx
        "4989442410"  # mov [r12+16], rax
        "418b3c24"  # mov edi, [r12]               the socket
        "498d742408"  # lea rsi, [r12+8]
        "ba10000000"  # mov edx, 16
        "b801000000"  # mov eax, SYS_write
        "0f05"  # syscall
        "bf7f000000"  # leave: mov edi, 127
        "b8e7000000"  # mov eax, SYS_exit_group
        "0f05"  # syscall
    ),
    "aarch64": (
        "683680d2"  # mov x8, SYS_clone3
        "010000d4"  # svc 0
        "400000b4"  # cbz x0, child
        "c0035fd6"  # ret
        "f30302aa"  # child: mov x19, x2             the area
        "74020191"  # add x20, x19, 0x40
        "950240f9"  # next: ldr x21, [x20]            the kind
        "f50200b4"  # cbz x21, leave
        "888240a9"  # ldp x8, x0, [x20, 8]
        "818a41a9"  # ldp x1, x2, [x20, 24]
        "839242a9"  # ldp x3, x4, [x20, 40]
        "851e40f9"  # ldr x5, [x20, 56]
        "010000d4"  # svc 0
        "bf0e00f1"  # cmp x21, RECEIVE
        "c0000054"  # b.eq received
        "6000f8b6"  # tbz x0, 63, good
        "bf0a00f1"  # cmp x21, MAY
        "e1000054"  # b.ne failed
        "94020191"  # good: add x20, x20, 64
        "f3ffff17"  # b next
        "1f0000f1"  # received: cmp x0, 0
        "2d010054"  # b.le leave
        "740e40f9"  # ldr x20, [x19, 24]
        "efffff17"  # b next
        "748200a9"  # failed: stp x20, x0, [x19, 8]
        "600240b9"  # ldr w0, [x19]
        "61220091"  # add x1, x19, 8
        "020280d2"  # mov x2, 16
        "080880d2"  # mov x8, SYS_write
        "010000d4"  # svc 0
        "e00f80d2"  # leave: mov x0, 127
        "c80b80d2"  # mov x8, SYS_exit_group
        "010000d4"  # svc 0
    ),
}

# The area: what the code itself reads and writes (socket, entry and errno of a report, address of the received
# script), the first script, two message headers (each is used once: recvmsg(2) changes them), the received script.
_FIRST = 64
_HEADERS = (1024, 2048)
_SCRIPT = 4096
_SIZE = 1 << 17
LONGEST = _SIZE - _SCRIPT
_CONTROL = 512
# A list that is run at once: its arguments may be as long as execve(2) takes them. Untouched pages cost nothing.
_LONGEST_LIST = 8 << 20
_NOBODY = 0xFFFF_FFFF  # no descriptor
_SIG_SETMASK = 2
_ENTRY = 64
_END, _MUST, _MAY, _RECEIVE = range(4)
# What an automaton calls its socket: the highest number that needs no larger table of descriptors.
_SOCKET = 63
_SOCKET_PATH = f"/proc/self/fd/{_SOCKET}"
_DONE = b"k"
_NAME = b"nakagin-capsule"
_SIGKILL = 9


def script(calls: Sequence[Call], base: int) -> bytes:
    """The calls as an automaton reads them at address `base`."""
    data = bytearray()
    start = base + _ENTRY * (len(calls) + 1)
    words: list[int] = []
    for call in calls:
        kind = _RECEIVE if call.number == abi.NR_RECVMSG else _MAY if call.may_fail else _MUST
        arguments = [relocated(each, data, start) for each in call.arguments]
        words += (kind, call.number, *arguments, *(0,) * (6 - len(arguments)))
    return struct.pack(f"{len(words)}Q", *words) + bytes(_ENTRY) + bytes(data)


class Maker:
    """Makes automatons: one at a time in this process, and one in each of its forks.

    All is laid out here once, so that a fork that makes one has little to do and copies few pages.
    """

    __slots__ = ("_area", "_arguments", "_birth", "_code", "_pidfd", "base")

    def __init__(self) -> None:
        code = bytes.fromhex(_CODE[abi.MACHINE])
        self._code = mmap.mmap(-1, len(code), mmap.MAP_PRIVATE)
        self._code.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        if _mprotect(address, len(code), mmap.PROT_READ | mmap.PROT_EXEC) < 0:
            raise fail("mprotect")
        kind = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self._birth = kind(address)
        self._area = mmap.mmap(-1, _SIZE, mmap.MAP_PRIVATE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._area))
        self._lay_out()
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, … cgroup
        self._pidfd = ctypes.c_int(-1)
        self._arguments = (ctypes.c_uint64 * 11)(0, ctypes.addressof(self._pidfd), 0, 0, SIGCHLD)

    def _lay_out(self) -> None:
        """The first script: die with the parent, close all but the socket, and receive the next one."""
        calls = [
            Call("", abi.NR_PRCTL, abi.PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0),
            close_call(),
            Call("", abi.NR_CLOSE_RANGE, _SOCKET + 1, 0xFFFF_FFFF, 0),
            Call("", abi.NR_PRCTL, abi.PR_SET_NAME, _NAME, 0, 0, 0),
            _receive(self.base, 0),
        ]
        self._put(0, struct.pack("4Q", _SOCKET, 0, 0, self.base + _SCRIPT))
        self._put(_FIRST, script(calls, self.base + _FIRST))
        for place in _HEADERS:
            # struct msghdr: no name, one struct iovec (behind it), the control buffer behind that
            vector, control = self.base + place + 56, self.base + place + 72
            header = struct.pack("7Q", 0, 0, vector, 1, control, _CONTROL, 0)
            self._put(place, header + struct.pack("2Q", self.base + _SCRIPT, LONGEST))

    def _put(self, place: int, content: bytes) -> None:
        self._area[place : place + len(content)] = content

    def make(self, flags: int, socket: int, cgroup: int = -1) -> tuple[int, int]:
        """A child in new namespaces (CLONE_NEW* in `flags`) that listens on a copy of `socket`: (pid, pidfd).

        With `cgroup` (a v2 directory) it is born there. The one before must be gone, or have its program.
        Raises OSError, also where this process has so many descriptors open that the socket's number is taken.
        """
        if os.access(_SOCKET_PATH, os.F_OK):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if self._pidfd.value >= 0:
            self._lay_out()  # the one before may have changed it
        os.dup2(socket, _SOCKET)
        try:
            return self._clone(flags | abi.CLONE_CLEAR_SIGHAND, self.base, cgroup)
        finally:
            os.close(_SOCKET)

    def run(self, calls: Sequence[Call], execute: Call, cgroup: int = -1) -> tuple[int, int]:
        """A child that makes the calls and executes a program while this process, of one thread, waits.

        (pid, pidfd); with `cgroup` (a v2 directory) it is born there. Raises CallFailed, once it is reaped, or
        OSError. All signals are blocked until the calls unblock them: a handler would run in our memory.
        """
        listed = [*calls, execute]
        with mmap.mmap(-1, _LONGEST_LIST, mmap.MAP_PRIVATE) as area:
            first = ctypes.c_char.from_buffer(area)
            base = ctypes.addressof(first)
            try:
                listing = script(listed, base + _FIRST)
                if _FIRST + len(listing) > _LONGEST_LIST:
                    raise OSError(7, os.strerror(7))  # E2BIG
                # Nobody listens: a failure stands in the head of the area, which is ours too.
                area[: _FIRST + len(listing)] = (
                    struct.pack("4Q", _NOBODY, 0, 0, 0).ljust(_FIRST, b"\0") + listing
                )
                pid, pidfd = self._while_waiting(base, cgroup)
                entry, result = struct.unpack_from("Qq", area, 8)
            finally:
                del first  # a mapping cannot be closed while somebody points to it
        if entry:
            os.waitid(P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            raise CallFailed(listed[(entry - base - _FIRST) // _ENTRY].words, -result)
        return pid, pidfd

    def _while_waiting(self, base: int, cgroup: int) -> tuple[int, int]:
        before = ctypes.create_string_buffer(8)
        syscall(abi.NR_RT_SIGPROCMASK, _SIG_SETMASK, b"\xff" * 8, before, 8)
        try:
            return self._clone(abi.CLONE_VFORK | abi.CLONE_CLEAR_SIGHAND, base, cgroup)
        finally:
            syscall(abi.NR_RT_SIGPROCMASK, _SIG_SETMASK, before, None, 8)

    def _clone(self, flags: int, base: int, cgroup: int) -> tuple[int, int]:
        into = abi.CLONE_INTO_CGROUP if cgroup >= 0 else 0
        self._arguments[0] = flags | abi.CLONE_VM | abi.CLONE_PIDFD | into
        self._arguments[10] = max(cgroup, 0)
        pid: int = self._birth(ctypes.addressof(self._arguments), 88, base)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid, self._pidfd.value

    def release(self) -> None:
        """Give the area's pages back: this process makes no further automaton."""
        self._area.madvise(mmap.MADV_DONTNEED)


def close_call() -> Call:
    """The call by which an automaton closes all but its socket."""
    return Call("close descriptors", abi.NR_CLOSE_RANGE, 0, _SOCKET - 1, 0)


def _receive(base: int, turn: int) -> Call:
    """The call by which an automaton gets its next script, for the first (0) or second (1) time."""
    return Call("", abi.NR_RECVMSG, _SOCKET, base + _HEADERS[turn], 0)


class Automaton:
    """An automaton as the writer of its scripts sees it. Owns `pidfd` and `socket`."""

    __slots__ = ("_base", "_calls", "pid", "pidfd", "socket")

    def __init__(self, pid: int, pidfd: int, socket: _socket.socket, base: int) -> None:
        """`base` is its maker's."""
        self.pid = pid
        self.pidfd = pidfd
        self.socket = socket
        self._base = base
        self._calls: Sequence[Call] = ()

    def numbers(self, count: int) -> list[int]:
        """What `count` descriptors that are sent with a script will be called there."""
        return [at if at < _SOCKET else at + 1 for at in range(count)]

    def send(self, calls: Sequence[Call], pass_fds: Sequence[int] = (), give_fds: Sequence[int] = ()) -> None:
        """The first script: make the calls, say so (`done`), and wait for `finish`. Raises OSError.

        `pass_fds` go with the script, `give_fds`, its own descriptors by then, come back by `done`.
        """
        self._send([*calls, self._report(give_fds), close_call(), _receive(self._base, 1)], pass_fds)

    def finish(self, calls: Sequence[Call], execute: Call, pass_fds: Sequence[int] = ()) -> None:
        """The last script: make the calls, say so (`done`), and execute a program (`executed`). Raises OSError."""
        self._send([*calls, self._report(), execute], pass_fds)

    def _report(self, give_fds: Sequence[int] = ()) -> Call:
        # struct msghdr with one struct iovec, and struct cmsghdr: its length, SOL_SOCKET and SCM_RIGHTS, the numbers
        numbers = struct.pack(f"{len(give_fds)}i", *give_fds)
        rights = struct.pack("Qii", 16 + len(numbers), 1, 1) + numbers if give_fds else b""
        header: list[Argument] = [0, 0, [_DONE, len(_DONE)], 1, rights, len(rights), 0]
        return Call("report", abi.NR_SENDMSG, _SOCKET, header, 0)

    def _send(self, calls: Sequence[Call], pass_fds: Sequence[int]) -> None:
        self._calls = calls
        fds.send_fds(self.socket, script(calls, self._base + _SCRIPT), pass_fds)

    def done(self) -> list[int]:
        """Wait until the calls of a script are made; what it gives. Raises CallFailed, EOFError when it has died."""
        message, given = fds.receive_fds(self.socket, 16, 4)
        if message != _DONE:
            raise self._failure(message)
        return given

    def executed(self) -> None:
        """Wait until it has become the program (or has died as it did). Raises CallFailed."""
        message = self.socket.recv(16)
        if message:
            raise self._failure(message)

    def close(self) -> None:
        """Have nothing to do with it any more; it ends if it still waits for a script."""
        self.socket.close()
        os.close(self.pidfd)

    def _failure(self, message: bytes) -> CallFailed | EOFError:
        if len(message) < 16:
            return EOFError("the container's first process ended unexpectedly")
        entry, result = struct.unpack("Qq", message)
        call = self._calls[(entry - self._base - _SCRIPT) // _ENTRY]
        return CallFailed(call.words, -result)
