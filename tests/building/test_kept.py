"""Contexts that are kept: of a folder that was built before, only what changed is sent and read."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import time
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until

from nakagin.build.context import Context
from nakagin.build.kept import KeptContexts, Listing, Row, read_listing
from nakagin.cli.building.listing import listing
from nakagin.client.copying.pack import pack, pack_some
from nakagin.errors import Damaged, Invalid

FILE, FOLDER = stat.S_IFREG | 0o640, stat.S_IFDIR | 0o755


class Client:
    """A folder on its way to the engine, and what was asked for."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.kept = KeptContexts(str(root))

    def send(self, rows: list[Row] | None = None) -> tuple[Context, list[str] | None]:
        listed = listing(str(self.folder), None)
        assert listed is not None
        found = read_listing(io.BytesIO(listed))
        return asyncio.run(self._send(Listing(found.key, rows) if rows is not None else found))

    async def _send(self, listed: Listing) -> tuple[Context, list[str] | None]:
        async with self.kept.update(listed) as update:
            wanted = update.wanted
            if wanted != []:
                pieces = (
                    pack(str(self.folder), ".") if wanted is None else pack_some(str(self.folder), wanted)
                )
                update.take(io.BytesIO(b"".join(pieces)))
            return update.finish(), wanted

    def settle(self) -> None:
        """Wait until no file is so young that it may change unseen."""
        written = max(path.stat().st_ctime for path in self.folder.rglob("*"))
        await_until(lambda: time.time() > written + 0.25, "the files to age")


@pytest.fixture
def client(tmp_path: Path) -> Client:
    folder = tmp_path / "folder"
    (folder / "d").mkdir(parents=True)
    (folder / "a").write_text("first")
    (folder / "d" / "b").write_text("second")
    os.link(folder / "a", folder / "d" / "a2")
    (folder / "l").symlink_to("d/b")
    return Client(folder, tmp_path)


def content(context: Context) -> dict[str, str]:
    """The files by path."""
    found = {os.fsdecode(path): context.text(path) for path in context.paths()}
    context.close()
    return {path: text for path, text in found.items() if text is not None}


WHOLE = {"a": "first", "d/a2": "first", "d/b": "second"}


def test_the_second_time_only_what_changed_is_asked_for(client: Client) -> None:
    client.settle()
    context, wanted = client.send()
    assert (content(context), wanted) == (WHOLE, None)
    context, wanted = client.send()
    assert (content(context), wanted) == (WHOLE, [])
    (client.folder / "d" / "b").write_text("SECOND")
    (client.folder / "new").write_text("n")
    client.settle()
    context, wanted = client.send()
    assert wanted == ["d/b", "new"]
    assert content(context) == {**WHOLE, "d/b": "SECOND", "new": "n"}
    (client.folder / "new").unlink()
    context, wanted = client.send()
    assert (content(context), wanted) == ({**WHOLE, "d/b": "SECOND"}, [])


def test_it_is_the_context_that_a_tar_gives(client: Client, tmp_path: Path) -> None:
    ours, _ = client.send()
    plain = Context.read(io.BytesIO(b"".join(pack(str(client.folder), "."))), str(tmp_path))
    assert ours.paths() == plain.paths()
    for path in ours.paths():
        one, other = ours.look(path), plain.look(path)
        assert one is not None
        assert other is not None
        for what in ("type", "mode", "size", "linkname", "mtime_ns"):
            same = getattr(one.entry, what) == getattr(other.entry, what)
            assert same or (what == "mtime_ns" and abs(one.entry.mtime_ns - other.entry.mtime_ns) < 1000)
        assert (one.inode is None) == (other.inode is None)
        if one.entry.type == b"0":
            assert ours.digest(one) == plain.digest(other)
    ours.close()
    plain.close()


def test_a_file_without_a_stamp_is_asked_for_each_time(client: Client) -> None:
    """It may have been written twice within one tick of the clock."""
    (client.folder / "d" / "b").write_text("young")
    context, _ = client.send()
    context.close()
    context, wanted = client.send()
    assert wanted is None or "d/b" in wanted
    assert content(context)["d/b"] == "young"


def test_bytes_of_no_file_are_given_back(client: Client) -> None:
    (client.folder / "big").write_bytes(os.urandom(3 << 20))
    context, _ = client.send()
    context.close()
    (client.folder / "big").write_bytes(b"small now")
    client.settle()
    context, _ = client.send()
    assert sum(each.size for each in client.kept.all()) < 1000
    assert content(context)["a"] == "first", "a build that reads the old bytes goes on"
    context, wanted = client.send()
    assert wanted == []
    assert content(context)["big"] == "small now"
    (one,) = client.kept.all()
    client.kept.remove(one.name)
    assert client.kept.all() == []


def test_an_index_that_is_damaged_counts_for_nothing(client: Client, tmp_path: Path) -> None:
    client.settle()
    client.send()[0].close()
    (index,) = (tmp_path / "build" / "contexts").glob("*.index")
    index.write_bytes(b"\xc1")
    context, wanted = client.send()
    assert (content(context), wanted) == (WHOLE, None)


def test_what_went_away_is_told(client: Client) -> None:
    with pytest.raises(Damaged, match="gone went away"):
        client.send([Row("gone", FILE, 1, 0, "s"), Row("a", FILE, 5, 0, "s")])
    with pytest.raises(Invalid, match="list of the build context"):
        read_listing(io.BytesIO(b"[]"))


def test_names_that_lead_out_are_refused(client: Client) -> None:
    with pytest.raises(Invalid):
        client.send([Row("../../etc", FOLDER, 0, 0)])


@pytest.mark.root
def test_a_byte_in_a_large_folder(engine: ScratchEngine, tmp_path: Path) -> None:
    """What the engine keeps grows by the changed file alone."""
    for number in range(300):
        (tmp_path / f"f{number}").write_text(f"{number}" * 100)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    written = time.time()
    await_until(lambda: time.time() > written + 0.25, "the files to age")
    place = engine.data_root / "build" / "contexts"
    before = {path.name for path in place.glob("*")}
    first = engine.nakagin("build", "-q", str(tmp_path)).stdout.strip()
    (spool,) = [path for path in place.glob("*") if path.name not in before and path.suffix != ".index"]
    size = spool.stat().st_size
    (tmp_path / "f7").write_text("eight")
    second = engine.nakagin("build", "-q", str(tmp_path)).stdout.strip()
    assert spool.stat().st_size == size + len("eight")
    assert first != second
    (tmp_path / "f7").write_text("7" * 100)
    third = engine.nakagin("build", "-q", str(tmp_path)).stdout.strip()
    assert third == first, "times are no part of what a context is"
    engine.nakagin("rmi", "-f", first, second)
