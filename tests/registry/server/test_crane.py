"""The sequences of requests that crane (go-containerregistry) sends: push, pull, copy, tag, ls, catalog, digest,
delete, referrers, with and without tokens. The tool itself is a Go program that cannot be had here."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import bcrypt
import pytest
from tests.registry.server.box import Answer, Image, Served, descriptor, digest_of, make_image, make_index
from tests.registry.server.pki import write_key

from nakagin.spec.image import INDEXES, MANIFESTS, MEDIA_INDEX, MEDIA_MANIFEST

pytestmark = pytest.mark.root

ACCEPT = ",".join((*sorted(MANIFESTS), *sorted(INDEXES)))


class Crane:
    """One client: it pings once, gets tokens as it is challenged, and sends blobs as PATCH and PUT."""

    def __init__(self, registry: Served, user: str = "", password: str = "") -> None:
        self.registry = registry
        self.user, self.password = user, password
        self.bearer = self.identity = self.realm = self.service = ""
        self.scopes: list[str] = []
        self.sent: list[str] = []
        ping = registry.ask("GET", "/v2/", headers={"User-Agent": "crane go-containerregistry"})
        assert ping.status in (200, 401)
        if ping.status == 401:
            self.realm, self.service = re.findall(r'="([^"]*)"', ping.headers["www-authenticate"])[:2]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        names |= {"User-Agent": "crane", "Accept-Encoding": "gzip"}
        for last in (False, True):
            if self.realm:
                names["Authorization"] = f"Bearer {self.bearer}"
            answer = self.registry.ask(method, path, body() if callable(body) else body, names)
            self.sent.append(f"{method} {path.partition('?')[0]}")
            if answer.status != 401 or last or not self.realm:
                return answer
            self.scopes[:0] = re.findall(r'scope="([^"]*)"', answer.headers["www-authenticate"])
            self._refresh()
        raise AssertionError("unreachable")

    def _refresh(self) -> None:
        """GET with the password, or POST with a refresh token, once there is one."""
        path = urlsplit(self.realm).path
        if self.identity:
            form = {"scope": " ".join(self.scopes), "service": self.service, "client_id": "go-containerregistry",
                    "grant_type": "refresh_token", "refresh_token": self.identity}  # fmt: skip
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self.registry.ask("POST", path, urlencode(form).encode(), kind)
        else:
            pairs = [("scope", scope) for scope in self.scopes] + [("service", self.service)]
            secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers = {"Authorization": f"Basic {secret}"} if self.user else {}
            answer = self.registry.ask("GET", f"{path}?{urlencode(pairs)}", headers=headers)
        assert answer.status == 200, answer
        self.bearer = answer.json.get("access_token") or answer.json["token"]

    # --- Writing

    def upload(self, repository: str, data: bytes, *, source: str = "", chunked: bool = False) -> str:
        """A blob: exists | mounted | pushed."""
        digest = digest_of(data)
        if not chunked and self.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return "exists"
        query = (
            f"?from={quote(source, '')}&mount={quote(digest, '')}&origin=registry.example" if source else ""
        )
        begun = self.ask("POST", f"/v2/{repository}/blobs/uploads/{query}", Content_Type="application/json")
        if begun.status == 201:
            return "mounted"
        assert begun.status == 202
        kind = "application/octet-stream"

        def pieces() -> Iterator[bytes]:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]

        patched = self.ask("PATCH", self.next(begun), pieces if chunked else data, Content_Type=kind)
        assert patched.status in (201, 202, 204)
        place = self.next(patched)
        place += ("&" if "?" in place else "?") + f"digest={quote(digest, '')}"
        done = self.ask("PUT", place, Content_Type=kind, Content_Length="0")
        assert done.status == 201, done
        return "pushed"

    def next(self, answer: Answer) -> str:
        parts = urlsplit(urljoin(f"http://{self.registry.address}/", answer.headers["location"]))
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def put(self, repository: str, reference: str, data: bytes, kind: str = MEDIA_MANIFEST) -> None:
        """A manifest: asked for before it is sent; with a subject, the referrers' API is looked for."""
        self.ask("HEAD", f"/v2/{repository}/manifests/{reference}", Accept=kind)
        answer = self.ask("PUT", f"/v2/{repository}/manifests/{reference}", data, Content_Type=kind)
        assert answer.status in (200, 201, 202), answer
        if subject := json.loads(data).get("subject"):
            found = self.ask("GET", f"/v2/{repository}/referrers/{subject['digest']}", Accept=MEDIA_INDEX)
            assert found.status == 200

    def push(self, repository: str, tag: str, image: Image, *, source: str = "") -> list[str]:
        outcomes = [self.upload(repository, data, source=source) for data in (*image.layers, image.config)]
        self.put(repository, tag, image.manifest, image.media_type)
        return outcomes

    # --- Reading

    def manifest(self, repository: str, reference: str) -> bytes:
        answer = self.ask("GET", f"/v2/{repository}/manifests/{reference}", Accept=ACCEPT)
        assert answer.status == 200, answer
        assert answer.headers["docker-content-digest"] == digest_of(answer.body)
        assert answer.headers["content-type"] == json.loads(answer.body)["mediaType"]
        return answer.body

    def pull(self, repository: str, reference: str) -> list[bytes]:
        """The manifest, the config, then the layers; sizes are those that the manifest says."""
        document = json.loads(data := self.manifest(repository, reference))
        found = [data]
        for each in (document["config"], *document["layers"]):
            answer = self.ask("GET", f"/v2/{repository}/blobs/{each['digest']}")
            assert (answer.status, int(answer.headers["content-length"])) == (200, each["size"])
            assert digest_of(answer.body) == each["digest"]
            found.append(answer.body)
        return found

    def pages(self, path: str, member: str) -> list[str]:
        """All pages of a list, by their Link headers."""
        found: list[str] = []
        while path:
            answer = self.ask("GET", path, Accept="application/json")
            assert answer.status == 200, answer
            found += answer.json[member] or []
            link = re.match(r"<([^>]*)>", answer.headers.get("link", ""))
            path = link[1] if link else ""
        return found


