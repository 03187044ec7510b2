"""Settings from flags and daemon.json, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nakagin.errors import Invalid, Unsupported
from nakagin.settings import Settings, check, read_config_file, settle


def test_defaults() -> None:
    settings = settle({}, {})
    assert settings == Settings()
    assert settings.address == ("unix:///run/nakagin/nakagin.sock",)
    assert (settings.pid_file, settings.cgroup) == ("/run/nakagin/nakagin.pid", "/nakagin")


def test_instances_share_nothing() -> None:
    assert settle({"instance": "two"}, {}).cgroup == "/nakagin-two"


def test_daemon_json_is_dockers() -> None:
    settings = settle(
        {"debug": True},
        {
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}, "default-shm-size": "1g",
            "log-opts": {"max-size": "1m"}, "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["-x"]}},
            "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "max-concurrent-downloads": 9,
        },
    )  # fmt: skip
    assert settings.debug
    assert settings.shm_size == 1 << 30
    assert [(each.name, each.soft, each.hard) for each in settings.ulimits] == [("nofile", 1, 2)]
    assert settings.runtimes["crun"].runtime_args == ("-x",)


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"colour": "red"}, Invalid, "colour"),
        ({"mtu": "big"}, Invalid, "mtu"),
        ({"log-level": "loud"}, Invalid, "invalid logging level"),
        ({"log-driver": "gelf"}, Invalid, "no log driver named 'gelf'"),
        ({"storage-driver": "btrfs"}, Unsupported, "btrfs"),
        ({"userns-remap": "default"}, Unsupported, "userns-remap"),
        ({"selinux-enabled": True}, Unsupported, "SELinux"),
        ({"exec-opts": ["native.umask=normal"]}, Unsupported, "cgroupdriver=systemd"),
        ({"bridge": "br0", "bip": "10.0.0.1/24"}, Invalid, "mutually exclusive"),
        ({"mtu": 10}, Invalid, "MTU"),
        ({"default-ipc-mode": "host"}, Invalid, "IPC mode"),
        ({"default-shm-size": "0"}, Invalid, "positive"),
        ({"tlsverify": True}, Invalid, "tlscacert"),
    ],
)
def test_refused(keys: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        settle({}, keys)


def test_what_stands_in_both_places_is_refused() -> None:
    with pytest.raises(Invalid, match="specified both as a flag and in the configuration file: debug, mtu"):
        settle({"mtu": 1400, "debug": True, "ip": "::1"}, {"mtu": 1500, "debug": False})


def test_config_file(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    assert read_config_file(str(path), required=False) == {}
    with pytest.raises(Invalid, match="no such file"):
        read_config_file(str(path), required=True)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(Invalid, match="unable to configure the engine with file"):
            read_config_file(str(path), required=True)
    path.write_text('{"mtu": 9000}')
    assert read_config_file(str(path), required=True) == {"mtu": 9000}


def test_systemd_as_cgroup_driver() -> None:
    systemd = Settings(exec_opts=("native.cgroupdriver=systemd",), instance="x")
    check(systemd)
    assert (systemd.cgroup, systemd.cgroup_prefix) == ("system.slice", "nakagin-x")
    assert Settings(instance="x").cgroup_prefix == ""
    with pytest.raises(Invalid, match="should be a valid slice"):
        check(Settings(exec_opts=systemd.exec_opts, cgroup_parent="/mine"))


@pytest.mark.parametrize(
    ("name", "runtime", "words"),
    [
        ("kata", {"runtimeType": "io.containerd.kata.v2"}, "is a containerd shim"),
        ("none", {}, "no path"),
        ("two", {"path": "/x", "runtimeType": "io.containerd.runc.v2"}, "cannot both be set"),
        ("nakagin", {"path": "/x"}, "invalid runtime name"),
        ("../up", {"path": "/x"}, "invalid runtime name"),
    ],
)
def test_runtimes_that_cannot_be(name: str, runtime: dict[str, object], words: str) -> None:
    with pytest.raises((Invalid, Unsupported), match=words):
        settle({}, {"runtimes": {name: runtime}})


def test_a_runtime_as_containerd_describes_it() -> None:
    described = {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "/usr/bin/crun"}}
    assert settle({}, {"runtimes": {"crun": described}}).runtimes["crun"].program == "/usr/bin/crun"


def test_what_the_build_cache_may_keep() -> None:
    """DAEMON.builder"""
    disk = 1000 * 10**9
    (limits,) = settle({}, {}).builder.gc.limits(disk)
    assert (limits.reserved, limits.most, limits.free) == (10 * 10**9, 100 * 10**9, disk // 5)
    gc: dict[str, object] = {"defaultKeepStorage": "20GB", "defaultMaxUsedSpace": "50%"}
    (limits,) = settle({}, {"builder": {"gc": gc}}).builder.gc.limits(disk)
    assert (limits.reserved, limits.most) == (20 << 30, disk // 2)
    rules = [{"filter": ["unused-for=48h", "type==exec.cachemount"], "keepStorage": "1GB"}, {"all": True}]
    first, second = settle({}, {"builder": {"gc": {"enabled": True, "policy": rules}}}).builder.gc.limits(
        disk
    )
    assert first.matching == {"type": "exec.cachemount"}
    assert (first.reserved, first.all, second.all) == (1 << 30, False, True)
    assert settle({}, {"builder": {"gc": {"enabled": False}}}).builder.gc.limits(disk) == ()
    for wrong in ({"defaultKeepStorage": "much"}, {"policy": [{"filter": ["x"]}]}, {"nonsense": 1}):
        with pytest.raises(Invalid):
            settle({}, {"builder": {"gc": wrong}})
