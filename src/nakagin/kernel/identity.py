"""What a process is and may do: capabilities and ids. See capabilities(7), credentials(7)."""

from __future__ import annotations

import ctypes
import os
import struct

from nakagin.kernel import abi
from nakagin.kernel.libc import fail, function, syscall
from nakagin.kernel.process import prctl

# By number, as in include/uapi/linux/capability.h.
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
    "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
    "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(CAPABILITIES)}

# By number, as in include/uapi/asm-generic/resource.h (the same on x86-64 and aarch64).
RLIMITS = (
    "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
    "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
)  # fmt: skip


_prlimit = function("prlimit64", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


# struct __user_cap_header_struct: version 3 (two 32-bit words per set), the calling thread
_HEADER = struct.pack("Ii", 0x20080522, 0)


class CapabilitySets:
    """Bit masks of one process's permitted, effective and inheritable capabilities."""

    __slots__ = ("effective", "inheritable", "permitted")

    def __init__(self, permitted: int, effective: int, inheritable: int) -> None:
        self.permitted = permitted
        self.effective = effective
        self.inheritable = inheritable


def capability_mask(names: list[str]) -> tuple[int, list[str]]:
    """The bit mask of capability names, and the names that are unknown here."""
    mask = 0
    unknown = []
    for name in names:
        number = _NUMBERS.get(name)
        if number is None:
            unknown.append(name)
        else:
            mask |= 1 << number
    return mask, unknown


def capability_names(mask: int) -> list[str]:
    """The names of the bits in `mask`, in the kernel's order."""
    return [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]


def own_capabilities() -> CapabilitySets:
    """The calling thread's sets (capget(2))."""
    buffer = ctypes.create_string_buffer(24)
    syscall(abi.NR_CAPGET, _HEADER, buffer)
    words = struct.unpack("6I", buffer.raw)
    effective, permitted, inheritable = (words[at] | words[at + 3] << 32 for at in range(3))
    return CapabilitySets(permitted, effective, inheritable)


def set_capabilities(sets: CapabilitySets) -> None:
    """Set the calling thread's three sets (capset(2))."""
    ordered = (sets.effective, sets.permitted, sets.inheritable)
    words = [mask & 0xFFFFFFFF for mask in ordered] + [mask >> 32 for mask in ordered]
    syscall(abi.NR_CAPSET, _HEADER, struct.pack("6I", *words))


def bounding_mask() -> int:
    """The bounding set as a bit mask: the most that this process and its children may ever hold."""
    mask = 0
    for number in range(64):
        try:
            mask |= prctl(abi.PR_CAPBSET_READ, number) << number
        except OSError:  # EINVAL: the kernel knows no capability of this number
            break
    return mask


def all_capabilities() -> int:
    """Every capability that this kernel knows, as a bit mask."""
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        return (1 << int(file.read()) + 1) - 1


def limit_bounding(keep: int, present: int) -> None:
    """Drop from the bounding set (now `present`) all that is not in `keep`."""
    excess = present & ~keep
    for number in range(excess.bit_length()):
        if excess >> number & 1:
            prctl(abi.PR_CAPBSET_DROP, number)


def set_ambient(mask: int) -> None:
    """Make the ambient set exactly `mask`; each must be permitted and inheritable."""
    prctl(abi.PR_CAP_AMBIENT, abi.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(mask.bit_length()):
        if mask >> number & 1:
            prctl(abi.PR_CAP_AMBIENT, abi.PR_CAP_AMBIENT_RAISE, number)


def set_ids(uid: int, gid: int, groups: list[int], *, keep_capabilities: bool) -> None:
    """Become the user: groups, then gid, then uid, because each needs the right that the next gives up."""
    if keep_capabilities:
        prctl(abi.PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups(groups)
    except PermissionError:
        if groups:  # with setgroups denied (user_namespaces(7)) the groups stay what they are
            raise
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if keep_capabilities:
        prctl(abi.PR_SET_KEEPCAPS, 0)


def get_rlimit(number: int, pid: int = 0) -> tuple[int, int]:
    """(soft, hard) of `pid` (0: of the caller); 2**64 - 1 is no limit."""
    limits = ctypes.create_string_buffer(16)  # struct rlimit64
    if _prlimit(pid, number, None, limits) < 0:
        raise fail("prlimit")
    soft, hard = struct.unpack("2Q", limits.raw)
    return soft, hard


def set_rlimit(number: int, soft: int, hard: int, pid: int = 0) -> None:
    """Set the limit of `pid` (0: of the caller); 2**64 - 1 is no limit."""
    if _prlimit(pid, number, struct.pack("2Q", soft, hard), None) < 0:
        raise fail("prlimit")
