"""Volumes: made once, held by containers, removed whole; also by the next engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.errors import Conflict, Invalid, NotFound, Unsupported
from nakagin.events import EventBus
from nakagin.storage.records import Records
from nakagin.volumes import ANONYMOUS, Volumes


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    made = Records(str(tmp_path / "records.db"))
    yield made
    made.close()


@pytest.fixture
def volumes(tmp_path: Path, records: Records) -> Volumes:
    made = Volumes(records, str(tmp_path), EventBus())
    made.start()
    return made


def test_create_is_idempotent(volumes: Volumes) -> None:
    made = volumes.create("data", labels={"a": "1"})
    assert volumes.create("data") == made == volumes.inspect("data")
    assert os.path.isdir(made["Mountpoint"])
    assert volumes.path("data") == made["Mountpoint"]
    assert (made["Driver"], made["Labels"], made["Options"], made["Scope"]) == (
        "local",
        {"a": "1"},
        None,
        "local",
    )


def test_anonymous_ones_have_long_names_and_say_so(volumes: Volumes) -> None:
    made = volumes.create()
    assert len(made["Name"]) == 64
    assert made["Labels"] == {ANONYMOUS: ""}


@pytest.mark.parametrize("name", ["a", "a/b", "../x", "-x", "ä1"])
def test_bad_names(volumes: Volumes, name: str) -> None:
    with pytest.raises(Invalid, match="includes invalid characters for a local volume name"):
        volumes.create(name)


def test_drivers_and_options(volumes: Volumes, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nfs"):
        volumes.create("data", driver="nfs")
    with pytest.raises(Invalid, match="invalid option"):
        volumes.create("data", options={"colour": "red"})
    with pytest.raises(Unsupported):
        volumes.create("data", options={"type": "nfs", "device": ":/x"})
    volumes.create("bound", options={"type": "none", "o": "bind", "device": str(tmp_path)})
    assert volumes.path("bound") == str(tmp_path)
    with pytest.raises(Conflict, match="other options"):
        volumes.create("bound", options={"type": "none", "o": "bind", "device": "/"})
    volumes.remove("bound")
    assert tmp_path.is_dir()


def test_what_is_held_stays(volumes: Volumes, records: Records) -> None:
    volumes.create("data")
    volumes.hold("data", "c" * 64)
    with pytest.raises(Conflict, match="volume is in use"):
        volumes.remove("data")
    assert volumes.prune({"all": ["1"]})["VolumesDeleted"] == []
    assert [each["Name"] for each in volumes.list({"dangling": ["false"]})] == ["data"]
    records.release_holder("container:" + "c" * 64)
    volumes.remove("data")
    with pytest.raises(NotFound):
        volumes.inspect("data")
    volumes.remove("data", force=True)


def test_prune_takes_anonymous_ones_unless_all(volumes: Volumes) -> None:
    named, anonymous = volumes.create("data"), volumes.create()
    Path(anonymous["Mountpoint"], "file").write_bytes(b"x" * 1000)
    assert volumes.prune() == {"VolumesDeleted": [anonymous["Name"]], "SpaceReclaimed": 1000}
    assert volumes.prune({"all": ["true"]})["VolumesDeleted"] == [named["Name"]]


def test_filters(volumes: Volumes) -> None:
    volumes.create("web-data", labels={"a": "1"})
    volumes.create("db-data", labels={"a": "2"})

    def names(**filters: list[str]) -> list[str]:
        return [each["Name"] for each in volumes.list(filters)]

    assert names() == names(dangling=["true"]) == names(driver=["local"]) == ["db-data", "web-data"]
    assert names(name=["web"]) == names(label=["a=1"]) == ["web-data"]
    with pytest.raises(Invalid, match="invalid filter 'colour'"):
        names(colour=["red"])


def test_the_next_engine_finishes_a_removal(volumes: Volumes, records: Records, tmp_path: Path) -> None:
    made = volumes.create("data")
    record = records.get("volume", "data")
    assert record is not None
    records.put("volume", "data", record.replace(b"}", b',"removing":true}'))
    (tmp_path / "volumes/orphan").mkdir()
    again = Volumes(records, str(tmp_path), EventBus())
    again.start()
    assert again.list() == []
    assert not os.path.exists(made["Mountpoint"])
    assert os.listdir(tmp_path / "volumes") == []
