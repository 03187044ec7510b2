"""A small engine of paper for the command line: it answers with canned documents and remembers what it was asked."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from nakagin import errors

ID = "a" * 64
Answer = tuple[int, object]


class PaperEngine:
    """Answers Docker's API on 127.0.0.1. `answers` maps "GET /containers/json" to (status, document)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.answers: dict[str, Answer] = {
            "POST /containers/create": (201, {"Id": ID, "Warnings": []}),
            f"POST /containers/{ID}/start": (204, None),
        }
        engine = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Be quiet."""

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status, document = engine.answer(self.command, self.path, self.rfile.read(length))
                body = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Api-Version", "1.50")
                self.send_header("Ostype", "linux")
                self.send_header("Content-Type", "application/json")
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = handle_any  # noqa: N815

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.host = f"tcp://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Remember the request; the canned answer, or 404."""
        path = target.partition("?")[0]
        if path == "/_ping":
            return 200, "OK"
        path = "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
        self.requests.append((method, target, body))
        return self.answers.get(f"{method} {path}", (404, {"message": f"no such thing: {path}"}))

    def body(self) -> Any:
        """The JSON body of the last request that had one."""
        return json.loads(next(body for _, _, body in reversed(self.requests) if body))

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def paper() -> Iterator[PaperEngine]:
    """A paper engine of the test's own."""
    engine = PaperEngine()
    yield engine
    engine.close()


def environment(host: str) -> dict[str, str]:
    """What both command lines get: the same engine, the same time zone, no configuration."""
    source = os.path.dirname(os.path.dirname(os.path.abspath(errors.__file__)))
    kept = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": source}
    fixed = {"HOME": "/proc/none", "TZ": "UTC", "PRESENT": "here", "LANG": "C.UTF-8"}
    return {**kept, **fixed, "DOCKER_HOST": host}


def nakagin(host: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run our command line as a process of its own."""
    command = [sys.executable, "-c", "from nakagin.cli.main import main; main()", *words]
    return _run(command, environment(host), options)


def docker(host: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the original."""
    path = shutil.which("docker", path="/usr/local/bin:" + os.environ.get("PATH", ""))
    assert path
    return _run([path, *words], environment(host), options)


def _run(
    command: Sequence[str], variables: Mapping[str, str], options: Any
) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, **options} if "input" not in options else options
    return subprocess.run(
        command, env=dict(variables), capture_output=True, text=True, timeout=60, check=False, **options
    )


def docker_version() -> str:
    """The first words of `docker --version`, or nothing."""
    path = shutil.which("docker", path="/usr/local/bin:" + os.environ.get("PATH", ""))
    if path is None:
        return ""
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout


needs_docker_28 = pytest.mark.skipif(
    "version 28." not in docker_version(), reason="compares with docker's command line 28, which is not here"
)
