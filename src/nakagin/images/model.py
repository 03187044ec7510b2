"""What an image is: an immutable config document with layers, known by names.

Values only; `library` makes them and everybody reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.spec.image import MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP, MEDIA_LAYER, MEDIA_LAYER_GZIP
from nakagin.spec.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.spec.digest import ChainID
    from nakagin.spec.image import ContainerDefaults, Healthcheck, History, ImageConfig

_OCI = {MEDIA_DOCKER_LAYER: MEDIA_LAYER, MEDIA_DOCKER_LAYER_GZIP: MEDIA_LAYER_GZIP}
NEVER = "0001-01-01T00:00:00Z"
"""How Go, and therefore Docker, writes a time that is not known."""


class StoredLayer(msgspec.Struct, frozen=True):
    """One layer of an image as it is kept: `digest` and `size` are those of the (perhaps compressed) blob."""

    diff_id: str
    digest: str
    size: int
    media_type: str

    @property
    def oci_type(self) -> str:
        """Its media type in an OCI manifest, also where it came in Docker's form: readers refuse a mixture."""
        return _OCI.get(self.media_type, self.media_type)


class ImageRecord(msgspec.Struct, frozen=True):
    """What the records keep of an image beyond its config blob. Times are RFC 3339 in UTC.

    `boot` is the boot in which it came in, until its blobs are known to be on disk; then "".
    """

    layers: tuple[StoredLayer, ...]
    added: str
    parent: str = ""
    tagged: str = NEVER
    manifests: dict[str, str] = {}
    """Manifest digest -> its media type, for manifests whose bytes are kept as blobs."""
    blobs: tuple[str, ...] = ()
    """The blobs that those manifests name."""
    origins: dict[str, str] = {}
    """Full tag -> the digest of the manifest that it came by, which is the one to push again."""
    used: str = NEVER
    """When a container last started from it."""
    boot: str = ""


class IndexRecord(msgspec.Struct, frozen=True):
    """An index (several platforms of one image) whose bytes are kept as a blob; names may lead to it."""

    media_type: str
    images: dict[str, str] = {}
    """Manifest digest -> image id, for the platforms that are here."""
    blobs: tuple[str, ...] = ()
    """Other blobs to keep for its sake: nested indexes, attestations."""


class Document(NamedTuple):
    """A manifest or index as it came."""

    media_type: str
    data: bytes


class Image(msgspec.Struct, frozen=True):
    """One image: its config as parsed from the bytes that give its ID, and its present names.

    `size` is the sum of its unpacked layers in bytes; `chain_id` names the whole stack (None: no layers).
    """

    id: str
    config: ImageConfig
    record: ImageRecord
    size: int
    chain_id: ChainID | None
    repo_tags: tuple[str, ...] = ()
    """Familiar form, sorted: busybox:latest."""
    repo_digests: tuple[str, ...] = ()
    """Familiar form, sorted: busybox@sha256:..."""
    index: str = ""
    """The digest of the index through which its names lead here; "" where they lead to it alone."""
    secondary: bool = False
    """Whether the names lead to another platform of that index first."""
    damage: str = ""
    """What is lost of it, so that nothing can be started from it; then its `config` may be a stand-in."""

    # --- The document

    @property
    def os(self) -> str:
        return self.config.get("os") or "linux"

    @property
    def architecture(self) -> str:
        return self.config.get("architecture", "")

    @property
    def variant(self) -> str:
        return self.config.get("variant", "")

    @property
    def platform(self) -> Platform:
        return Platform.make(self.os, self.architecture, self.variant, self.config.get("os.version", ""))

    @property
    def created(self) -> str:
        """RFC 3339, as the document says; NEVER where it does not."""
        return self.config.get("created") or NEVER

    @property
    def created_at(self) -> datetime:
        return moment(self.created)

    @property
    def diff_ids(self) -> Sequence[str]:
        """The layers' digests (uncompressed), bottom first."""
        return self.config["rootfs"]["diff_ids"]

    @property
    def history(self) -> Sequence[History]:
        return self.config.get("history") or ()

    @property
    def dangling(self) -> bool:
        """Whether no name leads here."""
        return not self.repo_tags and not self.repo_digests

    # --- What a container made from it starts with

    @property
    def defaults(self) -> ContainerDefaults:
        """The `config` object; may be empty."""
        return self.config.get("config") or {}

    @property
    def entrypoint(self) -> Sequence[str]:
        return self.defaults.get("Entrypoint") or ()

    @property
    def cmd(self) -> Sequence[str]:
        return self.defaults.get("Cmd") or ()

    @property
    def env(self) -> Sequence[str]:
        """NAME=value words."""
        return self.defaults.get("Env") or ()

    @property
    def workdir(self) -> str:
        """An absolute path, or "" (which means /)."""
        return self.defaults.get("WorkingDir", "")

    @property
    def user(self) -> str:
        """user[:group], names or numbers, or "" (which means root)."""
        return self.defaults.get("User", "")

    @property
    def volumes(self) -> Sequence[str]:
        """Paths inside the container."""
        return tuple(self.defaults.get("Volumes") or ())

    @property
    def exposed_ports(self) -> Sequence[str]:
        """Port specifications: 80/tcp."""
        return tuple(self.defaults.get("ExposedPorts") or ())

    @property
    def labels(self) -> Mapping[str, str]:
        return self.defaults.get("Labels") or {}

    @property
    def healthcheck(self) -> Healthcheck | None:
        return self.defaults.get("Healthcheck")

    @property
    def stop_signal(self) -> str:
        """Its name (SIGTERM, TERM) or number, or ""."""
        return self.defaults.get("StopSignal", "")

    @property
    def stop_timeout(self) -> int | None:
        """Seconds, or None."""
        return self.defaults.get("StopTimeout")

    @property
    def shell(self) -> Sequence[str]:
        return self.defaults.get("Shell") or ("/bin/sh", "-c")

    @property
    def onbuild(self) -> Sequence[str]:
        return self.defaults.get("OnBuild") or ()


def moment(text: str) -> datetime:
    """An RFC 3339 time (any number of fraction digits) as a datetime; year 1 where it is unreadable."""
    head, dot, tail = text.replace("Z", "+00:00").replace("z", "+00:00").partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        head += f".{digits[:6]:0<6}" + tail[len(digits) :]
    try:
        found = datetime.fromisoformat(head)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
