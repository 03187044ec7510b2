from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.images.house import House
from tests.registry.faulty import FaultyRegistry
from tests.storage.tars import member, tar

from nakagin.images.library import Images
from nakagin.images.model import Image
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    found = Records(str(tmp_path / "nakagin.db"))
    yield found
    found.close()


@pytest.fixture
def snapshots(tmp_path: Path, records: Records) -> Snapshots:
    return Snapshots(str(tmp_path), records, Layers(str(tmp_path), records))


@pytest.fixture
def images(tmp_path: Path, records: Records) -> Images:
    layers = Layers(str(tmp_path), records)
    return Images(records, Blobs(str(tmp_path)), layers, Snapshots(str(tmp_path), records, layers))


@pytest.fixture
def make(images: Images) -> Callable[..., Image]:
    """Imports an image with one file; the text makes it unique."""

    def import_one(name: str | None, text: str = "x", **options: Any) -> Image:
        return images.import_(io.BytesIO(tar(member("f", text.encode()))), name, **options)

    return import_one


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """What moves images, on a folder of its own."""
    found = House(tmp_path)
    yield found
    await found.close()


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    """A registry in this process that can misbehave."""
    with FaultyRegistry() as found:
        yield found
