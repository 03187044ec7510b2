"""A base image that its registry gives to nobody but those it knows: every kind of client brings its credentials."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from tests.engine_fixture import ScratchEngine
from tests.registry.server.box import Served, served

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("private")
    (folder / "htpasswd").write_text(f"anna:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    with served(folder / "root", auth={"htpasswd": str(folder / "htpasswd")}) as found:
        yield found


@pytest.fixture
def base(engine: ScratchEngine, private: Served, tmp_path: Path) -> Iterator[str]:
    """An image at the registry that is not here, and a Docker configuration that has the password."""
    name = f"{private.address}/private/base:1"
    config = Path(engine.environment()["DOCKER_CONFIG"]) / "config.json"
    config.parent.mkdir(exist_ok=True)
    auth = base64.b64encode(b"anna:secret").decode()
    config.write_text(json.dumps({"auths": {private.address: {"auth": auth}}}))
    engine.nakagin("tag", "busybox", name)
    engine.nakagin("push", "-q", name)
    engine.nakagin("rmi", name)
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\nRUN true\n")
    (tmp_path / "compose.yaml").write_text("services: {app: {image: of-private, build: .}}\n")
    yield name
    config.unlink()
    engine.nakagin("rmi", "-f", name, check=None)


@pytest.mark.parametrize("which", ["nakagin", "docker", "compose"])
def test_credentials_come_with_the_build(
    engine: ScratchEngine, base: str, tmp_path: Path, which: str
) -> None:
    """DF.from.auth"""
    if which == "compose":
        program = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if program is None:
            pytest.skip("no Compose: make setup-test installs it")
        argv = [program, "--project-directory", str(tmp_path), "build"]
    else:
        argv = getattr(engine, f"{which}_argv")("build", "-t", "of-private", str(tmp_path))
    environment = engine.environment()
    environment.pop("DOCKER_BUILDKIT", None)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert base in engine.nakagin("images", "--format", "{{.Repository}}:{{.Tag}}").stdout
    engine.nakagin("rmi", "of-private")


def test_without_them_it_is_told(engine: ScratchEngine, base: str, tmp_path: Path) -> None:
    (Path(engine.environment()["DOCKER_CONFIG"]) / "config.json").write_text("{}")
    refused = engine.nakagin("build", str(tmp_path), check=1)
    assert f"the image {base} is not here and cannot be pulled" in refused.stderr
