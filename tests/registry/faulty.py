"""A small registry in this process that can misbehave on request: cut, stall, lie, refuse, redirect, ask for tokens.

It keeps everything in memory, counts what it sends, and remembers every request.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from tests.registry.made import Made

from nakagin.spec.digest import digest_of

Fault = Callable[["Handler"], bool]
"""Looks at a request before the registry does; True if it has answered."""


class Seen(NamedTuple):
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message


class FaultyRegistry:
    """Listens on loopback while entered. `host` is its address as in references."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.sent = 0
        """Bytes of blobs that went out."""
        self.lock = threading.Lock()
        self.closing = threading.Event()
        registry = self

        class Bound(Handler):
            home = registry

        self.server = ThreadingHTTPServer((address, 0), Bound)
        self.server.daemon_threads = True
        self.host = f"{address}:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def put(self, repository: str, tag: str, image: Made) -> None:
        """Have an image."""
        self.blobs.update(image.blobs)
        self.put_manifest(repository, tag, image.manifest, image.media_type)

    def put_manifest(self, repository: str, tag: str, data: bytes, kind: str) -> None:
        """Have a manifest or index under a tag and its digest."""
        for reference in (tag, digest_of(data)):
            self.manifests[repository, reference] = (kind, data)

    def requests(self, method: str = "", containing: str = "") -> list[Seen]:
        """What was asked so far."""
        with self.lock:
            return [each for each in self.seen if method in ("", each.method) and containing in each.path]

    def reset(self) -> None:
        """Forget what was asked and sent, and all faults."""
        with self.lock:
            self.seen.clear()
            self.sent = 0
        self.faults.clear()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    home: FaultyRegistry
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""

    def _any(self) -> None:
        parts = urlsplit(self.path)
        self.plain, self.query = parts.path, parse_qs(parts.query, keep_blank_values=True)
        with self.home.lock:
            self.home.seen.append(Seen(self.command, self.plain, self.query, self.headers))
        try:
            if not any(fault(self) for fault in list(self.home.faults)):
                self._answer()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - http.server's names

    def body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def reply(
        self,
        status: int,
        data: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        claim: int | None = None,
    ) -> None:
        """A whole answer; `claim` is the Content-Length it states."""
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(data) if claim is None else claim),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
            self.wfile.flush()

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        """An error in the specification's form."""
        body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
        self.reply(status, body, headers)

    def hang_up(self) -> None:
        """Cut the connection."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def _answer(self) -> None:
        words = self.plain.strip("/").split("/")
        if words[:1] != ["v2"]:
            return self.refuse(404, "UNSUPPORTED")
        if len(words) == 1:
            return self.reply(200, b"{}")
        for noun, deed in (("manifests", self._manifest), ("blobs", self._blob), ("tags", self._tags)):
            if noun in words[2:]:
                at = len(words) - 1 - words[::-1].index(noun)
                return deed("/".join(words[1:at]), words[at + 1 :])
        return self.refuse(404, "NAME_UNKNOWN")

    def _manifest(self, repository: str, rest: list[str]) -> None:
        if self.command == "PUT":
            data = self.body()
            self.home.put_manifest(repository, rest[0], data, self.headers["Content-Type"])
            return self.reply(201, headers={"Docker-Content-Digest": digest_of(data)})
        found = self.home.manifests.get((repository, rest[0]))
        if found is None:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        headers = {"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])}
        return self.reply(200, found[1], headers)

    def _tags(self, repository: str, _: list[str]) -> None:
        tags = sorted(tag for name, tag in self.home.manifests if name == repository and ":" not in tag)
        self.reply(200, json.dumps({"name": repository, "tags": tags}).encode())

    def _blob(self, repository: str, rest: list[str]) -> None:
        if rest[0] == "uploads":
            return self._upload(repository, rest[1:])
        data = self.home.blobs.get(rest[0])
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN")
        if self.command == "HEAD":
            return self.reply(200, data)
        begin = self.range_begin()
        self.begin_blob(data, begin)
        return self.send_blob(data[begin:])

    def range_begin(self) -> int:
        """Where the client wants to go on."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])

    def begin_blob(self, data: bytes, begin: int) -> None:
        """The head of a blob's answer."""
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()

    def send_blob(self, data: bytes) -> None:
        """A part of a blob, counted."""
        view = memoryview(data)
        while view:
            piece, view = view[: 1 << 16], view[1 << 16 :]
            self.wfile.write(piece)
            with self.home.lock:
                self.home.sent += len(piece)
        self.wfile.flush()

    def _upload(self, repository: str, rest: list[str]) -> None:
        uploads = self.home.uploads
        if self.command == "POST":
            mount = self.query.get("mount", [""])[0]
            if mount in self.home.blobs:
                return self.reply(201, headers={"Location": f"/v2/{repository}/blobs/{mount}"})
            name = str(len(uploads))
            uploads[name] = bytearray()
            return self.reply(202, headers={"Location": f"/v2/{repository}/blobs/uploads/{name}?state=x"})
        upload = uploads.get(rest[0])
        if upload is None:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        location = {"Location": f"{self.plain}?state=x"}
        if self.command == "GET":
            return self.reply(204, headers={**location, "Range": f"0-{max(len(upload) - 1, 0)}"})
        begin = int(self.headers.get("Content-Range", f"{len(upload)}-").partition("-")[0])
        if begin != len(upload):
            self.body()
            return self.refuse(416, "BLOB_UPLOAD_INVALID")
        left = int(self.headers.get("Content-Length", "0"))
        while left and (piece := self.rfile.read(min(left, 1 << 16))):
            upload += piece
            left -= len(piece)
        if left:
            return self.hang_up()
        if self.command == "PATCH":
            return self.reply(202, headers={**location, "Range": f"0-{max(len(upload) - 1, 0)}"})
        digest = self.query["digest"][0]
        if digest_of(bytes(upload)) != digest:
            return self.refuse(400, "DIGEST_INVALID")
        self.home.blobs[digest] = bytes(upload)
        return self.reply(201, headers={"Location": f"/v2/{repository}/blobs/{digest}"})


