"""Clients that speak BuildKit's protocol and nothing else: Compose as it is, without DOCKER_BUILDKIT=0."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.building.agents import agent_with, make_key, with_ssh_add
from tests.building.conftest import Rest
from tests.engine_fixture import ScratchEngine, await_until
from tests.registry.faulty import FaultyRegistry

pytestmark = pytest.mark.root

_COMPOSE = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


@pytest.fixture
def project(engine: ScratchEngine, tmp_path: Path) -> Project:
    if _COMPOSE is None:
        pytest.skip("no Compose: make setup-test installs it")
    return Project(engine, tmp_path)


class Project:
    """A folder with a compose file, and the command line."""

    def __init__(self, engine: ScratchEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder

    def write(self, compose: str, dockerfile: str) -> None:
        (self.folder / "compose.yaml").write_text(compose)
        (self.folder / "Dockerfile").write_text(dockerfile)

    def argv(self, *words: str) -> list[str]:
        assert _COMPOSE is not None
        return [_COMPOSE, "--project-directory", str(self.folder), *words]

    def build(self, *words: str, check: int | None = 0) -> str:
        environment = self.engine.environment({"BUILDKIT_PROGRESS": "plain"})
        environment.pop("DOCKER_BUILDKIT", None)
        done = subprocess.run(
            self.argv("build", *words),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert check is None or done.returncode == check, said
        return said

    def read(self, image: str, command: str) -> str:
        return self.engine.nakagin("run", "--rm", image, "sh", "-c", command).stdout


def test_a_project_is_built(project: Project) -> None:
    """DF.run.mount.secret DF.copy.from-context DF.label.multi DF.arg.override DF.from.target"""
    folder = project.folder
    (folder / "secret").write_text("hush")
    (folder / ".dockerignore").write_text("*.log\nsecret\nother\n")
    (folder / "no.log").write_text("")
    (folder / "sub").mkdir()
    (folder / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "sub" / "run.sh").chmod(0o750)
    (folder / "sub" / "link").symlink_to("run.sh")
    os.link(folder / "sub" / "run.sh", folder / "sub" / "zhard")
    (folder / "big").write_bytes(os.urandom(3 << 20))
    (folder / "other").mkdir()
    (folder / "other" / "o").write_text("other")
    project.write(
        """
services:
  app:
    image: by-compose
    build:
      context: .
      target: wanted
      args: {WHO: compose}
      labels: {made.by: compose}
      secrets: [s]
      additional_contexts: {more: ./other}
secrets:
  s: {file: ./secret}
""",
        """
FROM busybox AS wanted
ARG WHO
RUN --mount=type=secret,id=s cat /run/secrets/s > /s && echo $WHO >> /s
COPY . /c
COPY --from=more /o /o
FROM wanted
RUN false
""",
    )
    first = project.build()
    assert 'building with "default" instance using docker driver' in first
    shown = project.read(
        "by-compose",
        "cat /s /o; cd /c; find . | sort; stat -c '%a %h' sub/run.sh; readlink sub/link; wc -c < big",
    )
    assert shown == (
        "hushcompose\nother.\n./.dockerignore\n./Dockerfile\n./big\n./compose.yaml\n./sub\n./sub/link\n"
        "./sub/run.sh\n./sub/zhard\n750 2\nrun.sh\n3145728\n"
    )
    label = project.engine.nakagin(
        "image", "inspect", "-f", '{{index .Config.Labels "made.by"}}', "by-compose"
    )
    assert label.stdout == "compose\n"
    assert project.build().count("CACHED") == 3
    assert "CACHED" not in project.build("--no-cache")
    (folder / "sub" / "run.sh").write_text("#!/bin/ash\n")
    assert project.build().count("CACHED") == 1
    assert project.read("by-compose", "cat /c/sub/run.sh /c/sub/zhard; wc -c < /c/big") == (
        "#!/bin/ash\n#!/bin/ash\n3145728\n"
    )
    project.engine.nakagin("rmi", "by-compose")


def test_failures_are_told(project: Project) -> None:
    """DF.run.exitcode DF.syntax.unknown-instruction"""
    compose = "services: {app: {image: failing, build: .}}\n"
    for dockerfile, words in (
        ("FROM busybox\nRUN echo said && exit 7\n", ["said", "returned a non-zero code: 7"]),
        ("FROM busybox\nCOPPY a b\n", ["COPPY", "did you mean COPY?"]),
        ("FROM busybox\nCOPY nothing /x\n", ["nothing"]),
    ):
        project.write(compose, dockerfile)
        said = project.build(check=None)  # the wrapper of the Python package loses the exit code
        assert all(word in said for word in words), said


def test_an_agent(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """DF.run.mount.ssh"""
    fingerprint = make_key(project.folder / "id")
    (project.folder / ".dockerignore").write_text("id*\n")
    project.write(
        "services: {app: {image: signed, build: {context: ., ssh: [default]}}}\n",
        f"{with_ssh_add(project.folder)}RUN --mount=type=ssh,required ssh-add -l > /r\n",
    )
    with agent_with(project.folder / "id") as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent)
        project.build()
    assert project.read("signed", "cat /r") == fingerprint
    project.engine.nakagin("rmi", "signed")


def test_an_entitlement(project: Project) -> None:
    """DF.build.opts.allow"""
    project.write(
        "services: {app: {image: entitled, build: {context: ., entitlements: [security.insecure]}}}\n",
        "FROM busybox\nRUN --security=insecure mkdir -p /mnt && mount -t tmpfs x /mnt\n",
    )
    project.build()
    project.engine.nakagin("rmi", "entitled")


def test_what_only_a_store_of_indexes_can(project: Project) -> None:
    """DF.output.multi-platform DF.output.provenance DF.output.sbom DF.cache.from-registry: by Compose."""
    with FaultyRegistry() as registry:
        project.write(
            f"""
