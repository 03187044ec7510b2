"""Mounts, devices, links and masks as the program finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.box import Box

pytestmark = pytest.mark.root


def options(box: Box, point: str) -> str:
    """The mount's options inside."""
    lines = [line.split() for line in box.sh("cat /proc/self/mountinfo").splitlines()]
    return next(fields[5] for fields in lines if fields[4] == point)


def test_binds_a_folder_and_a_file(box: Box, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("content\n")
    box.add_mount("/srv", tmp_path / "data", "rbind")
    box.add_mount("/tmp/deep/down/file", tmp_path / "data" / "file", "bind", "ro")
    box.add_mount("/tmp", "tmpfs", type="tmpfs")
    box.config["mounts"].insert(-2, box.config["mounts"].pop())
    assert box.sh("cat /srv/file /tmp/deep/down/file").split() == ["content", "content"]
    assert "ro" in options(box, "/tmp/deep/down/file").split(",")


def test_a_missing_source_is_told_in_the_steps_words(box: Box) -> None:
    box.add_mount("/srv", "/no/such/folder", "bind", "ro")
    answer = box.run("true")
    assert answer.code == 1
    assert "bind /no/such/folder -> /srv [ro]: No such file or directory" in answer.err


def test_an_unknown_filesystem_option_is_told_in_the_filesystems_words(box: Box) -> None:
    box.add_mount("/tmp", "tmpfs", "sise=1m", type="tmpfs")
    assert "Unknown parameter 'sise'" in box.run("true").err


def test_attributes_of_a_bind(box: Box, tmp_path: Path) -> None:
    box.add_mount("/srv", tmp_path, "bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime")
    assert options(box, "/srv") == "ro,nosuid,nodev,noexec,noatime,nodiratime"


def test_recursive_attributes_reach_submounts(box: Box) -> None:
    box.add_mount("/srv", "/dev", "rbind", "rro", "rnoexec")
    lines = [line.split() for line in box.sh("cat /proc/self/mountinfo").splitlines()]
    below = [fields[5].split(",") for fields in lines if fields[4].startswith("/srv")]
    assert len(below) > 1
    assert all({"ro", "noexec"} <= set(each) for each in below)


def test_plain_ro_leaves_submounts_alone(box: Box) -> None:
    box.add_mount("/srv", "/dev", "rbind", "ro")
    lines = [line.split() for line in box.sh("cat /proc/self/mountinfo").splitlines()]
    modes = {fields[4]: fields[5].split(",")[0] for fields in lines}
    assert modes["/srv"] == "ro"
    assert modes["/srv/pts"] == "rw"


@pytest.mark.parametrize(
    ("word", "shown"), [("rshared", "shared:"), ("rprivate", ""), ("unbindable", "unbindable")]
)
def test_propagation_of_a_bind(box: Box, tmp_path: Path, word: str, shown: str) -> None:
    box.add_mount("/srv", tmp_path, "bind", word)
    lines = [line.split() for line in box.sh("cat /proc/self/mountinfo").splitlines()]
    fields = next(fields for fields in lines if fields[4] == "/srv")
    optional = " ".join(fields[6 : fields.index("-")])
    assert shown in optional
    assert bool(optional) == bool(shown)


def test_tmpfs_takes_the_mode_of_what_it_covers(own_box: Box) -> None:
    (own_box.rootfs / "srv").chmod(0o711)
    own_box.add_mount("/srv", "tmpfs", type="tmpfs")
    own_box.add_mount("/tmp", "tmpfs", "mode=1777", "size=64k", type="tmpfs")
    own_box.add_mount("/new/place", "tmpfs", type="tmpfs")
    for _ in range(2):  # the next time its place is there
        assert own_box.sh("stat -c %a /srv /tmp /new /new/place").split() == ["711", "1777", "755", "1777"]


def test_tmpcopyup(own_box: Box) -> None:
    folder = own_box.rootfs / "srv"
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("copied\n")
    (folder / "sub" / "file").chmod(0o640)
    (folder / "link").symlink_to("sub/file")
    os.chown(folder / "sub", 1000, 1001)
    own_box.add_mount("/srv", "tmpfs", "tmpcopyup", "ro", type="tmpfs")
    out = own_box.sh(
        "cat /srv/link; stat -c %a:%u:%g /srv/sub /srv/sub/file; touch /srv/new 2>/dev/null || echo sealed"
    )
    assert out.split() == ["copied", "755:1000:1001", "640:0:0", "sealed"]


def test_option_values_longer_than_fsconfig_takes(box: Box, tmp_path: Path) -> None:
    layers = []
    for number in range(8):
        layer = tmp_path / f"layer-with-a-long-name-{number:040d}"
        layer.mkdir()
        (layer / f"from{number}").touch()
        layers.append(str(layer))
    box.add_mount("/srv", "overlay", f"lowerdir={':'.join(layers)}", type="overlay")
    assert len(box.sh("ls /srv").split()) == 8


def test_idmapped_bind_shows_other_owners(box: Box, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").touch()
    os.chown(data, 1000, 1000)
    os.chown(data / "file", 1000, 1000)
    box.add_mount("/srv", data, "bind")
    mapping = [{"containerID": 1000, "hostID": 0, "size": 1}]
    box.config["mounts"][-1] |= {"uidMappings": mapping, "gidMappings": mapping}
    assert box.sh("stat -c %u:%g /srv/file; touch /srv/new") == "0:0"
    assert os.stat(data / "new").st_uid == 1000


def test_idmap_by_the_containers_own_mapping(box: Box) -> None:
    import tempfile

    box.make_user_namespace()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        Path(folder, "file").touch()
        box.add_mount("/srv", folder, "bind", "idmap")
        assert box.sh("stat -c %u:%g /srv/file") == "0:0"
        box.config["mounts"][-1]["options"] = ["bind"]
        assert box.sh("stat -c %u:%g /srv/file") == "65534:65534"


def test_default_devices_and_links(box: Box) -> None:
    out = box.sh(
        "cd /dev; stat -c '%n %a %t:%T' null zero full random urandom tty; "
        "for link in fd stdin stdout stderr ptmx; do readlink $link; done"
    )
    assert out.splitlines() == [
        "null 666 1:3", "zero 666 1:5", "full 666 1:7", "random 666 1:8", "urandom 666 1:9", "tty 666 5:0",
        "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx",
    ]  # fmt: skip


def test_devices_of_the_config(box: Box) -> None:
    box.linux["devices"] = [
        {"path": "/dev/sub/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
    ]
    out = box.sh("stat -c '%F %a %u:%g' /dev/sub/zero /dev/pipe").splitlines()
    assert out == ["character special file 640 5:6", "fifo 600 0:0"]


def test_devices_in_a_user_namespace_are_the_hosts(box: Box) -> None:
    box.make_user_namespace()
    assert box.sh("echo gone >/dev/null; head -c3 /dev/zero | od -An -tx1") == "00 00 00"


def test_masked_and_readonly_paths(box: Box) -> None:
    out = box.sh(
        "cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l; echo 1 2>&1 >/proc/sys/kernel/shmmni || echo sealed; "
        "touch /sys/firmware/x 2>/dev/null || echo sealed"
    )
    assert out.splitlines()[:2] == ["0", "0"]
    assert out.count("sealed") == 2


def test_cgroup_mount_shows_the_containers_own_group_read_only(box: Box) -> None:
    out = box.sh(
        "for each in /sys/fs/cgroup /sys/fs/cgroup/pids; do mkdir $each/x 2>/dev/null && echo made; done; echo sealed"
    )
    assert out == "sealed"
    point = next(Path(each) for each in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") if Path(each).is_dir())
    procs = "/sys/fs/cgroup/pids/cgroup.procs" if point.name == "pids" else "/sys/fs/cgroup/cgroup.procs"
    assert "1" in box.sh(f"cat {procs}").split()


def test_cgroup_mount_in_the_hosts_cgroup_namespace(box: Box) -> None:
    box.linux["namespaces"] = [each for each in box.linux["namespaces"] if each["type"] != "cgroup"]
    out = box.sh("cat /sys/fs/cgroup/pids/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup/cgroup.procs")
    assert "1" in out.split()


def test_destinations_follow_links_inside_the_root_only(own_box: Box, tmp_path: Path) -> None:
    (own_box.rootfs / "link").symlink_to("/srv")
    (tmp_path / "data").mkdir()
    own_box.add_mount("/link/place", tmp_path / "data", "bind")
    assert "/srv/place" in own_box.sh("cat /proc/self/mountinfo")


def test_dev_from_the_host_is_left_alone(box: Box) -> None:
    box.config["mounts"] = [
        each for each in box.config["mounts"] if not each["destination"].startswith("/dev")
    ]
    box.add_mount("/dev", "/dev", "rbind")

    def nodes() -> dict[str, int]:
        # What other tests make and remove meanwhile (loop devices) is not this container's doing.
        return {
            each.name: each.inode()
            for each in os.scandir("/dev")
            if not each.name.startswith(("loop", "dm-"))
        }

    before = nodes()
    assert box.sh("test -c /dev/null && echo there") == "there"
    assert nodes() == before
