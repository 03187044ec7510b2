from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.storage.tars import member, tar

from nakagin.errors import Damaged, Invalid, NakaginError, NotFound, Unsupported
from nakagin.images.library import KIND, Images
from nakagin.images.model import Image, StoredLayer, moment
from nakagin.spec.digest import digest_of
from nakagin.spec.reference import Reference
from nakagin.storage.blobs import Blobs
from nakagin.storage.diff import layer_tar
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots

pytestmark = pytest.mark.root
Make = Callable[..., Image]


def reopened(tmp_path: Path, records: Records) -> Images:
    layers = Layers(str(tmp_path), records)
    return Images(records, Blobs(str(tmp_path)), layers, Snapshots(str(tmp_path), records, layers))


def left(tmp_path: Path) -> list[str]:
    """Files below the data root, but for the database, the trash, and the layer below all (decision 222)."""
    found = [
        path for path in tmp_path.rglob("*") if not path.name.startswith("nakagin.db") and path.is_file()
    ]
    return sorted(str(path) for path in found if not {"trash", "places"} & set(path.parts))


def test_an_imported_image(images: Images, make: Make) -> None:
    image = make("app:1", "hello", changes=['CMD ["sh"]', "LABEL a=b"], message="why", created=1_700_000_000)
    assert image.repo_tags == ("app:1",)
    assert (image.size, image.created, image.cmd, image.labels) == (
        5,
        "2023-11-14T22:13:20Z",
        ["sh"],
        {"a": "b"},
    )
    assert image.env == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert images.history("app:1")[0]["Comment"] == "why"


def test_the_same_input_gives_the_same_id(make: Make) -> None:
    assert make("a", created=0).id == make("b", created=0).id


@pytest.mark.parametrize(
    "how", ["app:1", "app:1 full", "id", "bare id", "prefix", "short prefix", "sha prefix"]
)
def test_resolve(images: Images, make: Make, how: str) -> None:
    image = make("app:1")
    words = {
        "app:1": "app:1",
        "app:1 full": "docker.io/library/app:1",
        "id": image.id,
        "bare id": image.id[7:],
        "prefix": image.id[7:19],
        "short prefix": image.id[7:9],
        "sha prefix": image.id[:20],
    }
    assert images.resolve(words[how]).id == image.id


def test_unknown_names(images: Images, make: Make) -> None:
    make("app:1")
    for text, shown in (("nope", "nope:latest"), ("app", "app:latest"), ("quay.io/x/y:2", "quay.io/x/y:2")):
        with pytest.raises(NotFound, match=rf"^No such image: {shown} \("):
            images.resolve(text)
    with pytest.raises(NotFound, match=r"No such image: sha256:0000"):
        images.resolve("sha256:" + "0" * 64)
    with pytest.raises(Invalid, match="invalid reference format"):
        images.resolve("App::")


def test_a_name_comes_before_an_id_prefix(images: Images, make: Make) -> None:
    image = make(None, "one")
    other = make(image.id[7:12], "two")
    assert images.resolve(image.id[7:12]).id == other.id


def test_a_tag_moves(images: Images, make: Make) -> None:
    first, second = make("app", "one"), make("app", "two")
    assert images.resolve("app").id == second.id
    assert images.resolve(first.id).dangling
    images.tag(first.id, "app")
    assert images.resolve("app").id == first.id
    with pytest.raises(Invalid, match="refusing to create a tag with a digest"):
        images.tag("app", f"app@{first.id}")


def test_list_is_newest_first(images: Images, make: Make) -> None:
    make("old", "1", created=100)
    make("new", "2", created=200)
    assert [image.repo_tags for image in images.list()] == [("new:latest",), ("old:latest",)]


def test_inspect_has_what_docker_has(images: Images, make: Make) -> None:
    make("app", created=5)
    document = images.inspect("app")
    assert set(document) >= {
        "Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "DockerVersion", "Author", "Config",
        "Architecture", "Os", "Size", "GraphDriver", "RootFS", "Metadata",
    }  # fmt: skip
    assert document["RootFS"]["Type"] == "layers"
    assert os.path.isdir(document["GraphDriver"]["Data"]["UpperDir"])


def test_a_restart_remembers(images: Images, make: Make, records: Records, tmp_path: Path) -> None:
    image = make("app:1", created=1)
    again = reopened(tmp_path, records)
    again.recover()
    assert again.resolve("app:1") == images.resolve("app:1")
    assert again.resolve("app:1").id == image.id


def test_after_removing_everything_nothing_is_left(images: Images, make: Make, tmp_path: Path) -> None:
    make("a", "1")
    make("b", "2")
    for image in images.list():
        images.remove(image.id, force=True)
    assert images.list() == []
    assert left(tmp_path) == []


