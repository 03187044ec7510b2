"""Settings from flags and daemon.json, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nakagin.errors import Invalid, Unsupported
from nakagin.settings import Settings, read_config_file, settle


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
        ({"log-driver": "journald"}, Invalid, "no log driver named 'journald'"),
        ({"storage-driver": "btrfs"}, Unsupported, "btrfs"),
        ({"userns-remap": "default"}, Unsupported, "userns-remap"),
        ({"selinux-enabled": True}, Unsupported, "SELinux"),
        ({"exec-opts": ["native.cgroupdriver=systemd"]}, Unsupported, "cgroupdriver=systemd"),
        ({"bridge": "br0"}, Unsupported, "bridge"),
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
