"""What a process is and may do: capabilities and ids. See capabilities(7), credentials(7)."""

from __future__ import annotations

import ctypes
import struct

from nakagin.kernel import abi
from nakagin.kernel.calls import Call
from nakagin.kernel.libc import fail, function, syscall
from nakagin.kernel.process import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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


def capability_calls(sets: CapabilitySets) -> list[Call]:
    """What sets the calling thread's three sets (capset(2))."""
    ordered = (sets.effective, sets.permitted, sets.inheritable)
    words = [mask & 0xFFFFFFFF for mask in ordered] + [mask >> 32 for mask in ordered]
    return [Call("set capabilities", abi.NR_CAPSET, _HEADER, struct.pack("6I", *words))]


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


def bounding_calls(keep: int, present: int) -> list[Call]:
    """What drops from the bounding set (now `present`) all that is not in `keep`."""
    excess = present & ~keep
    return [
        Call("limit the bounding set", abi.NR_PRCTL, abi.PR_CAPBSET_DROP, number, 0, 0, 0)
        for number in range(excess.bit_length())
        if excess >> number & 1
    ]


def ambient_calls(mask: int) -> list[Call]:
    """What makes the ambient set exactly `mask`; each must be permitted and inheritable."""
    changes = [(abi.PR_CAP_AMBIENT_CLEAR_ALL, 0)]
    changes += [
        (abi.PR_CAP_AMBIENT_RAISE, number) for number in range(mask.bit_length()) if mask >> number & 1
    ]
    return [
        Call("set ambient capabilities", abi.NR_PRCTL, abi.PR_CAP_AMBIENT, deed, number, 0, 0)
        for deed, number in changes
    ]


def user_calls(uid: int, gid: int, groups: Sequence[int]) -> list[Call]:
    """What makes a process the user's, with its capabilities kept for the calls that follow.

    Groups, then gid, then uid, because each needs the right that the next gives up. With setgroups denied
    (user_namespaces(7)) the groups stay what they are, which is well where none are wanted.
    """
    words = f"become user {uid}:{gid}"
    listed = struct.pack(f"{len(groups)}I", *groups)
    return [
        Call(words, abi.NR_PRCTL, abi.PR_SET_KEEPCAPS, 1, 0, 0, 0),
        Call(words, abi.NR_SETGROUPS, len(groups), listed, may_fail=not groups),
        Call(words, abi.NR_SETRESGID, gid, gid, gid),
        Call(words, abi.NR_SETRESUID, uid, uid, uid),
        Call(words, abi.NR_PRCTL, abi.PR_SET_KEEPCAPS, 0, 0, 0, 0),
    ]


def rlimit_call(number: int, soft: int, hard: int) -> Call:
    """What sets the calling process's limit; 2**64 - 1 is no limit."""
    words = f"limit {RLIMITS[number]} to {soft}:{hard}"
    return Call(words, abi.NR_PRLIMIT64, 0, number, struct.pack("2Q", soft, hard), 0)


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