def test_a_failed_import_leaves_nothing(images: Images, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        images.import_(io.BytesIO(tar(member("f", b"x" * 5000))[:3000]), "app")
    with pytest.raises(Invalid):
        images.import_(io.BytesIO(tar(member("../f"))), "app")
    with pytest.raises(Invalid, match="valid change command"):
        images.import_(io.BytesIO(tar(member("f"))), "app", changes=["RUN x"])
    assert images.list() == []
    assert left(tmp_path) == []


def test_what_a_kill_leaves_is_swept(images: Images, make: Make, records: Records, tmp_path: Path) -> None:
    make("app")
    before = left(tmp_path)
    Blobs(str(tmp_path)).put(b"a blob that nobody came to record")
    (tmp_path / "tmp" / "layer-half").mkdir()
    (tmp_path / "tmp" / "blob-half").write_bytes(b"x")
    layers = Layers(str(tmp_path), records)
    layers.apply(io.BytesIO(tar(member("orphan"))), None)
    Layers(str(tmp_path), records).recover()
    again = reopened(tmp_path, records)
    again.recover()
    assert left(tmp_path) == before
    assert os.listdir(tmp_path / "tmp") == []


def test_a_lost_layer_is_unpacked_again(images: Images, make: Make, records: Records, tmp_path: Path) -> None:
    image = make("app", "hello")
    assert image.chain_id
    Layers(str(tmp_path), records).remove(image.chain_id)
    again = reopened(tmp_path, records)
    again.recover()
    assert again.resolve("app").size == 5


@pytest.mark.parametrize("lost", ["config", "layer"])
def test_an_image_that_lost_a_blob_waits_for_it(
    images: Images, make: Make, records: Records, tmp_path: Path, lost: str
) -> None:
    image, other = make("app"), make("other", "2")
    assert image.chain_id
    path = Path(Blobs(str(tmp_path)).path(image.id if lost == "config" else image.record.layers[0].digest))
    kept = path.read_bytes()
    if lost == "layer":
        Layers(str(tmp_path), records).remove(image.chain_id)
        path.unlink()
    else:
        path.write_bytes(bytes(len(kept)))
    again = reopened(tmp_path, records)
    again.recover()
    found = {each.id: each for each in again.list()}
    assert set(found) == {image.id, other.id}
    assert found[image.id].repo_tags == ("app:latest",)
    assert found[image.id].damage
    with pytest.raises(NotFound, match=r"No such image: app \(it is damaged: .*"):
        again.resolve("app")
    with pytest.raises(NotFound, match="it is damaged"):
        again.tag("app", "more")
    again.collect()
    assert again.find(image.id), "its names and its other parts are kept for the day when it is mended"
    with pytest.raises(NakaginError):
        again.mend(image.id)
    path.write_bytes(kept)
    again.mend(image.id)
    assert again.resolve("app").config == image.config
    assert again.resolve("app").size == image.size
    again.mend(image.id)  # of a whole one nothing is to be done


def test_a_damaged_image_can_be_removed_and_loaded(
    images: Images, make: Make, records: Records, tmp_path: Path
) -> None:
    image = make("app")
    saved = b"".join(images.save(["app"]))
    os.unlink(Blobs(str(tmp_path)).path(image.id))
    again = reopened(tmp_path, records)
    again.recover()
    again.load(io.BytesIO(saved))
    assert again.resolve("app").config == image.config
    os.unlink(Blobs(str(tmp_path)).path(image.id))
    again = reopened(tmp_path, records)
    again.recover()
    again.remove("app")
    assert records.all(KIND) == []
    assert left(tmp_path) == []


def test_a_record_that_cannot_be_read_costs_its_image_alone(
    images: Images, make: Make, records: Records, tmp_path: Path
) -> None:
    image, other = make("app"), make("other", "2")
    records.put(KIND, image.id, b'{"layers": 7}')
    again = reopened(tmp_path, records)
    again.recover()
    assert [each.id for each in again.list()] == [other.id]


def test_a_config_without_a_root_file_system_outlives_a_restart(
    images: Images, records: Records, tmp_path: Path
) -> None:
    """Valid for an image without layers; what is not said is as if it were empty."""
    image = images.add(b'{"architecture":"amd64","os":"linux"}', [], [Reference.parse("none")])
    again = reopened(tmp_path, records)
    again.recover()
    assert again.resolve("none").id == image.id


def test_layers_of_a_removed_image_stay_for_a_snapshot(
    images: Images, make: Make, snapshots: Snapshots, tmp_path: Path, records: Records
) -> None:
    image = make("app")
    layers = Layers(str(tmp_path), records)
    active = Snapshots(str(tmp_path), records, layers)
    library = Images(records, Blobs(str(tmp_path)), layers, active)
    active.prepare("k", image.chain_id)
    library.remove("app", force=True)
    assert image.chain_id
    assert layers.exists(image.chain_id)
    active.remove("k")
    library.collect()
    assert layers.all() == []
    assert left(tmp_path) == []


def test_commit(images: Images, make: Make, tmp_path: Path) -> None:
    base = make("base", "base", created=1)
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "new").write_text("12")
    image = images.commit(
        "base", layer_tar(str(upper)), defaults={"Cmd": ["new"]}, reference="child", created_by="sh -c new",
        author="me", comment="a change", created=2,
    )  # fmt: skip
    assert (image.size, image.cmd, image.record.parent) == (6, ["new"], base.id)
    assert len(image.diff_ids) == 2
    assert [line["Comment"] for line in images.history("child")] == ["a change", "Imported from -"]
    assert images.inspect("child")["Author"] == "me"
    unchanged = images.commit("base", layer_tar(str(tmp_path / "snapshots")), defaults={}, created=3)
    assert unchanged.diff_ids == base.diff_ids


def test_configs_that_do_not_fit(images: Images) -> None:
    layer = StoredLayer(digest_of(b"d"), digest_of(b"b"), 1, "tar")
    for config in (b"{", b"[]", b"{}", b'{"rootfs": {"diff_ids": [1]}}', b"\xff"):
        with pytest.raises(Damaged):
            images.add(config, [layer])
    windows = msgspec.json.encode({"os": "windows", "rootfs": {"diff_ids": []}})
    with pytest.raises(Unsupported, match="only linux"):
        images.add(windows, [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T01:00:00.5+01:00", 0.5),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert moment(text).timestamp() == seconds


def test_an_unreadable_moment() -> None:
    assert moment("yesterday").year == 1
