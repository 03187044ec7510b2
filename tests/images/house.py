"""What of an engine moves images: store, library, pulls and pushes, on a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nakagin.images.arrival import Arrivals
from nakagin.images.library import Images
from nakagin.images.pull import Pulled, Pulls
from nakagin.images.push import Pushed, Pushes
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.registry.policy import PolicySource
from nakagin.registry.registries import Registries
from nakagin.registry.transport import Patience
from nakagin.spec.platform import Platform
from nakagin.spec.reference import Reference
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.partial import Partials
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots


class House:
    """What an engine has, as far as pulls need it; `crash` is a kill -9 and the next start."""

    def __init__(self, root: Path, registries_file: str = "") -> None:
        self.root = root
        self.registries_file = registries_file
        self.open()

    def open(self) -> None:
        root = str(self.root)
        self.records = Records(f"{root}/nakagin.db")
        self.layers = Layers(root, self.records)
        blobs = Blobs(root)
        self.snapshots = Snapshots(root, self.records, self.layers)
        self.images = Images(self.records, blobs, self.layers, self.snapshots)
        self.partials = Partials(root, blobs)
        source = PolicySource((), (), self.registries_file)
        self.registries = Registries(source, patience=Patience(3, 0.01, 0.2))
        self.arrivals = Arrivals(self.layers, self.partials, downloads=3, patience=Patience(3, 0.02, 0.1))
        self.pulls = Pulls(self.images, self.arrivals, self.registries)
        self.pushes = Pushes(self.images, self.registries)

    async def close(self) -> None:
        await self.pulls.close()
        await self.registries.close()
        self.records.close()

    async def reopen(self) -> None:
        await self.close()
        self.open()
        self.layers.recover()
        self.images.recover()

    async def pull(
        self, name: str, credentials: Credentials = ANONYMOUS, platform: str = ""
    ) -> tuple[Pulled, list[dict[str, Any]]]:
        told: list[dict[str, Any]] = []
        wanted = Platform.parse(platform) if platform else None
        pulled = await self.pulls.pull(Reference.parse(name), credentials, told.append, platform=wanted)
        return pulled, told

    async def push(
        self, name: str, credentials: Credentials = ANONYMOUS
    ) -> tuple[Pushed, list[dict[str, Any]]]:
        told: list[dict[str, Any]] = []
        return await self.pushes.push(Reference.parse(name), credentials, told.append), told
