"""One project on two other hosts of a LAN, each with its own network, sshd and engine, by ssh and by a registry."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.cli.replicating.listing import Difference, difference, listing
from tests.compose.machines import Machine, on, serve_registry
from tests.conftest import close_clean
from tests.engine_fixture import ScratchEngine, await_until
from tests.network_fixture import CLIENT, FAR, HOST, Lan, lan
from tests.ssh_fixture import SSHD

REGISTRY = f"{CLIENT}:5000"
IMAGE = f"{REGISTRY}/shop/web:1"
FILE = """
services:
  web:
    build: .
    image: IMAGE
    command: sh -c 'cat /code /run/secrets/password /mounted/page; exec sleep 600'
    stop_signal: SIGKILL
    network_mode: none
    secrets: [password]
    volumes: ["./mounted:/mounted:ro"]
secrets: {password: {file: ./password}}
""".replace("IMAGE", IMAGE)


class Hosts:
    """The folder of a project on a machine of a LAN, and two others of it, which one comes to by ssh alone."""

    def __init__(self, home: Path, engine: ScratchEngine, network: Lan, far: list[Machine]) -> None:
        self.home, self.engine, self.network, self.far = home, engine, network, far
        self.hosts = [each.ssh for each in far]
        keys = "".join(f"  IdentityFile {each.root}/key\n" for each in self.hosts)
        known = " ".join(f"{each.root}/known" for each in self.hosts)
        self.config = home.parent / "ssh_config"
        self.config.write_text(
            f"Host *\n{keys}  IdentitiesOnly yes\n  BatchMode yes\n  UserKnownHostsFile {known}\n"
            "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        )

    def replicate(self, *words: str, code: int = 0, to: list[str] | None = None) -> str:
        """All that is said."""
        targets = [word for url in to or [each.url for each in self.hosts] for word in ("--to", url)]
        run = self.hosts[0].root / "run"
        run.mkdir(exist_ok=True)
        done = subprocess.run(
            [*on(self.network.client), *self.engine.nakagin_argv("replicate", *targets, *words)], cwd=self.home,
            env=self.engine.environment({"NAKAGIN_SSH": f"ssh -F {self.config}", "XDG_RUNTIME_DIR": str(run)}),
            capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def await_log(engine: ScratchEngine, container: str, text: str) -> None:
    """Wait until a container has said this and no more."""
    await_until(lambda: engine.docker("logs", container).stdout == text, f"{container} to say {text!r}", 60)


@pytest.fixture
def hosts(engine: ScratchEngine, tmp_path: Path) -> Iterator[Hosts]:
    home = tmp_path / "replicated"
    (home / "mounted").mkdir(parents=True)
    for name, text in {
        "compose.yaml": FILE, "Dockerfile": "FROM busybox\nCOPY code /code\n", "code": "one\n", "password": "secret\n",
        "mounted/page": "page\n", ".dockerignore": "mounted\njunk\n", "junk": "left here",
    }.items():  # fmt: skip
        (home / name).write_text(text)
    with lan() as network:
        places = ((network.host, HOST), (network.far, FAR))
        far = [Machine(host, address, "--insecure-registry", REGISTRY) for host, address in places]
        try:
            for each in far:
                each.start()
            engine.docker("build", "-q", "-t", IMAGE, str(home))
            yield Hosts(home, engine, network, far)
        finally:
            if hasattr(far[0], "ssh"):
                far[0].ssh.end_sharing()
            engine.docker("rmi", "-f", IMAGE, check=None)
            for each in far:
                close_clean(each)


@pytest.mark.root
@pytest.mark.skipif(not os.path.exists(SSHD), reason="needs sshd (Debian: openssh-server)")
def test_two_hosts_get_the_same(hosts: Hosts) -> None:
    told = hosts.replicate()
    for number, host in enumerate(hosts.hosts):
        await_log(hosts.far[number], f"{hosts.home.name}-web-1", "one\nsecret\npage\n")
        assert f"{host.address}:{host.port}: done" in told
    sent = re.findall(r"files: sent (\d+) of (\d+), removed (\d+)", told)
    assert sent == [("7", "7", "0")] * 2, "the junk stays here, what is mounted goes along"
    assert not re.search(r"sent 0B of layers", told)
    replica = hosts.hosts[0].root / "data/nakagin/replicas/replicated"
    assert replica.stat().st_mode & 0o77 == 0
    (replica / "made-there").write_text("own")
    # nothing has changed
    told = hosts.replicate()
    assert re.findall(r"files: sent (\d+) of (\d+), removed (\d+)", told) == [("0", "7", "0")] * 2
    assert told.count("sent 0B of layers") == 2
    # one file more, one less; the command's own failure is told; what a host made itself stays
    (hosts.home / "more").write_text("x")
    (hosts.home / "code").unlink()
    told = hosts.replicate("compose", "exec-nothing", code=1)
    assert re.findall(r"files: sent (\d+) of (\d+), removed (\d+)", told) == [("1", "7", "1")] * 2
    assert told.count("failed: ") == 2
    assert (replica / "made-there").read_text() == "own"
    assert not (replica / "code").exists()
    # one host is not there: the other is done
    down = f"ssh://root@{hosts.hosts[0].address}:1"
    told = hosts.replicate("compose", "down", "-t", "0", to=[down, hosts.hosts[0].url], code=1)
    assert f"{HOST}:1: failed: cannot connect to {HOST}" in told
    assert f"{HOST}:{hosts.hosts[0].port}: done" in told
    assert not hosts.far[0].docker("ps", "-aq").stdout
    assert hosts.far[1].docker("ps", "-q").stdout, "it was not asked"
    hosts.replicate("compose", "down", "-t", "0", to=[hosts.hosts[1].url])
    _by_registry(hosts)


def _by_registry(hosts: Hosts) -> None:
    """What the one host publishes, both run: files, environment and the image that was built."""
    one, two = hosts.far
    shared = hosts.home.parent / "shared"
    shared.mkdir()
    (shared / "compose.yaml").write_text(
        f"services: {{web: {{build: ., image: '{REGISTRY}/shop/published:1', "
        "command: [sh, -c, 'cat /code; echo $$WORD; exec sleep 600'], "
        "env_file: word.env, stop_signal: SIGKILL, network_mode: none}}\n"
    )
    (shared / "Dockerfile").write_text("FROM busybox\nCOPY code /code\n")
    (shared / "code").write_text("published\n")
    (shared / "word.env").write_text("WORD=from the registry\n")
    one.bootstrap_busybox()
    registry = serve_registry(hosts.network.client, str(hosts.home.parent / "registry"), REGISTRY)
    name = f"{REGISTRY}/shop/app:1"
    insecure = ("compose", "--insecure-registry", REGISTRY)
    try:
        project = ("-f", str(shared / "compose.yaml"))
        one.here(*insecure, *project, "build", "-q")
        one.here(*insecure, *project, "publish", "--with-env", name)
        for each in (one, two):
            each.here(*insecure, "-f", f"oci://{name}", "up", "-d")
            await_log(each, "app-web-1", "published\nfrom the registry\n")
            each.here("compose", "-p", "app", "down", "-t", "0")
    finally:
        registry.terminate()
        registry.wait(20)


def test_what_differs(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("1")
    (tmp_path / "link").symlink_to("a/b/c")
    before = listing(str(tmp_path))
    assert sorted(before) == ["a", "a/b", "a/b/c", "link"]
    (tmp_path / "a/b/c").chmod(0o755)
    after = listing(str(tmp_path), lambda path, is_folder: path == "link")
    assert difference(after, before) == Difference(["a/b/c"], ["link"])
    assert difference({}, before).gone == ["link", "a/b/c", "a/b", "a"], "contents first"


@pytest.mark.root
def test_what_is_wrong_is_refused_before_anything_travels(engine: ScratchEngine, tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        done = subprocess.run(
            engine.nakagin_argv("replicate", *words), cwd=tmp_path, env=engine.environment(), capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        return done.stderr

    assert "no host is named" in refused()
    assert "no host to replicate to" in refused("--to", "tcp://somewhere:1")
    assert "no configuration file provided" in refused("--to", "ssh://somewhere")
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: busybox, secrets: [s]}}\nsecrets: {s: {file: ../outside}}"
    )
    assert "lies outside of the project's folder" in refused("--to", "ssh://somewhere")
