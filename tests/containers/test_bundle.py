"""A record and the facts of a moment become one OCI configuration."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nakagin.containers import bundle
from nakagin.containers.defaults import CAPABILITIES
from nakagin.containers.model import Container
from nakagin.containers.users import Identity
from nakagin.spec.docker import ContainerConfig, HostConfig

HOST = bundle.Host(
    capabilities=frozenset(CAPABILITIES), known_capabilities=frozenset({*CAPABILITIES, "CAP_SYS_ADMIN"}),
    hostname="machine", cgroup_parent="/nakagin", init_path="/usr/bin/tini",
)  # fmt: skip
ID = "0123456789abcdef" * 4


def container(config: dict[str, object] | None = None, **host: object) -> Container:
    settled = {"entrypoint": ("/bin/sh",), "cmd": ("-c", "true"), **(config or {})}
    return Container(
        id=ID, name="web", created="", image_id="", config=ContainerConfig(**settled),  # type: ignore[arg-type]
        host_config=HostConfig(**host),  # type: ignore[arg-type]
    )  # fmt: skip


def configured(record: Container, **moment: object) -> dict[str, object]:
    facts = bundle.Moment(identity=Identity(), root="/r", mounts=())._replace(**moment)  # type: ignore[arg-type]
    found: dict[str, object] = dict(bundle.configuration(record, HOST, facts))
    return found


def path(document: object, *keys: str) -> object:
    for key in keys:
        assert isinstance(document, dict)
        document = document.get(key)
    return document


def test_a_plain_container() -> None:
    config = configured(container())
    assert config["hostname"] == ID[:12]
    assert path(config, "root") == {"path": "/r", "readonly": False}
    assert path(config, "process", "args") == ["/bin/sh", "-c", "true"]
    assert path(config, "process", "cwd") == "/"
    assert path(config, "process", "user") == {"uid": 0, "gid": 0, "additionalGids": [0]}
    assert path(config, "process", "capabilities", "effective") == sorted(CAPABILITIES)
    assert path(config, "linux", "cgroupsPath") == f"/nakagin/{ID}"
    assert path(config, "linux", "seccomp", "defaultAction") == "SCMP_ACT_ERRNO"
    assert path(config, "linux", "sysctl") == {
        "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647",
    }  # fmt: skip
    assert msgspec.json.encode(config)


def test_the_environment_is_filled_up_and_the_users_words_win() -> None:
    record = container({"env": ("PATH=/x", "HOME", "A=1", "A=2", "B="), "tty": True, "hostname": "h"})
    assert bundle.environment(record, HOST, Identity(home="/root"), ["B=3"]) == [
        "PATH=/x", "HOSTNAME=h", "TERM=xterm", "A=2", "B=3", "HOME=/root",
    ]  # fmt: skip


def test_another_user_has_capabilities_only_within_reach() -> None:
    config = configured(container(), identity=Identity(5, 6, (7, 6), "/"))
    assert path(config, "process", "user") == {"uid": 5, "gid": 6, "additionalGids": [6, 7]}
    assert path(config, "process", "capabilities", "effective") == []
    assert path(config, "process", "capabilities", "bounding") == sorted(CAPABILITIES)


def test_init_goes_first_but_not_in_anothers_pid_namespace() -> None:
    config = configured(container(init=True))
    assert path(config, "process", "args") == [bundle.INIT_PATH, "--", "/bin/sh", "-c", "true"]
    mounts = config["mounts"]
    assert isinstance(mounts, list)
    assert mounts[-1]["source"] == "/usr/bin/tini"
    assert not bundle.uses_init(container(init=True, pid_mode="host"), HOST)


def test_privileged() -> None:
    config = configured(container(privileged=True))
    assert path(config, "linux", "seccomp") is None
    assert path(config, "linux", "maskedPaths") == path(config, "linux", "readonlyPaths") == []
    assert path(config, "linux", "resources", "devices") == [{"allow": True, "access": "rwm"}]
    assert path(config, "process", "capabilities", "effective") == sorted(CAPABILITIES), (
        "what the engine holds"
    )


@pytest.mark.parametrize(("mode", "expected"), [({}, ID[:12]), ({"network_mode": "host"}, "machine")])
def test_hostname(mode: dict[str, Any], expected: str) -> None:
    assert bundle.hostname(container(**mode), HOST) == expected
    assert bundle.hostname(container({"hostname": "own"}, **mode), HOST) == "own"


def test_the_hosts_uts_namespace_is_not_renamed() -> None:
    assert "hostname" not in configured(container(uts_mode="host"))


def test_dev_shm() -> None:
    def shm(record: Container, **moment: object) -> object:
        mounts = configured(record, **moment)["mounts"]
        assert isinstance(mounts, list)
        return next((each["source"] for each in mounts if each["destination"] == "/dev/shm"), None)

    assert shm(container()) == "shm"
    assert shm(container(ipc_mode="host")) == "/dev/shm"
    assert shm(container(ipc_mode="none")) is None
    assert shm(container(ipc_mode="shareable"), shared_shm="/run/x") == "/run/x"


def test_groups_that_systemd_makes() -> None:
    host = HOST._replace(cgroup_parent="system.slice", cgroup_prefix="nakagin-x")
    assert bundle.cgroup_path(container(), host) == f"/system.slice/nakagin-x-{ID}.scope"
    own = container(cgroup_parent="a-b.slice")
    assert bundle.cgroup_path(own, host) == f"/a.slice/a-b.slice/nakagin-x-{ID}.scope"
    moment = bundle.Moment(identity=Identity(), root="/r", mounts=())
    config = dict(bundle.configuration(own, host, moment))
    assert path(config, "linux", "cgroupsPath") == f"a-b.slice:nakagin-x:{ID}"
    assert bundle.cgroup_path(container(), HOST) == f"/nakagin/{ID}"
