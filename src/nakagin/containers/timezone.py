"""`--tz`: the zone is written into the new container's own /etc/localtime; the image needs no zones for it."""

from __future__ import annotations

import os
from importlib import resources
from typing import TYPE_CHECKING

from nakagin.containers import rootfs
from nakagin.errors import Invalid, StepFailed, Unsupported
from nakagin.kernel import paths

if TYPE_CHECKING:
    from nakagin.containers.model import Container
    from nakagin.containers.surroundings import Surroundings

LOCAL = "local"
_ZONES = "/usr/share/zoneinfo"
_MAGIC = b"TZif"
_LARGEST = 1 << 20


def zone(wanted: str, machine: str = "/etc/localtime") -> tuple[str, bytes]:
    """(name, compiled zone) of a zone's name or "local"; the name of the machine's own may be "". Raises Invalid."""
    if wanted == LOCAL:
        real = os.path.realpath(machine)
        name = real.partition("zoneinfo/")[2]
        data = _read(real)
        if data is None:  # without the file, the machine's clock shows UTC
            return "Etc/UTC", _named("Etc/UTC")
        return name, data
    return wanted, _named(wanted)


def _named(name: str) -> bytes:
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") for part in parts):
        raise Invalid(f"invalid time zone {name!r}", hint="as in Europe/Vienna, or local")
    data = _read(os.path.join(_ZONES, name)) or _packaged(parts)
    if data is None:
        raise Invalid(f"no such time zone: {name}", hint=_alike(name))
    return data


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
    except (OSError, ValueError):
        return None
    return data if data.startswith(_MAGIC) else None


def _packaged(parts: list[str]) -> bytes | None:
    """From the Python package tzdata, on machines without zones."""
    try:
        data = resources.files("tzdata.zoneinfo").joinpath(*parts).read_bytes()
    except (ImportError, OSError):
        return None
    return data if data.startswith(_MAGIC) else None


def _alike(name: str) -> str:
    import difflib

    try:
        with open(os.path.join(_ZONES, "tzdata.zi")) as file:
            known = [
                line.split()[1 if line.startswith("Z") else 2] for line in file if line[:2] in ("Z ", "L ")
            ]
    except (OSError, IndexError):
        known = []
    found = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean {found[0]}?" if found else "as in Europe/Vienna, or local"


def check(record: Container) -> None:
    """Raise Invalid or Unsupported for a zone that a new container cannot have."""
    if record.extension.timezone:
        if record.extension.rootfs and not rootfs.from_folder(record)[1]:
            raise Unsupported("the time zone of a container on a plain folder", hint="--rootfs DIR:overlay")
        zone(record.extension.timezone)


def write(around: Surroundings, record: Container) -> None:
    """Write the zone into the writable layer of a new container. Blocking; raises StepFailed."""
    name, data = zone(record.extension.timezone)

    def work(root: int) -> None:
        folder = paths.ensure_in_root(root, "etc")
        try:
            _replace(folder, "localtime", data)
            # Debian's programs read the name there, where it is.
            if name and os.path.lexists(f"/proc/self/fd/{folder}/timezone"):
                _replace(folder, "timezone", f"{name}\n".encode())
        finally:
            os.close(folder)

    try:
        rootfs.look_into(around, record, work)
    except OSError as error:
        raise StepFailed(f"set the time zone to {name}", str(error), errno=error.errno or 0) from error


def _replace(folder: int, name: str, data: bytes) -> None:
    # A link is replaced, not written through: what it leads to is the zone of that name for everything inside.
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o644, dir_fd=folder), "wb") as file:
        file.write(data)
