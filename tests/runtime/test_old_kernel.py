"""A kernel of 5.10: without mount_setattr(2) and the close-on-exec half of close_range(2), as a seccomp filter has it.

The same container is run with and without them; what its mount table says must be the same.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nakagin.kernel import abi
from nakagin.kernel.mount import remount_flags
from tests.runtime.box import Answer, Box

AGED = """
import os, sys
from nakagin.kernel import seccomp
seccomp.install(seccomp.compile({
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["mount_setattr"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["close_range"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
         "args": [{"index": 2, "value": 4, "op": "SCMP_CMP_EQ"}]},
    ],
}))
os.execv(sys.argv[1], sys.argv[1:])
"""


class AgedBox(Box):
    """Its runtime finds itself on an old kernel."""

    def call(self, *words: str, stdin: str = "", before: str = "") -> Answer:
        command = str(Path(__file__).parents[2] / "bin/nakagin-runtime")
        argv = [sys.executable, "-c", AGED, command, "--root", str(self.root), *words]
        return Answer(
            subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        )


@pytest.fixture
def boxes(tmp_path: Path, rootfs: Path) -> Iterator[tuple[Box, Box]]:
    """One on this kernel, one on the old one."""
    made = []
    for kind, name in ((Box, "new"), (AgedBox, "old")):
        folder = tmp_path / name
        folder.mkdir()
        made.append(kind(folder, rootfs))
    yield made[0], made[1]
    for each in made:
        each.close()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A folder with another filesystem mounted in it, and one below that."""
    source = tmp_path / "a tree"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "below", source / "below"], check=True)
    (source / "below/deep").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid", "deep", source / "below/deep"], check=True)
    yield source
    subprocess.run(["umount", "-R", source / "below"], check=True)


def mounts(box: Box, *prefixes: str) -> list[tuple[str, str, str]]:
    """(mount point, options, shared or not) as the container's own mount table says."""
    found = []
    for line in box.sh("cat /proc/self/mountinfo").splitlines():
        fields = line.split()
        if not prefixes or fields[4].startswith(prefixes):
            tags = " ".join(each.partition(":")[0] for each in fields[6 : fields.index("-")])
            found.append((fields[4], fields[5], tags))
    return found


Change = Callable[[Box, Path], None]


def bound(*options: str) -> Change:
    return lambda box, tree: box.add_mount("/srv", tree, *options)


def in_user_namespace(box: Box, tree: Path) -> None:
    box.make_user_namespace()
    box.add_mount("/srv", tree, "rbind", "rro")


CHANGES: dict[str, Change] = {
    "nothing": lambda box, tree: None,
    "read-only root": lambda box, tree: box.config["root"].update(readonly=True),
    "ro": bound("bind", "ro"),
    "rbind ro": bound("rbind", "ro", "nosuid", "nodev"),
    "rro": bound("rbind", "rro"),
    "rnoexec, own exec": bound("rbind", "rnoexec", "exec"),
    "noatime": bound("bind", "noatime"),
    "strictatime": bound("bind", "strictatime"),
    "rrelatime": bound("rbind", "rrelatime"),
    "rshared": bound("rbind", "rshared"),
    "rslave ro": bound("rbind", "rslave", "ro"),
    "tmpfs": lambda box, tree: box.add_mount("/srv", "tmpfs", "ro", "noexec", "shared", type="tmpfs"),
    "copied": lambda box, tree: box.add_mount("/etc", "tmpfs", "tmpcopyup", "ro", type="tmpfs"),
    "user namespace": in_user_namespace,
}


@pytest.mark.root
@pytest.mark.parametrize("change", CHANGES)
def test_the_mount_table_is_the_same(boxes: tuple[Box, Box], tree: Path, change: str) -> None:
    new, old = boxes
    for box in boxes:
        CHANGES[change](box, tree)
    expected = mounts(new)
    assert len(expected) > 10
    assert mounts(old) == expected


@pytest.mark.root
def test_idmapped_mounts_are_refused_with_the_reason(boxes: tuple[Box, Box], tree: Path) -> None:
    _, old = boxes
    mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
    old.add_mount("/srv", tree, "bind", "idmap")
    old.config["mounts"][-1] |= {"uidMappings": mapping, "gidMappings": mapping}
    answer = old.run("true")
    assert answer.code == 1
    assert "idmapped mounts need Linux 5.12" in answer.err


@pytest.mark.root
def test_no_descriptor_comes_along(boxes: tuple[Box, Box]) -> None:
    _, old = boxes
    assert old.sh("ls /proc/self/fd | wc -l") == "4"  # the standard ones and that of ls


def test_remount_flags() -> None:
    assert remount_flags(abi.MS_NOSUID, abi.MOUNT_ATTR_RDONLY, 0) == abi.MS_NOSUID | abi.MS_RDONLY
    assert remount_flags(abi.MS_RDONLY | abi.MS_NODEV, 0, abi.MOUNT_ATTR_RDONLY) == abi.MS_NODEV
    changed = remount_flags(abi.MS_RELATIME, abi.MOUNT_ATTR_NOATIME, abi.MOUNT_ATTR__ATIME)
    assert changed == abi.MS_NOATIME
    assert remount_flags(abi.MS_NOATIME, 0, abi.MOUNT_ATTR__ATIME) == abi.MS_RELATIME
    assert remount_flags(os.ST_SYNCHRONOUS, 0, 0) == 0  # the filesystem's own, not the mount's
    assert errno.ENOSYS == 38  # as in AGED
