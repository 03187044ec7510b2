"""The steps that furnish a container's root filesystem, as plain data.

`plan` makes the list, `furnish` performs it, `describe()` is what a user reads when one fails and what
a dry run prints. Paths are the container's own; they are resolved below its root, never on the host.
"""

from __future__ import annotations

from nakagin.kernel import abi
from nakagin.runtime.options import ATTRIBUTES, PROPAGATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.spec.runtime import IDMapping


class Idmap:
    """Which ids an idmapped mount shows in place of those on disk."""

    __slots__ = ("gids", "recursive", "uids")

    def __init__(self, uids: Sequence[IDMapping], gids: Sequence[IDMapping], recursive: bool) -> None:
        self.uids = uids
        self.gids = gids
        self.recursive = recursive


class MountFilesystem:
    """A new filesystem. `data` are its own options, `attributes` MOUNT_ATTR_* bits."""

    __slots__ = ("attributes", "copy_up", "data", "fstype", "propagation", "source", "target")

    def __init__(
        self,
        fstype: str,
        target: str,
        *,
        source: str,
        data: list[str],
        attributes: int = 0,
        propagation: int = 0,
        copy_up: bool = False,
    ) -> None:
        self.fstype = fstype
        self.target = target
        self.source = source
        self.data = data
        self.attributes = attributes
        self.propagation = propagation
        self.copy_up = copy_up

    def describe(self) -> str:
        """As in "mount tmpfs on /tmp [nosuid size=64m]"."""
        words = [*attribute_words(self.attributes), *propagation_words(self.propagation), *self.data]
        if self.copy_up:
            words.append("tmpcopyup")
        return f"mount {self.fstype} on {self.target}{_bracketed(words)}"


class BindMount:
    """A part of the host's tree. `add`/`clear` are for the mount, `tree_*` for it and all below it."""

    __slots__ = (
        "add", "clear", "idmap", "propagation", "propagation_recursive", "recursive", "source", "target",
        "tree_add", "tree_clear",
    )  # fmt: skip

    def __init__(
        self,
        source: str,
        target: str,
        *,
        recursive: bool = False,
        add: int = 0,
        clear: int = 0,
        tree_add: int = 0,
        tree_clear: int = 0,
        propagation: int = 0,
        propagation_recursive: bool = False,
        idmap: Idmap | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.recursive = recursive
        self.add = add
        self.clear = clear
        self.tree_add = tree_add
        self.tree_clear = tree_clear
        self.propagation = propagation
        self.propagation_recursive = propagation_recursive
        self.idmap = idmap

    def describe(self) -> str:
        """As in "bind /a -> /b [ro rprivate]"."""
        words = [
            *attribute_words(self.add),
            *(f"r{word}" for word in attribute_words(self.tree_add)),
            *propagation_words(self.propagation, self.propagation_recursive),
        ]
        if self.idmap:
            words.append("ridmap" if self.idmap.recursive else "idmap")
        return f"{'r' if self.recursive else ''}bind {self.source} -> {self.target}{_bracketed(words)}"


class MakeDevice:
    """A device node or fifo; `kind` as in config.json ("c", "u", "b" or "p")."""

    __slots__ = ("gid", "kind", "mode", "number", "path", "uid")

    def __init__(self, path: str, kind: str, number: int, mode: int, uid: int, gid: int) -> None:
        self.path = path
        self.kind = kind
        self.number = number
        self.mode = mode
        self.uid = uid
        self.gid = gid

    def describe(self) -> str:
        """As in "make device /dev/null (c 1:3, 0666)"."""
        numbers = f"{self.number >> 8 & 0xFFF}:{self.number & 0xFF | self.number >> 12 & 0xFFF00}"
        return f"make device {self.path} ({self.kind} {numbers}, {self.mode:04o})"


class MakeLink:
    """A symbolic link. What stands there already stays, unless the link shall `replace` it.

    With `only_to_something` it is made only if its (absolute) target exists.
    """

    __slots__ = ("only_to_something", "path", "replace", "target")

    def __init__(
        self, path: str, target: str, *, replace: bool = False, only_to_something: bool = False
    ) -> None:
        self.path = path
        self.target = target
        self.replace = replace
        self.only_to_something = only_to_something

    def describe(self) -> str:
        """As in "link /dev/fd -> /proc/self/fd"."""
        return f"link {self.path} -> {self.target}"


class MakeDirectory:
    """A directory that is made if it is missing (the program's working directory)."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self) -> str:
        """As in "make directory /srv"."""
        return f"make directory {self.path}"


class BindConsole:
    """The program's terminal on /dev/console."""

    __slots__ = ()

    def describe(self) -> str:
        """Its only form."""
        return "bind the terminal -> /dev/console"


class SealMount:
    """Make the mount at `path` read-only after other steps have worked below it."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self) -> str:
        """As in "make /sys/fs/cgroup read-only"."""
        return f"make {self.path} read-only"


class MaskPath:
    """Make `path` unreadable if it exists."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self) -> str:
        """As in "mask /proc/kcore"."""
        return f"mask {self.path}"


class ReadonlyPath:
    """Make `path` and all below it read-only if it exists."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self) -> str:
        """As in "make /proc/sys read-only"."""
        return f"make {self.path} read-only"


if TYPE_CHECKING:
    Step = (
        MountFilesystem
        | BindMount
        | MakeDevice
        | MakeLink
        | MakeDirectory
        | BindConsole
        | SealMount
        | MaskPath
        | ReadonlyPath
    )


def attribute_words(attributes: int) -> list[str]:
    """MOUNT_ATTR_* bits as mount(8) options."""
    words = [word for word, (add, _) in ATTRIBUTES.items() if add & ~abi.MOUNT_ATTR__ATIME & attributes]
    return words + [word for word in ("noatime", "strictatime") if ATTRIBUTES[word][0] & attributes]


def propagation_words(propagation: int, recursive: bool = False) -> list[str]:
    """MS_SHARED and so on as a mount(8) option; none for 0."""
    return [word for word, value in PROPAGATION.items() if value == (propagation, recursive)]


def id_map(mappings: Sequence[IDMapping]) -> str:
    """The text of uid_map or gid_map (user_namespaces(7))."""
    return "".join(f"{each['containerID']} {each['hostID']} {each['size']}\n" for each in mappings)


def _bracketed(words: list[str]) -> str:
    return f" [{' '.join(words)}]" if words else ""
