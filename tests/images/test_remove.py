"""Docker's rules of rmi, case by case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nakagin.errors import Conflict, NotFound
from nakagin.images.library import KIND, Images
from nakagin.images.model import Image
from nakagin.storage.records import Records

pytestmark = pytest.mark.root
Make = Callable[..., Image]


def kinds(lines: object) -> list[str]:
    assert isinstance(lines, list)
    return ["".join(line) for line in lines]


def test_the_last_name_takes_the_image_along(images: Images, make: Make) -> None:
    image = make("app")
    images.tag("app", "other")
    assert images.remove("other") == [{"Untagged": "other:latest"}]
    lines = images.remove("app")
    assert lines[:2] == [{"Untagged": "app:latest"}, {"Deleted": image.id}]
    assert lines[2:] == [{"Deleted": image.chain_id}]
    with pytest.raises(NotFound):
        images.remove("app")


def test_by_id_with_one_name(images: Images, make: Make) -> None:
    image = make("app")
    assert kinds(images.remove(image.id[7:19])) == ["Untagged", "Deleted", "Deleted"]


def test_by_id_with_several_names(images: Images, make: Make) -> None:
    image = make("app")
    images.tag("app", "other")
    short = image.id[7:19]
    message = rf"conflict: unable to delete {short} \(must be forced\) - image is referenced in multiple repositories"
    with pytest.raises(Conflict, match=message):
        images.remove(image.id)
    assert images.resolve("app").repo_tags == ("app:latest", "other:latest")
    assert kinds(images.remove(image.id, force=True)) == ["Untagged", "Untagged", "Deleted", "Deleted"]


def test_by_name_while_a_container_uses_it(images: Images, make: Make, records: Records) -> None:
    image = make("app")
    records.hold(KIND, image.id, "container:0123456789abcdef", "runs")
    message = (
        r'conflict: unable to remove repository reference "app" \(must force\) - container 0123456789ab '
        rf"is using its referenced image {image.id[7:19]}"
    )
    with pytest.raises(Conflict, match=message):
        images.remove("app")
    images.tag("app", "second")
    assert images.remove("second") == [{"Untagged": "second:latest"}]


def test_a_stopped_container_gives_way_to_force(images: Images, make: Make, records: Records) -> None:
    image = make("app")
    records.hold(KIND, image.id, "container:0123456789abcdef", "runs")
    with pytest.raises(
        Conflict, match=r"\(must be forced\) - image is being used by stopped container 0123456789ab"
    ):
        images.remove(image.id)
    images.remove(image.id, force=True)
    assert images.list() == []


def test_a_running_container_does_not(images: Images, make: Make, records: Records) -> None:
    image = make("app")
    records.hold(KIND, image.id, "container:0123456789abcdef", "runs")
    images.is_running = {"container:0123456789abcdef"}.__contains__
    with pytest.raises(
        Conflict, match=r"\(cannot be forced\) - image is being used by running container 0123456789ab"
    ):
        images.remove(image.id, force=True)
    assert images.remove("app", force=True) == [{"Untagged": "app:latest"}]
    assert images.resolve(image.id).dangling


def test_children(images: Images, make: Make) -> None:
    base = make("base")
    child = images.commit("base", [], defaults={"Cmd": ["x"]}, reference="child")
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        images.remove(base.id, force=True)
    assert images.remove("base") == [{"Untagged": "base:latest"}]
    lines = images.remove("child")
    assert {"Deleted": child.id} in lines
    assert {"Deleted": base.id} in lines
    assert images.list() == []


def test_children_without_pruning(images: Images, make: Make) -> None:
    base = make("base")
    images.commit("base", [], defaults={"Cmd": ["x"]}, reference="child")
    images.remove("base")
    images.remove("child", prune=False)
    assert [image.id for image in images.list()] == [base.id]


def test_shared_layers_stay(images: Images, make: Make) -> None:
    one, two = make("one", "same", created=1), make("two", "same", created=2)
    assert one.id != two.id
    assert images.shared_size(one) == one.size
    assert kinds(images.remove("one")) == ["Untagged", "Deleted"]
    assert images.inspect("two")["Size"] == two.size


def test_prune(images: Images, make: Make, records: Records) -> None:
    make("keep", "1")
    held = make(None, "22")
    records.hold(KIND, held.id, "container:x", "runs")
    loose = make(None, "333")
    before = images.disk_usage()
    lines, freed = images.prune()
    assert {"Deleted": loose.id} in lines
    assert freed == before - images.disk_usage() > 0
    lines, freed = images.prune(dangling=False)
    assert kinds(lines) == ["Untagged", "Deleted", "Deleted"]
    assert [image.id for image in images.list()] == [held.id]


def test_prune_with_filters(images: Images, make: Make) -> None:
    make(None, "1", changes=["LABEL keep=yes"], created=1000)
    make(None, "2", created=1000)
    images.prune(filters={"label!": ["keep"]})
    assert len(images.list()) == 1
    images.prune(filters={"until": ["999"]})
    assert len(images.list()) == 1
    images.prune(filters={"until": ["1h"]})
    assert images.list() == []
