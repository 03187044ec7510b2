"""The deeds on group directories that both versions share: read, write, make, list and remove.

Everything is plain system calls on known paths; nothing is searched for. Called by group.py and its
siblings only.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_SIZE = 65536


def read(path: str) -> str:
    """The whole text of a cgroup file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while part := os.read(fd, _READ_SIZE):
            text += part
            if len(part) < 4096:  # kernfs hands out whole pages until the end
                break
    finally:
        os.close(fd)
    return text.decode()


def read_or_empty(path: str) -> str:
    """The text, or "" where the file or its group is gone."""
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno == errno.ENODEV:  # the group was removed while the file was open
            return ""
        raise


def read_number(path: str, default: int = 0) -> int:
    """A file of one number; `default` where it is missing or says "max"."""
    text = read_or_empty(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else default


def read_table(path: str) -> dict[str, int]:
    """A flat-keyed file ("oom_kill 3" per line) as a dict; empty where it is missing."""
    table = {}
    for line in read_or_empty(path).splitlines():
        key, _, value = line.partition(" ")
        if value.isdecimal():
            table[key] = int(value)
    return table


def write(path: str, value: str) -> None:
    """Write the value with one write(2). Raises OSError."""
    writer = Writer()
    try:
        writer.write(path, value)
    finally:
        writer.close()


class Writer:
    """Writes values, each with one write(2), and keeps the last file open: device rules share one."""

    __slots__ = ("_fd", "_path")

    def __init__(self) -> None:
        self._fd = -1
        self._path = ""

    def write(self, path: str, value: str) -> None:
        """Raises OSError with the path."""
        if path != self._path:
            self.close()
            self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            self._path = path
        try:
            os.write(self._fd, value.encode())
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from None

    def close(self) -> None:
        """Close the last file. Fine when there is none."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path = -1, ""


def make(mount: str, path: str) -> list[str]:
    """mkdir -p; the directories that were made, outermost first. `path` begins with "/". Raises OSError."""
    try:
        os.mkdir(mount + path)
    except FileExistsError:
        return []
    except FileNotFoundError:
        made = make(mount, os.path.dirname(path))
        return made + make(mount, path)
    return [mount + path]


def descendants(directory: str) -> Iterator[str]:
    """The directories below, innermost first. Groups that vanish meanwhile are left out."""
    try:
        if os.stat(directory).st_nlink == 2:  # kernfs counts child directories here: no need to list
            return
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        child = f"{directory}/{name}"
        if os.path.isdir(child):
            yield from descendants(child)
            yield child


def pids(directory: str) -> list[int]:
    """The processes in the group and below it."""
    found: list[int] = []
    for each in (*descendants(directory), directory):
        try:
            text = read_or_empty(f"{each}/cgroup.procs")
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            text = read_or_empty(f"{each}/cgroup.threads")  # a threaded group of v2 lists no processes
        found += map(int, text.split())
    return found


def remove(directory: str, deadline: float) -> None:
    """rmdir of the group and its empty descendants; waits for dying processes until time.monotonic() is
    `deadline`. A group that is gone already is fine. Raises OSError (EBUSY: processes live in it)."""
    pause = 0.0002
    while True:
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            removed = False
            for child in descendants(directory):
                remove(child, deadline)
                removed = True
            if removed:
                continue
            if time.monotonic() >= deadline:
                raise
        # v1 tells nobody when a group becomes empty: a dying process is gone in microseconds to milliseconds.
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
