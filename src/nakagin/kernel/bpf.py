"""bpf(2) for one purpose: device filters of cgroup v2 (linux/bpf.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from .abi import NR_BPF
from .libc import syscall

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_ALLOW_MULTI, _REPLACE = 2, 4


def attach_device_program(cgroup_fd: int, code: bytes) -> None:
    """Make `code` the group's only device program of its own. Those of its ancestors stay in force.

    A former program is replaced in one step (no moment without a filter). Raises OSError.
    """
    former = _attached(cgroup_fd)
    program = _load(code)
    try:
        if len(former) == 1:
            _attach(cgroup_fd, program, _ALLOW_MULTI | _REPLACE, former[0])
            return
        _attach(cgroup_fd, program, _ALLOW_MULTI)
        for each in former:
            _call(_PROG_DETACH, struct.pack("=IIII", cgroup_fd, each, _ATTACH_CGROUP_DEVICE, 0))
    finally:
        for each in (program, *former):
            os.close(each)


def _load(code: bytes) -> int:
    """The file descriptor of a loaded program; OSError carries the verifier's last words as its file name."""
    instructions = ctypes.create_string_buffer(code, len(code))
    license_name = ctypes.create_string_buffer(b"Apache-2.0")
    pointers = ctypes.addressof(instructions), ctypes.addressof(license_name)
    head = struct.pack("=IIQQ", _TYPE_CGROUP_DEVICE, len(code) // 8, *pointers)
    try:
        return _call(_PROG_LOAD, head)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EACCES):
            raise
        log = ctypes.create_string_buffer(65536)
        try:
            return _call(_PROG_LOAD, head + struct.pack("=IIQ", 1, len(log), ctypes.addressof(log)))
        except OSError as again:
            raise OSError(again.errno, os.strerror(again.errno or 0), log.value.decode()[-500:]) from None


def _attach(cgroup_fd: int, program: int, flags: int, replaced: int = 0) -> None:
    _call(_PROG_ATTACH, struct.pack("=IIIII", cgroup_fd, program, _ATTACH_CGROUP_DEVICE, flags, replaced))


def _attached(cgroup_fd: int) -> list[int]:
    """File descriptors of the device programs attached to the group itself."""
    ids = (ctypes.c_uint32 * 64)()
    attributes = struct.pack(
        "=IIIIQI", cgroup_fd, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids)
    )
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    syscall(NR_BPF, _PROG_QUERY, buffer, len(buffer))
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    return [_call(_PROG_GET_FD_BY_ID, struct.pack("=I", ids[index])) for index in range(count)]


def _call(command: int, attributes: bytes) -> int:
    return syscall(NR_BPF, command, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes))
