"""docker's command line, docker-py and ours, pulling and pushing through the API with progress."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound
from tests.engine_fixture import ScratchEngine
from tests.registry import faulty
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import Made, layer_of, made
from tests.transfer.peers import LocalRegistry, run, unique

pytestmark = pytest.mark.root


@pytest.fixture
def image(engine: ScratchEngine, faulty_registry: FaultyRegistry) -> Iterator[Made]:
    """An image on the registry in this process, as r:1."""
    found = made(layer_of(secrets.token_hex(4), 300_000))
    faulty_registry.put("r", "1", found)
    yield found
    engine.docker("rmi", "-f", f"{faulty_registry.host}/r:1", check=None)


def test_the_docker_command_line_pulls(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, image: Made
) -> None:
    name = f"{faulty_registry.host}/r:1"
    lines = engine.docker("pull", name).stdout.splitlines()
    layer = image.layers[0][7:19]
    assert lines == [
        "1: Pulling from r",
        f"{layer}: Pulling fs layer",
        f"{layer}: Verifying Checksum",
        f"{layer}: Download complete",
        f"{layer}: Pull complete",
        f"Digest: {image.digest}",
        f"Status: Downloaded newer image for {name}",
        name,
    ]
    lines = engine.docker("pull", name).stdout.splitlines()
    assert lines[-2:] == [f"Status: Image is up to date for {name}", name]
    assert engine.docker("pull", "-q", name).stdout == f"{name}\n"


def test_ours_pulls_as_docker_does(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, image: Made
) -> None:
    name = f"{faulty_registry.host}/r:1"
    ours = engine.nakagin("pull", name).stdout
    engine.docker("rmi", name)
    assert engine.docker("pull", name).stdout == ours
    assert engine.nakagin("pull", "-q", name).stdout == f"{name}\n"


def test_docker_py_pulls_and_pushes(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, image: Made
) -> None:
    client = engine.client()
    told = list(client.api.pull(f"{faulty_registry.host}/r", tag="1", stream=True, decode=True))
    details = [each["progressDetail"] for each in told if each["status"] == "Downloading"]
    assert details[-1]["total"] == len(image.blobs[image.layers[0]])
    found = client.images.get(f"{faulty_registry.host}/r:1")
    assert found.id == image.image_id
    assert found.attrs["RepoDigests"] == [f"{faulty_registry.host}/r@{image.digest}"]
    data = client.images.get_registry_data(f"{faulty_registry.host}/r:1")
    assert data.id == image.digest
    faulty_registry.blobs.clear()
    faulty_registry.manifests.clear()
    found.tag(f"{faulty_registry.host}/other", "2")
    lines = [
        json.loads(line)
        for line in client.images.push(f"{faulty_registry.host}/other", "2").splitlines()
        if line.strip()
    ]
    assert lines[-1]["aux"] == {"Tag": "2", "Digest": image.digest, "Size": len(image.manifest)}
    assert faulty_registry.manifests["other", "2"] == (image.media_type, image.manifest)
    assert faulty_registry.blobs == image.blobs
    client.images.remove(f"{faulty_registry.host}/other:2")


def test_run_pulls_what_is_missing(engine: ScratchEngine, peer: LocalRegistry) -> None:
    name = f"{peer.host}/{unique()}:1"
    engine.docker("tag", "busybox", name)
    engine.docker("push", name)
    for run_it in (engine.docker, engine.nakagin):
        engine.docker("rmi", name)
        done = run_it("run", "--rm", name, "echo", "here")
        assert done.stdout == "here\n"
        assert f"Unable to find image '{name}' locally" in done.stderr
        engine.docker("rmi", name)
        assert run_it("run", "--rm", "--pull", "never", name, "true", check=125).returncode == 125
        assert run_it("run", "--rm", "--pull", "always", name, "echo", "again").stdout == "again\n"
        assert run_it("run", "--rm", "--pull", "missing", name, "echo", "there").stdout == "there\n"


def test_all_tags_go_and_come(engine: ScratchEngine, peer: LocalRegistry) -> None:
    repository = f"{peer.host}/{unique()}"
    for tag in ("1", "2", "3"):
        engine.docker("tag", "busybox", f"{repository}:{tag}")
    out = engine.docker("push", "-a", repository).stdout
    assert [tag for tag in ("1", "2", "3") if f"{tag}: digest: sha256:" in out] == ["1", "2", "3"]
    for tag in ("1", "2", "3"):
        engine.docker("rmi", f"{repository}:{tag}")
    engine.docker("pull", "-a", repository)
    assert sorted(engine.docker("images", "--format", "{{.Tag}}", repository).stdout.split()) == [
        "1",
        "2",
        "3",
    ]
    for tag in ("1", "2"):
        engine.docker("rmi", f"{repository}:{tag}")
    engine.nakagin("push", "-a", repository)
    engine.nakagin("pull", "-a", repository)
    assert sorted(engine.docker("images", "--format", "{{.Tag}}", repository).stdout.split()) == [
        "1",
        "2",
        "3",
    ]


def test_errors_have_dockers_words_and_statuses(
    engine: ScratchEngine, faulty_registry: FaultyRegistry
) -> None:
    client = engine.client()
    with pytest.raises(NotFound, match="manifest unknown"):
        client.images.pull(f"{faulty_registry.host}/r", tag="missing")
    with pytest.raises(NotFound, match="does not exist locally with the tag"):
        client.images.push("127.0.0.1:1/never", tag="1")
    with pytest.raises(APIError, match="cannot be reached"):
        client.images.pull("127.0.0.1:1/r", tag="1")
    done = engine.docker("pull", f"{faulty_registry.host}/r:missing", check=1)
    assert "manifest unknown" in done.stderr


def test_a_late_error_ends_the_stream(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, image: Made
) -> None:
    faulty_registry.faults.append(faulty.unlike(lambda data: data[:-1] + b"x"))
    done = engine.docker("pull", f"{faulty_registry.host}/r:1", check=1)
    assert "Pulling fs layer" in done.stdout
    assert "have the digest" in done.stderr or "with the digest" in done.stderr
    done = engine.nakagin("pull", f"{faulty_registry.host}/r:1", check=1)
    assert "with the digest" in done.stderr


def test_live_bars_on_a_terminal(engine: ScratchEngine, faulty_registry: FaultyRegistry, image: Made) -> None:
    argv = shlex.join(engine.nakagin_argv("pull", f"{faulty_registry.host}/r:1"))
    done = run("script", "-qec", argv, "/dev/null", env=engine.environment({"TERM": "xterm"}))
    assert "\x1b[1A" in done.stdout
    assert "Pull complete" in done.stdout


def test_logging_in(
    engine: ScratchEngine, faulty_registry: FaultyRegistry, image: Made, tmp_path: Path
) -> None:
    """By both command lines; ours keeps nothing in clear."""
    host = faulty_registry.host
    faulty_registry.faults.append(faulty.ask_basic("me", "secret word"))
    assert "no basic auth credentials" in engine.docker("pull", f"{host}/r:1", check=1).stderr
    home = {**engine.environment(), "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "docker")}
    ours, docker = engine.nakagin_argv(), engine.docker_argv()
    bad = run(*ours, "login", "-u", "me", "--password-stdin", host, stdin="wrong", check=False, env=home)
    assert bad.returncode == 1
    done = run(*ours, "login", "-u", "me", "--password-stdin", host, stdin="secret word\n", env=home)
    assert "Login Succeeded" in done.stdout
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {"credentials.json", "credentials.key"}
    assert not any(b"secret" in path.read_bytes() or b"c2VjcmV0" in path.read_bytes() for path in kept)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept)
    run(*ours, "pull", f"{host}/r:1", env=home)
    run(*ours, "push", f"{host}/r:1", env=home)
    assert "Removing login credentials" in run(*ours, "logout", host, env=home).stdout
    assert run(*ours, "pull", f"{host}/r:1", check=False, env=home).returncode == 1
    run(*docker, "login", "-u", "me", "--password-stdin", host, stdin="secret word", env=home)
    run(*docker, "pull", f"{host}/r:1", env=home)
    run(*ours, "pull", f"{host}/r:1", env=home)  # with what docker's file has
    assert "docker logout" in run(*ours, "logout", host, env=home).stderr


@pytest.mark.docker(28)
def test_search(engine: ScratchEngine, peer: LocalRegistry, faulty_registry: FaultyRegistry) -> None:
    repository = unique("findme")
    engine.docker("tag", "busybox", f"{peer.host}/{repository}:1")
    engine.docker("push", f"{peer.host}/{repository}:1")
    out = engine.nakagin("search", f"{peer.host}/{repository}", "--format", "{{.Name}}").stdout
    assert out == f"{peer.host}/{repository}\n"
    results = [
        {"name": "one", "description": "a\nb", "star_count": 9, "is_official": True},
        {"name": "two", "description": "x" * 60, "star_count": 1},
    ]
    faulty_registry.faults.append(faulty.answer("/v1/search", json.dumps({"results": results}).encode()))
    for cli in (engine.docker, engine.nakagin):
        term = f"{faulty_registry.host}/words"
        lines = cli("search", term).stdout.splitlines()
        assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
        assert [line.split()[0] for line in lines[1:]] == ["one", "two"]
        assert cli("search", "-f", "stars=5", "--format", "{{.Name}}", term).stdout == "one\n"
    assert faulty_registry.requests("GET", "/v1/search")[0].query["q"] == ["words"]


def test_where_an_image_comes_from(engine: ScratchEngine, peer: LocalRegistry, tmp_path: Path) -> None:
    """API.ImageList.identity: its repositories, whatever else it is called, and the builds that made it."""
    api = engine.client().api

    def ask(path: str) -> Any:
        answer = api.get(f"{api.base_url}{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    name = f"{peer.host}/{unique()}"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nLABEL of={name}\n")
    engine.nakagin("build", "-t", f"{name}:1", str(tmp_path))
    built = ask(f"/v1.54/images/{name}:1/json")
    (build,) = built["Identity"].pop("Build")
    assert built["Identity"] == {}
    assert build["Ref"] in engine.nakagin("builder", "history", "--no-trunc").stdout
    engine.docker("push", f"{name}:1")
    engine.docker("tag", f"{name}:1", "elsewhere.example/x:1")
    identity = {"Pull": [{"Repository": name}], "Build": [build]}
    shown = ask("/v1.54/images/elsewhere.example/x:1/json?manifests=1")
    assert (shown["Identity"], shown["Manifests"][0]["ImageData"]["Identity"]) == (identity, identity)
    assert "Identity" not in ask(f"/v1.52/images/{name}:1/json")
    images = ask("/v1.54/images/json?manifests=1&identity=1")
    (listed,) = [each for each in images if each["Id"] == built["Id"]]
    assert listed["Manifests"][0]["ImageData"]["Identity"] == identity
    engine.docker("rmi", "-f", built["Id"])
