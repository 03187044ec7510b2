"""What the host's kernel says about a container; the tests look here and not at what the engine claims."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.engine_fixture import ScratchEngine


def inspect(engine: ScratchEngine, name: str, template: str) -> str:
    """One Go template over `docker inspect`."""
    return engine.docker("inspect", "-f", template, name).stdout.strip()


def init_pid(engine: ScratchEngine, name: str) -> int:
    """The container's first process, as the host numbers it."""
    return int(inspect(engine, name, "{{.State.Pid}}"))


def namespace(pid: int | str, kind: str) -> int:
    """The inode number of a process's namespace."""
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


def status_field(text: str, field: str) -> str:
    """A field of /proc/PID/status."""
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(field + ":"))


def parent(pid: int) -> int:
    """The parent's process id."""
    return int(status_field(Path(f"/proc/{pid}/status").read_text(), "PPid"))


def is_gone(pid: int) -> bool:
    """Whether the process has ended; whoever must bury it may take its time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def cgroup_file(pid: int, controller: str, v1_name: str, v2_name: str) -> str:
    """A file of the process's cgroup, whichever version the controller is on."""
    v2_path = ""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controllers}{path}/{v1_name}").read_text().strip()
        if not controllers:
            v2_path = path
    return Path(f"/sys/fs/cgroup{v2_path}/{v2_name}").read_text().strip()


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
