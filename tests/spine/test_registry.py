"""Our engine and docker's command line with our own registry: push, pull, mount, delete, password."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import bcrypt
import pytest
from tests.engine_fixture import ScratchEngine
from tests.registry.server.box import served

pytestmark = pytest.mark.root


def test_push_and_pull(engine: ScratchEngine, tmp_path: Path) -> None:
    name = f"app{secrets.token_hex(3)}"
    with served(tmp_path) as registry:
        there = f"{registry.address}/{name}"
        before = json.loads(engine.docker("image", "inspect", "busybox").stdout)[0]
        engine.docker("tag", "busybox", f"{there}:v1")
        engine.docker("push", f"{there}:v1")
        manifest = registry.get(f"/v2/{name}/manifests/v1", Accept="*/*")
        assert manifest.json["config"]["digest"] == before["Id"]
        assert registry.get(f"/v2/{name}/blobs/{before['Id']}").status == 200
        # A second repository gets its layers by mounting them.
        engine.docker("tag", "busybox", f"{there}/again:v1")
        engine.docker("push", f"{there}/again:v1")
        assert registry.get(f"/v2/{name}/again/manifests/v1", Accept="*/*").body == manifest.body
        engine.docker("rmi", f"{there}:v1", f"{there}/again:v1")
        engine.docker("pull", f"{there}:v1")
        after = json.loads(engine.docker("image", "inspect", f"{there}:v1").stdout)[0]
        assert after["Id"] == before["Id"]
        assert f"{there}@{manifest.headers['docker-content-digest']}" in after["RepoDigests"]
        words = engine.docker("run", "--rm", "--network", "none", f"{there}:v1", "echo", "back").stdout
        assert words == "back\n"
        engine.docker("rmi", "-f", f"{there}:v1")


def test_log_in(engine: ScratchEngine, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"anna:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    name = f"app{secrets.token_hex(3)}"
    with served(tmp_path / "root", auth={"htpasswd": str(users)}) as registry:
        there = f"{registry.address}/{name}:v1"
        engine.docker("tag", "busybox", there)
        refused = engine.docker("push", there, check=1)
        assert "auth" in (refused.stdout + refused.stderr).lower()
        login = ("login", "-u", "anna", "--password-stdin", registry.address)
        engine.docker(*login, stdin="wrong", check=1)
        engine.docker(*login, stdin="secret")
        engine.docker("push", there)
        engine.docker("rmi", there)
        engine.docker("pull", there)
        engine.docker("logout", registry.address)
        engine.docker("rmi", there)
