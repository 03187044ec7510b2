"""Bounds by project quotas, on a file system in a file that keeps them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.events import EventBus
from nakagin.kernel import loopdevice, mount
from nakagin.kernel.abi import MNT_DETACH
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots
from nakagin.volumes.volumes import Volumes

pytestmark = pytest.mark.root

_MEGABYTE = bytes(1 << 20)


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Path]:
    """A folder whose file system counts what projects take."""
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(48 << 20)
    options = ["-q", "-F", "-t", "ext4", "-O", "quota,project", "-E", "quotatype=prjquota"]
    subprocess.run(["/usr/sbin/mke2fs", *options, image], check=True)
    device, name = loopdevice.attach(str(image))
    try:
        mount.mount(name, str(place), "ext4", 0, "prjquota")
    except OSError as error:
        pytest.skip(f"this kernel has no project quotas ({error.strerror}); the virtual machine's has")
    finally:
        os.close(device)
    try:
        yield place
    finally:
        mount.umount(str(place), MNT_DETACH)


@pytest.fixture
def own(counted: Path) -> Iterator[Records]:
    found = Records(str(counted / "nakagin.db"))
    yield found
    found.close()


def filled(place: Path) -> int:
    """How many megabytes go there before it is full; what was written is taken away again.

    As somebody without CAP_SYS_RESOURCE, whom quotas do not hold: containers get it by --privileged or --cap-add.
    """
    file = place / "large"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    child = os.fork()
    if not child:
        try:
            os.setuid(1)
            os._exit(_fill(fd))
        finally:
            os._exit(255)
    os.close(fd)
    count = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file.unlink()
    return count


def _fill(fd: int) -> int:
    count = 0
    try:
        while count < 30:
            os.write(fd, _MEGABYTE)
            count += 1
    except OSError:  # no space left, or quota exceeded
        return count
    return count


def test_a_volume_cannot_outgrow_its_size(counted: Path, own: Records) -> None:
    volumes = Volumes(own, str(counted), EventBus())
    volumes.start()
    made = {
        name: volumes.create(name, options={"size": size}) for name, size in (("v1", "8m"), ("v2", "12m"))
    }
    assert made["v1"]["Status"] == {"Limit": 8 << 20, "LimitedBy": "quota"}
    places = {name: Path(each["Mountpoint"]) for name, each in made.items()}
    assert not os.path.ismount(places["v1"])
    (places["v1"] / "deep/er").mkdir(parents=True)
    assert 6 <= filled(places["v1"] / "deep/er") <= 8
    assert 10 <= filled(places["v2"]) <= 12, "each has its own"
    # What goes takes its limit along: the next one with that number has its own size.
    volumes.remove("v1")
    again = volumes.create("v3", options={"size": "16m"})
    assert 14 <= filled(Path(again["Mountpoint"])) <= 16
    assert filled(counted) == 30, "everything else is not bounded"


def test_a_layer_cannot_outgrow_its_size(counted: Path, own: Records) -> None:
    snapshots = Snapshots(str(counted), own, Layers(str(counted), own))
    for key, size in (("one", 8), ("two", 12)):
        snapshots.reserve(key, size << 20)
        snapshots.prepare(key, None)
    assert 6 <= filled(Path(snapshots.upper("one"))) <= 8
    assert 10 <= filled(Path(snapshots.upper("two"))) <= 12
    # overlayfs moves between work and upper.
    work, upper = (counted / "snapshots/one" / name for name in ("work", "upper"))
    (work / "f").write_text("x")
    os.rename(work / "f", upper / "f")
    snapshots.remove("one")
    snapshots.empty_trash()
    snapshots.reserve("three", 16 << 20)
    snapshots.prepare("three", None)
    assert 14 <= filled(Path(snapshots.upper("three"))) <= 16
    snapshots.prepare("free", None)
    assert filled(Path(snapshots.upper("free"))) == 30
