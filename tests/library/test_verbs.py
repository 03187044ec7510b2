"""The image verbs through docker's command line and docker-py: commit, export, diff, history, rmi's rules, import."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator

import pytest
from docker import DockerClient
from docker.errors import APIError, ImageNotFound
from tests.engine_fixture import ScratchEngine, forget_nameless
from tests.storage.tars import member, tar

pytestmark = pytest.mark.root


@pytest.fixture
def changed(engine: ScratchEngine, name: str) -> Iterator[str]:
    """A stopped container with an addition, a change and a deletion; its images are removed afterwards."""
    words = "echo new > /new; ln /new /hard; rm /etc/group; chmod 700 /tmp; mkdir /dir; touch /dir/in"
    engine.docker("run", "--name", name, "busybox", "sh", "-c", words)
    yield name
    engine.docker("rm", "-f", name, check=None)
    for image in engine.docker("images", "-q", f"commit/{name}").stdout.split():
        engine.docker("rmi", "-f", image, check=None)


def test_commit(engine: ScratchEngine, changed: str) -> None:
    name = f"commit/{changed}"
    engine.docker(
        "commit", "-a", "Ada", "-m", "why", "-c", 'CMD ["cat", "/new"]', "-c", "ENV COLOR=blue", "-c", "LABEL a=b",
        changed, f"{name}:1",
    )  # fmt: skip
    assert engine.docker("run", "--rm", f"{name}:1").stdout == "new\n"
    gone = engine.docker("run", "--rm", f"{name}:1", "ls", "/etc/group", check=1)
    assert "No such file" in gone.stderr
    found = json.loads(engine.docker("image", "inspect", f"{name}:1").stdout)[0]
    assert (found["Author"], found["Comment"], found["Config"]["Labels"]) == ("Ada", "why", {"a": "b"})
    assert "COLOR=blue" in found["Config"]["Env"]
    base = json.loads(engine.docker("image", "inspect", "busybox").stdout)[0]
    assert found["Parent"] == base["Id"]
    assert found["RootFS"]["Layers"][:-1] == base["RootFS"]["Layers"]
    lines = engine.docker(
        "history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", f"{name}:1"
    ).stdout
    assert lines.splitlines()[0].endswith("|why")


def test_commit_of_a_running_one_pauses_it(engine: ScratchEngine, api: DockerClient, name: str) -> None:
    container = api.containers.run("busybox", ["sleep", "1000"], name=name, detach=True)
    events = api.events(decode=True, filters={"container": name})
    image = container.commit(repository="commit/running", tag="x", conf={"Cmd": ["echo", "conf"]})
    assert next(event["Action"] for event in events if event["Action"] == "commit")
    container.reload()
    assert container.status == "running"
    assert api.containers.run("commit/running:x", remove=True) == b"conf\n"
    api.images.remove(image.id, force=True)


def test_export_is_what_the_container_sees(engine: ScratchEngine, api: DockerClient, changed: str) -> None:
    data = b"".join(api.containers.get(changed).export())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = {each.name: each for each in archive}
        assert "etc/group" not in names
        assert "etc/passwd" in names
        assert names["tmp"].mode == 0o700
        linked = {names["new"].type, names["hard"].type}
        assert linked == {tarfile.REGTYPE, tarfile.LNKTYPE}
        assert not any(".wh." in each for each in names)
    done = subprocess.run(
        engine.docker_argv("import", "-c", 'CMD ["cat", "/new"]', "-", f"commit/{changed}:imported"),
        input=data, env=engine.environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(b"sha256:")
    assert engine.docker("run", "--rm", f"commit/{changed}:imported").stdout == "new\n"


def test_changes(engine: ScratchEngine, api: DockerClient, changed: str) -> None:
    found = {each["Path"]: each["Kind"] for each in api.containers.get(changed).diff() or []}
    wanted = {"/new": 1, "/hard": 1, "/etc": 0, "/etc/group": 2, "/tmp": 0, "/dir": 1, "/dir/in": 1}
    assert {path: found.get(path) for path in wanted} == wanted
    assert "D /etc/group" in engine.nakagin("diff", changed).stdout


def test_names_of_one_image(engine: ScratchEngine, api: DockerClient) -> None:
    image = _import(engine, "names:1", "one")
    engine.docker("tag", "names:1", "names:2")
    engine.docker("tag", "names:1", "other/names:3")
    refused = engine.docker("rmi", image[7:19], check=1)
    assert "must be forced" in refused.stderr
    assert "referenced in multiple repositories" in refused.stderr
    assert engine.docker("rmi", "names:2").stdout == "Untagged: names:2\n"
    with pytest.raises(ImageNotFound):
        api.images.get("names:2")
    out = engine.docker("rmi", "-f", image[:15]).stdout
    assert f"Deleted: {image}" in out
    assert "Untagged: other/names:3" in out
    missing = engine.docker("rmi", "names:1", check=1)
    assert "No such image: names:1" in missing.stderr


def test_filters_and_formats(engine: ScratchEngine, api: DockerClient) -> None:
    for number in (1, 2, 3):
        _import(engine, f"sieve:{number}", f"text {number}", f"LABEL number={number}")

    def listed(*words: str) -> list[str]:
        found = engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}", *words).stdout.split()
        return sorted(each for each in found if each.startswith("sieve"))

    assert listed("-f", "before=sieve:2") == ["sieve:1"]
    assert listed("-f", "since=sieve:2") == ["sieve:3"]
    assert listed("-f", "label=number=2") == ["sieve:2"]
    assert listed("-f", "reference=sie*:[12]") == ["sieve:1", "sieve:2"]
    assert listed("-f", "until=1h") == []
    assert listed("-f", "dangling=true") == []
    ours = engine.nakagin("images", "--format", "json", "sieve:3").stdout
    assert json.loads(ours)["Tag"] == "3"
    bad = engine.docker("images", "-f", "colour=red", check=1)
    assert "invalid filter 'colour'" in bad.stderr
    forget_nameless(engine)
    _import(engine, "sieve:1", "moved")
    nameless = engine.docker("images", "-q", "-f", "dangling=true").stdout.split()
    assert len(nameless) == 1
    assert "Total reclaimed space" in engine.docker("image", "prune", "-f").stdout
    assert engine.docker("images", "-q", "-f", "dangling=true").stdout == ""
    for number in (1, 2, 3):
        engine.docker("rmi", f"sieve:{number}")


def test_used_images_stay(engine: ScratchEngine, api: DockerClient, name: str) -> None:
    image = _import(engine, "used:1", "used", 'CMD ["/none"]')
    container = api.containers.create("used:1", name=name)
    with pytest.raises(APIError, match=f"container {container.id[:12]} is using its referenced image"):
        api.images.remove("used:1")
    with pytest.raises(APIError, match=r"must be forced.*is being used by stopped container"):
        api.images.remove(image)
    container.remove()
    api.images.remove(image)


def test_force_takes_an_image_from_a_stopped_container(
    engine: ScratchEngine, api: DockerClient, name: str
) -> None:
    """As in Docker: the container keeps its files."""
    engine.docker("tag", "busybox", "forced:1")
    engine.docker("run", "--name", name, "busybox", "true")
    _import(engine, "forced:2", "f")
    container = api.containers.create("forced:2", "/file")
    api.images.remove("forced:2", force=True)
    assert b"".join(container.export())
    container.remove()
    api.images.remove("forced:1")


def test_load_tells_its_progress(engine: ScratchEngine, api: DockerClient) -> None:
    data = b"".join(api.images.get("busybox").save(named="busybox:latest"))
    lines = list(api.api.load_image(data, quiet=False))
    assert any("Loaded image: busybox:latest" in line.get("stream", "") for line in lines)
    assert [image.id for image in api.images.load(data)] == [api.images.get("busybox").id]


def _import(engine: ScratchEngine, name: str, text: str, change: str = "ENV A=b") -> str:
    data = tar(member("file", text.encode()))
    done = subprocess.run(
        engine.docker_argv("import", "-c", change, "-", name),
        input=data, env=engine.environment(), capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.decode().strip()
