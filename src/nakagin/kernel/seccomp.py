"""System call filters: an OCI seccomp section becomes a BPF program (libseccomp), seccomp(2) installs it.

Compiling takes milliseconds and depends on nothing but the section, so callers keep the bytes. The library
is loaded at the first compilation only; installing needs just a system call and works between fork and exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from nakagin.errors import Invalid, Unsupported

from . import filtertree
from .abi import MACHINE, NR_SECCOMP
from .calls import Call, perform
from .libc import fail, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.spec.runtime import Seccomp, SeccompArg, SeccompRule

_SET_MODE_FILTER = 1

# linux/seccomp.h; the low 16 bits of ERRNO and TRACE carry a number.
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_ERRNO, _NOTIFY = ACTIONS["SCMP_ACT_ERRNO"], ACTIONS["SCMP_ACT_NOTIFY"]

# enum scmp_compare of seccomp.h
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

# AUDIT_ARCH_* of linux/audit.h; x32 is libseccomp's own: to the kernel it is x86_64 with a bit in the number.
_X86_64 = 0xC000003E
_X32 = 0x4000003E
_X32_BIT = 0x40000000
ARCHITECTURES = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": _X86_64,
    "SCMP_ARCH_X32": _X32,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
    "SCMP_ARCH_M68K": 0x00000004,
    "SCMP_ARCH_MIPS": 0x00000008,
    "SCMP_ARCH_MIPS64": 0x80000008,
    "SCMP_ARCH_MIPS64N32": 0xA0000008,
    "SCMP_ARCH_MIPSEL": 0x40000008,
    "SCMP_ARCH_MIPSEL64": 0xC0000008,
    "SCMP_ARCH_MIPSEL64N32": 0xE0000008,
    "SCMP_ARCH_PPC": 0x00000014,
    "SCMP_ARCH_PPC64": 0x80000015,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x00000016,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_SH": 0x0000002A,
    "SCMP_ARCH_SHEB": 0x4000002A,
    "SCMP_ARCH_PARISC": 0x0000000F,
    "SCMP_ARCH_PARISC64": 0x8000000F,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
}
_NATIVE = ARCHITECTURES[{"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[MACHINE]]

FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
NEW_LISTENER = 8
_TSYNC_ESRCH = 16

_FLTATR_CTL_OPTIMIZE = 8
_BINARY_TREE = 2


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def compile(section: Seccomp) -> bytes:  # noqa: A001 - the verb of the trade, always called as seccomp.compile
    """The BPF program (an array of struct sock_filter) for an OCI `linux.seccomp` section.

    System calls that libseccomp does not know are skipped, as runc does. Those newer than everything the
    section names answer ENOSYS instead of the default error, so that programs use their fallback.
    Raises Invalid for unknown words, Unsupported without libseccomp.
    """
    library = _load()
    default = _action(section.get("defaultAction", ""), section.get("defaultErrnoRet"), "defaultAction")
    architectures = [
        _word(ARCHITECTURES, name, "architectures") for name in section.get("architectures") or ()
    ]
    if _NATIVE not in architectures:
        architectures.append(_NATIVE)
    context = library.seccomp_init(default)
    if not context:
        raise Invalid("libseccomp refuses the default action", where="linux.seccomp.defaultAction")
    try:
        for each in architectures:
            if each != _NATIVE:
                _check_architecture(each, library.seccomp_arch_add(context, each))
        for index, rule in enumerate(section.get("syscalls") or ()):
            _add(library, context, rule, default, f"linux.seccomp.syscalls[{index}]")
        # A tree of numbers instead of a list: quick to walk, here below and in the kernel.
        library.seccomp_attr_set(context, _FLTATR_CTL_OPTIMIZE, _BINARY_TREE)
        code = _export(library, context)
    finally:
        library.seccomp_release(context)
    return filtertree.shorten(_unknown_calls(library, section, architectures, default) + code)


def install(program: bytes, flags: int = 0) -> int:
    """Put the calling thread under the filter for good. Needs no_new_privs or CAP_SYS_ADMIN.

    Returns the listener's file descriptor with NEW_LISTENER among `flags`, else 0. Raises OSError.
    """
    return perform(install_calls(program, flags))


def install_calls(program: bytes, flags: int) -> list[Call]:
    """What `install` does, for another process."""
    if flags & NEW_LISTENER and flags & FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]:
        flags |= _TSYNC_ESRCH  # without it the answer could be a thread id or a descriptor
    # struct sock_fprog: the number of instructions, padding, and where they are
    words = "install the seccomp filter"
    return [Call(words, NR_SECCOMP, _SET_MODE_FILTER, flags, [len(program) // 8, program])]


def install_flags(section: Seccomp) -> int:
    """The flags of `install` for a section. Raises Invalid for an unknown word.

    Without any, speculation stays allowed: the mitigation would slow the whole container down for what a
    filter does not protect from (the kernel's own default since 5.16). A NOTIFY action asks for a listener; without
    one the kernel refuses the flag that is about waiting for it.
    """
    names = section.get("flags")
    flags = FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"] if names is None else 0
    for name in names or ():
        flags |= _word(FLAGS, name, "flags")
    if any(rule.get("action") == "SCMP_ACT_NOTIFY" for rule in section.get("syscalls") or ()):
        return flags | NEW_LISTENER
    return flags & ~FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]


def supported_flags() -> list[str]:
    """Which of FLAGS this kernel knows: it looks at the flags before it looks for the program."""
    known = []
    for name, bit in FLAGS.items():
        try:
            syscall(NR_SECCOMP, _SET_MODE_FILTER, bit | (NEW_LISTENER if bit == 32 else 0), 0)
        except OSError as error:
            if error.errno == errno.EFAULT:
                known.append(name)
    return known


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        raise Unsupported("libseccomp.so.2 is not installed", hint="apt-get install libseccomp2") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    )
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    return library


def _word(table: dict[str, int], name: str, where: str) -> int:
    try:
        return table[name]
    except KeyError:
        raise Invalid(f"{name!r} is not known", where=f"linux.seccomp.{where}") from None


def _action(name: str, number: int | None, where: str) -> int:
    """The action with its number: EPERM where none is given."""
    action = _word(ACTIONS, name, where)
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return action | (errno.EPERM if number is None else number & 0xFFFF)
    return action


def _add(library: ctypes.CDLL, context: int, rule: SeccompRule, default: int, where: str) -> None:
    """One rule for all its names."""
    action = _action(rule.get("action", ""), rule.get("errnoRet"), "syscalls.action")
    if action == default:
        return
    arguments = rule.get("args") or []
    indexes = [each.get("index", 0) for each in arguments]
    # libseccomp joins conditions by "and" and takes each argument once; runc reads repeated ones as "or".
    once = len(set(indexes)) == len(indexes)
    alternatives = [arguments] if once else [[each] for each in arguments]
    prepared = [(len(each), _comparisons(each)) for each in alternatives]
    for name in rule.get("names") or ():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            continue
        for count, comparisons in prepared:
            answer = library.seccomp_rule_add_array(context, action, number, count, comparisons)
            _check(answer, f"rule for {name}", where)


def _comparisons(arguments: list[SeccompArg]) -> ctypes.Array[_Comparison] | None:
    if not arguments:
        return None
    array = (_Comparison * len(arguments))()
    for target, each in zip(array, arguments, strict=True):
        target.index = each.get("index", 0)
        target.operator = _word(OPERATORS, each.get("op", ""), "syscalls.args.op")
        target.first = each.get("value", 0)
        target.second = each.get("valueTwo", 0)
    return array


def _check_architecture(architecture: int, answer: int) -> None:
    if answer < 0:
        name = next(name for name, number in ARCHITECTURES.items() if number == architecture)
        cause = (
            "its byte order is not this machine's"
            if answer == -errno.EDOM
            else "this version does not know it"
        )
        raise Invalid(
            f"libseccomp cannot add {name}: {cause}",
            where="linux.seccomp.architectures", hint="name only what programs of this machine can be",
        )  # fmt: skip


def _check(answer: int, what: str, where: str = "linux.seccomp") -> None:
    if answer < 0 and answer != -errno.EEXIST:
        raise Invalid(f"libseccomp refuses the {what}: {os.strerror(-answer)}", where=where)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    fd = os.memfd_create("seccomp")
    try:
        answer = library.seccomp_export_bpf(context, fd)
        if answer < 0:
            ctypes.set_errno(-answer)
            raise fail("seccomp_export_bpf")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _unknown_calls(library: ctypes.CDLL, section: Seccomp, architectures: list[int], default: int) -> bytes:
    """Code before the filter proper: numbers above the highest that the section names answer ENOSYS.

    A program that tries a new call and gets EPERM gives up, with ENOSYS it falls back. Nothing to do where
    the default lets calls through or says ENOSYS already. libseccomp's code begins by loading the
    architecture, so it can follow at any point.
    """
    if default in (ACTIONS["SCMP_ACT_ALLOW"], ACTIONS["SCMP_ACT_LOG"], _ERRNO | errno.ENOSYS):
        return b""
    names = [name.encode() for rule in section.get("syscalls") or () for name in rule.get("names") or ()]
    highest = {
        each: max((library.seccomp_syscall_resolve_name_arch(each, name) for name in names), default=-1)
        for each in architectures
    }
    blocks = [
        (each, _above(highest[each], highest.get(_X32, -1) if each == _X86_64 else None))
        for each in architectures
        if each != _X32 and highest[each] >= 0
    ]
    code = [_filter(0x20, k=4)]  # A = architecture
    left = sum(len(body) + 2 for _, body in blocks)
    for each, body in blocks:
        left -= len(body) + 2
        code += [_filter(0x15, 0, len(body) + 1, each), *body, _filter(0x05, k=left)]
    return b"".join(code)


def _above(highest: int, highest_x32: int | None) -> list[bytes]:
    """Code for one architecture: ENOSYS above the highest number. x32 calls arrive as x86_64 with a bit."""
    load, answer = _filter(0x20, k=0), _filter(0x06, k=_ERRNO | errno.ENOSYS)
    if highest_x32 is None:
        return [load, _filter(0x25, 0, 1, highest), answer]
    if highest_x32 < 0:  # x32 is not among the architectures: the filter proper refuses it
        return [load, _filter(0x35, 2, 0, _X32_BIT), _filter(0x25, 0, 1, highest), answer]
    return [
        load,
        _filter(0x35, 0, 1, _X32_BIT),
        _filter(0x25, 1, 2, highest_x32),
        _filter(0x25, 0, 1, highest),
        answer,
    ]


def _filter(code: int, when: int = 0, otherwise: int = 0, k: int = 0) -> bytes:
    """A struct sock_filter; `when` and `otherwise` are jumps over that many instructions."""
    return struct.pack("=HBBI", code, when, otherwise, k)
