"""What each version asks for besides files: inheriting cpusets and freezing (v1), delegating controllers
along the path, and freezing (v2). Called by group.py."""

from __future__ import annotations

import errno
import os
import select
import time

from . import files

_FREEZE_SECONDS = 10.0


def inherit_cpuset(mount: str, path: str) -> None:
    """Give a v1 cpuset the cpus and memory nodes of its parent: empty ones take no process. Raises OSError.

    Parents get `cgroup.clone_children`, so that the kernel does it for the next group.
    """
    directory = mount + path
    if path in ("", "/") or files.read(f"{directory}/cpuset.cpus").strip():
        return
    parent = os.path.dirname(path)
    inherit_cpuset(mount, parent)
    if parent != "/":
        files.write(f"{mount}{parent}/cgroup.clone_children", "1")
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not files.read(f"{directory}/{name}").strip():
            files.write(f"{directory}/{name}", files.read(f"{mount}{parent}/{name}").strip())


def begin_freeze(directory: str, version: int) -> None:
    """Tell the processes to freeze, without waiting. A group that is gone is fine. Raises OSError."""
    _tell(directory, version, "FROZEN", "1")


def thaw(directory: str, version: int) -> None:
    """Let the processes go on. A group that is gone is fine. Raises OSError."""
    _tell(directory, version, "THAWED", "0")


def _tell(directory: str, version: int, v1: str, v2: str) -> None:
    try:
        if version == 1:
            files.write(f"{directory}/freezer.state", v1)
        else:
            files.write(f"{directory}/cgroup.freeze", v2)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def freeze_v1(directory: str) -> None:
    """Freeze and wait. A process on its way through fork can leave the kernel at FREEZING for good:
    thawing and freezing again gets it out (as runc does). Raises OSError (ETIMEDOUT)."""
    state = f"{directory}/freezer.state"
    deadline = time.monotonic() + _FREEZE_SECONDS
    for attempt in range(1_000_000):
        if attempt and attempt % 50 == 0:
            files.write(state, "THAWED")
            time.sleep(0.01)
        files.write(state, "FROZEN")
        if files.read(state).strip() == "FROZEN":
            return
        if time.monotonic() >= deadline:
            break
        time.sleep(0.0001 if attempt < 20 else 0.001)
    files.write(state, "THAWED")
    raise OSError(errno.ETIMEDOUT, "processes do not freeze", state)


def freeze_v2(directory: str) -> None:
    """Freeze and wait for the kernel's notification. Raises OSError (ETIMEDOUT)."""
    deadline = time.monotonic() + _FREEZE_SECONDS
    fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        files.write(f"{directory}/cgroup.freeze", "1")
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        while b"frozen 1" not in os.pread(fd, 4096, 0):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                files.write(f"{directory}/cgroup.freeze", "0")
                raise OSError(errno.ETIMEDOUT, "processes do not freeze", directory)
    finally:
        os.close(fd)


def make_v2(mount: str, path: str, controllers: frozenset[str]) -> list[str]:
    """Make the group and give it every controller that its ancestors may pass on; the directories made.

    A controller that cannot be passed on is left out: the files that miss then are reported when a limit
    asks for them. Raises OSError.
    """
    made = files.make(mount, path)
    parent = os.path.dirname(path)
    if controllers - _delegated(mount + parent):
        directory = mount
        _delegate(directory, controllers)
        for name in parent.split("/"):
            if name:
                directory += f"/{name}"
                _delegate(directory, controllers)
        _leave_invalid(mount + path)
    return made


def _delegated(directory: str) -> set[str]:
    return set(files.read_or_empty(f"{directory}/cgroup.subtree_control").split())


def _delegate(directory: str, controllers: frozenset[str]) -> None:
    """Enable the controllers for the children: all at once, or one by one where one of them is refused."""
    available = set(files.read_or_empty(f"{directory}/cgroup.controllers").split())
    missing = [f"+{name}" for name in sorted(controllers & available - _delegated(directory))]
    if not missing:
        return
    control = f"{directory}/cgroup.subtree_control"
    try:
        files.write(control, " ".join(missing))
    except OSError:
        for each in missing:
            try:
                files.write(control, each)
            except OSError:
                pass  # busy with processes, threaded, or not allowed: reported where a limit misses


def _leave_invalid(directory: str) -> None:
    """A group below a threaded one is "domain invalid" and takes no process until it is threaded itself."""
    file = f"{directory}/cgroup.type"
    if files.read_or_empty(file).strip() == "domain invalid":
        files.write(file, "threaded")
