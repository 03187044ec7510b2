"""What an engine that starts finds of its images: layers are unpacked again from their blobs, after a look at whether
those can be trusted; what cannot be had back makes an image damaged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nakagin.errors import Damaged, NakaginError
from nakagin.images.intake import blobs_of
from nakagin.spec.digest import chain_ids
from nakagin.storage.boot import boot_id

if TYPE_CHECKING:
    from nakagin.images.index import Index
    from nakagin.images.library import Images
    from nakagin.images.model import Image

_log = logging.getLogger(__name__)


def recover(images: Images, index: Index) -> None:
    """See Images.recover."""
    for image in index.all():
        try:
            repair(images, image)
        except NakaginError as error:
            if image.record.boot in ("", boot_id()):
                _log.error("the image %s is damaged: %s", image.id, error)
                index.mark(image.id, error.message)
            else:
                _log.error("the image %s is damaged and is forgotten: %s", image.id, error)
                index.forget(image.id)


def mend(images: Images, index: Index, id: str) -> None:
    """See Images.mend."""
    if not index.get(id).damage:
        return
    image = index.reread(id)
    try:
        repair(images, image)
    except NakaginError as error:
        index.mark(id, error.message)
        raise


def repair(images: Images, image: Image) -> None:
    """Unpack again what is lost of an image. Long. Raises NotFound or Damaged where it is not whole and stays so."""
    if image.damage:
        raise Damaged(image.damage)
    if image.record.boot not in ("", boot_id()):
        for digest in blobs_of(image):
            if not images.blobs.is_sound(digest):
                raise Damaged(f"the blob {digest} was not on disk when the machine went down")
    chains = chain_ids(image.diff_ids)
    for below, chain, layer in zip([None, *chains], chains, image.record.layers, strict=False):
        if not images.layers.exists(chain):
            with images.blobs.open(layer.digest) as stream:
                images.layers.apply(stream, below, layer.diff_id)
            images.refresh(image.id)
        elif not images.blobs.exists(layer.digest):
            _log.warning(
                "the blob %s of the image %s is lost; `system fsck` fetches it", layer.digest, image.id
            )
