"""Offers of images, honest ones and others."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.images.house import House
from tests.registry.faulty import FaultyRegistry
from tests.registry.made import index_of, layer_of, made
from tests.registry.server.box import make_image
from tests.registry.server.test_peers import runnable_image

from nakagin.errors import Invalid, NakaginError, NotFound
from nakagin.images.handover import Offer, missing, offer, take_in
from nakagin.images.library import Images
from nakagin.images.model import IndexRecord
from nakagin.registry.model import Descriptor
from nakagin.spec.digest import digest_of
from nakagin.spec.platform import Platform
from nakagin.storage.blobs import Blobs
from nakagin.storage.compression import decompressed
from nakagin.storage.layers import Layers
from nakagin.storage.partial import Partials
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots


class Side:
    """One engine's images."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        records = Records(str(root / "nakagin.db"))
        self.blobs = Blobs(str(root))
        layers = Layers(str(root), records)
        self.images = Images(records, self.blobs, layers, Snapshots(str(root), records, layers))
        self.partials = Partials(str(root), self.blobs)


@pytest.fixture
def receiver(tmp_path: Path) -> Side:
    return Side(tmp_path / "receiver")


def offered(**changes: Any) -> Offer:
    """An offer of one image with two layers that nobody has."""
    image = runnable_image()
    config = json.loads(image.config)
    layers = [
        {"DiffID": diff_id, "Digest": digest_of(data), "Size": len(data), "MediaType": "x"}
        for diff_id, data in zip(config["rootfs"]["diff_ids"], image.layers, strict=True)
    ]
    document = {
        "Id": digest_of(image.config), "Config": base64.b64encode(image.config).decode(),
        "Names": ["docker.io/library/app:1"], "Layers": layers, **changes,
    }  # fmt: skip
    return msgspec.convert({"Images": [document]}, Offer)


@pytest.mark.root
def test_what_is_missing(receiver: Side) -> None:
    wish = missing(receiver.images, receiver.partials, offered())
    assert len(wish.blobs) == 3
    assert wish.present == 0
    assert {blob.offset for blob in wish.blobs} == {0}


@pytest.mark.root
def test_an_offer_without_its_layers(receiver: Side) -> None:
    with pytest.raises(Invalid, match="was not sent"):
        take_in(receiver.images, offered())
    assert receiver.images.list() == []


@pytest.mark.root
@pytest.mark.parametrize(
    "changes",
    [
        {"Id": digest_of(b"another")}, {"Id": "sha256:12"}, {"Config": "!"}, {"Config": ""}, {"Layers": []},
        {"Config": base64.b64encode(b"[]").decode()}, {"Config": base64.b64encode(b'{"os":"plan9"}').decode()},
        {"Layers": [{"DiffID": "../../x", "Digest": "/etc/passwd", "Size": 1, "MediaType": ""}]},
    ],
)  # fmt: skip
def test_offers_that_are_none(receiver: Side, changes: dict[str, Any]) -> None:
    with pytest.raises(NakaginError):
        missing(receiver.images, receiver.partials, offered(**changes))


@pytest.mark.root
def test_a_manifest_of_another_image(receiver: Side) -> None:
    other = make_image(0)
    manifest = {"MediaType": other.media_type, "Data": base64.b64encode(other.manifest).decode()}
    config = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    data = json.dumps(config).encode()
    bad = offered(Id=digest_of(data), Config=base64.b64encode(data).decode(), Layers=[], Manifests=[manifest])
    with pytest.raises(Invalid, match="not one of"):
        take_in(receiver.images, bad)


@pytest.mark.root
def test_what_is_not_here_cannot_be_offered(receiver: Side) -> None:
    with pytest.raises(NotFound):
        offer(receiver.images, ["none"])


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=20) | st.sampled_from([digest_of(b""), "", "e30="]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)
layer = st.fixed_dictionaries(
    {"DiffID": anything, "Digest": anything, "Size": anything, "MediaType": anything}
)
image = st.fixed_dictionaries(
    {"Id": anything, "Config": anything},
    optional={"Names": anything, "Layers": st.lists(layer, max_size=2) | anything, "Manifests": anything},
)


@pytest.mark.root
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=st.fixed_dictionaries({"Images": st.lists(image, max_size=2) | anything}))
def test_any_offer(receiver: Side, document: dict[str, Any]) -> None:
    """Refused with words, or taken; never a crash, never a path out of the root."""
    try:
        found = msgspec.convert(document, Offer)
        missing(receiver.images, receiver.partials, found)
        take_in(receiver.images, found)
    except (NakaginError, msgspec.ValidationError):
        return


