"""Scoped sockets: their addresses, the kinds of requests, and what may be created through them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nakagin.api import scope
from nakagin.api.scope import Scope
from nakagin.errors import Denied, Invalid
from nakagin.spec import gojson
from nakagin.spec.docker import ContainerCreate, ExecCreate, VolumeCreate


def test_addresses() -> None:
    assert scope.parse("unix:///a.sock") == ("unix:///a.sock", None)
    assert scope.parse("unix:///a.sock?allow=read") == ("unix:///a.sock", Scope())
    bare, found = scope.parse("unix:///run/ci.sock?allow=run,images&label=ci=1&own&trusted=1")
    assert bare == "unix:///run/ci.sock"
    assert found == Scope(
        frozenset({"read", "create", "start", "stop", "remove", "exec", "images"}),
        ("ci=1", "nakagin.scope=ci.sock"),
        trusted=True,
    )


@pytest.mark.parametrize("query", ["allow=everything", "nonsense=1", "label="])
def test_bad_addresses(query: str) -> None:
    with pytest.raises(Invalid, match="invalid bind address"):
        scope.parse(f"unix:///a?{query}")


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ("GET /containers/json", "read"), ("GET /containers/a/json", "read"), ("GET /containers/a/logs", "read"),
        ("POST /containers/a/wait", "read"), ("GET /events", "read"), ("GET /images/a/json", "read"),
        ("GET /exec/a/json", "read"), ("GET /nakagin/containers/a/ports", "read"),
        ("POST /containers/create", "create"), ("POST /containers/a/start", "start"),
        ("POST /containers/a/kill", "stop"), ("POST /exec/a/resize", "exec"),
        ("POST /containers/a/pause", "stop"), ("DELETE /containers/a", "remove"), ("POST /containers/a/exec", "exec"),
        ("POST /exec/a/start", "exec"), ("POST /containers/a/attach", "exec"), ("GET /containers/a/attach/ws", "exec"),
        ("GET /containers/a/archive", "files"), ("PUT /containers/a/archive", "files"),
        ("GET /containers/a/export", "files"),
        ("GET /images/get", "files"), ("GET /images/a/get", "files"), ("POST /containers/a/update", "update"),
        ("POST /nakagin/containers/a/ports", "update"), ("DELETE /nakagin/containers/a/logs", "stop"),
        ("POST /images/create", "images"), ("DELETE /images/a", "images"), ("POST /commit", "images"),
        ("POST /build", "build"), ("POST /volumes/create", "volumes"), ("POST /networks/a/connect", "networks"),
        ("POST /containers/prune", "prune"), ("POST /volumes/prune", "prune"), ("POST /swarm/init", "all"),
        ("POST /nakagin/system/fsck", "all"), ("PUT /unheard/of", "all"), ("POST /containers/a/unheard-of", "all"),
    ],
)  # fmt: skip
def test_kinds(request_: str, kind: str) -> None:
    method, path = request_.split()
    assert scope.kind_of(method, path.strip("/").split("/")) == kind


def body(**host: Any) -> ContainerCreate:
    return gojson.decode(msgspec.json.encode({"Image": "x", "HostConfig": host}), ContainerCreate)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"Privileged": True}, "privileged containers"),
        ({"PidMode": "host"}, "pid mode host"),
        ({"NetworkMode": "container:other"}, "network mode container:other"),
        ({"IpcMode": "host"}, "ipc mode host"),
        ({"Binds": ["/:/host"]}, "bind mounts"),
        ({"Binds": ["theirs:/v"]}, "named volumes"),
        ({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/h"}]}, "bind mounts"),
        ({"Mounts": [{"Type": "volume", "Source": "theirs", "Target": "/h"}]}, "named volumes"),
        ({"Mounts": [{"Type": "volume", "Target": "/h", "VolumeOptions": {
            "DriverConfig": {"Options": {"o": "bind", "device": "/"}}}}]}, "volumes with options"),
        ({"Devices": [{"PathOnHost": "/dev/sda"}]}, "devices"),
        ({"DeviceCgroupRules": ["b 8:0 rwm"]}, "device rules"),
        ({"CapAdd": ["SYS_ADMIN"]}, "capabilities"),
        ({"SecurityOpt": ["seccomp=unconfined"]}, "security options"),
        ({"VolumesFrom": ["other"]}, "volumes of other containers"),
        ({"CgroupParent": "/"}, "cgroup parents"),
        ({"MaskedPaths": []}, "unmasked paths"),
        ({"UsernsMode": "host"}, "userns mode host"),
    ],
)  # fmt: skip
def test_claims_on_the_host_are_refused(host: dict[str, Any], words: str) -> None:
    with pytest.raises(Denied, match=words):
        Scope().created(body(**host))
    trusted = Scope(trusted=True)
    assert trusted.created(body(**host)).host_config == body(**host).host_config


def test_what_is_created_gets_the_labels() -> None:
    made = Scope(labels=("ci=1", "plain")).created(body(Memory=64 << 20))
    assert made.labels == {"ci": "1", "plain": ""}
    everything = Scope(frozenset({"create", "volumes"})).created(body(Binds=["mine:/v", "/anonymous"]))
    assert everything.host_config.binds == ("mine:/v", "/anonymous")


def test_execs_and_volumes() -> None:
    Scope().executed(ExecCreate(cmd=("true",)))
    with pytest.raises(Denied, match="privileged commands"):
        Scope().executed(ExecCreate(cmd=("true",), privileged=True))
    Scope().volume(VolumeCreate(name="v"))
    with pytest.raises(Denied, match="volumes with options"):
        Scope().volume(VolumeCreate(driver_opts={"type": "none", "o": "bind", "device": "/"}))
