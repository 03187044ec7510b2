"""Layers that registries may not hand out: they come from where their manifest says, and are not pushed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.images.house import House
from tests.registry.faulty import FaultyRegistry, ask_basic, cut_after
from tests.registry.made import Made, layer_of, made

from nakagin.errors import Damaged, NotFound
from nakagin.images.fsck import examine, repair
from nakagin.images.refetch import Refetching
from nakagin.registry.credentials import Credentials
from nakagin.spec.digest import digest_of

pytestmark = pytest.mark.root
OCI = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
DOCKER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
LARGE = 400_000


@pytest.fixture
def web() -> Iterator[FaultyRegistry]:
    """A web server with files."""
    with FaultyRegistry() as found:
        yield found


def foreign(registry: FaultyRegistry, kind: str, *urls: str) -> Made:
    """An image at the registry whose second layer is none of the registry's; its URLs have {} for the digest."""
    image = made(layer_of("own"), layer_of("foreign", LARGE), docker=kind == DOCKER)
    document = json.loads(image.manifest)
    layer = document["layers"][1]
    layer |= {"mediaType": kind, "urls": [url.format(layer["digest"]) for url in urls]}
    found = image._replace(manifest=json.dumps(document).encode())
    registry.put("x", "1", found)
    del registry.blobs[layer["digest"]]
    return found


@pytest.mark.parametrize("kind", [OCI, DOCKER])
async def test_from_its_url_and_not_to_a_registry(
    house: House, registry: FaultyRegistry, web: FaultyRegistry, kind: str
) -> None:
    image = foreign(
        registry, kind, "ftp://nobody/{}", "http://127.0.0.1:1/{}", f"http://{web.host}/v2/f/blobs/{{}}"
    )
    layer = image.layers[1]
    web.blobs[layer] = image.blobs[layer]
    web.faults.append(cut_after([LARGE // 2]))
    registry.faults.append(ask_basic("me", "secret"))
    pulled, _ = await house.pull(f"{registry.host}/x:1", Credentials("me", "secret"))
    assert pulled.image.id == image.image_id
    assert house.images.blobs.read(layer) == image.blobs[layer]
    _, second = web.requests("GET")
    assert second.headers["Range"].startswith("bytes=")
    assert web.sent < 1.05 * len(image.blobs[layer])
    assert not any("Authorization" in each.headers for each in web.seen), "credentials are the registry's"

    house.images.tag(f"{registry.host}/x:1", f"{registry.host}/y:1")
    registry.reset()
    pushed, told = await house.push(f"{registry.host}/y:1")
    assert pushed.digest == image.digest
    assert registry.manifests["y", "1"][1] == image.manifest
    assert layer not in registry.blobs
    assert any(each.get("status") == "Skipped foreign layer" for each in told)


async def test_a_damaged_one_is_fetched_again(
    house: House, registry: FaultyRegistry, web: FaultyRegistry
) -> None:
    image = foreign(registry, OCI, f"http://{web.host}/v2/f/blobs/{{}}")
    layer = image.layers[1]
    web.blobs[layer] = image.blobs[layer]
    await house.pull(f"{registry.host}/x:1")
    Path(house.images.blobs.path(layer)).write_bytes(b"rot")
    (finding,) = examine(house.images, house.snapshots, ())
    again = Refetching(house.images.blobs, house.registries, house.arrivals)
    assert (await repair(finding, house.images, house.snapshots, again)).outcome == "fetched again"
    assert house.images.blobs.read(layer) == image.blobs[layer]


async def test_nobody_has_it_or_another(house: House, registry: FaultyRegistry, web: FaultyRegistry) -> None:
    image = foreign(registry, OCI, f"http://{web.host}/v2/f/blobs/{{}}")
    layer = image.layers[1]
    with pytest.raises(NotFound, match=f"http://{web.host}/v2/f/blobs/{layer}: there is no such file"):
        await house.pull(f"{registry.host}/x:1")
    web.blobs[layer] = bytes(len(image.blobs[layer]))
    with pytest.raises(Damaged):
        await house.pull(f"{registry.host}/x:1")
    assert house.images.list() == []
    assert digest_of(image.manifest) == image.digest
    # what the registry has after all is taken from there
    registry.blobs[layer] = image.blobs[layer]
    web.reset()
    await house.pull(f"{registry.host}/x:1")
    assert web.seen == []
