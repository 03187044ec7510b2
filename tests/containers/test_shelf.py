"""Containers by id, prefix and name; what is written is what a new engine reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nakagin.containers.model import Container
from nakagin.containers.shelf import Shelf
from nakagin.errors import Conflict, Invalid, NotFound
from nakagin.spec.docker import ContainerConfig, HostConfig
from nakagin.storage.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    made = Records(str(tmp_path / "records.db"))
    yield made
    made.close()


def record(id: str, name: str) -> Container:
    return Container(
        id=id * 8,
        name=name,
        created="",
        image_id="",
        config=ContainerConfig(cmd=("a",)),
        host_config=HostConfig(),
    )


async def test_find(records: Records) -> None:
    shelf = Shelf(records)
    one, two = shelf.add(record("aaaa0001", "one")), shelf.add(record("aaaa0002", "two"))
    assert shelf.find("one") is shelf.find("/one") is shelf.find("aaaa0001") is shelf.find(one.id) is one
    with pytest.raises(Invalid, match="multiple IDs found"):
        shelf.find("aaaa")
    for unknown in ("bbbb", "three", "", "/"):
        with pytest.raises(NotFound, match="No such container"):
            shelf.find(unknown)
    shelf.drop(two)
    assert shelf.find("aaaa") is one


async def test_names_are_unique_and_move(records: Records) -> None:
    shelf = Shelf(records)
    one = shelf.add(record("a1", "one"))
    with pytest.raises(Conflict, match='The container name "/one" is already in use by container'):
        shelf.add(record("b2", "one"))
    assert len(shelf) == 1
    shelf.save(one, msgspec.structs.replace(one.record, name="uno"))
    shelf.add(record("b2", "one"))
    with pytest.raises(Conflict):
        shelf.save(one, msgspec.structs.replace(one.record, name="one"))
    assert (one.record.name, shelf.name_is_free("uno")) == ("uno", False)


async def test_what_is_written_is_read_again(records: Records) -> None:
    shelf = Shelf(records)
    capsule = shelf.add(record("a1", "one"))
    shelf.save(capsule, capsule.record.with_facts(pid=7, paused=True))
    again = Shelf(records)
    again.load()
    assert again.find("one").record == capsule.record
    assert not again.find("one").ended.is_set()


async def test_a_failed_write_changes_nothing(records: Records) -> None:
    shelf = Shelf(records)
    capsule = shelf.add(record("a1", "one"))

    def refuse() -> None:
        raise Conflict("no")

    with pytest.raises(Conflict):
        shelf.save(capsule, msgspec.structs.replace(capsule.record, name="two"), refuse)
    assert shelf.find("one").record.name == "one"
    assert records.resolve("container", "one") == capsule.id
