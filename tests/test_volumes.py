"""Volumes: made once, held by containers, removed whole; also by the next engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.errors import Conflict, Invalid, NotFound, StepFailed
from nakagin.events import EventBus
from nakagin.kernel import abi
from nakagin.storage.records import Records
from nakagin.volumes.model import ANONYMOUS, mounted
from nakagin.volumes.volumes import Volumes


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
    for missing, options in (
        ("device", {"type": "nfs"}),
        ("type", {"device": "/x"}),
        ("device", {"o": "ro"}),
    ):
        with pytest.raises(Invalid, match=f'missing required option: "{missing}"'):
            volumes.create("data", options=options)
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
    found = volumes.prune()
    assert found["VolumesDeleted"] == [anonymous["Name"]]
    assert found["SpaceReclaimed"] >= 1000
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


def test_what_the_options_mean() -> None:
    nfs = mounted({"type": "nfs", "device": ":/export", "o": "addr=files.example.org,ro,nfsvers=4,nosuid"})
    assert nfs == ("nfs", ":/export", abi.MS_RDONLY | abi.MS_NOSUID, "addr=files.example.org,nfsvers=4")
    assert nfs is not None
    assert nfs.address == "files.example.org"
    bind = mounted({"type": "none", "device": "/x", "o": "bind"})
    assert bind == ("", "/x", abi.MS_BIND, "")
    assert bind is not None
    assert bind.is_plain_bind
    tmpfs = mounted({"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"})
    assert tmpfs == ("tmpfs", "tmpfs", 0, "size=1m,uid=7")
    assert mounted({}) is None


@pytest.mark.root
def test_a_tmpfs_lives_as_long_as_somebody_uses_it(volumes: Volumes) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700"}
    place = Path(volumes.create("fast", options=options)["Mountpoint"])
    volumes.use("fast", "one")
    volumes.use("fast", "two")
    (place / "file").touch()
    assert os.statvfs(place).f_blocks * os.statvfs(place).f_frsize == 1 << 20
    volumes.end_use("fast", "one")
    assert os.listdir(place) == ["file"]
    volumes.end_use("fast", "two")
    assert not os.path.ismount(place)
    assert os.listdir(place) == []


@pytest.mark.root
def test_a_crash_leaves_no_mount_behind_for_ever(volumes: Volumes, records: Records, tmp_path: Path) -> None:
    place = volumes.create("fast", options={"type": "tmpfs", "device": "tmpfs"})["Mountpoint"]
    volumes.use("fast", "one")
    again = Volumes(records, str(tmp_path), EventBus())
    again.start()
    assert os.path.ismount(place)  # somebody may live on it
    again.settle()
    assert not os.path.ismount(place)


@pytest.mark.root
def test_what_cannot_be_mounted_says_why(volumes: Volumes, tmp_path: Path) -> None:
    volumes.create("strange", options={"type": "nosuchfs", "device": "none"})
    with pytest.raises(StepFailed, match=r"mount the volume strange .*nosuchfs"):
        volumes.use("strange", "one")
    volumes.create("gone", options={"type": "none", "o": "bind", "device": str(tmp_path / "gone")})
    with pytest.raises(StepFailed, match="no such file or directory"):
        volumes.use("gone", "one")
    assert volumes.users("gone") == set()


@pytest.mark.root
def test_a_size_is_a_limit(volumes: Volumes) -> None:
    made = volumes.create("small", options={"size": "16m"})
    assert made["Status"]["Limit"] == 16 << 20
    if made["Status"]["LimitedBy"] == "watch":
        pytest.skip("no mkfs.ext4 or no loop devices here")
    with volumes.used("small", "one") as place:
        assert os.listdir(place) == []
        with pytest.raises(OSError, match="No space left"):
            Path(place, "large").write_bytes(bytes(17 << 20))
        os.unlink(f"{place}/large")
        Path(place, "kept").write_text("x")
    assert not os.path.ismount(place)
    with volumes.used("small", "one"):
        assert os.listdir(place) == ["kept"]
    volumes.remove("small")
    with pytest.raises(Invalid, match="at least 8 MiB"):
        volumes.create("tiny", options={"size": "1k"})


def test_a_limit_that_is_only_watched_is_told_once(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    events = EventBus()
    monkeypatch.setattr(events, "publish", lambda kind, action, *_: told.append(action))
    monkeypatch.setattr("nakagin.storage.bounded.shutil.which", lambda *_, **__: None)
    volumes = Volumes(records, str(tmp_path), events)
    volumes.start()
    place = Path(volumes.create("small", options={"size": "8m"})["Mountpoint"])
    (place / "f").write_bytes(os.urandom(9 << 20))
    volumes.check_limits()
    volumes.check_limits()
    assert told.count("limit-exceeded") == 1
    (place / "f").unlink()
    volumes.check_limits()
    (place / "f").write_bytes(os.urandom(9 << 20))
    volumes.check_limits()
    assert told.count("limit-exceeded") == 2


def test_rename_keeps_files_and_holds(volumes: Volumes, records: Records, tmp_path: Path) -> None:
    place = Path(volumes.create("old")["Mountpoint"])
    (place / "kept").touch()
    volumes.hold("old", "c" * 64)
    volumes.rename("old", "new", lambda: None)
    assert os.listdir(volumes.path("new")) == ["kept"]
    with pytest.raises(Conflict, match="in use"):
        volumes.remove("new")
    fresh = Path(volumes.create("old")["Mountpoint"])
    assert os.listdir(fresh) == []
    with pytest.raises(Conflict, match="exists already"):
        volumes.rename("new", "old", lambda: None)
    again = Volumes(records, str(tmp_path), EventBus())
    again.start()
    assert os.listdir(again.path("new")) == ["kept"]
    assert again.path("old") == str(fresh)
