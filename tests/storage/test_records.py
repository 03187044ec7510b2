from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nakagin.errors import Conflict, Damaged, Unavailable
from nakagin.storage.records import Hold, Records


def test_documents(records: Records) -> None:
    assert records.get("thing", "a") is None
    records.put("thing", "a", b"1")
    records.put("thing", "b", b"2")
    records.put("other", "a", b"3")
    records.put("thing", "a", b"4")
    assert records.get("thing", "a") == b"4"
    assert records.all("thing") == [("a", b"4"), ("b", b"2")]
    records.delete("thing", "a")
    records.delete("thing", "a")
    assert records.get("thing", "a") is None
    assert records.get("other", "a") == b"3"


def test_prefixes(records: Records) -> None:
    for id in ("abc", "abd", "b"):
        records.put("thing", id, b"")
    assert records.find("thing", "ab") == ["abc", "abd"]
    assert records.find("thing", "") == ["abc", "abd", "b"]
    assert records.find("thing", "x") == []


def test_names_are_unique_within_a_kind(records: Records) -> None:
    records.claim("thing", "web", "1")
    records.claim("thing", "web", "1")
    records.claim("other", "web", "2")
    with pytest.raises(Conflict, match=r"'web' is already in use by 1"):
        records.claim("thing", "web", "2")
    assert records.resolve("thing", "web") == "1"
    records.move("thing", "web", "2")
    assert records.names("thing") == [("web", "2")]
    assert records.names_of("thing", "2") == ["web"]
    records.release("thing", "web")
    assert records.resolve("thing", "web") is None


def test_holds(records: Records) -> None:
    records.hold("image", "i", "container:1", "runs from it")
    records.hold("image", "i", "container:2", "too")
    records.hold("volume", "v", "container:1", "mounts it")
    assert records.holders("image", "i") == [Hold("container:1", "runs from it"), Hold("container:2", "too")]
    assert records.held("image") == {"i"}
    records.release_holder("container:1")
    assert records.holders("volume", "v") == []
    records.release_hold("image", "i", "container:2")
    assert records.held("image") == set()


def test_deleting_frees_names_and_holds(records: Records) -> None:
    records.put("thing", "1", b"")
    records.claim("thing", "web", "1")
    records.hold("thing", "1", "x", "y")
    records.delete("thing", "1")
    assert records.resolve("thing", "web") is None
    assert records.holders("thing", "1") == []


def test_a_failed_transaction_changes_nothing(records: Records) -> None:
    with pytest.raises(ValueError, match="stop"), records.transaction():
        records.put("thing", "1", b"")
        with records.transaction():
            records.claim("thing", "web", "1")
        raise ValueError("stop")
    assert records.all("thing") == []
    assert records.resolve("thing", "web") is None
    records.put("thing", "2", b"")


def test_what_was_committed_survives_without_closing(tmp_path: Path) -> None:
    first = Records(str(tmp_path / "db"))
    first.put("thing", "1", b"x")
    second = Records(str(tmp_path / "db"))
    assert second.get("thing", "1") == b"x"
    second.checkpoint()
    second.close()
    first.close()


def test_what_was_deleted_gives_its_room_back(tmp_path: Path, records: Records) -> None:
    for number in range(1000):
        records.put("thing", str(number), bytes(4000))
    records.checkpoint()
    assert os.path.getsize(records.path) > 4_000_000
    for number in range(1000):
        records.delete("thing", str(number))
    records.put("thing", "kept", b"x")
    for _ in range(2):  # the file gets shorter when what was written anew is in it
        records.checkpoint()
    records.put("thing", "kept", b"y")  # and its log when it is used again
    assert os.path.getsize(records.path) < 1_000_000
    assert os.path.getsize(records.path + "-wal") <= 4 << 20
    assert records.all("thing") == [("kept", b"y")]


def test_threads_do_not_lose_writes(records: Records) -> None:
    def write(worker: int) -> None:
        for number in range(50):
            with records.transaction():
                records.put("thing", f"{worker}-{number}", b"")
                records.claim("thing", f"{worker}-{number}", "x")

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records.all("thing")) == 200


@pytest.mark.root
def test_a_full_disk_still_lets_things_be_removed(tmp_path: Path) -> None:
    """Single writes and whole transactions go on for a while; what is removed can be removed for ever."""
    script = """
import os, sys
from nakagin.errors import Exhausted
from nakagin.storage.records import Records
records = Records(sys.argv[1] + "/db")
for number in range(20):
    records.put("thing", str(number), b"x" * 5000)
with open(sys.argv[1] + "/filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(65536)):
            pass
    except OSError:
        pass
    try:
        while filler.write(bytes(512)):
            pass
    except OSError:
        pass
filled = 0
with records.transaction():
    for number in range(20):
        records.put("other", str(number), b"y" * 3000)
        records.delete("thing", str(number))
assert len(records.all("other")) == 20 and not records.all("thing")
for _ in range(2000):
    with records.transaction():
        records.hold("other", "0", "it", "is in use")
        records.release_holder("it")
with open(sys.argv[1] + "/filler", "ab", buffering=0) as filler:  # nothing has been let go for others to take
    try:
        while filler.write(bytes(512)):
            filled += 512
    except OSError:
        pass
assert filled < 65536, filled
try:
    for number in range(10000):
        with records.transaction():
            records.put("more", str(number), b"z" * 5000)
    raise AssertionError("the disk is endless")
except Exhausted as error:
    assert "no space" in str(error)
assert len(records.all("other")) == 20
os.unlink(sys.argv[1] + "/filler")
records.put("again", "1", b"")
records.checkpoint()
for each in (records.path, records.path + "-wal"):
    status = os.stat(each)
    assert status.st_blocks * 512 >= status.st_size + (2 << 20), each
print("done")
"""
    mount = 'mount -t tmpfs -o size=16m none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", mount, "sh", str(tmp_path), sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr


def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(Damaged, match="is damaged"):
        Records(str(path))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot use the database"):
        Records(str(tmp_path / "missing" / "db"))
