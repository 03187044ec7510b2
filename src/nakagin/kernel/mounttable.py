"""How the kernel writes its table of mounts (proc_pid_mountinfo(5)), and which of them a file lies on."""

from __future__ import annotations


def unescaped(text: str) -> str:
    """A field of the table as it is: blanks, tabs, newlines, backslashes and # are written in octal."""
    first, *rest = text.split("\\")
    return first + "".join(_character(part[:3]) + part[3:] for part in rest)


def _character(code: str) -> str:
    if len(code) == 3 and not code.strip("01234567"):
        return chr(int(code, 8))
    return f"\\{code}"


def mount_id(fd: int) -> int:
    """The first column of the table for the mount that `fd` lies on (proc_pid_fdinfo(5))."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))
