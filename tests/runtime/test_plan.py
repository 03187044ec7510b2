"""Config to plan: pure, compared as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nakagin.cgroups.layout import Layout
from nakagin.errors import Invalid
from nakagin.runtime.plan import Plan, plan
from nakagin.runtime.program import Holdings
from tests.runtime.box import make_config

if TYPE_CHECKING:
    from nakagin.spec.runtime import Config

V1 = Layout(
    "v1",
    {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "pids": "/sys/fs/cgroup/pids",
    },
)
V2 = Layout("v2", {}, "/sys/fs/cgroup", frozenset({"memory", "pids"}))
ALL = Holdings((1 << 41) - 1, [2**64 - 1] * 16, True)


def config(**changes: Any) -> Config:
    """A whole config with some keys replaced."""
    made: Any = make_config(Path("rootfs"), "sleep", "1")
    made.update(changes)
    return made  # type: ignore[no-any-return]


def planned(wanted: Config, layout: Layout = V2) -> Plan:
    """The plan on an imagined machine."""
    return plan(wanted, bundle="/b", holdings=ALL, layout=layout, group="/nakagin/x")


def test_the_whole_plan_in_words() -> None:
    lines = planned(config()).describe()
    assert lines[:4] == [
        "make namespaces cgroup ipc uts network pid mount",
        "set hostname box",
        "take /b/rootfs as root",
        "mount proc on /proc",
    ]
    assert "mount tmpfs on /dev [nosuid strictatime mode=755]" in lines
    assert "mount cgroup2 on /sys/fs/cgroup [ro nosuid nodev noexec]" in lines
    assert "make device /dev/null (c 1:3, 0666)" in lines
    assert lines.index("make /proc/sys read-only") < lines.index("mask /proc/kcore")
    assert lines[-2:] == ["become user 0:0 in /", "execute sleep 1"]


def test_cgroup_v1_gets_a_mount_per_hierarchy_and_links() -> None:
    lines = planned(config(), V1).describe()
    at = lines.index("mount tmpfs on /sys/fs/cgroup [nosuid nodev noexec mode=755]")
    assert lines[at + 1 : at + 6] == [
        "mount cgroup on /sys/fs/cgroup/cpu,cpuacct [ro nosuid nodev noexec cpu cpuacct]",
        "link /sys/fs/cgroup/cpu -> cpu,cpuacct",
        "link /sys/fs/cgroup/cpuacct -> cpu,cpuacct",
        "mount cgroup on /sys/fs/cgroup/pids [ro nosuid nodev noexec pids]",
        "make /sys/fs/cgroup read-only",
    ]


def test_without_a_cgroup_namespace_the_containers_group_is_bound() -> None:
    wanted = config()
    wanted["linux"]["namespaces"] = [{"type": "mount"}, {"type": "uts"}]
    assert (
        "bind /sys/fs/cgroup/nakagin/x -> /sys/fs/cgroup [ro nosuid nodev noexec]"
        in planned(wanted).describe()
    )


def test_devices_become_binds_in_a_user_namespace() -> None:
    wanted = config()
    linux = wanted["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made = planned(wanted)
    assert "bind /dev/null -> /dev/null" in made.describe()
    assert made.uid_map == "0 100000 65536\n"


def test_a_bound_dev_is_left_alone() -> None:
    wanted = config(mounts=[{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}])
    assert not [line for line in planned(wanted).describe() if "device" in line or "link" in line]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("kernel.shmmax", "kernel/shmmax"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
    ],
)
def test_sysctl_names(name: str, path: str) -> None:
    wanted = config()
    wanted["linux"]["sysctl"] = {name: "1"}
    assert planned(wanted).sysctls == {path: "1"}


def broken(path: str, value: object) -> Config:
    """A config with one value replaced; the path's parts are keys and indexes."""
    wanted: Any = config()
    *parts, last = path.split(".")
    place = wanted
    for part in parts:
        place = place.setdefault(part, {})
    place[last] = value
    return wanted  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("process", {}, "process: a process to run is missing"),
        ("process.args", [], "process.args: there is no command"),
        ("process.cwd", "tmp", "process.cwd: the working directory 'tmp' is not an absolute path"),
        ("process.env", ["PATH"], "process.env: 'PATH' is not NAME=VALUE"),
        (
            "process.rlimits",
            [{"type": "RLIMIT_X", "soft": 1, "hard": 1}],
            r"process.rlimits\[0\]: 'RLIMIT_X'",
        ),
        ("process.ioPriority", {"class": "X"}, "process.ioPriority.class"),
        ("root", {}, "root.path"),
        ("linux.namespaces", [{"type": "moon"}], r"linux.namespaces\[0\]: 'moon' is not a kind of namespace"),
        ("linux.namespaces", [{"type": "pid"}, {"type": "pid"}], "a second pid namespace"),
        ("linux.namespaces", [{"type": "pid", "path": "x"}], "not absolute"),
        ("linux.namespaces", [{"type": "mount"}, {"type": "user"}], "needs uid and gid mappings"),
        (
            "linux.uidMappings",
            [{"containerID": 0, "hostID": 0, "size": 1}],
            "id mappings need a user namespace",
        ),
        ("linux.timeOffsets", {"boottime": {"secs": 1}}, "time offsets need a new time namespace"),
        ("linux.rootfsPropagation", "sideways", "linux.rootfsPropagation"),
        ("linux.personality", {"domain": "BSD"}, "linux.personality.domain"),
        ("linux.devices", [{"path": "/dev/x", "type": "z"}], "'z' is not a kind of device"),
        ("mounts", [{"type": "tmpfs"}], r"mounts\[0\]: the destination is missing"),
        ("mounts", [{"destination": "/x", "type": "bind"}], "a bind mount needs a source"),
        ("mounts", [{"destination": "/x"}], "the type of the filesystem is missing"),
        ("mounts", [{"destination": "/x", "type": "tmpfs", "options": ["idmap"]}], "only a bind mount"),
        (
            "mounts",
            [{"destination": "/x", "type": "bind", "source": "/", "options": ["bind", "idmap"]}],
            "needs uid and gid",
        ),
        ("hooks", {"prestart": [{"path": "relative"}]}, r"hooks.prestart\[0\]: the path must be absolute"),
        ("hooks", {"whenever": [{"path": "/x"}]}, "whenever is not a moment"),
        ("hooks", {"prestart": [{"path": "/x", "timeout": 0}]}, "the timeout must be positive"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(path: str, value: object, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        planned(broken(path, value))


def test_a_hostname_needs_a_uts_namespace() -> None:
    wanted = config()
    wanted["linux"]["namespaces"] = [{"type": "mount"}]
    with pytest.raises(Invalid, match="would rename the host"):
        planned(wanted)


def test_mount_labels() -> None:
    lines = planned(broken("linux.mountLabel", "label")).describe()
    assert "mount tmpfs on /dev [nosuid strictatime mode=755 context=label]" in lines
    assert "mount proc on /proc" in lines
