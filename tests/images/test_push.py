"""Pushing from a real store: what goes out, what does not have to, and registries that misbehave."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from tests.images.house import House
from tests.registry import faulty
from tests.registry.faulty import FaultyRegistry, Handler
from tests.registry.made import layer_of, made

from nakagin.errors import Denied, NakaginError, NotFound, Unavailable
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.spec.image import MEDIA_DOCKER_MANIFEST, MEDIA_LAYER_GZIP
from nakagin.spec.reference import Reference

pytestmark = pytest.mark.root
LARGE = 3_000_000


def add(house: House, registry: FaultyRegistry, name: str = "x:1", size: int = LARGE) -> str:
    """An image that was imported here, under a name of the registry."""
    whole = f"{registry.host}/{name}"
    house.images.import_(io.BytesIO(layer_of("pushed", size)), whole)
    return whole


async def test_a_plain_layer_goes_out_small(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    pushed, told = await house.push(name)
    kind, data = registry.manifests["x", "1"]
    manifest = json.loads(data)
    (layer,) = manifest["layers"]
    assert (layer["mediaType"], manifest["config"]["digest"]) == (
        MEDIA_LAYER_GZIP,
        house.images.resolve(name).id,
    )
    assert {manifest["config"]["digest"], layer["digest"]} == set(registry.blobs)
    assert pushed.digest == house.images.resolve(name).repo_digests[0].partition("@")[2]
    assert [each["status"] for each in told if not each["progressDetail"]] == ["Preparing", "Pushed"]
    # The small one replaces the plain one here.
    assert {layer["digest"], manifest["config"]["digest"], pushed.digest} == set(house.images.blobs.all())
    assert house.images.resolve(name).record.manifests == {pushed.digest: kind}


async def test_what_is_there_does_not_go_again(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    await house.push(name)
    registry.reset()
    _, told = await house.push(name)
    assert told[-1]["status"] == "Layer already exists"
    assert not registry.requests("POST")


async def test_mounting(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    await house.push(name)
    house.images.tag(name, f"{registry.host}/other/y:2")

    def unknown(request: Handler) -> bool:
        if request.command != "HEAD" or "/other/y/blobs/" not in request.plain:
            return False
        request.refuse(404, "BLOB_UNKNOWN")
        return True

    registry.faults.append(unknown)
    _, told = await house.push(f"{registry.host}/other/y:2")
    assert told[-1]["status"] == "Mounted from x"
    assert not registry.requests("PUT", "/other/y/blobs/")


async def test_pushes_at_once_share_their_layers(house: House, registry: FaultyRegistry) -> None:
    """What two of them need goes over the wire once: the other finds it there, or mounts it."""
    image = made(layer_of("shared", 200_000), layer_of("own"))
    registry.put("from", "1", image)
    await house.pull(f"{registry.host}/from:1")
    with FaultyRegistry() as target:
        names = [f"{target.host}/{place}" for place in ("x:1", "x:2", "y:1")]
        for name in names:
            house.images.tag(f"{registry.host}/from:1", name)
        told = [lines for _, lines in await asyncio.gather(*map(house.push, names))]
        uploads = [each.query["digest"][0] for each in target.requests("PUT", "/blobs/uploads/")]
        assert sorted(uploads) == sorted(image.blobs), "the config too"
        assert target.manifests["y", "1"][1] == image.manifest
    for layer in told[0]:
        said = [line["status"] for lines in told for line in lines if line.get("id") == layer["id"]]
        assert said.count("Pushed") == 1


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
async def test_a_pulled_image_leaves_as_it_came(house: House, registry: FaultyRegistry, docker: bool) -> None:
    image = made(layer_of("a", 50_000), layer_of("b"), docker=docker)
    registry.put("x", "1", image)
    await house.pull(f"{registry.host}/x:1")
    house.images.tag(f"{registry.host}/x:1", f"{registry.host}/y:1")
    registry.blobs.clear()
    await house.push(f"{registry.host}/y:1")
    assert registry.manifests["y", "1"] == (image.media_type, image.manifest)
    assert registry.blobs == image.blobs


async def test_each_tag_goes_as_it_came(house: House, registry: FaultyRegistry) -> None:
    """One image in three forms: the tags remember which."""
    layer = layer_of("a", 50_000)
    forms = {"a": made(layer), "b": made(layer, pack="zstd"), "c": made(layer, docker=True)}
    for tag, image in forms.items():
        registry.put("x", tag, image)
        await house.pull(f"{registry.host}/x:{tag}")
    assert len(house.images.list()) == 1
    await house.reopen()
    for tag, image in forms.items():
        house.images.tag(f"{registry.host}/x:{tag}", f"{registry.host}/new:{tag}")
        await house.push(f"{registry.host}/new:{tag}")
        assert registry.manifests["new", tag] == (image.media_type, image.manifest)
    house.images.remove(house.images.list()[0].id, force=True)
    assert house.images.blobs.all() == []


async def test_a_registry_that_takes_only_dockers_form(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)

    def old(request: Handler) -> bool:
        if request.command != "PUT" or "oci" not in request.headers.get("Content-Type", ""):
            return False
        request.body()
        request.refuse(400, "MANIFEST_INVALID")
        return True

    registry.faults.append(old)
    await house.push(name)
    assert registry.manifests["x", "1"][0] == MEDIA_DOCKER_MANIFEST


async def test_an_upload_that_breaks_goes_on(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    broken: list[int] = []

    def breaks(request: Handler) -> bool:
        if request.command != "PUT" or "uploads" not in request.plain or broken:
            return False
        if int(request.headers["Content-Length"]) < 1_000_000:
            return False
        broken.append(1)
        registry.uploads[request.plain.rpartition("/")[2]] += request.rfile.read(900_000)
        request.hang_up()
        return True

    registry.faults.append(breaks)
    await house.push(name)
    assert broken
    assert registry.requests("GET", "/uploads/")
    assert len(registry.requests("POST")) == 2  # one for each blob: nothing began anew
    assert ("x", "1") in registry.manifests


async def test_an_upload_that_is_lost_begins_anew(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    lost: list[int] = []

    def loses(request: Handler) -> bool:
        if request.command != "PUT" or "uploads" not in request.plain or lost:
            return False
        lost.append(1)
        del registry.uploads[request.plain.rpartition("/")[2]]
        registry.uploads["gone"] = bytearray()
        request.hang_up()
        return True

    registry.faults.append(loses)
    await house.push(name)
    assert ("x", "1") in registry.manifests


async def test_something_before_the_registry_takes_only_small_requests(
    house: House, registry: FaultyRegistry
) -> None:
    name = add(house, registry, size=34_000_000)

    def small(request: Handler) -> bool:
        if int(request.headers.get("Content-Length", "0")) <= 33_554_432:
            return False
        request.reply(413, b"<html>too large</html>", {"Connection": "close"})
        request.close_connection = True
        return True

    registry.faults.append(small)
    await house.push(name)
    assert registry.requests("PATCH")
    assert ("x", "1") in registry.manifests


async def test_a_location_on_another_host_gets_no_credentials(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    with FaultyRegistry("127.0.0.2") as thief:

        def elsewhere(request: Handler) -> bool:
            if request.command != "POST":
                return False
            request.reply(202, headers={"Location": f"http://{thief.host}/v2/x/blobs/uploads/0"})
            return True

        registry.faults += [faulty.ask_basic("me", "secret"), elsewhere]
        with pytest.raises(Denied, match="another host"):
            await house.push(name, Credentials("me", "secret"))
        assert not thief.seen


async def test_refusals(house: House, registry: FaultyRegistry) -> None:
    with pytest.raises(NotFound, match="does not exist locally"):
        await house.push(f"{registry.host}/x:1")
    with pytest.raises(NotFound, match="does not exist locally"):
        house.pushes.tags(Reference.parse(f"{registry.host}/x"))
    name = add(house, registry)
    registry.faults.append(faulty.ask_basic("me", "secret"))
    with pytest.raises(Denied, match="no basic auth credentials"):
        await house.push(name)
    with pytest.raises(Denied):
        await house.push(name, Credentials("me", "wrong"))
    registry.faults[:] = [faulty.refuse_times(1000, 500, "UNKNOWN", {})]
    with pytest.raises(Unavailable):
        await house.push(name)
    registry.faults[:] = [faulty.refuse_times(1000, 403, "DENIED", {}, "/uploads/")]
    with pytest.raises(Denied, match="denied"):
        await house.push(name, ANONYMOUS)
    # A failed push takes nothing away.
    registry.reset()
    await house.push(name)


async def test_a_registry_that_finds_another_digest(house: House, registry: FaultyRegistry) -> None:
    name = add(house, registry)
    other = {"Docker-Content-Digest": "sha256:" + "0" * 64}

    def lies(request: Handler) -> bool:
        if request.command != "PUT" or "/manifests/" not in request.plain:
            return False
        request.body()
        request.reply(201, headers=other)
        return True

    registry.faults.append(lies)
    with pytest.raises(NakaginError, match="speaks of"):
        await house.push(name)
