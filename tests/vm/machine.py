"""A virtual machine with Debian's cloud kernel and nothing but Python in memory: cgroup v2 for real.

    host:  kernel package -> cache; this process's Python + src + tests -> initramfs -> qemu (TCG, no KVM)
    guest: /init.py (process 1) mounts /proc /sys /dev cgroup2 -> pytest -> "VM EXIT n" on the console -> off

Nothing is installed and no network is given to the guest. The kernel is the one of `nakagin compare vm`.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import sysconfig
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from nakagin.compare.cpio import Archive
from nakagin.compare.kernel import QEMU, kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ENDED = "VM EXIT "

# Parts of the standard library that no test needs; they would double the archive.
_LEFT_OUT = {
    "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter",
    "turtledemo",
}  # fmt: skip
_PACKAGES = ("msgspec", "_pytest", "pytest", "pytest_asyncio", "pluggy", "iniconfig", "packaging", "pygments")

_INIT = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
for kind, place in (
    ("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("cgroup2", "/sys/fs/cgroup"),
):
    os.makedirs(place, exist_ok=True)
    if libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None):
        print("cannot mount", place)
for place in ("/tmp", "/var/tmp", "/run"):  # all is in memory, and the project may lie there
    os.makedirs(place, exist_ok=True)
# pivot_root(2) refuses the kernel's first root; so the same files are laid over it, and that is the root.
os.makedirs("/.root")
libc.mount(b"/", b"/.root", None, 4096 | 16384, None)  # MS_BIND | MS_REC
os.chdir("/.root")
libc.mount(b".", b"/", None, 8192, None)  # MS_MOVE
os.chroot(".")
os.chdir("/")
pid = os.fork()
if pid == 0:
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/tmp", PYTHONPATH="@PATH@")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["NAKAGIN_PATIENCE"] = "120"
    os.chdir("@ROOT@")
    os.execv(sys.executable, [sys.executable, *@ARGUMENTS@])
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("@ENDED@%d" % code, flush=True)
os.sync()
libc.reboot(0x4321FEDC)
"""


def boot(archive: Path, seconds: float) -> tuple[int, str]:
    """Run the machine until it switches itself off; the tests' exit code and the console's text."""
    command = [
        QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-nographic",
        "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", kernel(), "-initrd", str(archive),
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


def initramfs(
    root: Path,
    arguments: list[str],
    files: Iterable[Path],
    ini: str,
    texts: Mapping[str, str | bytes] | None = None,
    packages: Iterable[str] = (),
) -> bytes:
    """An uncompressed cpio archive that runs `python arguments` in `root`, where `files`, `texts` and `ini` are.

    `packages` are those that Python needs besides what pytest and our own light rooms import. Our sources go with
    their bytecode: an emulated processor takes a minute to compile what an engine imports.
    """
    compileall.compile_dir(root / "src", quiet=2)
    files = {*files}
    files |= {cache for each in files if (cache := Path(cache_from_source(str(each)))).exists()}
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
    wanted = {*_python_files(site), *(path for name in packages for path in _package(site / name))}
    for path in sorted(wanted):
        archive.file(path)
    for place, text in (texts or {}).items():
        archive.text(place, text)
    for path in sorted(files - wanted):
        archive.file(path)
    return archive.packed()


def _package(place: Path) -> Iterator[Path]:
    """A package, or a module, with the libraries that it needs."""
    found = [*_tree(place, {"tests"})] if place.is_dir() else [place.with_suffix(".py")]
    yield from found
    if extensions := [path for path in found if ".so" in path.suffixes]:
        yield from libraries(*extensions)


def _python() -> str:
    return os.path.realpath(sys.executable)


def _python_files(site: Path) -> Iterator[Path]:
    """The interpreter, its libraries (those of its extensions too), pytest, and the one package that they import."""
    standard = Path(sysconfig.get_path("stdlib"))
    extensions = [*(standard / "lib-dynload").glob("*.so"), *(site / "msgspec").glob("*.so")]
    yield Path(_python())
    yield from libraries(Path(_python()), *extensions)
    ldconfig = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    yield from (Path(line.split()[-1]) for line in ldconfig.splitlines() if "libseccomp.so.2 " in line)
    yield from _tree(standard, _LEFT_OUT)
    yield site / "py.py"
    yield site / "typing_extensions.py"
    for name in _PACKAGES:
        yield from _tree(site / name, set())
    for folder in site.glob("pytest_asyncio-*.dist-info"):  # a plugin is found, and asks for itself, by these
        yield from _tree(folder, set())


def libraries(*programs: Path) -> list[Path]:
    """The shared libraries that they need."""
    shown = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = {word for word in shown.split() if word.startswith("/") and ":" not in word}
    return [Path(word) for word in sorted(words)]


def _tree(folder: Path, left_out: set[str]) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in left_out and not name.startswith("config-")]
        for name in names:
            if not name.endswith((".a", ".o", ".opt-1.pyc", ".opt-2.pyc")):
                yield Path(where, name)
