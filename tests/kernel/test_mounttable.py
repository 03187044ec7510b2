"""The mount table's octal, and the mount that a file lies on."""

from __future__ import annotations

import os

import pytest

from nakagin.kernel.mounttable import mount_id, unescaped


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/plain", "/plain"),
        ("/a\\040b\\011c\\012d", "/a b\tc\nd"),
        ("/x\\134040", "/x\\040"),
        ("/n\\043", "/n#"),
        ("no\\octal\\9", "no\\octal\\9"),
    ],
)
def test_octal(written: str, meant: str) -> None:
    assert unescaped(written) == meant


def test_the_mount_of_a_descriptor() -> None:
    fd = os.open("/proc/self", os.O_PATH)
    try:
        number = mount_id(fd)
    finally:
        os.close(fd)
    with open("/proc/self/mountinfo") as table:
        points = {int(line.split()[0]): line.split()[4] for line in table}
    assert points[number] == "/proc"
