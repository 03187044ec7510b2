"""A registry in a thread of the test, a client that speaks raw HTTP to it, and images to push."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import secrets
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nakagin.registry.server.service import Service
from nakagin.registry.server.settings import settings_of
from nakagin.spec.image import MEDIA_CONFIG, MEDIA_INDEX, MEDIA_LAYER, MEDIA_MANIFEST

DEADLINE = 20.0


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Answer(NamedTuple):
    """A whole answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The specification's error code."""
        (error,) = self.json["errors"]
        assert isinstance(error["message"], str)
        return str(error["code"])

    def fails(self, status: int, code: str) -> None:
        """Assert an error."""
        assert (self.status, self.code) == (status, code), self
        assert self.headers["content-type"] == "application/json"


class Image(NamedTuple):
    """An image as bytes."""

    config: bytes
    layers: tuple[bytes, ...]
    manifest: bytes
    media_type: str = MEDIA_MANIFEST

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return (self.config, *self.layers)


def descriptor(data: bytes, media_type: str, algorithm: str = "sha256") -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data)}


def make_image(layers: int = 2, size: int = 2000, *, algorithm: str = "sha256", **more: Any) -> Image:
    """An image of random layers; `more` are further members of its manifest."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "nonce": secrets.token_hex(8)}).encode()
    contents = tuple(secrets.token_bytes(size) for _ in range(layers))
    document = {
        "schemaVersion": 2,
        "mediaType": MEDIA_MANIFEST,
        "config": descriptor(config, MEDIA_CONFIG, algorithm),
        "layers": [descriptor(each, MEDIA_LAYER, algorithm) for each in contents],
        **more,
    }
    return Image(config, contents, json.dumps(document, indent=3).encode())


def make_index(*images: Image, **more: Any) -> bytes:
    """An index of manifests."""
    manifests = [descriptor(each.manifest, each.media_type) for each in images]
    return json.dumps({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": manifests, **more}).encode()


class Client:
    """Requests as a registry client makes them, one connection each."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls
        self.headers: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        if self.tls is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=DEADLINE, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request. A body that is an iterator is sent chunked."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers={**self.headers, **(headers or {})})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})

    # --- What clients do

    def begin(self, name: str = "app") -> str:
        """Open a session; its location."""
        answer = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, answer
        return answer.headers["location"]

    def push_blob(self, data: bytes, name: str = "app", algorithm: str = "sha256") -> str:
        digest = digest_of(data, algorithm)
        location = self.begin(name)  # other registries keep their state in its query
        answer = self.ask("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest}", data)
        assert answer.status == 201, answer
        assert answer.headers["docker-content-digest"] == digest
        return digest

    def push_manifest(
        self, data: bytes, reference: str = "", name: str = "app", media_type: str = MEDIA_MANIFEST
    ) -> Answer:
        path = f"/v2/{name}/manifests/{reference or digest_of(data)}"
        return self.ask("PUT", path, data, {"Content-Type": media_type})

    def push(self, image: Image, tag: str = "latest", name: str = "app", algorithm: str = "sha256") -> str:
        """All of an image; its digest."""
        for data in image.blobs:
            self.push_blob(data, name, algorithm)
        answer = self.push_manifest(image.manifest, tag, name)
        assert answer.status == 201, answer
        return answer.headers["docker-content-digest"]

    def check(self, image: Image, reference: str = "", name: str = "app", algorithm: str = "sha256") -> None:
        """Assert that all of the image is there, byte for byte."""
        manifest = self.get(f"/v2/{name}/manifests/{reference or image.digest}")
        assert (manifest.status, manifest.body) == (200, image.manifest), manifest
        for data in image.blobs:
            answer = self.get(f"/v2/{name}/blobs/{digest_of(data, algorithm)}")
            assert (answer.status, answer.body) == (200, data)


class Served(Client):
    """A registry that runs in a thread until it is closed."""

    def __init__(self, root: Path, document: Mapping[str, Any], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(0, tls)
        settings = {"listen": ["127.0.0.1:0"], "root": str(root), "gc": {"interval": "", "grace": "0s"}}
        self.settings = settings_of({**settings, **document})
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Served:
        self._thread.start()
        assert self._ready.wait(DEADLINE)
        if self._failure is not None:
            raise self._failure
        return self

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 -- told by start
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with Service(self.settings) as service:
            self.service = service
            self.port = service.addresses[0][1]
            self._ready.set()
            await self._stop.wait()

    def close(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure


@contextmanager
def served(root: Path, context: ssl.SSLContext | None = None, **document: Any) -> Iterator[Served]:
    """A registry with these settings, while the context lasts."""
    registry = Served(root, document, context).start()
    try:
        yield registry
    finally:
        registry.close()
