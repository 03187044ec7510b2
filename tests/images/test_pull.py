"""Pulling into a real store, from a registry that misbehaves."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest
from tests.engine_fixture import await_until
from tests.images.house import House
from tests.registry import faulty
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import index_of, layer_of, made

from nakagin.errors import Damaged, Denied, NakaginError, NotFound, Unavailable, Unsupported
from nakagin.registry.credentials import ANONYMOUS, Credentials
from nakagin.spec.image import MEDIA_INDEX, MEDIA_LAYER
from nakagin.spec.platform import Platform
from nakagin.spec.reference import Reference

pytestmark = pytest.mark.root
LARGE = 400_000


def statuses(told: list[dict[str, Any]], layer: str) -> list[str]:
    """What was said of a layer, repetitions left out."""
    said = [each["status"] for each in told if each.get("id") == layer.partition(":")[2][:12]]
    return [status for number, status in enumerate(said) if number == 0 or said[number - 1] != status]


async def test_an_image_comes_whole(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE), layer_of("b"))
    registry.put("x/y", "1", image)
    pulled, told = await house.pull(f"{registry.host}/x/y:1")
    assert (pulled.image.id, pulled.digest, pulled.fresh) == (image.image_id, image.digest, True)
    assert pulled.image.repo_tags == (f"{registry.host}/x/y:1",)
    assert pulled.image.repo_digests == (f"{registry.host}/x/y@{image.digest}",)
    assert told[0] == {"status": "Pulling from x/y", "id": "1"}
    for layer in image.layers:
        said = statuses(told, layer)
        assert said[0] == "Pulling fs layer"
        assert [word for word in said if word not in ("Waiting", "Downloading", "Extracting")] == [
            "Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete",
        ]  # fmt: skip
        assert house.images.blobs.read(layer) == image.blobs[layer]
    assert house.images.blobs.read(image.digest) == image.manifest
    top = house.layers.stack(pulled.image.chain_id)[0]
    assert Path(house.layers.path(top), "file-b").read_bytes() == b"b"


@pytest.mark.parametrize("pack", ["gzip", "zstd", ""])
async def test_every_compression(house: House, registry: FaultyRegistry, pack: str) -> None:
    image = made(layer_of("a", LARGE), layer_of("b"), pack=pack)
    registry.put("x", "1", image)
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    layer = house.layers.stack(pulled.image.chain_id)[1]
    assert os.path.getsize(f"{house.layers.path(layer)}/file-a") == LARGE + 1
    assert [each.media_type for each in pulled.image.record.layers] == [
        f"{MEDIA_LAYER}{'+' if pack else ''}{pack}"
    ] * 2


async def test_a_present_image_costs_one_question(house: House, registry: FaultyRegistry) -> None:
    registry.put("x", "1", made(layer_of("a")))
    await house.pull(f"{registry.host}/x:1")
    registry.reset()
    pulled, told = await house.pull(f"{registry.host}/x:1")
    assert not pulled.fresh
    assert [(each.method, each.path) for each in registry.seen] == [("HEAD", "/v2/x/manifests/1")]
    assert len(told) == 1


async def test_a_moved_tag_brings_the_new_image(house: House, registry: FaultyRegistry) -> None:
    registry.put("x", "1", made(layer_of("a")))
    old, _ = await house.pull(f"{registry.host}/x:1")
    new = made(layer_of("a"), layer_of("b"))
    registry.put("x", "1", new)
    registry.reset()
    pulled, told = await house.pull(f"{registry.host}/x:1")
    assert pulled.fresh
    assert statuses(told, new.layers[0]) == ["Already exists"]
    assert len(registry.requests("GET", "/blobs/")) == 2  # the config, and the layer that was not here
    assert house.images.resolve(f"{registry.host}/x:1").id == new.image_id != old.image.id


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
async def test_the_platform_is_chosen(house: House, registry: FaultyRegistry, docker: bool) -> None:
    here, there = (
        made(layer_of("amd"), docker=docker),
        made(layer_of("arm"), docker=docker, architecture="arm64"),
    )
    for each in (here, there):
        registry.put("x", each.digest, each)
    registry.put_manifest("x", "1", *index_of(
        (there, {"os": "linux", "architecture": "arm64", "variant": "v8"}),
        (here, {"os": "linux", "architecture": "amd64"}), docker=docker,
    ))  # fmt: skip
    pulled, _ = await house.pull(f"{registry.host}/x:1", platform="linux/amd64")
    assert pulled.image.id == here.image_id
    pulled, _ = await house.pull(f"{registry.host}/x:1", platform="linux/arm64")
    assert pulled.image.id == there.image_id
    # One name, both platforms; neither has to come again.
    for platform, image in (("linux/amd64", here), ("linux/arm64", there)):
        assert house.images.resolve(f"{registry.host}/x:1", Platform.parse(platform)).id == image.image_id
        pulled, _ = await house.pull(f"{registry.host}/x:1", platform=platform)
        assert not pulled.fresh
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        await house.pull(f"{registry.host}/x:1", platform="linux/s390x")


async def test_by_digest(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    registry.put("x", "1", image)
    pulled, told = await house.pull(f"{registry.host}/x@{image.digest}")
    assert pulled.image.repo_tags == ()
    assert told[0]["id"] == image.digest


async def test_an_index_in_an_index_and_null_lists(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    registry.put("x", "inner", image)
    inner, kind = index_of((image, {"os": "linux", "architecture": "amd64"}))
    registry.put_manifest("x", "middle", inner, kind)
    from nakagin.spec.digest import digest_of

    outer = b'{"schemaVersion":2,"mediaType":"%s","manifests":[{"mediaType":"%s","digest":"%s","size":%d}]}' % (
        kind.encode(), kind.encode(), digest_of(inner).encode(), len(inner),
    )  # fmt: skip
    registry.put_manifest("x", "1", outer, kind)
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.image.id == image.image_id


# --- Broken connections


async def test_twenty_cuts_cost_hardly_more_than_the_image(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", 3_000_000), layer_of("b", 1_000_000))
    registry.put("x", "1", image)
    chance = random.Random(7)
    registry.faults.append(faulty.cut_after([chance.randrange(70_000, 250_000) for _ in range(20)]))
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.image.id == image.image_id
    assert image.size <= registry.sent <= image.size * 1.05


async def test_restarts_of_the_engine_cost_hardly_more_than_the_image(
    house: House, registry: FaultyRegistry
) -> None:
    """Each attempt gets a part and then the engine is gone; what is here already is never asked for again."""
    image = made(layer_of("a", 2_000_000), layer_of("b", 700_000))
    registry.put("x", "1", image)
    for attempt in range(20):
        registry.faults[:] = [faulty.cut_after([90_000 + attempt * 3000]), faulty.cut_after([0] * 50)]
        with pytest.raises(Unavailable):
            await house.pull(f"{registry.host}/x:1")
        await house.reopen()
    registry.faults.clear()
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.image.id == image.image_id
    assert image.size <= registry.sent <= image.size * 1.05
    assert not list((house.root / "partial").iterdir())


async def test_a_finished_layer_of_a_failed_pull_stays(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE), layer_of("b", LARGE))
    registry.put("x", "1", image)

    def without_the_second(request: faulty.Handler) -> bool:
        if image.layers[1] not in request.plain:
            return False
        await_until(house.layers.all, "the first layer")
        request.refuse(404, "BLOB_UNKNOWN")
        return True

    registry.faults.append(without_the_second)
    with pytest.raises(NotFound):
        await house.pull(f"{registry.host}/x:1")
    await house.reopen()
    registry.reset()
    _, told = await house.pull(f"{registry.host}/x:1")
    assert statuses(told, image.layers[0]) == ["Already exists"]
    assert not registry.requests("GET", image.layers[0])


async def test_nothing_is_left_of_a_pull_that_is_given_up(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    registry.faults += [faulty.cut_after([100_000, 0, 0, 0, 0, 0])]
    with pytest.raises(Unavailable):
        await house.pull(f"{registry.host}/x:1")
    assert house.partials.usage() == 100_000
    house.partials.sweep()
    house.images.unfinished.sweep()
    house.images.collect()
    assert house.partials.usage() == 0
    assert house.images.blobs.all() == []
    assert house.layers.all() == []


async def test_a_registry_that_knows_no_ranges(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)

    def no_ranges(request: faulty.Handler) -> bool:
        del request.headers["Range"]
        return False

    registry.faults += [no_ranges, faulty.cut_after([150_000])]
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert house.images.blobs.read(image.layers[0]) == image.blobs[image.layers[0]]
    assert pulled.image.id == image.image_id


async def test_a_stall_is_noticed(tmp_path: Path, registry: FaultyRegistry) -> None:
    rules = tmp_path / "registries.toml"
    rules.write_text(f'[registry."{registry.host}"]\nstall-timeout = 0.3\n')
    (tmp_path / "root").mkdir()
    house = House(tmp_path / "root", str(rules))
    try:
        image = made(layer_of("a", LARGE))
        registry.put("x", "1", image)
        registry.faults.append(faulty.stall_once(200_000))
        pulled, _ = await house.pull(f"{registry.host}/x:1")
        assert pulled.image.id == image.image_id
        assert registry.sent <= image.size * 1.05
    finally:
        await house.close()


async def test_bytes_that_a_crash_of_the_machine_spoiled(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    Path(house.partials.path(image.layers[0])).write_bytes(bytes(200_000))
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.image.id == image.image_id
    assert house.images.blobs.read(image.layers[0]) == image.blobs[image.layers[0]]


# --- Lies


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1] + b"x", "received"),
        (lambda data: data[:-100], "the registry has"),
        (lambda data: data + b"more", "the registry has"),
        (lambda data: b"", "the registry has"),
    ],
    ids=["other bytes", "too short", "too long", "nothing"],
)
async def test_wrong_bytes_are_refused(
    house: House, registry: FaultyRegistry, change: Any, words: str
) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    registry.faults.append(faulty.unlike(change))
    with pytest.raises(Damaged, match=words):
        await house.pull(f"{registry.host}/x:1")
    assert house.images.list() == []
    assert house.layers.all() == []
    registry.reset()
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.image.id == image.image_id


async def test_a_layer_that_is_not_the_configs(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    other = made(layer_of("b"))
    lie = image.manifest.replace(image.layers[0].encode(), other.layers[0].encode())
    registry.blobs.update({**image.blobs, **other.blobs})
    lie = lie.replace(
        b'"size": %d' % len(image.blobs[image.layers[0]]), b'"size": %d' % len(other.blobs[other.layers[0]])
    )
    registry.put_manifest("x", "1", lie, image.media_type)
    with pytest.raises(Damaged, match="diff ID"):
        await house.pull(f"{registry.host}/x:1")
    assert house.images.list() == []


async def test_a_manifest_that_is_not_its_digest(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    registry.put("x", "1", image)
    registry.faults.append(
        faulty.answer("/manifests/", image.manifest + b" ", {"Content-Type": image.media_type})
    )
    with pytest.raises(Damaged, match="digest"):
        await house.pull(f"{registry.host}/x@{image.digest}")


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (b"", MEDIA_INDEX),
        (b"[]", MEDIA_INDEX),
        (b'{"schemaVersion":2,"manifests":[],"layers":[]}', MEDIA_INDEX),
        (b'{"schemaVersion":2,"mediaType":"x/y"}', "x/y"),
        (b'{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+json"),
        (b'{"schemaVersion":2,"manifests":[]}', MEDIA_INDEX),
    ],
    ids=["empty", "list", "both", "unknown", "schema 1", "for nobody"],
)
async def test_documents_that_are_no_image(
    house: House, registry: FaultyRegistry, document: bytes, kind: str
) -> None:
    registry.put_manifest("x", "1", document, kind)
    with pytest.raises((Damaged, Unsupported, NotFound)):
        await house.pull(f"{registry.host}/x:1")


async def test_an_artifact_is_no_image(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    kind = b"application/vnd.example.chart"
    registry.blobs.update(image.blobs)
    manifest = image.manifest.replace(b"application/vnd.oci.image.config.v1+json", kind)
    registry.put_manifest("x", "1", manifest, image.media_type)
    with pytest.raises(Unsupported, match="not a container image"):
        await house.pull(f"{registry.host}/x:1")


# --- Refusals


async def test_unknown_names_and_closed_doors(house: House, registry: FaultyRegistry) -> None:
    with pytest.raises(NotFound, match=r"manifest for .*x:1 not found: manifest unknown"):
        await house.pull(f"{registry.host}/x:1")
    registry.faults.append(faulty.ask_basic("me", "secret"))
    with pytest.raises(NotFound, match=r"pull access denied for .*no basic auth credentials"):
        await house.pull(f"{registry.host}/x:1")
    with pytest.raises(NotFound, match="pull access denied"):
        await house.pull(f"{registry.host}/x:1", Credentials("me", "wrong"))
    registry.put("x", "1", made(layer_of("a")))
    pulled, _ = await house.pull(f"{registry.host}/x:1", Credentials("me", "secret"))
    assert pulled.fresh
    # A circle of 401s ends after the second.
    registry.reset()
    registry.faults.append(
        faulty.refuse_times(1000, 401, "UNAUTHORIZED", {"WWW-Authenticate": "Basic realm=x"})
    )
    with pytest.raises(NotFound):
        await house.pull(f"{registry.host}/x:1", Credentials("you", "secret"))
    assert len(registry.seen) == 2


async def test_a_rate_limit_is_waited_for_or_told(house: House, registry: FaultyRegistry) -> None:
    registry.put("x", "1", made(layer_of("a")))
    registry.faults.append(faulty.refuse_times(2, 429, "TOOMANYREQUESTS", {"Retry-After": "0"}))
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.fresh
    registry.faults.append(
        faulty.refuse_times(9, 429, "TOOMANYREQUESTS", {"Retry-After": "3600"}, "/manifests/")
    )
    registry.seen.clear()
    with pytest.raises(Unavailable, match=r"toomanyrequests.*3600 seconds"):
        await house.pull(f"{registry.host}/x:1")
    assert len(registry.seen) == 1


async def test_a_redirect_takes_no_credentials_along(house: House, registry: FaultyRegistry) -> None:
    """CVE-2020-15157: the place that the bytes lie at is somebody else's."""
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    registry.faults.append(faulty.ask_basic("me", "secret"))
    with FaultyRegistry("127.0.0.2") as store:
        store.blobs.update(image.blobs)

        def elsewhere(request: faulty.Handler) -> bool:
            if not faulty.is_blob(request):
                return False
            request.reply(307, headers={"Location": f"http://{store.host}{request.path}"})
            return True

        registry.faults.append(elsewhere)
        pulled, _ = await house.pull(f"{registry.host}/x:1", Credentials("me", "secret"))
        assert pulled.image.id == image.image_id
        assert store.seen
        assert not any("Authorization" in each.headers for each in store.seen)
        # Nor does it get them by asking.
        store.faults.append(faulty.ask_basic("me", "secret"))
        house.images.remove(pulled.image.id, force=True)
        with pytest.raises(Denied):
            await house.pull(f"{registry.host}/x:1", Credentials("me", "secret"))
        assert not any("Authorization" in each.headers for each in store.seen)


