"""Images going straight from one engine to another: what there is, what is missing, and taking it in.

    sender: offer ──► receiver: missing ──► blobs that are missing, each from where it was left off ──► take in

A layer that the receiver has as another blob (compressed in another way) counts as there: images are named by
their config, which names layers by their plain content.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.errors import Damaged, Invalid
from nakagin.images import intake
from nakagin.images.model import StoredLayer
from nakagin.images.platforms import gather
from nakagin.registry.model import Descriptor, Index, Manifest, decode
from nakagin.spec.digest import chain_ids, digest_of, is_digest
from nakagin.spec.docker import Document
from nakagin.spec.image import MANIFESTS
from nakagin.spec.platform import Platform, choose
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from nakagin.images.library import Images
    from nakagin.images.model import Image
    from nakagin.storage.partial import Partials

_MOST_IMAGES = 1000
_ANY = "application/octet-stream"


class OfferedLayer(Document, frozen=True, kw_only=True):
    """A layer as the sender keeps it."""

    diff_id: str = msgspec.field(name="DiffID")
    digest: str
    size: int
    media_type: str


class OfferedBlob(Document, frozen=True, kw_only=True):
    """A blob that is no layer."""

    digest: str
    size: int


class OfferedManifest(Document, frozen=True, kw_only=True):
    """A manifest or index that the image came with at the sender, as base64."""

    media_type: str
    data: str


class OfferedImage(Document, frozen=True, kw_only=True):
    """An image with its config (base64) and the names it shall have; layers bottom first.

    `digests` are its names by manifests (repository@digest); they hold where the receiver has the same blobs.
    Where the names lead to an index, that is `index`, all its images that the sender has are in the offer, and
    `beside` are the digests and sizes of the other blobs kept for its sake (attestations, inner indexes).
    """

    id: str
    config: str
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    layers: tuple[OfferedLayer, ...] = ()
    manifests: tuple[OfferedManifest, ...] = ()
    index: OfferedManifest | None = None
    beside: tuple[OfferedBlob, ...] = ()


class Offer(Document, frozen=True, kw_only=True):
    """Several images, which may share layers."""

    images: tuple[OfferedImage, ...] = ()


class Missing(Document, frozen=True, kw_only=True):
    """A blob that the receiver lacks from `offset` on."""

    digest: str
    size: int
    offset: int
    media_type: str


class Wish(Document, frozen=True, kw_only=True):
    """What must be sent; `present` counts the layers that need not be, each once."""

    blobs: tuple[Missing, ...] = ()
    present: int = 0


def offer(images: Images, references: Sequence[str], platform: str = "") -> Offer:
    """The images of these names or ids: for one platform, or all that are here of an index. Raises NotFound."""
    wanted = Platform.parse(platform) if platform else None
    found: dict[str, OfferedImage] = {}
    for text in references:
        first = images.resolve(text, wanted)
        index = images.index_of(text) if wanted is None else None
        for image in images.members(text) if index else [first]:
            if image.damage:
                continue
            names = _names(image, text)
            known = found[image.id].names if image.id in found else ()
            offered = _offered(images, image, (*known, *names))
            found[image.id] = _within(images, index, offered) if index else offered
    return Offer(images=tuple(found.values()))


def _names(image: Image, text: str) -> tuple[str, ...]:
    """The full name by which the image was meant; none where that was its id or a digest."""
    tags = {str(Reference.parse(tag).tagged()) for tag in image.repo_tags}
    try:
        name = str(Reference.parse(text).tagged())
    except Invalid:
        return ()
    return (name,) if name in tags else ()


def _offered(images: Images, image: Image, names: tuple[str, ...]) -> OfferedImage:
    layers = tuple(
        OfferedLayer(diff_id=each.diff_id, digest=each.digest, size=each.size, media_type=each.media_type)
        for each in image.record.layers
    )
    manifests = tuple(
        OfferedManifest(media_type=kind, data=_packed(images.blobs.read(digest)))
        for digest, kind in image.record.manifests.items()
        if kind in MANIFESTS
    )
    repositories = {Reference.parse(name).name for name in names}
    digests = tuple(
        str(each) for each in map(Reference.parse, image.repo_digests) if each.name in repositories
    )
    config = _packed(images.blobs.read(image.id))
    return OfferedImage(
        id=image.id, config=config, names=names, digests=digests, layers=layers, manifests=manifests
    )


def _within(images: Images, index: Descriptor, offered: OfferedImage) -> OfferedImage:
    """The image as part of the index that its names lead to."""
    _, *others = images.index_blobs(index.digest)
    document = OfferedManifest(media_type=index.media_type, data=_packed(images.blobs.read(index.digest)))
    beside = tuple(OfferedBlob(digest=each, size=images.blobs.size(each)) for each in others)
    return msgspec.structs.replace(offered, index=document, beside=beside)


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def missing(images: Images, partials: Partials, offered: Offer) -> Wish:
    """What of an offer is not here; it is kept from now on until the images are taken in. Raises Invalid, Damaged."""
    blobs: dict[str, Missing] = {}
    present: set[str] = set()
    find = _here(images)
    for image in offered.images:
        stored, config = _checked(image)
        chains = chain_ids([layer.diff_id for layer in stored])
        beside = [blob.digest for blob in image.beside]
        images.unfinished.begin(image.id, (image.id, *chains, *(layer.digest for layer in stored), *beside))
        for layer in stored:
            if find(layer) is not None:
                present.add(layer.diff_id)
                continue
            offset = min(partials.size(layer.digest), layer.size)
            blobs[layer.digest] = Missing(
                digest=layer.digest, size=layer.size, offset=offset, media_type=layer.media_type
            )
        for blob in image.beside:
            if not images.blobs.exists(blob.digest):
                offset = min(partials.size(blob.digest), blob.size)
                blobs[blob.digest] = Missing(
                    digest=blob.digest, size=blob.size, offset=offset, media_type=_ANY
                )
        if digest_of(config) != image.id:
            raise Damaged(f"the offered config is not that of {image.id}")
    return Wish(blobs=tuple(blobs.values()), present=len(present))


def _checked(image: OfferedImage) -> tuple[Sequence[StoredLayer], bytes]:
    """The offered layers and config, where they fit each other."""
    config = _unpacked(image.config)
    words = [word for layer in image.layers for word in (layer.digest, layer.diff_id)]
    for text in (image.id, *words, *(blob.digest for blob in image.beside)):
        if not is_digest(text):
            raise Invalid(f"the offer has {text[:100]!r} where a digest belongs")
    if min([0, *(layer.size for layer in image.layers), *(blob.size for blob in image.beside)]) < 0:
        raise Invalid("the offer has a blob of negative size")
    stored = [StoredLayer(each.diff_id, each.digest, each.size, each.media_type) for each in image.layers]
    intake.checked(config, stored)
    return stored, config


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("an offered document is no base64") from None


def _here(images: Images) -> Callable[[StoredLayer], StoredLayer | None]:
    """Tells how a layer is here: by the same blob, or by another one with the same content; or that it is not."""
    known = {layer.diff_id: layer for image in images.list() for layer in image.record.layers}

    def find(layer: StoredLayer) -> StoredLayer | None:
        if images.blobs.exists(layer.digest):
            return layer
        other = known.get(layer.diff_id)
        return other if other is not None and images.blobs.exists(other.digest) else None

    return find


class _Arrived(NamedTuple):
    """An offered image whose blobs are all here, as they are here."""

    offered: OfferedImage
    config: bytes
    layers: Sequence[StoredLayer]
    manifests: Mapping[str, str]
    """Those that it came with and whose blobs are all here: digest -> media type."""
    within: str
    """The digest of the index that it came in; "" without one."""
    inner: Mapping[str, str]
    """Those of `manifests` that the index lists."""


def take_in(images: Images, offered: Offer) -> Sequence[Image]:
    """Make images of an offer whose blobs are all here by now. Long. Raises Invalid where one is missing.

    An index holds where each of its images does with a manifest that it lists; otherwise a name that several of them
    have goes to the one that suits this machine.
    """
    if len(offered.images) > _MOST_IMAGES:
        raise Invalid(f"at most {_MOST_IMAGES} images at once")
    with images.keeping() as keep:
        arrived = [_arrived(images, each, keep) for each in offered.images]
        torn = {each.within for each in arrived if not each.inner}
        owners = _owners(images, arrived)
        found = [
            _add_alone(images, each, owners) if each.within in torn else _add_within(images, each)
            for each in arrived
        ]
    for each in arrived:
        images.unfinished.finish(each.offered.id)
    return found


def _arrived(images: Images, image: OfferedImage, keep: Callable[[str], None]) -> _Arrived:
    stored, config = _checked(image)
    find = _here(images)
    layers = []
    for layer in stored:
        mine = find(layer)
        if mine is None:
            raise Invalid(f"the layer {layer.digest} of {image.id} was not sent", hint="send it again")
        keep(mine.digest)
        layers.append(mine)
    keep(image.id)
    images.blobs.put(config)
    manifests = _kept(images, image, keep)
    within, inner = "", {}
    if image.index is not None:
        data = _unpacked(image.index.data)
        if not isinstance(decode(data, image.index.media_type), Index):
            raise Invalid(f"the offered index of {image.id} is none")
        within = digest_of(data)
        for digest in (within, *(blob.digest for blob in image.beside)):
            keep(digest)
        images.blobs.put(data)
        gathered = gather(images.blobs, Descriptor(image.index.media_type, within, len(data)))
        whole = {content.descriptor.digest for content, _ in gathered.contents}
        inner = {digest: kind for digest, kind in manifests.items() if digest in whole}
    return _Arrived(image, config, layers, manifests, within, inner)


def _kept(images: Images, image: OfferedImage, keep: Callable[[str], None]) -> dict[str, str]:
    """Store those manifests of which all blobs are here (digest -> media type). Raises Damaged, Invalid."""
    kept: dict[str, str] = {}
    for each in image.manifests:
        data = _unpacked(each.data)
        manifest = decode(data, each.media_type)
        if not isinstance(manifest, Manifest) or manifest.config.digest != image.id:
            raise Invalid(f"an offered manifest is not one of {image.id}")
        if all(images.blobs.exists(layer.digest) for layer in manifest.layers):
            digest = digest_of(data)
            keep(digest)
            images.blobs.put(data)
            kept[digest] = each.media_type
    return kept


def _owners(images: Images, arrived: Sequence[_Arrived]) -> dict[str, str]:
    """Which image each name goes to where it goes to one."""
    wanted: dict[str, list[tuple[Platform, str]]] = {}
    for each in arrived:
        document = intake.parsed(each.config)
        platform = Platform.make("linux", document.get("architecture", ""), document.get("variant", ""))
        for name in each.offered.names:
            wanted.setdefault(name, []).append((platform, each.offered.id))
    return {name: choose(offers, images.platform) or offers[0][1] for name, offers in wanted.items()}


def _add_alone(images: Images, each: _Arrived, owners: Mapping[str, str]) -> Image:
    names = [Reference.parse(name) for name in each.offered.names if owners[name] == each.offered.id]
    digests = _digests(each, each.manifests)
    return images.add(each.config, each.layers, [*names, *digests], manifests=each.manifests)


def _add_within(images: Images, each: _Arrived) -> Image:
    """The image by itself, under names that are its own, then as part of the index that the other names lead to."""
    assert each.offered.index is not None
    others = {digest: kind for digest, kind in each.manifests.items() if digest not in each.inner}
    images.add(each.config, each.layers, _digests(each, each.manifests), manifests=others)
    names = [*map(Reference.parse, each.offered.names), *_digests(each, (each.within,))]
    manifests = {each.within: each.offered.index.media_type, **each.inner}
    beside = [blob.digest for blob in each.offered.beside if images.blobs.exists(blob.digest)]
    return images.add(each.config, each.layers, names, manifests=manifests, beside=beside)


def _digests(each: _Arrived, digests: Container[str]) -> list[Reference]:
    """Those of its names by digest that are about these."""
    return [
        name for name in map(Reference.parse, each.offered.digests) if name.digest and name.digest in digests
    ]
