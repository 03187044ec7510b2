"""A virtual machine with Debian's cloud kernel and nothing but Python in memory: cgroup v2 for real.

    host:  kernel package -> cache; this process's Python + src + tests -> initramfs -> qemu (TCG, no KVM)
    guest: /init.py (process 1) mounts /proc /sys /dev cgroup2 -> pytest -> "VM EXIT n" on the console -> off

Nothing is installed and no network is given to the guest. The kernel is kept in ~/.cache/nakagin/vm.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = "linux-image-cloud-amd64"
QEMU = "qemu-system-x86_64"
ENDED = "VM EXIT "

# Parts of the standard library that no test needs; they would double the archive.
_LEFT_OUT = {
    "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter",
    "turtledemo",
}  # fmt: skip
_PYTEST = ("_pytest", "pytest", "pluggy", "iniconfig", "packaging", "pygments")

_INIT = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
for kind, place in (
    ("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("cgroup2", "/sys/fs/cgroup"),
):
    os.makedirs(place, exist_ok=True)
    if libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None):
        print("cannot mount", place)
os.makedirs("/tmp", exist_ok=True)  # the archive is in memory as it is, and the project may lie there
pid = os.fork()
if pid == 0:
    os.environ.update(PATH="/usr/bin:/bin", HOME="/tmp", PYTHONPATH="@PATH@", PYTHONDONTWRITEBYTECODE="1")
    os.chdir("@ROOT@")
    os.execv(sys.executable, [sys.executable, *@ARGUMENTS@])
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("@ENDED@%d" % code, flush=True)
os.sync()
libc.reboot(0x4321FEDC)
"""


def kernel() -> Path:
    """The kernel image, fetched with apt-get on first use. Raises OSError, CalledProcessError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "nakagin/vm"
    found = sorted(cache.glob("*/boot/vmlinuz-*"))
    if found:
        return found[-1]
    cache.mkdir(parents=True, exist_ok=True)
    depends = ["apt-cache", "depends", PACKAGE]
    if subprocess.run(depends, capture_output=True, check=False).returncode:
        subprocess.run(
            ["apt-get", "update", "-q"], check=True, capture_output=True
        )  # a fresh machine has no lists
    shown = subprocess.run(depends, capture_output=True, text=True, check=True).stdout
    name = next(line.split()[-1] for line in shown.splitlines() if "Depends:" in line)
    subprocess.run(["apt-get", "download", "-q", name], cwd=cache, check=True, capture_output=True)
    package = next(cache.glob(f"{name}_*.deb"))
    unpacked = cache / f".{name}"
    subprocess.run(["dpkg", "-x", package, unpacked], check=True)
    unpacked.rename(cache / name)
    package.unlink()
    return kernel()


def boot(archive: Path, seconds: float) -> tuple[int, str]:
    """Run the machine until it switches itself off; the tests' exit code and the console's text."""
    command = [
        QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "768", "-nographic",
        "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", str(kernel()), "-initrd", str(archive),
        "-append", f"console=ttyS0 quiet panic=-1 rdinit={_python()} -- -I /init.py",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False
        )
        output = done.stdout
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
    text = output.decode(errors="replace").replace("\r", "")
    _, found, end = text.rpartition(ENDED)
    return (int(end.split()[0]) if found else 255), text


def initramfs(root: Path, arguments: list[str], files: Iterable[Path], ini: str) -> bytes:
    """An uncompressed cpio archive that runs `python arguments` in `root`, where `files` and `ini` are."""
    init = (
        _INIT.replace("@ROOT@", str(root)).replace("@ARGUMENTS@", repr(arguments)).replace("@ENDED@", ENDED)
    )
    site = Path(sysconfig.get_path("purelib"))
    init = init.replace("@PATH@", f"{root}/src:{root}:{site}")
    archive = Archive()
    archive.device("/dev/console", 5, 1)
    archive.device("/dev/null", 1, 3)
    archive.text("/init.py", init)
    archive.text(f"{root}/vm.ini", ini)
    for path in _python_files(site):
        archive.file(path)
    for path in files:
        archive.file(path)
    return archive.packed()


def _python() -> str:
    return os.path.realpath(sys.executable)


def _python_files(site: Path) -> Iterator[Path]:
    """The interpreter, its libraries (those of its extensions too), and pytest."""
    standard = Path(sysconfig.get_path("stdlib"))
    extensions = [*(standard / "lib-dynload").glob("*.so")]
    yield Path(_python())
    shown = subprocess.run(
        ["ldd", _python(), *extensions], capture_output=True, text=True, check=False
    ).stdout
    words = {
        word
        for line in shown.splitlines()
        for word in line.split()
        if word.startswith("/") and ":" not in word
    }
    yield from (Path(word) for word in sorted(words))
    ldconfig = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    yield from (Path(line.split()[-1]) for line in ldconfig.splitlines() if "libseccomp.so.2 " in line)
    yield from _tree(standard, _LEFT_OUT)
    yield site / "py.py"
    for name in _PYTEST:
        yield from _tree(site / name, set())


def _tree(folder: Path, left_out: set[str]) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in left_out and not name.startswith("config-")]
        for name in names:
            if not name.endswith((".a", ".o", ".opt-1.pyc", ".opt-2.pyc")):
                yield Path(where, name)


class Archive:
    """A cpio archive in the "newc" format (kernel documentation, early-userspace/buffer-format)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def file(self, path: Path) -> None:
        """Add a file of the host under its own path; links are followed."""
        status = path.stat()
        self._add(
            str(path), stat.S_IFREG | stat.S_IMODE(status.st_mode), path.read_bytes(), int(status.st_mtime)
        )

    def text(self, path: str, text: str) -> None:
        """Add a new file."""
        self._add(path, stat.S_IFREG | 0o644, text.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """Add a character device."""
        self._add(path, stat.S_IFCHR | 0o600, b"", 0, major, minor)

    def packed(self) -> bytes:
        """The whole archive."""
        self._add("/TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(self, path: str, mode: int, data: bytes, time: int = 0, major: int = 0, minor: int = 0) -> None:
        if path in self._known:
            return
        self._known.add(path)
        parent = os.path.dirname(path)
        if parent != "/":
            self._add(parent, stat.S_IFDIR | 0o755, b"")
        name = path[1:].encode() + b"\0"
        fields = (len(self._known), mode, 0, 0, 1, time, len(data), 0, 0, major, minor, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]
