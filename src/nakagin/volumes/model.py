"""What the engine knows of a volume, and what its options mean. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nakagin.errors import Invalid
from nakagin.kernel import abi
from nakagin.spec.size import parse_size
from nakagin.storage.bounded import SMALLEST, Limit

KIND = "volume"
ANONYMOUS = "com.docker.volume.anonymous"
SNAPSHOT = "org.nakagin.volume.snapshot-of"

_OPTIONS = {"type", "device", "o", "size"}
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}

# What of `o` is a flag of mount(2) (set, cleared); the rest goes to the file system.
_FLAGS: dict[str, tuple[int, int]] = {
    "defaults": (0, 0),
    "ro": (abi.MS_RDONLY, 0),
    "rw": (0, abi.MS_RDONLY),
    "nosuid": (abi.MS_NOSUID, 0),
    "suid": (0, abi.MS_NOSUID),
    "nodev": (abi.MS_NODEV, 0),
    "dev": (0, abi.MS_NODEV),
    "noexec": (abi.MS_NOEXEC, 0),
    "exec": (0, abi.MS_NOEXEC),
    "noatime": (abi.MS_NOATIME, 0),
    "atime": (0, abi.MS_NOATIME),
    "nodiratime": (abi.MS_NODIRATIME, 0),
    "diratime": (0, abi.MS_NODIRATIME),
    "relatime": (abi.MS_RELATIME, 0),
    "strictatime": (abi.MS_STRICTATIME, 0),
}


class Volume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a volume; `driver_options` as given (type, device, o for one that is a mount; size).

    `folder` is where it lies below the volumes' root, where that is not its name.
    """

    name: str
    created: str
    driver: str = "local"
    driver_options: dict[str, str] = {}
    labels: dict[str, str] = {}
    folder: str = ""
    limit: Limit | None = None
    removing: bool = False


class Mounted(NamedTuple):
    """A volume that is a file system of its own: what mount(2) is told."""

    type: str
    device: str
    flags: int
    data: str

    @property
    def is_bind(self) -> bool:
        return bool(self.flags & abi.MS_BIND)

    @property
    def is_plain_bind(self) -> bool:
        """A folder of the machine as it is: nothing needs to be mounted for it."""
        return self.flags & ~abi.MS_REC == abi.MS_BIND and not self.data

    @property
    def address(self) -> str:
        """The name of the machine behind a network file system, which the kernel wants as a number; "" for none."""
        if not self.type.startswith(("nfs", "cifs")):
            return ""
        return next((word[5:] for word in self.data.split(",") if word.startswith("addr=")), "")


def check_options(options: dict[str, str]) -> None:
    """Raise Invalid, in Docker's words, for options that the local driver does not know or that miss another."""
    for name in options:
        if name not in _OPTIONS:
            raise Invalid(f'invalid option: "{name}"', hint=f"known options: {', '.join(sorted(_OPTIONS))}")
    for name, needed in _NEEDS.items():
        for other in needed:
            if name in options and other not in options:
                raise Invalid(f'missing required option: "{other}"')
    if "size" in options:
        if "type" in options:
            raise Invalid("a volume of a type of its own has no `size`", hint="some types take o=size=...")
        wanted_size(options)


def wanted_size(options: dict[str, str]) -> int:
    """The limit that is asked for, in bytes; 0 for none. Raises Invalid."""
    if "size" not in options:
        return 0
    size = parse_size(options["size"], "size")
    if size < SMALLEST:
        raise Invalid(f"a volume's size is at least {SMALLEST >> 20} MiB, not {options['size']}")
    return size


def mounted(options: dict[str, str]) -> Mounted | None:
    """The mount that the options describe; None for a plain folder."""
    if "type" not in options:
        return None
    flags, data = 0, []
    for word in options.get("o", "").split(","):
        if word in ("bind", "rbind"):
            flags |= abi.MS_BIND | (abi.MS_REC if word == "rbind" else 0)
        elif word in _FLAGS:
            added, cleared = _FLAGS[word]
            flags = flags & ~cleared | added
        elif word:
            data.append(word)
    kind = options["type"]
    return Mounted("" if kind == "none" else kind, options["device"], flags, ",".join(data))
