"""Images in the words of the Docker Engine API (1.50): ImageInspect and the history list. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nakagin.images.model import NEVER, moment
from nakagin.spec.image import MANIFESTS, MEDIA_CONFIG
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.model import Image


def inspected(image: Image, folders: Sequence[str]) -> dict[str, Any]:
    """ImageInspect; `folders` are the unpacked layers, topmost first."""
    document: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.record.parent,
        "Comment": image.config.get("comment") or _comment(image),
        "Created": image.created,
        "DockerVersion": image.config.get("docker_version", ""),
        "Author": image.config.get("author", ""),
        "Config": _config(image),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": {"Data": _driver(folders), "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": image.record.tagged},
    }
    if image.created == NEVER:
        del document["Created"]
    if image.variant:
        document["Variant"] = image.variant
    if version := image.config.get("os.version"):
        document["OsVersion"] = version
    return document


def descriptor(image: Image, size_of: Callable[[str], int]) -> dict[str, Any]:
    """The OCI descriptor of an image's manifest, or of its config where it came without one."""
    kept = ((digest, kind) for digest, kind in image.record.manifests.items() if kind in MANIFESTS)
    digest, media_type = next(kept, (image.id, MEDIA_CONFIG))
    return {"mediaType": media_type, "digest": digest, "size": size_of(digest)}


def manifest_descriptor(image: Image, size_of: Callable[[str], int]) -> dict[str, Any] | None:
    """Docker's ImageManifestDescriptor: of the image's own manifest, with its platform; None where it has none."""
    found = descriptor(image, size_of)
    return None if found["mediaType"] == MEDIA_CONFIG else {**found, "platform": platform_document(image)}


def platform_document(image: Image) -> dict[str, str]:
    """The platform in a descriptor."""
    variant = {"variant": image.variant} if image.variant else {}
    return {"architecture": image.architecture, "os": image.os, **variant}


def identity(image: Image, builds: Sequence[tuple[str, str]]) -> dict[str, Any] | None:
    """Docker's Identity: the repositories that an image was pulled from or pushed to, and its `builds` (id and
    start, RFC 3339) that are remembered. None where neither is known. Signatures are not verified."""
    repositories = dict.fromkeys(Reference.parse(name).name for name in image.repo_digests)
    found: dict[str, Any] = {
        "Pull": [{"Repository": name} for name in repositories],
        "Build": [{"Ref": ref, "CreatedAt": started} for ref, started in builds],
    }
    return {key: value for key, value in found.items() if value} or None


def _comment(image: Image) -> str:
    return image.history[-1].get("comment", "") if image.history else ""


def _config(image: Image) -> dict[str, Any]:
    """The config with the fields that clients expect to be there even when empty."""
    empty: dict[str, Any] = {
        "User": "", "Env": None, "Cmd": None, "Volumes": None, "WorkingDir": "", "Entrypoint": None,
        "OnBuild": None, "Labels": None,
    }  # fmt: skip
    return {**empty, **image.defaults}


def _driver(folders: Sequence[str]) -> dict[str, str]:
    if not folders:
        return {}
    data = {"UpperDir": folders[0]}
    if len(folders) > 1:
        data["LowerDir"] = ":".join(folders[1:])
    return data


def history(image: Image, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The history, newest first; `sizes` are those of the layers, bottom first."""
    remaining = list(sizes)
    lines: list[dict[str, Any]] = []
    for step in image.history:
        empty = step.get("empty_layer", False)
        size = remaining.pop(0) if not empty and remaining else 0
        created = moment(step.get("created") or NEVER)
        lines.append(
            {
                "Id": "<missing>",
                "Created": int(created.timestamp()),
                "CreatedBy": step.get("created_by", ""),
                "Tags": None,
                "Size": size,
                "Comment": step.get("comment", ""),
            }
        )
    lines.reverse()
    if lines:
        lines[0] |= {"Id": image.id, "Tags": list(image.repo_tags) or None}
    return lines