# --- Faults


def is_blob(request: Handler) -> bool:
    """Whether the request wants a blob's bytes."""
    return request.command == "GET" and "/blobs/sha256:" in request.plain


def cut_after(counts: list[int]) -> Fault:
    """Cut the connection of each blob request after so many bytes, one count after the other; then behave."""

    def fault(request: Handler) -> bool:
        data = request.home.blobs.get(request.plain.rpartition("/")[2], b"")
        with request.home.lock:
            if not is_blob(request) or not counts or len(data) < 10_000:
                return False
            count = counts.pop(0)
        begin = request.range_begin()
        request.begin_blob(data, begin)
        request.send_blob(data[begin : begin + count])
        request.hang_up()
        return True

    return fault


def stall_once(count: int) -> Fault:
    """Send the first large blob's first bytes, and then nothing more."""
    done: list[int] = []

    def fault(request: Handler) -> bool:
        data = request.home.blobs.get(request.plain.rpartition("/")[2], b"")
        if not is_blob(request) or len(data) < 10_000 or done:
            return False
        done.append(1)
        request.begin_blob(data, request.range_begin())
        request.send_blob(data[:count])
        request.home.closing.wait(30)
        request.hang_up()
        return True

    return fault


def refuse_times(times: int, status: int, code: str, headers: dict[str, str], containing: str = "") -> Fault:
    """Refuse the first requests."""
    left = [times]

    def fault(request: Handler) -> bool:
        if left[0] <= 0 or containing not in request.plain:
            return False
        left[0] -= 1
        request.refuse(status, code, headers)
        return True

    return fault


def answer(containing: str, data: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Fault:
    """Say this and nothing else to requests for a path."""

    def fault(request: Handler) -> bool:
        if containing not in request.plain or request.command == "HEAD":
            return False
        request.reply(status, data, headers)
        return True

    return fault


def unlike(change: Callable[[bytes], bytes]) -> Fault:
    """Send other bytes for large blobs than they are."""

    def fault(request: Handler) -> bool:
        data = request.home.blobs.get(request.plain.rpartition("/")[2], b"")
        if not is_blob(request) or len(data) < 10_000:
            return False
        request.reply(200, change(data))
        return True

    return fault


def ask_basic(name: str, password: str) -> Fault:
    """Let nobody in but this user."""
    import base64

    wanted = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()

    def fault(request: Handler) -> bool:
        if request.headers.get("Authorization") == wanted:
            return False
        request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="test"'})
        return True

    return fault