services:
  app:
    image: {registry.host}/several:1
    build:
      context: .
      platforms: [linux/amd64, linux/arm64]
      provenance: mode=max
      sbom: true
      cache_to: ["type=registry,ref={registry.host}/cache:1,mode=max"]
      cache_from: ["type=registry,ref={registry.host}/cache:1"]
""",
            "FROM scratch\nARG TARGETARCH\nCOPY compose.yaml /$TARGETARCH\n",
        )
        project.build("--push")
        index = json.loads(registry.manifests["several", "1"][1])
        assert [each["platform"]["architecture"] for each in index["manifests"]] == [
            "amd64", "arm64", "unknown", "unknown",
        ]  # fmt: skip
        project.engine.nakagin("rmi", f"{registry.host}/several:1")
        project.engine.nakagin("builder", "prune", "-af")
        said = project.build()
        assert f"importing the cache {registry.host}/cache:1" in said
        assert said.count("CACHED") == 2
        project.engine.nakagin("rmi", f"{registry.host}/several:1")


def test_a_cache_in_a_folder(project: Project) -> None:
    """DF.cache.local: by Compose, which serves the folder as a store of containerd's."""
    cache = project.folder.parent / f"{project.folder.name}-cache"
    project.write(
        f"""
services:
  app:
    image: foldered
    build:
      context: .
      cache_to: ["type=local,dest={cache},mode=max"]
      cache_from: ["type=local,src={cache}"]
""",
        "FROM busybox AS one\nRUN echo in-a-folder > /f\nFROM busybox\nCOPY --from=one /f /f\n",
    )
    project.build()
    (listed,) = json.loads((cache / "index.json").read_text())["manifests"]
    assert (cache / "blobs" / listed["digest"].replace(":", "/")).is_file()
    project.engine.nakagin("rmi", "foldered")
    project.engine.nakagin("builder", "prune", "-af")
    assert project.build().count("CACHED") == 2
    assert project.read("foldered", "cat /f") == "in-a-folder\n"
    project.engine.nakagin("builder", "prune", "-af")
    out = project.folder.parent / "out"
    done = project.engine.nakagin(
        "build",
        "--progress=plain",
        "--cache-from",
        f"type=local,src={cache}",
        "-o",
        str(out),
        str(project.folder),
    )
    assert done.stderr.count("CACHED") == 2, "our own command reads it, too"
    project.engine.nakagin("rmi", "foldered")


def test_a_build_that_is_given_up(project: Project, rest: Rest) -> None:
    project.write("services: {app: {image: given-up, build: .}}\n", "FROM busybox\nRUN sleep 9871.5\n")

    def running() -> bool:
        return not subprocess.run(
            ["pgrep", "-f", "^sleep 9871.5"], capture_output=True, check=False
        ).returncode

    environment = project.engine.environment()
    environment.pop("DOCKER_BUILDKIT", None)
    process = subprocess.Popen(
        project.argv("build"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        await_until(running, "the step to run")
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
        await_until(lambda: not running(), "the step to end")
    finally:
        process.kill()
        process.wait()
    rest.await_gone()
