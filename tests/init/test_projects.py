"""Real projects: init writes their files, build makes the image, and it answers on its port as an ordinary user.

Made with their own tools from the package indexes, on Debian's packages: minutes, so only with `make projects`. A site
of plain files on a stand-in for its base runs always.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.building.projects import ARCHIVE, NAME
from tests.building.test_projects import network
from tests.engine_fixture import ScratchEngine, await_until
from tests.free_port import free_port
from tests.init.real import PROJECTS, Real, make, tools

pytestmark = [pytest.mark.root, pytest.mark.alone]

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# What the Dockerfiles ask for → what makes Debian's packages look like it.
BASES = {
    "debian:bookworm-slim": "",
    "nginx:1.28-bookworm": "",
    "python:3.11-slim-bookworm": "RUN ln -s /usr/bin/python3 /usr/local/bin/python",
    "node:18-bookworm-slim": "RUN useradd --create-home node",
}


def init(engine: ScratchEngine, folder: Path, *flags: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nakagin.cli", "init", "--yes", *flags, str(folder)],
        capture_output=True, text=True, check=False, env={**os.environ, "NAKAGIN_HOST": engine.host},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def fetched(port: int) -> str:
    """What http://127.0.0.1:PORT/ answers, once it does."""
    found: list[str] = []

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                found.append(answer.read().decode())
        except urllib.error.HTTPError as error:
            found.append(f"{error}\n{error.read().decode()}")
        except OSError:
            return False
        return True

    await_until(answers, f"an answer at port {port}", 90)
    return found[0]


def built_and_used(engine: ScratchEngine, folder: Path, name: str, port: int, *flags: str) -> str:
    """Build, run, and what it answers; it is no root process, and its health check agrees."""
    engine.nakagin("build", "-q", "-t", f"real/{name}", *flags, str(folder), timeout=1500)
    outside = free_port()
    engine.nakagin("run", "-d", "--name", name, "-p", f"127.0.0.1:{outside}:{port}", f"real/{name}")
    try:
        answer = fetched(outside)
        state = json.loads(engine.docker("inspect", name).stdout)[0]
        with open(f"/proc/{state['State']['Pid']}/status", encoding="ascii") as file:
            owner = next(line.split()[1] for line in file if line.startswith("Uid:"))
        assert owner != "0"
        health = "{{.State.Health.Status}}"
        await_until(
            lambda: engine.docker("inspect", "-f", health, name).stdout.strip() == "healthy",
            f"{name} to be healthy",
            90,
        )
        return answer
    finally:
        engine.nakagin("rm", "-f", "-v", name, check=None)
        engine.nakagin("rmi", "-f", f"real/{name}", check=None)


@pytest.fixture(scope="module")
def bases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScratchEngine]:
    """The engine with the base images that are asked for, of Debian's packages and this machine's authorities."""
    if not request.config.getoption("--projects"):
        pytest.skip("takes minutes: --projects")
    if not ARCHIVE.exists():
        pytest.skip("no base image: python -m tests.building.projects makes it")
    tools()
    engine: ScratchEngine = request.getfixturevalue("engine")
    engine.nakagin("load", "-q", "-i", str(ARCHIVE), timeout=300)
    folder = tmp_path_factory.mktemp("bases")
    (folder / "authorities").write_bytes(Path(AUTHORITIES).read_bytes())
    told = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    variables = " ".join(f"{name}={AUTHORITIES}" for name in told)
    for tag, line in BASES.items():
        (folder / "Dockerfile").write_text(
            f"FROM {NAME}\nCOPY authorities {AUTHORITIES}\nENV {variables} UV_NATIVE_TLS=1\n{line}\n"
        )
        engine.nakagin("build", "-q", "-t", tag, str(folder))
    yield engine
    engine.nakagin("rmi", "-f", *BASES, NAME, check=None)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PROJECTS)
def test_a_real_project(bases: ScratchEngine, name: str, tmp_path: Path) -> None:
    project: Real = PROJECTS[name]
    folder = tmp_path / name
    make(folder, project)
    init(bases, folder, *project.flags)
    about = (folder / "README.container.md").read_text()
    assert f"A {project.title} program." in about
    assert project.answer in built_and_used(bases, folder, name, project.port, *network())


def test_a_site_on_a_stand_in(engine: ScratchEngine, tmp_path: Path) -> None:
    """The same way with busybox in nginx's place: as quick as a test of every day has to be."""
    stand_in = tmp_path / "stand-in"
    stand_in.mkdir()
    (stand_in / "Dockerfile").write_text(
        "FROM busybox\nRUN mkdir -p /etc/nginx /usr/share/nginx\n"
        "COPY --chmod=755 <<'EOF' /usr/sbin/nginx\n#!/bin/sh\nread_port='s/.*listen \\([0-9]*\\);/\\1/p'\n"
        'exec httpd -f -p $(sed -n "$read_port" /etc/nginx/nginx.conf) -h /usr/share/nginx/html\nEOF\n'
        "COPY --chmod=755 <<'EOF' /bin/bash\n#!/bin/sh\nexec wget -q -O /dev/null http://127.0.0.1:8085/\nEOF\n"
    )
    engine.nakagin("build", "-q", "-t", "nginx:1.28-bookworm", str(stand_in))
    try:
        folder = tmp_path / "site"
        (folder / "public").mkdir(parents=True)
        (folder / "public" / "index.html").write_text("<h1>a site</h1>\n")
        init(engine, folder, "--port", "8085", "--language", "Static")
        assert built_and_used(engine, folder, "stood-in", 8085) == "<h1>a site</h1>\n"
    finally:
        engine.nakagin("rmi", "-f", "nginx:1.28-bookworm")
