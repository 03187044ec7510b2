"""Projects in registries: `oci://` names as files, and where they are kept. The registry is asked from here, as Compose
does: the engine may be Docker's, and has no words for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from nakagin.cli.composing.cache import cache_folder
from nakagin.client.keychain import Keychain, server_key
from nakagin.compose.artifact import MANIFEST, Artifact, Layer, layers_of, pack
from nakagin.registry.client import Registry
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.registry.model import Content, Descriptor
from nakagin.registry.policy import PolicySource
from nakagin.registry.registries import Registries
from nakagin.spec.digest import digest_of
from nakagin.spec.reference import Reference

Result = TypeVar("Result")


def fetch(name: str, insecure: Sequence[str] = ()) -> list[str]:
    """The paths of a project's Compose files; what was fetched before is not fetched again."""
    reference = Reference.parse(name)

    async def work(registry: Registry) -> list[str]:
        wanted = str(reference.digest) if reference.digest else reference.tag or "latest"
        content = await registry.get_manifest(reference.path, wanted)
        layers = layers_of(content.data, name)
        folder = os.path.join(cache_folder(), content.descriptor.digest.partition(":")[2], _title(reference))
        if not os.path.isdir(folder):
            await _fill(registry, reference.path, layers, folder)
        return [os.path.join(folder, each.path) for each in layers if not each.is_env]

    return _with_registry(reference, insecure, work)


def publish(name: str, artifact: Artifact, created: str, insecure: Sequence[str] = ()) -> str:
    """Push a project; its digest. Raises Denied, Unavailable and what the registry refuses."""
    reference = Reference.parse(name)
    manifest, blobs = pack(artifact, created)

    async def work(registry: Registry) -> str:
        for digest, content in blobs.items():
            if await registry.blob_size(reference.path, digest) is None:
                await registry.upload_blob(reference.path, digest, len(content), _body(content))
        descriptor = Descriptor(MANIFEST, digest_of(manifest), len(manifest))
        return await registry.put_manifest(
            reference.path, reference.tag or "latest", Content(descriptor, manifest)
        )

    return _with_registry(reference, insecure, work)


def _body(content: bytes) -> Callable[[int, int], AsyncIterator[bytes]]:
    async def pieces(offset: int, length: int) -> AsyncIterator[bytes]:
        yield content[offset : offset + length]

    return pieces


def _with_registry(
    reference: Reference, insecure: Sequence[str], work: Callable[[Registry], Awaitable[Result]]
) -> Result:
    auth = Keychain(os.environ).find(reference.domain)
    known = ANONYMOUS
    if auth is not None:
        known = Credentials(
            auth.username, auth.password, auth.identity_token, server=server_key(reference.domain)
        )

    async def run() -> Result:
        registries = Registries(PolicySource([], insecure))
        try:
            return await work(registries.registry(reference.domain, known))
        finally:
            await registries.close()

    return asyncio.run(run())


async def _fill(registry: Registry, repository: str, layers: list[Layer], folder: str) -> None:
    """Whole or not at all: others may look at the same time."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    making = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(folder))
    try:
        for each in layers:
            path = Path(making, each.path)
            content = await registry.read_blob(repository, each.digest, each.size)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if not os.path.isdir(folder):
            os.rename(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _title(reference: Reference) -> str:
    """The folder's name, and so the project's where no file says another."""
    return reference.path.rpartition("/")[2]
