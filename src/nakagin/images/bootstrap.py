"""First images where no registry is in reach: made from Debian packages of this machine's own apt sources.

`busybox` is the static binary of one package with its applets as links; `debian` is what mmdebstrap makes.
The same packages and the same date give the same image ID.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import Invalid, StepFailed, Unavailable
from nakagin.images import debian
from nakagin.storage.compression import decompressed, reading
from nakagin.storage.tarread import DIRECTORY, LINK, Entry, TarReader
from nakagin.storage.tarwrite import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.storage.compression import Readable

KINDS = ("busybox", "debian")
_PACKAGE = "busybox-static"
_INSTALLED = ("/bin/busybox", "/usr/bin/busybox")
_LARGEST_BINARY = 64 << 20
_INTERPRETER = 3  # PT_INTERP of elf(5)

_DIRECTORIES = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "sbin": 0o755,
    "sys": 0o755, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755,
    "var/spool": 0o755, "var/spool/mail": 0o755, "var/www": 0o755,
}  # fmt: skip
_FILES = {
    "etc/group": "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n"
    "www-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "bin:x:2:2:bin:/bin:/bin/false\nsys:x:3:3:sys:/dev:/bin/false\nmail:x:8:8:mail:/var/spool/mail:/bin/false\n"
    "www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/shadow": "root:*:::::::\ndaemon:*:::::::\nbin:*:::::::\nsys:*:::::::\nmail:*:::::::\n"
    "www-data:*:::::::\nnobody:*:::::::\n",
}


class Binary(NamedTuple):
    """A static busybox: its bytes, its time (seconds) and where its applets belong ("usr/bin/awk")."""

    data: bytes
    mtime: int
    applets: tuple[str, ...]


def bootstrap(
    images: Images,
    kind: str,
    *,
    reference: str | None = None,
    packages: Sequence[str] = (),
    suite: str = "",
    variant: str = "minbase",
    mirror: str = "",
    changes: Sequence[str] = (),
    source_date_epoch: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Image:
    """Make an image and give it a name (`busybox:latest`, `debian:<suite>` by default). Long; needs root.

    `packages`, `suite`, `variant` and `mirror` (an archive's address) are for debian; `changes` are Dockerfile
    instructions. The date (seconds since the epoch; of every file and of the image) is by default the
    package's, or that of the suite.
    Raises Invalid, Unavailable (a tool or the network is missing), StepFailed.
    """
    tell = progress or _silent
    if kind == "busybox":
        if packages:
            raise Invalid("a busybox image has no packages", hint="bootstrap a debian image with them")
        return _busybox(images, reference or "busybox:latest", changes, source_date_epoch, tell)
    if kind == "debian":
        recipe = debian.recipe(packages, suite, variant, source_date_epoch, mirror)
        made = debian.Build(recipe, tell)
        with made as stream:
            image = images.import_(
                stream,
                None,
                changes=[*debian.defaults(recipe), *changes],
                message=f"Bootstrapped from Debian {recipe.suite}",
                created=recipe.epoch,
            )
        return images.tag(image.id, reference or f"debian:{recipe.suite}")
    raise Invalid(f"cannot bootstrap {kind!r}", hint=f"possible are {' and '.join(KINDS)}")


def _busybox(
    images: Images,
    reference: str,
    changes: Sequence[str],
    epoch: int | None,
    tell: Callable[[str], None],
) -> Image:
    binary = _installed(tell) or _downloaded(tell)
    date = binary.mtime if epoch is None else epoch
    return images.import_(
        io.BytesIO(tree_of(binary, date)),
        reference,
        changes=['CMD ["sh"]', *changes],
        message=f"Bootstrapped from the Debian package {_PACKAGE}",
        created=date,
    )


def tree_of(binary: Binary, date: int) -> bytes:
    """The tar of a root file system around a busybox; every file has the time `date` (seconds)."""
    parts: list[bytes] = []

    def put(entry: Entry, data: bytes = b"") -> None:
        entry.mtime_ns = date * 1_000_000_000
        entry.size = len(data)
        parts.extend((header(entry), data, padding(len(data))))

    for path, mode in _DIRECTORIES.items():
        put(Entry(path.encode(), DIRECTORY, mode))
    for path, text in _FILES.items():
        put(Entry(path.encode(), mode=0o640 if path == "etc/shadow" else 0o644), text.encode())
    put(Entry(b"bin/busybox", mode=0o755), binary.data)
    for path in sorted(set(binary.applets) - {"bin/busybox"}):
        if os.path.dirname(path) in _DIRECTORIES:
            link = Entry(path.encode(), LINK, 0o755)
            link.linkname = b"bin/busybox"
            put(link)
    return b"".join(parts) + END


def _installed(tell: Callable[[str], None]) -> Binary | None:
    for path in _INSTALLED:
        try:
            with open(path, "rb") as stream:
                data = stream.read(_LARGEST_BINARY)
                mtime = int(os.fstat(stream.fileno()).st_mtime)
        except OSError:
            continue
        if is_static(data):
            tell(f"using {path}")
            return Binary(data, mtime, _applets(path))
    return None


def _downloaded(tell: Callable[[str], None]) -> Binary:
    """The binary from the package, fetched by apt into a temporary folder and not installed."""
    tell(f"downloading {_PACKAGE}")
    with tempfile.TemporaryDirectory(prefix="nakagin-") as folder:
        try:
            done = subprocess.run(
                ["apt-get", "-o", "APT::Sandbox::User=root", "download", _PACKAGE],
                cwd=folder, capture_output=True, text=True, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise Unavailable(
                "there is no static busybox here, and no apt-get to fetch one", hint=f"install {_PACKAGE}"
            ) from None
        packages = [name for name in os.listdir(folder) if name.endswith(".deb")]
        if done.returncode or not packages:
            raise Unavailable(
                f"cannot download {_PACKAGE}: {_last_line(done.stderr)}",
                hint=f"is the network in reach? An installed {_PACKAGE} does as well",
            )
        with open(os.path.join(folder, packages[0]), "rb") as package:
            data, mtime = file_of_package(package, b"bin/busybox")
        path = os.path.join(folder, "busybox")
        with open(path, "wb") as copy:
            copy.write(data)
        os.chmod(path, 0o700)
        return Binary(data, mtime, _applets(path))


def _applets(path: str) -> tuple[str, ...]:
    try:
        done = subprocess.run([path, "--list-full"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StepFailed(f"{path} --list-full", str(error)) from None
    return tuple(done.stdout.split())


def file_of_package(package: io.BufferedReader, name: bytes) -> tuple[bytes, int]:
    """A file of a .deb (deb(5)) and its time. Raises Invalid or Damaged."""
    if package.read(8) != b"!<arch>\n":
        raise Invalid("not a Debian package")
    while head := package.read(60):
        size = int(head[48:58])
        if not head.startswith(b"data.tar"):
            package.seek(size + size % 2, os.SEEK_CUR)
            continue
        source: Readable = package
        with reading("the package"):
            reader = TarReader(decompressed(source)[1])
            for entry in reader:
                if entry.name.removeprefix(b"./").removeprefix(b"usr/") == name:
                    return reader.read(_LARGEST_BINARY), entry.mtime_ns // 1_000_000_000
    raise Invalid(f"the package has no {name.decode()}")


def is_static(data: bytes) -> bool:
    """Whether an ELF program (64-bit, this byte order) needs no loader (elf(5))."""
    if data[:5] != b"\x7fELF\x02" or len(data) < 64:
        return False
    (offset,) = struct.unpack_from("=Q", data, 32)
    size, count = struct.unpack_from("=HH", data, 54)
    if offset + size * count > len(data):
        return False
    return all(
        struct.unpack_from("=I", data, offset + size * each)[0] != _INTERPRETER for each in range(count)
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def _silent(line: str) -> None:
    """Nobody wants to hear."""
