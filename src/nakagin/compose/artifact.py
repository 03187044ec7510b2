"""A project as an OCI artifact, in Docker Compose's own form: its files as layers of one small manifest. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nakagin.compose.labels import FOLLOWED
from nakagin.errors import Damaged
from nakagin.spec.digest import digest_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT = "application/vnd.docker.compose.project"
FILE = "application/vnd.docker.compose.file+yaml"
ENV_FILE = "application/vnd.docker.compose.envfile"
EMPTY = "application/vnd.oci.empty.v1+json"
#: Which annotation names the file, by the media type of its layer.
NAMED_BY = {FILE: "com.docker.compose.file", ENV_FILE: "com.docker.compose.envfile"}
#: More bytes than this in one file are no Compose file and no env file.
LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """`files` (Compose's, in order) and `env_files`: relative path → content."""

    files: dict[str, bytes]
    env_files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """A file of an artifact that is to be fetched."""

    path: str
    is_env: bool
    digest: str
    size: int


def pack(artifact: Artifact, created: str) -> tuple[bytes, dict[str, bytes]]:
    """(manifest, blobs by digest). `created` is RFC 3339."""
    blobs: dict[str, bytes] = {digest_of(b"{}"): b"{}"}
    layers: list[dict[str, Any]] = []
    for kind, files in ((FILE, artifact.files), (ENV_FILE, artifact.env_files)):
        for path, content in files.items():
            blobs[digest_of(content)] = content
            annotations = {NAMED_BY[kind]: path, "com.docker.compose.version": FOLLOWED}
            layers.append({**_descriptor(kind, content), "annotations": annotations})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": _descriptor(EMPTY, b"{}"),
        "layers": layers,
        "annotations": {"org.opencontainers.image.created": created},
    }
    return json.dumps(manifest, separators=(",", ":")).encode(), blobs


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def layers_of(manifest: bytes, name: str) -> list[Layer]:
    """What the artifact `name` is made of. A stranger wrote it: Damaged for what is none or leads out of its folder."""
    try:
        document: dict[str, Any] = json.loads(manifest)
        found = [_layer(each, name) for each in document["layers"] if each["mediaType"] in NAMED_BY]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(f"{name} is no Compose project") from None
    if not any(not each.is_env for each in found):
        raise Damaged(f"{name} has no Compose file", hint="`compose publish` makes such artifacts")
    return found


def _layer(layer: Mapping[str, Any], name: str) -> Layer:
    kind = layer["mediaType"]
    path = str(layer["annotations"][NAMED_BY[kind]])
    # CVE-2025-62725: Compose wrote wherever these names pointed.
    if not path or path.startswith("/") or "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise Damaged(f"{name} wants to write {path!r}, outside of its folder")
    size = int(layer["size"])
    if size > LARGEST:
        raise Damaged(f"{name}: {path} has {size} bytes, which no such file has")
    return Layer(path, kind == ENV_FILE, str(layer["digest"]), size)
