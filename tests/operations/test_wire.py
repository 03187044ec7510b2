"""Bare requests about containers, execs, volumes and the system: every endpoint and query does what it says."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from docker import DockerClient
from tests.bare import Wire
from tests.engine_fixture import ScratchEngine, await_until
from tests.spine.observe import inspect

pytestmark = pytest.mark.root


@pytest.fixture
def wire(api: DockerClient) -> Wire:
    return Wire(api)


@pytest.fixture
def two(engine: ScratchEngine, wire: Wire, name: str) -> Iterator[tuple[str, str]]:
    """A running container and an ended one, alike in a label; their names."""
    body = {
        "Image": "busybox", "Labels": {"of": name}, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**8},
        "Cmd": ["sh", "-c", "echo out; echo err >&2; touch /made; exec sleep 1000"],
        "HostConfig": {"Init": True, "Binds": [f"vol-{name}:/v"], "NetworkMode": "none"},
    }  # fmt: skip
    wire.ask("POST", "/containers/create", body=body, status=201, name=f"{name}-a", platform="linux")
    wire.ask("POST", f"/containers/{name}-a/start", status=204)
    ended = {"Image": "busybox", "Labels": {"of": name}, "Cmd": ["sh", "-c", "exit 5"]}
    wire.ask("POST", "/containers/create", body=ended, status=201, name=f"{name}-b")
    wire.ask("POST", f"/containers/{name}-b/start", status=204, detachKeys="ctrl-a")
    wire.ask("POST", f"/containers/{name}-b/wait")
    await_until(lambda: inspect(engine, f"{name}-a", "{{.State.Health.Status}}") == "healthy", "health")
    yield f"{name}-a", f"{name}-b"
    engine.docker("rm", "-fv", f"{name}-a", f"{name}-b", check=None)
    engine.docker("volume", "rm", "-f", f"vol-{name}")


def test_lists(wire: Wire, two: tuple[str, str], name: str) -> None:
    """API.ContainerList API.ContainerList.all API.ContainerList.limit API.ContainerList.size
    API.ContainerList.filters API.ContainerList.filters.ancestor API.ContainerList.filters.before
    API.ContainerList.filters.exited API.ContainerList.filters.health API.ContainerList.filters.id
    API.ContainerList.filters.is-task API.ContainerList.filters.isolation API.ContainerList.filters.label
    API.ContainerList.filters.name API.ContainerList.filters.since API.ContainerList.filters.status
    API.ContainerList.filters.volume API.ContainerCreate API.ContainerCreate.body API.ContainerCreate.name
    API.ContainerCreate.platform API.ContainerStart API.ContainerStart.detachKeys
    """

    def listed(**filters: list[str]) -> list[str]:
        found = wire.ask("GET", "/containers/json", all=1, filters={"label": [f"of={name}"], **filters})
        return [each["Names"][0].lstrip("/") for each in found]

    one, other = two
    identity = wire.ask("GET", f"/containers/{one}/json")["Id"]
    assert listed() == [other, one], "newest first"
    for filters, wanted in (
        ({"status": ["running"]}, [one]), ({"status": ["exited", "running"]}, [other, one]),
        ({"exited": ["5"]}, [other]), ({"exited": ["0"]}, []), ({"name": [f"{name}-a"]}, [one]),
        ({"name": [f"^/?{name}-b$"]}, [other]), ({"id": [identity[:9]]}, [one]), ({"before": [other]}, [one]),
        ({"since": [one]}, [other]), ({"health": ["healthy"]}, [one]), ({"health": ["none"]}, [other]),
        ({"volume": [f"vol-{name}"]}, [one]), ({"volume": ["/v"]}, [one]),
        ({"ancestor": ["busybox:latest"]}, [other, one]), ({"is-task": ["false"]}, [other, one]),
        ({"is-task": ["true"]}, []), ({"isolation": ["default"]}, [other, one]),
        ({"label": ["of"], "name": [name]}, [other, one]),
    ):  # fmt: skip
        assert listed(**filters) == wanted, filters
    running = wire.ask("GET", "/containers/json", filters={"label": [f"of={name}"]})
    assert [each["Names"] for each in running] == [[f"/{one}"]]
    assert len(wire.ask("GET", "/containers/json", limit=1)) == 1
    [shown] = wire.ask("GET", "/containers/json", size=1, filters={"name": [one]})
    assert shown["SizeRootFs"] > 100_000
    for wrong in (
        {"status": ["asleep"]},
        {"exited": ["x"]},
        {"health": ["well"]},
        {"is-task": ["x"]},
        {"publish": ["x"]},
        {"expose": ["80/x"], "name": ["nobody"]},
        {"colour": ["red"]},
    ):
        wire.ask("GET", "/containers/json", status=400, filters=wrong)
    wire.ask("POST", "/commit", container=other, repo=f"made-of-{name}", status=201)
    assert listed(ancestor=[f"made-of-{name}"]) == [], "the same layers, but none of them is made from it"
    wire.ask("DELETE", f"/images/made-of-{name}")
    wire.ask("GET", "/containers/json", status=404, filters={"before": ["nobody"]})


def test_one_container(engine: ScratchEngine, wire: Wire, two: tuple[str, str], name: str) -> None:
    """API.ContainerInspect API.ContainerInspect.size API.ContainerTop API.ContainerTop.ps_args API.ContainerChanges
    API.ContainerStats API.ContainerStats.stream API.ContainerStats.one-shot API.ContainerKill
    API.ContainerKill.signal API.ContainerRename API.ContainerRename.name API.ContainerPause API.ContainerUnpause
    API.ContainerDelete API.ContainerDelete.force API.ContainerDelete.v API.ContainerLogs API.ContainerLogs.follow
    API.ContainerLogs.stdout API.ContainerLogs.stderr API.ContainerLogs.since API.ContainerLogs.until
    API.ContainerLogs.timestamps API.ContainerLogs.tail API.ContainerExport
    """
    one, other = two
    at = f"/containers/{one}"
    assert "SizeRw" not in wire.ask("GET", f"{at}/json")
    assert wire.ask("GET", f"{at}/json", size=1)["SizeRootFs"] > 100_000
    assert wire.ask("GET", f"{at}/top")["Titles"][0] == "UID"
    columns = wire.ask("GET", f"{at}/top", ps_args="-o pid,comm")
    assert columns["Titles"] == ["PID", "COMMAND"]
    assert "sleep" in {row[1] for row in columns["Processes"]}
    await_until(
        lambda: {"Path": "/made", "Kind": 1} in (wire.ask("GET", f"{at}/changes") or ()), "the change"
    )
    sample = wire.ask("GET", f"{at}/stats", **{"stream": 0, "one-shot": 1})
    assert sample["precpu_stats"]["cpu_usage"]["total_usage"] == 0, "one-shot has nothing to compare with"
    sample = wire.ask("GET", f"{at}/stats", stream="false")
    assert sample["precpu_stats"]["system_cpu_usage"] < sample["cpu_stats"]["system_cpu_usage"]

    def frames(**query: Any) -> bytes:
        return wire.ask("GET", f"{at}/logs", **query) or b""

    assert frames(stdout=1, stderr=1, follow=0).count(b"\n") == 2
    assert frames(stdout=1)[8:] == b"out\n"
    assert frames(stderr=1, tail=1)[8:] == b"err\n"
    assert (
        frames(stdout=1, tail=0)
        == frames(stdout=1, since=int(time.time()) + 10)
        == frames(stdout=1, until=1)
        == b""
    )
    assert frames(stdout=1, timestamps=1)[8:].split()[0].endswith(b"Z")
    wire.ask("GET", f"{at}/logs", status=400)
    wire.ask("POST", f"{at}/pause", status=204)
    wire.ask("POST", f"{at}/pause", status=409)
    wire.ask("POST", f"{at}/unpause", status=204)
    wire.ask("POST", f"{at}/rename", status=204, name=f"{name}-c")
    wire.ask("POST", f"/containers/{name}-c/rename", status=409, name=other)
    wire.ask("POST", f"/containers/{name}-c/rename", status=204, name=one)
    with tarfile.open(fileobj=io.BytesIO(wire.ask("GET", f"{at}/export"))) as archive:
        assert "made" in archive.getnames()
    wire.ask("POST", f"{at}/kill", status=400, signal="NONSENSE")
    wire.ask("POST", f"{at}/kill", status=204, signal="CONT")
    wire.ask("DELETE", at, status=409)
    wire.ask("POST", f"{at}/kill", status=204, signal="SIGTERM")
    assert wire.ask("POST", f"{at}/wait")["StatusCode"] == 143
    assert frames(stdout=1, follow=1)[8:] == b"out\n", "following what has ended ends"
    wire.ask("POST", f"{at}/kill", status=409)
    wire.ask("DELETE", at, status=204, v=1)
    wire.ask("DELETE", f"/containers/{other}", status=204, force=1)
    wire.ask("GET", f"{at}/json", status=404)
    assert wire.ask("GET", f"/volumes/vol-{name}")["Name"], "v=1 takes only anonymous ones"
    for method, verb in (
        ("GET", "top"),
        ("POST", "pause"),
        ("GET", "changes"),
        ("GET", "logs"),
        ("GET", "export"),
    ):
        wire.ask(method, f"{at}/{verb}", status=404, stdout=1)


def test_archives(wire: Wire, two: tuple[str, str]) -> None:
    """API.ContainerArchive API.ContainerArchive.path API.ContainerArchiveInfo API.ContainerArchiveInfo.path
    API.PutContainerArchive API.PutContainerArchive.path API.PutContainerArchive.body
    API.PutContainerArchive.noOverwriteDirNonDir API.PutContainerArchive.copyUIDGID
    """
    for container in two:
        at = f"/containers/{container}/archive"
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            member = tarfile.TarInfo("given")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"text"))
        wire.ask("PUT", at, body=buffer.getvalue(), path="/tmp", copyUIDGID=1)
        wire.ask("HEAD", at, path="/tmp/given")
        assert "X-Docker-Container-Path-Stat" in wire.headers
        with tarfile.open(fileobj=io.BytesIO(wire.ask("GET", at, path="/tmp/given"))) as archive:
            assert archive.extractfile("given").read() == b"text"  # type: ignore[union-attr]
        wire.ask("PUT", at, body=_folder("given"), path="/tmp", status=400, noOverwriteDirNonDir="true")
        wire.ask("PUT", at, body=_folder("given"), path="/nowhere", status=404)
        wire.ask("GET", at, status=400)
        wire.ask("HEAD", at, path="/nowhere", status=404)


def _folder(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    return buffer.getvalue()


def test_execs(wire: Wire, two: tuple[str, str]) -> None:
    """API.ContainerExec API.ContainerExec.body API.ExecStart API.ExecStart.body API.ExecInspect API.ExecResize
    API.ExecResize.h API.ExecResize.w API.ContainerResize API.ContainerResize.h API.ContainerResize.w
    """
    one, other = two
    body = {
        "Cmd": ["sh", "-c", "echo $A; pwd; exit 3"],
        "AttachStdout": True,
        "Env": ["A=b"],
        "WorkingDir": "/tmp",
    }
    made = wire.ask("POST", f"/containers/{one}/exec", body=body, status=201)["Id"]
    assert wire.ask("GET", f"/exec/{made}/json")["Running"] is False
    assert b"b\n/tmp\n" in wire.ask("POST", f"/exec/{made}/start", body={}).replace(
        b"\n\x01\0\0\0\0\0\0\5", b"\n"
    )
    await_until(lambda: wire.ask("GET", f"/exec/{made}/json")["ExitCode"] == 3, "the exit code")
    wire.ask("POST", f"/exec/{made}/resize", status=409, h=10, w=10)
    wire.ask("POST", f"/exec/{made}/start", body={}, status=409)
    tty = wire.ask(
        "POST", f"/containers/{one}/exec", body={"Cmd": ["sleep", "1000"], "Tty": True}, status=201
    )["Id"]
    wire.ask("POST", f"/exec/{tty}/start", body={"Detach": True, "Tty": True})
    wire.ask("POST", f"/exec/{tty}/resize", h=33, w=44)
    wire.ask("POST", f"/exec/{tty}/resize", status=400, h="x", w=44)
    wire.ask("POST", f"/containers/{other}/exec", body=body, status=409)
    wire.ask("POST", f"/containers/{other}/resize", status=409, h=10, w=10)
    wire.ask("POST", f"/containers/{one}/resize", status=400, h="x", w=10)
    for path in ("/exec/nothing/json", "/exec/nothing/start", "/exec/nothing/resize?h=1&w=1"):
        wire.ask("GET" if path.endswith("json") else "POST", path, body={}, status=404)


def test_prune(engine: ScratchEngine, wire: Wire, two: tuple[str, str], name: str) -> None:
    """API.ContainerPrune API.ContainerPrune.filters API.ContainerPrune.filters.until
    API.ContainerPrune.filters.label
    """
    one, other = two
    mine = {"label": [f"of={name}"]}
    for filters in ({**mine, "until": ["24h"]}, {"label": [f"of={name}", "no"]}, {**mine, "label!": ["of"]}):
        assert wire.ask("POST", "/containers/prune", filters=filters)["ContainersDeleted"] is None
    wire.ask("POST", "/containers/prune", status=400, filters={"colour": ["red"]})
    identity = wire.ask("GET", f"/containers/{other}/json")["Id"]
    until = {**mine, "until": [str(int(time.time()) + 5)]}
    assert wire.ask("POST", "/containers/prune", filters=until)["ContainersDeleted"] == [identity]
    assert wire.ask("GET", f"/containers/{one}/json")["State"]["Running"]


def test_volumes(wire: Wire, name: str) -> None:
    """API.VolumeCreate API.VolumeCreate.body API.VolumeInspect API.VolumeList API.VolumeList.filters
    API.VolumeList.filters.dangling API.VolumeList.filters.driver API.VolumeList.filters.label
    API.VolumeList.filters.name API.VolumeDelete API.VolumeDelete.force API.VolumePrune API.VolumePrune.filters
    API.VolumePrune.filters.label API.VolumePrune.filters.all API.VolumeUpdate API.VolumeUpdate.body
    API.VolumeUpdate.version
    """
    body = {"Name": f"{name}-a", "Labels": {"of": name}, "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}}
    made = wire.ask("POST", "/volumes/create", body=body, status=201)
    assert wire.ask("POST", "/volumes/create", body=body, status=201) == made, "it is there already"
    assert wire.ask("GET", f"/volumes/{name}-a") == made
    anonymous = wire.ask("POST", "/volumes/create", body={"Labels": {"of": name}}, status=201)["Name"]

    def listed(**filters: list[str]) -> set[str]:
        found = wire.ask("GET", "/volumes", filters={"label": [f"of={name}"], **filters})
        assert "Warnings" in found
        return {each["Name"] for each in found["Volumes"]}

    both = {f"{name}-a", anonymous}
    assert listed() == listed(dangling=["true"]) == listed(driver=["local"]) == both
    assert listed(name=[name]) == {f"{name}-a"}
    assert listed(dangling=["false"]) == listed(driver=["other"]) == listed(name=["nothing"]) == set()
    wire.ask("GET", "/volumes", status=400, filters={"colour": ["red"]})
    wire.ask("PUT", f"/volumes/{name}-a", body={"Spec": {}}, status=503, version=1)
    mine = {"label": [f"of={name}"]}
    assert wire.ask("POST", "/volumes/prune", filters=mine)["VolumesDeleted"] == [anonymous]
    assert wire.ask("POST", "/volumes/prune", filters={**mine, "all": ["true"]})["VolumesDeleted"] == [
        f"{name}-a"
    ]
    wire.ask("POST", "/volumes/prune", status=400, filters={"colour": ["red"]})
    wire.ask("DELETE", f"/volumes/{name}-a", status=404)
    wire.ask("DELETE", f"/volumes/{name}-a", status=204, force=1)
    wire.ask("GET", f"/volumes/{name}-a", status=404)


def test_the_engine(wire: Wire) -> None:
    """API.SystemInfo API.SystemVersion API.SystemPing API.SystemPingHead"""
    assert wire.ask("GET", "/info")["OSType"] == "linux"
    assert wire.ask("GET", "/version")["Components"][0]["Name"]
    assert wire.ask("GET", "/_ping") == b"OK"
    assert wire.ask("HEAD", "/_ping") is None
    for name, value in (("OSType", "linux"), ("Cache-Control", "no-cache, no-store, must-revalidate")):
        assert wire.headers[name] == value


@pytest.mark.parametrize("path", ["/_ping", "/containers/json", "/info", "/events?until={soon}"])
def test_who_has_said_all_gets_his_answer(engine: ScratchEngine, path: str) -> None:
    """`printf … | nc -N -U`, `docker system dial-stdio`: the end of the request is not the end of the client."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(engine.socket))
        client.sendall(f"GET {path.format(soon=int(time.time()) + 1)} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_who_has_gone_is_not_talked_to(engine: ScratchEngine, wire: Wire, name: str) -> None:
    """A client that ends its half and then goes is noticed, however quiet the stream is."""
    query = f"filters={quote(json.dumps({'container': [name]}))}"

    def listeners() -> int:
        return int(wire.ask("GET", "/info")["NEventsListener"])

    await_until(lambda: listeners() == 0, "those of other tests to end")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engine.socket))
        client.sendall(f"GET /events?{query} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(12) == b"HTTP/1.1 200"
        assert listeners() == 1
    await_until(lambda: listeners() == 0, "the stream to end")
    half = b"PUT /containers/x/archive?path=/ HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nhalf"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(engine.socket))
        client.sendall(half)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):  # whatever it answers, it ends: the rest will never come
            pass
