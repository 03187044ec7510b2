"""The peers of the transfer tests: Debian's docker-registry as a child process, and skopeo and podman as commands."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.engine_fixture import await_until
from tests.free_port import free_port

from nakagin.registry.model import ACCEPTED


class LocalRegistry:
    """docker-registry on loopback, with a folder of its own; while entered, `host` is its address."""

    def __init__(self, *, users: str = "", certificate: str = "", key: str = "", clients: str = "") -> None:
        """`users` is the text of an htpasswd file; the rest are paths of PEM files (`clients`: an authority)."""
        self.folder = Path(tempfile.mkdtemp(prefix="nk-registry-", dir="/var/tmp"))
        self.host = f"127.0.0.1:{free_port()}"
        self.scheme = "https" if certificate else "http"
        http: dict[str, Any] = {"addr": self.host, "secret": "s"}
        if certificate:
            http["tls"] = {"certificate": certificate, "key": key}
            if clients:
                http["tls"]["clientcas"] = [clients]
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data")},
                "delete": {"enabled": True},
            },
            "http": http,
        }
        if users:
            (self.folder / "users").write_text(users)
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self.folder / "users")}}
        (self.folder / "config.yml").write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self.folder / "config.yml")], stdout=log, stderr=log
            )
        address, _, port = self.host.partition(":")

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((address, int(port))) == 0

        await_until(listens, "docker-registry")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder)

    def manifest(self, repository: str, reference: str) -> bytes:
        """The bytes of a manifest, as the registry has them."""
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/{reference}")
        request.add_header("Accept", ", ".join(ACCEPTED))
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def layers(self, repository: str, reference: str) -> list[str]:
        """The digests of an image's layers."""
        return [layer["digest"] for layer in json.loads(self.manifest(repository, reference))["layers"]]


def skopeo_copy(source: str, target: str, *options: str) -> None:
    """`skopeo copy` without TLS."""
    run(
        "skopeo",
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        *options,
        source,
        target,
    )


def run(
    *argv: str, check: bool = True, stdin: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command; AssertionError with its output where it fails."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=120, check=False, input=stdin, env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done


def unique(word: str = "x") -> str:
    """A repository's name that no other test has."""
    return f"{word}-{secrets.token_hex(4)}"