def hand_over(sender: Side | House, receiver: Side, *names: str) -> Offer:
    """As the client does it, but for the wire."""
    offered = msgspec.json.decode(msgspec.json.encode(offer(sender.images, names)), type=Offer)
    for blob in missing(receiver.images, receiver.partials, offered).blobs:
        with receiver.blobs.writer(blob.digest) as writer:
            writer.write(Path(sender.images.blobs.path(blob.digest)).read_bytes())
            writer.commit()
    take_in(receiver.images, offered)
    return offered


@pytest.mark.root
async def test_all_platforms_that_are_here(
    house: House, registry: FaultyRegistry, receiver: Side, tmp_path: Path
) -> None:
    """Those of an index go as such, with what belongs to it, and go on from there in the same way."""
    proof = b'{"proof": 1}'
    found = {each: made(layer_of("shared"), layer_of(each), architecture=each) for each in ("amd64", "arm64")}
    for each, image in found.items():
        registry.put("x", each, image)
    places = [(image, {"os": "linux", "architecture": each}) for each, image in found.items()]
    data, kind = index_of(*places, (made(layer_of("s390x")), {"os": "linux", "architecture": "s390x"}))
    registry.put_manifest("x", "1", data, kind)
    name = f"{registry.host}/x:1"
    for each in found:
        await house.pull(name, platform=f"linux/{each}")
    house.images.blobs.put(proof)
    house.images._index.add_index(digest_of(data), IndexRecord(kind, {}, (digest_of(proof),)))
    house.images.tag(name, "other:2")

    third = Side(tmp_path / "third")
    for sender, target in ((house, receiver), (receiver, third)):
        offered = hand_over(sender, target, name)
        assert {each.id for each in offered.images} == {each.image_id for each in found.values()}
        for each, image in found.items():
            there = target.images.resolve(name, Platform.parse(f"linux/{each}"))
            assert there.id == image.image_id
            assert there.repo_digests == (f"{registry.host}/x@{digest_of(data)}",)
            assert target.blobs.read(image.digest) == image.manifest
        assert target.images.index_of(name) == Descriptor(kind, digest_of(data), len(data))
        assert target.blobs.read(digest_of(data)) == data
        assert target.blobs.read(digest_of(proof)) == proof
        hand_over(sender, target, "other:2") if sender is house else None
    assert receiver.images.index_of("other:2") == receiver.images.index_of(name)
    for each in (name, "other:2"):
        receiver.images.remove(each)
    assert receiver.blobs.all() == []


@pytest.mark.root
async def test_an_index_whose_layers_are_there_as_other_blobs(
    house: House, registry: FaultyRegistry, receiver: Side
) -> None:
    """The manifests cannot hold there, so neither does the index; the name goes to what suits the machine."""
    found = {each: made(layer_of(each), architecture=each) for each in ("arm64", "amd64")}
    for each, image in found.items():
        registry.put("x", each, image)
    registry.put_manifest(
        "x",
        "1",
        *index_of(*((image, {"os": "linux", "architecture": each}) for each, image in found.items())),
    )
    name = f"{registry.host}/x:1"
    for each in found:
        await house.pull(name, platform=f"linux/{each}")
    for each_image in house.images.list():
        with house.images.blobs.open(each_image.record.layers[0].digest) as stream:
            receiver.images.import_(decompressed(stream)[1])
    hand_over(house, receiver, name)
    assert receiver.images.index_of(name) is None
    assert receiver.images.resolve(name).id == found["amd64"].image_id
    assert receiver.images.resolve(found["arm64"].image_id).repo_tags == ()


@pytest.mark.root
async def test_one_of_several_platforms(house: House, registry: FaultyRegistry, receiver: Side) -> None:
    """Of an index, the one that was asked for goes."""
    found = {each: made(layer_of(each), architecture=each) for each in ("amd64", "arm64")}
    for each, image in found.items():
        registry.put("x", each, image)
    places = [(image, {"os": "linux", "architecture": each}) for each, image in found.items()]
    registry.put_manifest("x", "1", *index_of(*places))
    name = f"{registry.host}/x:1"
    for each in found:
        await house.pull(name, platform=f"linux/{each}")
    for each, image in found.items():
        (chosen,) = offer(house.images, [name], f"linux/{each}").images
        assert chosen.id == image.image_id
        assert chosen.names == (name,)
    with pytest.raises(NotFound, match="does not provide the specified platform"):
        offer(house.images, [name], "linux/s390x")
