"""Projects in a registry: what we publish the Compose binary runs, and the other way round."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.compose.artifact import Artifact, Layer, layers_of, pack
from nakagin.errors import Damaged
from tests.compose.corpus import binary
from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine, await_until
from tests.registry.server.box import Served, served
from tests.registry.server.pki import Authority

FILE = """
services:
  app:
    image: busybox
    command: sh -c 'echo $$WORD ${TAIL:-none}; exec sleep 600'
    stop_signal: SIGKILL
    network_mode: none
    env_file: words.env
"""


class Shelf:
    """A registry with TLS that both clients trust, and a project's folder."""

    def __init__(self, registry: Served, stack: Stack, trusted: Path) -> None:
        self.stack, self.home = stack, stack.home
        self.name = f"127.0.0.1:{registry.port}/shelf/{stack.name}:1"
        self._environment = {"SSL_CERT_FILE": str(trusted), "XDG_CACHE_HOME": str(stack.home / "cache")}

    def ours(self, *words: str, code: int = 0, at: str = ".") -> str:
        return self._run(self.stack.engine.nakagin_argv("compose", *words), code, at)

    def theirs(self, *words: str, at: str = ".") -> str:
        return self._run([binary(), *words], 0, at)

    def _run(self, argv: list[str], code: int, at: str) -> str:
        done = subprocess.run(
            argv, cwd=self.home / at, env=self.stack.engine.environment(self._environment), capture_output=True,
            text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr


@pytest.fixture
def shelf(engine: ScratchEngine, tmp_path: Path) -> Iterator[Shelf]:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    trusting = ssl.create_default_context(cafile=str(authority.path))
    home = tmp_path / f"p{os.urandom(3).hex()}"
    (home / "elsewhere").mkdir(parents=True)
    stack = Stack(engine, home)
    (home / "compose.yaml").write_text(FILE)
    (home / "words.env").write_text("WORD=hello\n")
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    with served(tmp_path / "root", trusting, tls=tls) as registry:
        yield Shelf(registry, stack, authority.path)


@pytest.mark.root
def test_a_published_project_runs_elsewhere(shelf: Shelf) -> None:
    assert "--with-env publishes them all the same" in shelf.ours("publish", shelf.name, code=1)
    (shelf.home / ".env").write_text("TAIL=world\n")
    assert "DRY-RUN" in shelf.ours("publish", "--with-env", "--dry-run", shelf.name)
    assert "manifest unknown" in shelf.ours("-f", f"oci://{shelf.name}", "config", code=1)
    digest = shelf.ours("publish", "--with-env", shelf.name).strip()
    where = f"oci://{shelf.name.removesuffix(':1')}@{digest}"
    # elsewhere, by its digest: the project's name is the repository's
    shelf.ours("-f", where, "up", "-d", at="elsewhere")
    logs = ("-f", where, "logs", "--no-log-prefix")
    await_until(lambda: "hello world" in shelf.ours(*logs, at="elsewhere"), "what was published to speak")
    assert shelf.stack.states() == {"app-1": "running"}
    shelf.ours("-f", where, "down", "-t", "0", at="elsewhere")
    assert not shelf.stack.left()
    shown = json.loads(shelf.theirs("-f", f"oci://{shelf.name}", "config", "--format", "json"))
    assert shown["services"]["app"]["environment"] == {"WORD": "hello"}


@pytest.mark.root
def test_what_the_binary_publishes_we_run(shelf: Shelf) -> None:
    shelf.theirs("publish", "-y", "--with-env", shelf.name)
    shown = json.loads(shelf.ours("-f", f"oci://{shelf.name}", "config", "--format", "json", at="elsewhere"))
    assert shown["services"]["app"]["environment"] == {"WORD": "hello"}


@pytest.mark.root
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("services: {a: {build: .}}", "has a build section but no image"),
        ("services: {a: {image: b, volumes: ['./x:/x']}}", "does not go along"),
        ("include: [other.yaml]\nservices: {a: {image: b}}", "include names further files"),
        ("services: {a: {extends: {file: other.yaml, service: o}}}", "extends names further files"),
        ("services: {a: {image: b, env_file: ../outside.env}}", "lies outside of the project's folder"),
    ],
)
def test_what_cannot_live_elsewhere_is_refused(
    engine: ScratchEngine, tmp_path: Path, text: str, told: str
) -> None:
    home = tmp_path / "refused"
    home.mkdir()
    stack = Stack(engine, home)
    (home / "compose.yaml").write_text(text)
    (home / "other.yaml").write_text("services: {o: {image: o}}")
    (tmp_path / "outside.env").write_text("A=b")
    assert told in stack.ours("publish", "--with-env", "127.0.0.1:1/nothing:1", code=1)


def test_an_artifact_has_all_files_in_order() -> None:
    manifest, blobs = pack(
        Artifact({"b.yaml": b"1", "a.yaml": b"2"}, {"x/.env": b"3"}), "2026-01-01T00:00:00Z"
    )
    layers = layers_of(manifest, "it")
    assert [(each.path, each.is_env, blobs[each.digest]) for each in layers] == [
        ("b.yaml", False, b"1"), ("a.yaml", False, b"2"), ("x/.env", True, b"3"),
    ]  # fmt: skip
    assert isinstance(layers[0], Layer)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "", "a//b"])
def test_an_artifact_cannot_write_outside_of_its_folder(path: str) -> None:
    """CVE-2025-62725."""
    manifest, _ = pack(Artifact({"compose.yaml": b"1"}, {path: b"2"}), "2026-01-01T00:00:00Z")
    with pytest.raises(Damaged, match="outside of its folder"):
        layers_of(manifest, "it")
