"""Stores of build caches in this process: one of objects, and GitHub's cache service. They check who asks."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.building.vouching import azure_mark, s3_mark


class Server:
    """Listens on loopback while entered. `refused` counts requests whose signature or token was wrong."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refused = 0
        server = self

        class Bound(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, answer = server.answer(self, data)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_HEAD = do_PUT = do_POST = do_any  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def allows(self, request: BaseHTTPRequestHandler, data: bytes) -> bool:
        raise NotImplementedError

    def answer(self, request: BaseHTTPRequestHandler, data: bytes) -> tuple[int, bytes]:
        if not self.allows(request, data):
            self.refused += 1
            return 403, b"who are you?"
        return self.serve(request, data)

    def serve(self, request: BaseHTTPRequestHandler, data: bytes) -> tuple[int, bytes]:
        if request.command == "PUT":
            if not request.path.startswith(("/bkt/", "/account/cached/")):
                return 404, b"no such bucket"
            self.objects[request.path] = data
            return 200, b""
        found = self.objects.get(request.path)
        return (404, b"") if found is None else (200, found)


class S3Server(Server):
    """A bucket "bkt", for the key AKID / SECRET in eu-west-1."""

    def allows(self, request: BaseHTTPRequestHandler, data: bytes) -> bool:
        if request.headers["x-amz-content-sha256"] != hashlib.sha256(data).hexdigest():
            return False
        found = re.search(
            r"SignedHeaders=([^,]+),\s*Signature=(\w+)", request.headers.get("Authorization", "")
        )
        return found is not None and found[2] == s3_mark(
            request.command, request.path, {name: request.headers[name] for name in found[1].split(";")}
        )


class AzureServer(Server):
    """A container "cached" of the account "account", for the key "secret"."""

    def allows(self, request: BaseHTTPRequestHandler, data: bytes) -> bool:
        mark = azure_mark(request.command, request.path, dict(request.headers.items()), len(data))
        return request.headers.get("Authorization") == f"SharedKey account:{mark}"


class ActionsServer(Server):
    """GitHub's cache service, for the token "letmein". Entries never change; those under way are not found."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, str] = {}
        self._begun: dict[str, str] = {}

    def allows(self, request: BaseHTTPRequestHandler, data: bytes) -> bool:
        if request.path.startswith("/signed/"):
            return "Authorization" not in request.headers
        return request.headers.get("Authorization") == "Bearer letmein"

    def serve(self, request: BaseHTTPRequestHandler, data: bytes) -> tuple[int, bytes]:
        if request.path.startswith("/signed/"):
            if request.command == "PUT":
                assert request.headers["x-ms-blob-type"] == "BlockBlob"
                self.objects[request.path] = data
                return 201, b""
            return 200, self.objects[request.path]
        asked = json.loads(data)
        method = request.path.rpartition("github.actions.results.api.v1.CacheService/")[2]
        answer: dict[str, Any] = getattr(self, f"_{method}")(asked["key"], asked)
        return 200, json.dumps(answer).encode()

    def _CreateCacheEntry(self, key: str, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the service's names
        if key in self.entries or key in self._begun:
            return {"ok": False}
        self._begun[key] = f"/signed/{len(self._begun)}"
        return {"ok": True, "signed_upload_url": self.url + self._begun[key]}

    def _FinalizeCacheEntryUpload(self, key: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        path = self._begun[key]
        assert len(self.objects[path]) == int(asked["size_bytes"])
        self.entries[key] = path
        return {"ok": True, "entry_id": "1"}

    def _GetCacheEntryDownloadURL(self, key: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        beginnings = asked.get("restore_keys") or []
        fitting = [each for each in self.entries if any(each.startswith(words) for words in beginnings)]
        for each in (key, *reversed(fitting)):
            if each in self.entries:
                url = self.url + self.entries[each]
                return {"ok": True, "signed_download_url": url, "matched_key": each}
        return {"ok": False}