async def test_a_redirect_without_end(house: House, registry: FaultyRegistry) -> None:
    registry.put("x", "1", made(layer_of("a")))

    def around(request: faulty.Handler) -> bool:
        request.reply(307, headers={"Location": request.path})
        return True

    registry.faults.append(around)
    with pytest.raises(Unavailable, match="redirects without end"):
        await house.pull(f"{registry.host}/x:1")


async def test_warnings_of_the_registry_arrive(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a"))
    registry.put("x", "1", image)
    kind = {"Content-Type": image.media_type, "Warning": '299 - "this goes away \\"soon\\""'}
    registry.faults.append(faulty.answer("/manifests/", image.manifest, kind))
    pulled, _ = await house.pull(f"{registry.host}/x:1")
    assert pulled.warnings == ['this goes away "soon"']


# --- Mirrors


async def test_mirrors_come_first_and_need_not_work(tmp_path: Path, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    with FaultyRegistry() as mirror:
        mirror.put("x", "1", image)
        (tmp_path / "root").mkdir()
        rules = tmp_path / "registries.toml"
        rules.write_text(
            f'[registry."quay.example"]\nmirrors = ["http://127.0.0.1:1", "http://{mirror.host}"]\n'
            f'location = "{registry.host}"\ninsecure = true\n'
        )
        house = House(tmp_path / "root", str(rules))
        try:
            pulled, _ = await house.pull("quay.example/x:1", Credentials("me", "secret"))
            assert pulled.image.repo_tags == ("quay.example/x:1",)
            assert not registry.seen
            assert all(each.query["ns"] == ["quay.example"] for each in mirror.seen)
            assert not any("Authorization" in each.headers for each in mirror.seen)
            # A mirror that has the manifest and lacks a blob: the registry has it.
            house.images.remove(pulled.image.id, force=True)
            del mirror.blobs[image.layers[0]]
            await house.pull("quay.example/x:1")
            assert registry.requests("GET", image.layers[0])
        finally:
            await house.close()


# --- Together


async def test_pulls_of_one_image_join(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE), layer_of("b", LARGE))
    registry.put("x", "1", image)
    done = await asyncio.gather(*(house.pull(f"{registry.host}/x:1") for _ in range(5)))
    assert {pulled.image.id for pulled, _ in done} == {image.image_id}
    assert registry.sent <= image.size + 5 * len(image.blobs[image.image_id])
    ends = {tuple(statuses(told, image.layers[0])[-1:]) for _, told in done}
    assert ("Pull complete",) in ends
    assert ends <= {("Pull complete",), ("Already exists",), ()}  # for who was late


async def test_pulls_of_two_images_share_layers(house: House, registry: FaultyRegistry) -> None:
    below = layer_of("below", LARGE)
    one, two = made(below, layer_of("one")), made(below, layer_of("two"))
    registry.put("x", "1", one)
    registry.put("x", "2", two)
    await asyncio.gather(house.pull(f"{registry.host}/x:1"), house.pull(f"{registry.host}/x:2"))
    assert len(registry.requests("GET", one.layers[0])) == 1


async def test_leaving_does_not_stop_the_others(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    reached, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(request: faulty.Handler) -> bool:
        if faulty.is_blob(request) and image.layers[0] in request.plain:
            loop.call_soon_threadsafe(reached.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
        return False

    registry.faults.append(slow)
    first = asyncio.ensure_future(house.pull(f"{registry.host}/x:1"))
    await asyncio.wait_for(reached.wait(), 20)
    second = asyncio.ensure_future(house.pull(f"{registry.host}/x:1"))
    while not registry.requests("HEAD", "/manifests/")[1:]:
        await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0.01)  # the second has joined by now, or asks for itself
    first.cancel()
    await asyncio.wait([first])
    go_on.set()
    pulled, _ = await second
    assert pulled.image.id == image.image_id
    assert first.cancelled()


async def test_a_cancelled_pull_leaves_its_bytes(house: House, registry: FaultyRegistry) -> None:
    image = made(layer_of("a", LARGE))
    registry.put("x", "1", image)
    registry.faults.append(faulty.stall_once(300_000))
    pull = asyncio.ensure_future(house.pull(f"{registry.host}/x:1"))
    while house.partials.usage() < 300_000:
        await asyncio.sleep(0.01)
    pull.cancel()
    await asyncio.wait([pull])
    assert pull.cancelled()
    registry.faults.clear()
    await house.pull(f"{registry.host}/x:1")
    assert registry.sent <= image.size * 1.05


async def test_all_tags(house: House, registry: FaultyRegistry) -> None:
    for tag in ("1", "2"):
        registry.put("x", tag, made(layer_of(tag)))
    found = await house.pulls.lookup.tags(Reference.parse(f"{registry.host}/x"), ANONYMOUS)
    assert [each.tag for each in found] == ["1", "2"]


async def test_nothing_answers(house: House) -> None:
    with pytest.raises(NakaginError, match="cannot be reached"):
        await house.pull("127.0.0.1:1/x:1")
