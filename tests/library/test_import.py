"""`import` from a URL: the file becomes an image while it arrives, and what goes wrong is told and leaves nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import Popen
from typing import ClassVar

import pytest
from tests.engine_fixture import ScratchEngine
from tests.storage.tars import member, tar

pytestmark = pytest.mark.root

ROOT = tar(member("hello", b"from afar\n"), member("filler", os.urandom(3_000_000)))


class Files(BaseHTTPRequestHandler):
    """A web server that may cut, redirect, or ask for a password."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.seen.append(self.headers.get("Authorization", ""))
        body = gzip.compress(ROOT, 1) if name.endswith(".gz") else ROOT
        if name == "moved":
            self.answer(302, b"", {"Location": "/root.tar"})
        elif name == "circle":
            self.answer(301, b"", {"Location": "/circle"})
        elif name == "elsewhere":
            self.answer(302, b"", {"Location": "file:///etc/passwd"})
        elif name == "closed" and not self.headers.get("Authorization"):
            self.answer(401, b"")
        elif name == "missing":
            self.answer(404, b"")
        elif name == "broken":
            self.answer(200, ROOT[:2_000_000], {"Content-Length": str(len(ROOT))})
            self.close_connection = True
        elif name == "junk":
            self.answer(200, b"<html>not a tar</html>" * 100)
        else:
            self.answer(200, body)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def content(engine: ScratchEngine, image: str) -> str:
    """A file of the image."""
    engine.docker("create", "--name", "look", image, "x")
    try:
        return engine.docker("cp", "look:/hello", "-").stdout
    finally:
        engine.docker("rm", "look")


def test_from_a_url(engine: ScratchEngine, web: str) -> None:
    """API.ImageCreate.fromSrc CLI.import CLI.image_import CLI.import.change CLI.import.message"""
    id = engine.docker("import", "-c", 'CMD ["/x"]', f"http://{web}/root.tar", "afar:1").stdout.splitlines()[
        -1
    ]
    found = engine.client().images.get("afar:1").attrs
    assert found["Id"] == id
    assert found["Config"]["Cmd"] == ["/x"]
    assert found["Comment"] == f"Imported from http://{web}/root.tar"
    said = engine.nakagin("import", "-m", "of mine", f"http://{web}/moved", "afar:2").stdout.splitlines()
    assert said[0] == f"Downloading from http://{web}/moved"
    assert said[-1] == engine.docker("images", "-q", "--no-trunc", "afar:2").stdout.strip()
    assert engine.client().images.get("afar:2").attrs["Comment"] == "of mine"
    engine.docker("rmi", "afar:1", "afar:2")


def test_progress_of_a_compressed_one_and_no_scheme(engine: ScratchEngine, web: str) -> None:
    """docker-py reads the stream; a URL without a scheme is one of http."""
    text = engine.client().api.import_image_from_url(f"{web}/root.tar.gz", repository="afar", tag="3")
    told = [json.loads(line) for line in text.splitlines() if line.strip()]
    bars = [each for each in told if each["status"] == "Importing"]
    assert bars[-1]["progressDetail"]["total"] > 2_900_000
    assert bars[0]["progress"].startswith("[")
    assert told[-1]["status"].startswith("sha256:")
    engine.docker("rmi", "afar:3")


def test_live_bar(engine: ScratchEngine, web: str) -> None:
    """On a terminal, one line that is written over."""
    ours, theirs = pty.openpty()
    argv = engine.nakagin_argv("import", f"http://{web}/root.tar", "afar:4")
    work = Popen(
        argv, env={**engine.environment(), "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = io.BytesIO()
    try:
        while piece := os.read(ours, 4096):
            output.write(piece)
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert work.wait() == 0
    shown = output.getvalue().decode()
    assert shown.startswith("Downloading from")
    assert shown.count("\n") == 3
    bar, id = shown.splitlines()[-2:]
    assert bar.endswith(f"{'━' * 30} 3.01MB/3.01MB\x1b[1B")
    assert id.startswith("sha256:")
    engine.docker("rmi", "afar:4")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing", "there is no such file (status 404)"),
        ("closed", "the server does not let us in (status 401)"),
        ("circle", "redirects more than 10 times"),
        ("elsewhere", "redirects to file:///etc/passwd, which is not followed"),
        ("broken", "was cut"),
        ("junk", "tar"),
    ],
)
def test_what_goes_wrong(engine: ScratchEngine, web: str, place: str, words: str) -> None:
    before = set((engine.data_root / "blobs").rglob("*"))
    refused = engine.docker("import", f"http://{web}/{place}", "nothing:1", check=1)
    assert words in refused.stderr
    assert not engine.docker("images", "-q", "nothing").stdout
    assert set((engine.data_root / "blobs").rglob("*")) <= before
    assert not list((engine.data_root / "tmp").iterdir())


def test_nobody_there_and_nonsense(engine: ScratchEngine) -> None:
    assert "cannot be reached" in engine.docker("import", "http://127.0.0.1:1/x", check=1).stderr
    assert "http:// or https://" in engine.nakagin("import", "ftp://127.0.0.1/x", check=1).stderr


def test_a_password_in_the_url_is_used_and_not_shown(engine: ScratchEngine, web: str) -> None:
    out = engine.docker("import", f"http://me:secret@{web}/closed", "afar:6").stdout
    assert f"Downloading from http://{web}/closed" in out
    assert "secret" not in out
    assert "secret" not in engine.docker("history", "--no-trunc", "afar:6").stdout
    assert Files.seen[-1].startswith("Basic ")
    engine.docker("rmi", "afar:6")