def test_push_and_pull(registry: Served, name: str) -> None:
    crane, image = Crane(registry), make_image(3)
    assert crane.push(name, "v1", image) == ["pushed"] * 4
    assert crane.pull(name, "v1") == [image.manifest, image.config, *image.layers]
    head = crane.ask("HEAD", f"/v2/{name}/manifests/v1", Accept=ACCEPT)  # crane digest
    assert head.headers["docker-content-digest"] == image.digest
    assert int(head.headers["content-length"]) == len(image.manifest)
    assert head.headers["content-type"] == MEDIA_MANIFEST
    crane.sent.clear()
    assert crane.push(name, "v1", image) == ["exists"] * 4
    assert not [each for each in crane.sent if each.startswith(("POST", "PATCH"))]


def test_a_streamed_layer(registry: Served, name: str) -> None:
    """stream.Layer: neither digest nor length are known before the last byte."""
    crane, data = Crane(registry), b"streamed" * 5000
    assert crane.upload(name, data, chunked=True) == "pushed"
    assert crane.ask("GET", f"/v2/{name}/blobs/{digest_of(data)}").body == data


def test_copy_mounts_and_copies_indexes(registry: Served, name: str) -> None:
    crane, one, two = Crane(registry), make_image(), make_image()
    crane.push(f"{name}/from", "one", one)
    crane.push(f"{name}/from", "two", two)
    index = make_index(one, two)
    crane.put(f"{name}/from", "all", index, MEDIA_INDEX)
    # crane copy: children first, each blob mounted, then the index under its tag.
    for image in (one, two):
        for data in (*image.layers, image.config):
            assert crane.upload(f"{name}/to", data, source=f"{name}/from") == "mounted"
        crane.put(f"{name}/to", image.digest, image.manifest)
    crane.put(f"{name}/to", "all", index, MEDIA_INDEX)
    assert crane.manifest(f"{name}/to", "all") == index
    assert crane.pull(f"{name}/to", two.digest)[0] == two.manifest
    # A source that has not the blob is no obstacle.
    assert crane.upload(f"{name}/to", b"new", source=f"{name}/nowhere") == "pushed"


def test_tag_ls_catalog_delete(registry: Served, name: str) -> None:
    crane, image = Crane(registry), make_image()
    crane.push(name, "v0", image)
    for number in range(1, 6):  # crane tag
        crane.put(name, f"v{number}", crane.manifest(name, "v0"))
    assert crane.pages(f"/v2/{name}/tags/list?n=2", "tags") == [f"v{number}" for number in range(6)]
    assert name in crane.pages("/v2/_catalog?n=3", "repositories")
    assert crane.ask("DELETE", f"/v2/{name}/manifests/v3").status == 202
    assert "v3" not in crane.pages(f"/v2/{name}/tags/list?n=1000", "tags")
    assert crane.ask("DELETE", f"/v2/{name}/manifests/{image.digest}").status == 202
    crane.ask("GET", f"/v2/{name}/manifests/v1", Accept=ACCEPT).fails(404, "MANIFEST_UNKNOWN")


def test_referrers(registry: Served, name: str) -> None:
    crane, image = Crane(registry), make_image()
    crane.push(name, "v1", image)
    kind = "application/vnd.example.sbom"
    proof = make_image(1, subject=descriptor(image.manifest, MEDIA_MANIFEST), artifactType=kind)
    crane.push(name, proof.digest, proof)
    found = crane.ask(
        "GET", f"/v2/{name}/referrers/{image.digest}?artifactType={quote(kind, '')}", Accept=MEDIA_INDEX
    )
    assert found.headers["content-type"] == MEDIA_INDEX
    assert [each["digest"] for each in found.json["manifests"]] == [proof.digest]
    # Nobody's referrers are an empty index, no 404.
    assert crane.ask("GET", f"/v2/{name}/referrers/{digest_of(b'x')}").json["manifests"] == []


def test_with_tokens(own: Callable[..., Served], tmp_path: Path) -> None:
    """Scopes grow with the challenges, over repositories; a refresh token does instead of the password."""
    write_key(tmp_path / "signing.pem")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"anna:{hashed}\n")
    registry = own(
        auth={"htpasswd": str(tmp_path / "users"), "token": {"signing_key": str(tmp_path / "signing.pem")}}
    )
    crane, image = Crane(registry, "anna", "secret"), make_image()
    assert crane.push("team/app", "v1", image) == ["pushed"] * 3
    assert crane.push("team/copy", "v1", image, source="team/app") == ["mounted"] * 3
    assert {scope.split(":")[1] for scope in crane.scopes} == {"team/app", "team/copy"}
    secret = base64.b64encode(b"anna:secret").decode()
    offline = registry.ask("GET", "/token?offline_token=true", headers={"Authorization": f"Basic {secret}"})
    later = Crane(registry)
    later.identity = offline.json["refresh_token"]
    assert later.pull("team/copy", "v1")[0] == image.manifest
    assert later.pages("/v2/team/app/tags/list?n=1000", "tags") == ["v1"]
    nobody = Crane(registry)
    nobody.ask("GET", "/v2/team/app/manifests/v1", Accept=ACCEPT).fails(401, "UNAUTHORIZED")
