"""docker-py's jobs: the API as a library uses it."""

from __future__ import annotations

import gc
import io
import tarfile
import threading
from collections.abc import Iterator

import docker
import pytest
from docker import DockerClient
from tests.engine_fixture import await_until

pytestmark = [
    pytest.mark.root,
    # docker-py leaves the sockets of its streams to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()  # here the warnings are expected


def test_run_returns_output(api: DockerClient) -> None:
    assert api.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"


def test_run_raises_with_the_exit_status(api: DockerClient) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        api.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True, stderr=True)
    assert caught.value.exit_status == 3
    assert caught.value.stderr == b"bad\n"


def test_life_of_a_container(api: DockerClient, name: str) -> None:
    container = api.containers.create("busybox", ["sh", "-c", "sleep 300"], name=name, labels={"a": "b"})
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running"
    assert container in api.containers.list(filters={"label": "a=b"})
    container.pause()
    container.unpause()
    assert container.top()["Processes"]
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.status == "exited"
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        api.containers.get(name)


def test_errors_have_their_status(api: DockerClient, name: str) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        api.containers.create("no-such-image")
    with pytest.raises(docker.errors.NotFound):
        api.containers.get("no-such-container")
    container = api.containers.create("busybox", name=name)
    with pytest.raises(docker.errors.APIError) as caught:
        api.containers.create("busybox", name=name)
    assert caught.value.status_code == 409
    assert container.id[:12] in str(caught.value) or container.id in str(caught.value)
    container.stop()  # already stopped: 304, no error


def test_exec_separates_the_streams(api: DockerClient, name: str) -> None:
    container = api.containers.run("busybox", ["sleep", "300"], name=name, detach=True)
    code, (out, err) = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 5"], demux=True)
    assert (code, out, err) == (5, b"out\n", b"err\n")
    code, chunks = container.exec_run(["seq", "3"], stream=True)
    assert b"".join(chunks) == b"1\n2\n3\n"


def test_logs_stream(api: DockerClient, name: str) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.05; done"
    container = api.containers.run("busybox", ["sh", "-c", script], name=name, detach=True)
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert container.logs(tail=1) == b"3\n"


def test_attach_carries_both_ways(api: DockerClient, name: str) -> None:
    container = api.containers.create("busybox", ["cat"], name=name, stdin_open=True, tty=False)
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    stream._sock.sendall(b"echoed\n")
    frame = b""
    while len(frame) < 8 + 7:
        received = stream._sock.recv(4096)
        assert received, "closed too early"
        frame += received
    assert frame == b"\x01\x00\x00\x00\x00\x00\x00\x07echoed\n"
    stream._sock.close()
    stream.close()


def test_wait_until_removed_and_events(api: DockerClient, name: str) -> None:
    seen: list[str] = []
    events = api.events(decode=True, filters={"container": name})

    def listen() -> None:
        for event in events:
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                return

    listener = threading.Thread(target=listen)
    listener.start()
    container = api.containers.create("busybox", ["true"], name=name)
    container.start()
    container.wait()
    container.remove()
    listener.join(20)
    events.close()
    assert [each for each in seen if each in {"create", "start", "die", "destroy"}] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip


def test_images_volumes_networks(api: DockerClient, name: str) -> None:
    image = api.images.get("busybox")
    assert "busybox:latest" in image.tags
    assert image.tag(name, "v1")
    assert {*api.images.get(f"{name}:v1").tags} == {*image.tags, f"{name}:v1"}
    api.images.remove(f"{name}:v1")
    assert api.images.get("busybox").tags == image.tags
    assert "busybox:latest" in api.images.get("busybox").tags
    volume = api.volumes.create(name)
    assert volume in api.volumes.list()
    volume.remove()
    assert {"bridge", "host", "none"} <= {network.name for network in api.networks.list()}


def test_save_load_import(api: DockerClient, name: str) -> None:
    archive = b"".join(api.images.get("busybox").save(named=True))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert "manifest.json" in opened.getnames()
    [loaded] = api.images.load(archive)
    assert loaded.id == api.images.get("busybox").id
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        entry = tarfile.TarInfo("hello")
        entry.size = 2
        made.addfile(entry, io.BytesIO(b"hi"))
    api.api.import_image_from_data(stream.getvalue(), repository=name, tag="v1")
    assert api.images.get(f"{name}:v1").attrs["RootFS"]["Layers"]
    api.images.remove(f"{name}:v1")


def test_memory_stats_stream(api: DockerClient, name: str) -> None:
    container = api.containers.run("busybox", ["sleep", "300"], name=name, detach=True)
    stream = container.stats(stream=True, decode=True)
    first, second = next(stream), next(stream)
    assert second["read"] > first["read"]
    assert second["pids_stats"]["current"] == 1
    stream.close()
    await_until(lambda: container.stats(stream=False)["name"] == f"/{name}", "another answer")
