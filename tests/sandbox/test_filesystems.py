"""Which file systems a sandbox copies, by mount tables of several kinds of machine."""

from __future__ import annotations

import os

import pytest

from nakagin.errors import Invalid
from nakagin.sandbox.filesystems import TABLE, copied, mount_at

# A Debian with disks for /home and /var, engines' own mounts, and a stick.
DEBIAN = r"""
22 28 0:20 / /sys rw shared:7 - sysfs sysfs rw
23 28 0:21 / /proc rw shared:14 - proc proc rw
24 28 0:5 / /dev rw shared:2 - devtmpfs udev rw,size=1k
25 24 0:22 / /dev/pts rw shared:3 - devpts devpts rw
26 28 0:23 / /run rw shared:5 - tmpfs tmpfs rw
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 24 0:24 / /dev/shm rw shared:4 - tmpfs tmpfs rw
40 28 8:2 / /home rw shared:10 - xfs /dev/sda2 rw,attr2
41 28 8:3 / /var rw shared:11 - ext4 /dev/sda3 rw
42 41 8:3 /lib/x /var/lib/nakagin/x rw - ext4 /dev/sda3 rw
43 28 8:1 /etc/hosts /opt/hosts rw - ext4 /dev/sda1 rw
44 28 8:17 / /mnt/a\040stick rw shared:20 - vfat /dev/sdb1 rw
45 26 0:40 / /run/user/1000 rw - tmpfs tmpfs rw
46 28 8:4 / /boot:old rw - ext4 /dev/sda4 rw
48 28 7:1 / /srv/image rw - ext4 /dev/loop1 rw
47 41 0:50 / /var/lib/docker/overlay2/x rw - overlay overlay rw
""".strip().splitlines()

FEDORA = """
60 1 0:33 /root / rw shared:1 - btrfs /dev/vda3 rw,seclabel,subvolid=256,subvol=/root
61 60 0:33 /home /home rw shared:2 - btrfs /dev/vda3 rw,seclabel,subvolid=257,subvol=/home
62 60 0:33 /root/srv/a /srv/b rw - btrfs /dev/vda3 rw,seclabel,subvolid=256,subvol=/root
""".strip().splitlines()


def found(table: list[str], folder: str, number: int, mode: str = "overlay", *out: str) -> list[str]:
    """`folder` lies on mount `number`; everything else where the table says."""
    places = {line.split(" ")[4]: int(line.split(" ")[0]) for line in table}
    places[folder] = number
    return copied(table, lambda path: places.get(path, -1), folder, mode, out)


def test_whole_disks_and_no_binds() -> None:
    assert found(DEBIAN, "/srv", 28) == ["/home", "/var"]
    assert found(DEBIAN, "/home/me", 40) == ["/home", "/var"]
    assert found(DEBIAN, "/srv", 28, "overlay", "/var") == ["/home"]


def test_what_the_folder_lies_on() -> None:
    assert found(DEBIAN, "/srv/image/x", 48) == ["/home", "/srv/image", "/var"]
    assert found(DEBIAN, "/mnt/a stick/photos", 44) == ["/home", "/mnt/a stick", "/var"]
    assert found(DEBIAN, "/run/user/1000/x", 45, "overlay", "/run") == ["/home", "/run/user/1000", "/var"]
    assert found(DEBIAN, "/dev/shm/x", 30) == ["/dev/shm", "/home", "/var"]


def test_a_folder_that_is_mounted_is_not_written_over() -> None:
    assert found(DEBIAN, "/mnt/a stick", 44, "write") == ["/home", "/var"]
    assert found(DEBIAN, "/home", 40, "read-only") == ["/var"]


def test_subvolumes() -> None:
    for mode in ("overlay", "write", "read-only"):
        assert found(FEDORA, "/srv", 60, mode) == ["/home"]


def test_what_is_hidden_by_a_later_mount() -> None:
    table = [*DEBIAN, "70 28 0:60 / /home rw - tmpfs tmpfs rw"]
    assert found(table, "/srv", 28) == ["/var"]


def test_what_cannot_be_copied() -> None:
    with pytest.raises(Invalid, match=r"kernel's own \(sysfs\)"):
        found(DEBIAN, "/sys/class", 22)
    with pytest.raises(Invalid, match="has a colon"):
        found(DEBIAN, "/boot:old/x", 46)


def test_the_table_of_this_machine() -> None:
    with open(TABLE) as table:
        numbers = {line.split(" ")[0]: line.split(" ")[4] for line in table}
    assert numbers[str(mount_at("/proc/self"))] == "/proc"
    assert mount_at(f"/nowhere-{os.getpid()}") == -1
