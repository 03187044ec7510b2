"""Namespaces, identity and surroundings as the first process finds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.runtime.box import Box

pytestmark = pytest.mark.root

KINDS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup"}


def test_all_eight_namespaces_are_its_own(box: Box) -> None:
    box.make_user_namespace(0)
    box.linux["namespaces"].append({"type": "time"})
    files = [*KINDS.values(), "user", "time"]
    inside = box.sh("".join(f"readlink /proc/self/ns/{file};" for file in files)).splitlines()
    outside = [os.readlink(f"/proc/self/ns/{file}") for file in files]
    assert not set(inside) & set(outside)


def test_namespaces_left_out_are_the_hosts(box: Box) -> None:
    box.linux["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
    del box.config["hostname"]
    inside = box.sh("readlink /proc/self/ns/net; readlink /proc/self/ns/uts")
    assert inside.splitlines() == [os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/uts")]


def test_names_and_numbers(box: Box) -> None:
    box.config["domainname"] = "example.test"
    assert box.sh("hostname; cat /proc/sys/kernel/domainname; echo $$").splitlines() == [
        "box",
        "example.test",
        "1",
    ]


def test_loopback_is_up(box: Box) -> None:
    assert "UP" in box.sh("ip link show lo")
    assert "127.0.0.1" in box.sh("ip addr show lo")


def test_nothing_of_the_host_is_mounted(box: Box) -> None:
    points = [line.split()[4] for line in box.sh("cat /proc/self/mountinfo").splitlines()]
    assert points[0] == "/"
    allowed = ("/proc", "/dev", "/sys")
    assert all(point.startswith(allowed) for point in points[1:])


def test_the_host_sees_no_mount(box: Box) -> None:
    box.begin("sleep", "60")
    mark = f"{box.rootfs.parent.name}/{box.rootfs.name}"
    seen_inside = Path(f"/proc/{box.state()['pid']}/mountinfo").read_text()
    assert mark in seen_inside, "the mark tells this container's mounts"
    assert mark not in Path("/proc/self/mountinfo").read_text()


def test_user_namespace_maps_ids(box: Box) -> None:
    box.make_user_namespace()
    out = box.sh("id -u; id -g; cat /proc/self/uid_map; cat /proc/self/setgroups")
    assert out.split() == ["0", "0", "0", "100000", "65536", "allow"]


def test_user_namespace_process_is_the_mapped_user_outside(box: Box) -> None:
    box.make_user_namespace()
    box.begin("sleep", "60")
    assert os.stat(f"/proc/{box.state()['pid']}").st_uid == 100_000


def test_joins_namespaces_by_path(box: Box) -> None:
    box.begin("sleep", "60")
    pid = box.state()["pid"]
    (box.folder / "other").mkdir()
    other = Box(box.folder / "other", box.rootfs)
    try:
        joined = [
            {"type": kind, "path": f"/proc/{pid}/ns/{file}"}
            for kind, file in KINDS.items()
            if kind != "mount"
        ]
        other.linux["namespaces"] = [*joined, {"type": "mount"}]
        del other.config["hostname"]
        inside = other.sh("".join(f"readlink /proc/self/ns/{KINDS[each['type']]};" for each in joined) + "ps")
        wanted = [os.readlink(f"/proc/{pid}/ns/{KINDS[each['type']]}") for each in joined]
        assert inside.splitlines()[: len(wanted)] == wanted
        assert "sleep 60" in inside
    finally:
        other.close()


def test_joins_a_user_namespace_by_path(box: Box) -> None:
    box.make_user_namespace()
    box.begin("sleep", "60")
    pid = box.state()["pid"]
    (box.folder / "other").mkdir()
    other = Box(box.folder / "other", box.rootfs)
    try:
        other.linux["namespaces"].append({"type": "user", "path": f"/proc/{pid}/ns/user"})
        out = other.sh(
            "readlink /proc/self/ns/user; id -u; readlink /proc/self/ns/pid; echo $$; mount | grep -c ^proc"
        )
        user, uid, pid_namespace, number, _ = out.splitlines()
        assert user == os.readlink(f"/proc/{pid}/ns/user")
        assert (uid, number) == ("0", "1")
        assert pid_namespace != os.readlink(f"/proc/{pid}/ns/pid")
    finally:
        other.close()


def test_time_namespace_shifts_the_clocks(box: Box) -> None:
    box.linux["namespaces"].append({"type": "time"})
    box.linux["timeOffsets"] = {"boottime": {"secs": 86_400_000, "nanosecs": 0}}
    uptime = float(box.sh("cut -d' ' -f1 /proc/uptime"))
    assert uptime > 86_400_000
    assert os.readlink("/proc/self/ns/time_for_children") == os.readlink("/proc/self/ns/time")


def test_sysctls_of_its_namespaces(box: Box) -> None:
    box.linux["sysctl"] = {
        "net.ipv4.ip_forward": "1",
        "kernel.shmmni": "1234",
        "net/ipv4/conf/lo/forwarding": "1",
    }
    here = Path("/proc/sys/kernel/shmmni").read_text()
    out = box.sh(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/net/ipv4/conf/lo/forwarding"
    )
    assert out.split() == ["1", "1234", "1"]
    assert Path("/proc/sys/kernel/shmmni").read_text() == here


def test_cgroup_namespace_begins_at_its_own_group(box: Box) -> None:
    lines = box.sh("cat /proc/self/cgroup").splitlines()
    assert all(line.endswith(":/") for line in lines if "name=" not in line)


def test_without_a_mount_namespace_it_is_a_chroot(own_box: Box) -> None:
    box = own_box
    box.linux["namespaces"] = [{"type": "pid"}]
    del box.config["hostname"]
    assert box.sh("ls /").split() == sorted(["bin", "proc", "sys", "dev", "etc", "tmp", "root", "srv"])


def test_readonly_root(box: Box) -> None:
    box.config["root"]["readonly"] = True
    assert "Read-only file system" in box.run("touch", "/file").err
    assert box.sh("touch /dev/file && echo yes") == "yes"


def test_no_pivot(box: Box) -> None:
    answer = box.run("ls", "/", options=("--no-pivot",))
    assert answer.code == 0
    assert "etc" in answer.lines


@pytest.mark.parametrize("propagation", ["private", "slave", "shared", "unbindable", "rprivate", "rshared"])
def test_root_propagation(box: Box, propagation: str) -> None:
    box.linux["rootfsPropagation"] = propagation
    fields = box.sh("head -n1 /proc/self/mountinfo").split()
    optional = " ".join(fields[6 : fields.index("-")])
    wanted = {"shared": "shared:", "unbindable": "unbindable"}.get(propagation.removeprefix("r"), "")
    assert wanted in optional
    if propagation.endswith("private"):
        assert not optional


def test_own_session_keyring(box: Box) -> None:
    box.linux["maskedPaths"] = []
    assert f"_ses.{box.id}" in box.sh("cat /proc/keys")
