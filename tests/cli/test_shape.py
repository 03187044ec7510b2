# ruff: noqa: E501 -- tables
"""Against the same engine, docker's command line and ours print the same."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator

import pytest

from nakagin.spec.digest import digest_of
from tests.cli.conftest import docker, nakagin, needs_docker_28
from tests.engine_fixture import ScratchEngine, forget_nameless
from tests.storage.tars import member, tar

pytestmark = [pytest.mark.root, needs_docker_28]


@pytest.fixture(scope="module")
def web(engine: ScratchEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A container with ports, mounts and labels, and some output; NAME-timeless is an image that knows no time."""
    forget_nameless(engine)
    name = "w" + secrets.token_hex(4)
    archive = tmp_path_factory.mktemp("shape") / "timeless.tar"
    archive.write_bytes(timeless(f"{name}-timeless:1"))
    engine.docker("load", "-i", str(archive))
    flags = [
        "--init",
        "-l",
        "a=b",
        "-l",
        "c.d=e",
        "-v",
        "/tmp:/x:ro",
        "-v",
        f"{name}:/y",
        "-m",
        "64m",
        "-e",
        "A=1",
    ]
    made = nakagin(
        engine.host, "run", "-d", "--name", name, *flags, "busybox", "sh", "-c", "echo hi; sleep 1000"
    )
    assert made.returncode == 0, made.stderr
    yield name
    nakagin(engine.host, "rm", "-f", name)
    nakagin(engine.host, "volume", "rm", name)
    engine.docker("rmi", f"{name}-timeless:1")


def timeless(name: str) -> bytes:
    """An archive of an image whose config and history have no `created`."""
    layer = tar(member("file", name.encode()))
    diff_ids = {"type": "layers", "diff_ids": [digest_of(layer)]}
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": diff_ids,
        "history": [{"created_by": "x"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return tar(
        member("config.json", json.dumps(config).encode()), member("layer.tar", layer),
        member("manifest.json", json.dumps(manifest).encode()),
    )  # fmt: skip


SAME = [
    "ps --no-trunc", "ps -a", "ps -aq", "ps -s", "ps -l", "ps -n 3", "ps --format json",
    "ps --format {{.Names}}|{{.Ports}}|{{.Mounts}}|{{.Labels}}|{{.Label\u00a0`a`}}|{{.Networks}}|{{.LocalVolumes}}",
    "ps --format table\u00a0{{.Names}}\\t{{.Label\u00a0`c.d`}}\\t{{upper\u00a0.State}}", "ps -f name={web} -f status=running",
    "images", "images --digests", "images --format json", "images -q --no-trunc", "images nothing",
    "history busybox", "history --no-trunc --format json busybox", "image inspect busybox",
    "inspect {web}", "inspect -f {{.State.Status}}-{{json\u00a0.Config.Cmd}}-{{.HostConfig.Memory}} {web}",
    "inspect -f {{.Config.Entrypoint}}{{if\u00a0.State.Health}}x{{end}}{{.HostConfig.CapAdd}}{{.Config.Healthcheck}} {web}",
    "inspect -f {{range\u00a0.Mounts}}{{.Type}}:{{.Destination}}\u00a0{{end}} {web}", "inspect -s -f {{.SizeRootFs}} {web}",
    "inspect nope {web}", "inspect --type image {web}", "port {web}", "port {web} 80", "diff {web}", "logs {web}",
    "logs -n 1 {web}", "top {web}", "top {web} -o pid,comm", "exec {web} ls /", "exec {web} sh -c exit\u00a04",
    "stats --no-stream --format {{.Name}}|{{.PIDs}} {web}", "network ls", "network ls --format json",
    "network inspect none", "volume ls", "volume ls --format {{.Name}}|{{.Driver}}|{{.Scope}}", "volume inspect {web}",
    "system df", "system df -v", "history {web}-timeless:1", "history {web}-timeless:1 --format json", "history -H=false {web}-timeless:1",
    "wait nope", "stop nope", "rm nope", "rm {web}", "kill -s NOPE {web}", "rename {web}", "start nope",
    "pause nope", "cp nope:/x /tmp/never", "cp a b", "tag nope x", "rmi nope", "load -i /nope", "volume rm nope", "save nope",
    "run --rm --network none busybox sh -c exit\u00a03", "run --rm --network none busybox nope",
    "run --rm --network none busybox /etc", "run -it busybox true", "update {web}", "attach nope", "version -f {{.Server.Version}}/{{.Server.APIVersion}}/{{.Server.Os}}",
    "inspect -f {{.ID}}\u00a0{{.HostConfig.NanoCPUs}} {web}",
]  # fmt: skip


@pytest.mark.parametrize("line", SAME)
def test_same_words(engine: ScratchEngine, web: str, line: str) -> None:
    words = [word.replace("\u00a0", " ") for word in line.replace("{web}", web).split(" ")]
    ours, theirs = nakagin(engine.host, *words), docker(engine.host, *words)
    if words[0] == "images":  # docker lists the names of one image in any order
        assert sorted(settled(ours.stdout).splitlines()) == sorted(settled(theirs.stdout).splitlines())
    else:
        assert settled(ours.stdout) == settled(theirs.stdout)
    assert settled(ours.stderr.replace("nakagin", "docker")) == settled(
        theirs.stderr.replace("nakagin", "docker")
    )
    assert ours.returncode == theirs.returncode


def settled(text: str) -> str:
    """Without what passes between two calls (ages, ids of containers that come and go) and docker's own log.

    Without the nearest name, too, which docker does not tell.
    """
    text = re.sub(r" \(did you mean [^)]*\)", "", text)
    text = re.sub(r"^time=.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(About )?(an?|\d+|Less than a) (second|minute|hour)s?( ago)?", "AGE", text)
    return re.sub(r" {2,}", "  ", re.sub(r"\b[0-9a-f]{64}\b", "ID", text))


def test_info_has_dockers_lines(engine: ScratchEngine, web: str) -> None:
    ours, theirs = nakagin(engine.host, "info"), docker(engine.host, "info")
    server = [text.stdout.partition("Server:")[2].splitlines() for text in (ours, theirs)]
    # docker prints the runtimes in any order
    assert [sorted(line.split()) for line in server[0]] == [sorted(line.split()) for line in server[1]]
    assert ours.returncode == theirs.returncode
