"""OCI image documents as they lie on disk and on the wire, Docker's extensions included.

Documents stay plain dicts, because an image is identified by the exact bytes of its config: what is not
understood must survive. These types say which keys are known (OCI image specification v1.1).
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

MEDIA_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEDIA_CONFIG = "application/vnd.oci.image.config.v1+json"
MEDIA_LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
MEDIA_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

MEDIA_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MEDIA_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MEDIA_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MEDIA_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
MEDIA_DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEXES = frozenset({MEDIA_INDEX, MEDIA_DOCKER_LIST})
MANIFESTS = frozenset({MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST})

ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"
ANNOTATION_CONTAINERD_NAME = "io.containerd.image.name"
MEDIA_STATEMENT = "application/vnd.in-toto+json"
ANNOTATION_REFERENCE_TYPE = "vnd.docker.reference.type"
ANNOTATION_REFERENCE_DIGEST = "vnd.docker.reference.digest"
ANNOTATION_PREDICATE_TYPE = "in-toto.io/predicate-type"
ATTESTATION = "attestation-manifest"
"""The reference type of a manifest that has statements about another one (BuildKit, attestation-storage.md)."""

ANNOTATION_CREATED = "org.opencontainers.image.created"

LAYOUT_VERSION = "1.0.0"

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PlatformDocument = TypedDict(
    "PlatformDocument",
    {
        "architecture": str,
        "os": str,
        "os.version": NotRequired[str],
        "os.features": NotRequired[list[str]],
        "variant": NotRequired[str],
    },
)


class Descriptor(TypedDict, total=False):
    """What points at a blob (descriptor.md)."""

    mediaType: str
    digest: str
    size: int
    urls: list[str]
    annotations: dict[str, str]
    data: str
    artifactType: str
    platform: PlatformDocument


class Manifest(TypedDict, total=False):
    """One image for one platform (manifest.md)."""

    schemaVersion: int
    mediaType: str
    artifactType: str
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor
    annotations: dict[str, str]


class Index(TypedDict, total=False):
    """Several manifests (image-index.md)."""

    schemaVersion: int
    mediaType: str
    artifactType: str
    manifests: list[Descriptor]
    subject: Descriptor
    annotations: dict[str, str]


class Healthcheck(TypedDict, total=False):
    """Docker's HEALTHCHECK; durations in nanoseconds."""

    Test: list[str]
    Interval: int
    Timeout: int
    Retries: int
    StartPeriod: int
    StartInterval: int


class ContainerDefaults(TypedDict, total=False):
    """The `config` object: what a container made from the image starts with."""

    User: str
    ExposedPorts: dict[str, dict[str, object]] | None
    Env: list[str] | None
    Entrypoint: list[str] | None
    Cmd: list[str] | None
    Volumes: dict[str, dict[str, object]] | None
    WorkingDir: str
    Labels: dict[str, str] | None
    StopSignal: str
    StopTimeout: int
    ArgsEscaped: bool
    Healthcheck: Healthcheck
    OnBuild: list[str] | None
    Shell: list[str]


class History(TypedDict, total=False):
    """How one layer came to be."""

    created: str
    author: str
    created_by: str
    comment: str
    empty_layer: bool


class RootFS(TypedDict):
    """The layers, bottom first, as digests of their uncompressed tars."""

    type: str
    diff_ids: list[str]


ImageConfig = TypedDict(
    "ImageConfig",
    {
        "created": str | None,
        "author": str,
        "architecture": str,
        "variant": str,
        "os": str,
        "os.version": str,
        "os.features": list[str],
        "config": ContainerDefaults,
        "rootfs": RootFS,
        "history": list[History],
        "comment": str,
        "docker_version": str,
        "parent": str,
    },
    total=False,
)
"""The image configuration (config.md); its digest is the image's ID."""
