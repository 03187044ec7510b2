"""Mount options as config.json has them -> what the kernel's mount calls take. Pure.

The words are those of mount(8) and of the OCI specification's table of mount options; an unknown
word is the filesystem's own and is passed on.
"""

from __future__ import annotations

from nakagin.kernel import abi

_ATIME = abi.MOUNT_ATTR__ATIME

# option -> (attributes to set, attributes to clear); with a leading "r" they hold for the whole tree.
ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (abi.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, abi.MOUNT_ATTR_RDONLY),
    "nosuid": (abi.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, abi.MOUNT_ATTR_NOSUID),
    "nodev": (abi.MOUNT_ATTR_NODEV, 0),
    "dev": (0, abi.MOUNT_ATTR_NODEV),
    "noexec": (abi.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, abi.MOUNT_ATTR_NOEXEC),
    "nodiratime": (abi.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, abi.MOUNT_ATTR_NODIRATIME),
    "relatime": (abi.MOUNT_ATTR_RELATIME, _ATIME),
    "norelatime": (0, _ATIME),
    "noatime": (abi.MOUNT_ATTR_NOATIME, _ATIME),
    "atime": (0, _ATIME),
    "strictatime": (abi.MOUNT_ATTR_STRICTATIME, _ATIME),
    "nostrictatime": (0, _ATIME),
    "nosymfollow": (abi.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, abi.MOUNT_ATTR_NOSYMFOLLOW),
}

# Words for the superblock; the new mount calls take the first as a flag of the same name.
SUPERBLOCK = {
    "sync": "sync", "async": "async", "dirsync": "dirsync", "mand": "mand", "nomand": "nomand",
    "lazytime": "lazytime", "nolazytime": "nolazytime", "iversion": "iversion", "silent": "",
    "loud": "", "acl": "acl", "noacl": "noacl", "noiversion": "", "defaults": "", "remount": "",
}  # fmt: skip

PROPAGATION: dict[str, tuple[int, bool]] = {
    "private": (abi.MS_PRIVATE, False),
    "rprivate": (abi.MS_PRIVATE, True),
    "shared": (abi.MS_SHARED, False),
    "rshared": (abi.MS_SHARED, True),
    "slave": (abi.MS_SLAVE, False),
    "rslave": (abi.MS_SLAVE, True),
    "unbindable": (abi.MS_UNBINDABLE, False),
    "runbindable": (abi.MS_UNBINDABLE, True),
}


class MountOptions:
    """The parsed options of one mount.

    `add`/`clear` are MOUNT_ATTR_* bits for the mount, `tree_add`/`tree_clear` for it and all below it;
    `propagation` is MS_SHARED and so on or 0; `data` are the filesystem's own options.
    """

    __slots__ = (
        "add", "bind", "clear", "copy_up", "data", "idmap", "idmap_recursive", "propagation",
        "propagation_recursive", "recursive", "tree_add", "tree_clear",
    )  # fmt: skip

    def __init__(self) -> None:
        self.bind = False
        self.recursive = False
        self.add = 0
        self.clear = 0
        self.tree_add = 0
        self.tree_clear = 0
        self.propagation = 0
        self.propagation_recursive = False
        self.copy_up = False
        self.idmap = False
        self.idmap_recursive = False
        self.data: list[str] = []


def parse_options(words: list[str]) -> MountOptions:
    """Parse the options in order; a later one overrides an earlier one."""
    parsed = MountOptions()
    for word in words:
        if word in ATTRIBUTES:
            add, clear = ATTRIBUTES[word]
            parsed.add = parsed.add & ~clear | add
            parsed.clear = parsed.clear & ~add | clear
        elif word[:1] == "r" and word[1:] in ATTRIBUTES:
            add, clear = ATTRIBUTES[word[1:]]
            parsed.tree_add = parsed.tree_add & ~clear | add
            parsed.tree_clear = parsed.tree_clear & ~add | clear
        elif word in PROPAGATION:
            parsed.propagation, parsed.propagation_recursive = PROPAGATION[word]
        elif word in SUPERBLOCK:
            if SUPERBLOCK[word]:
                parsed.data.append(SUPERBLOCK[word])
        else:
            _parse_own(parsed, word)
    return parsed


def _parse_own(parsed: MountOptions, word: str) -> None:
    """The words that are neither attributes nor propagation."""
    if word in {"bind", "rbind"}:
        parsed.bind = True
        parsed.recursive = word == "rbind"
    elif word == "tmpcopyup":
        parsed.copy_up = True
    elif word in {"idmap", "ridmap"}:
        parsed.idmap = True
        parsed.idmap_recursive = word == "ridmap"
    elif word:
        parsed.data.append(word)


def known_options() -> list[str]:
    """Every option that this runtime interprets, sorted: for the features document."""
    own = ["bind", "rbind", "tmpcopyup", "idmap", "ridmap"]
    tree = [f"r{word}" for word in ATTRIBUTES]
    return sorted({*ATTRIBUTES, *tree, *PROPAGATION, *SUPERBLOCK, *own})
