"""Images over the API, with the real library on a temporary folder."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.conftest import Served
from tests.api.wire import Wire

from nakagin.images.library import Images
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots

pytestmark = pytest.mark.root


def tarball(size: int = 10) -> bytes:
    """A root file system with one file of `size` random bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("etc/motd")
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


@pytest.fixture
async def wire(served: Served, tmp_path: Path) -> AsyncIterator[Wire]:
    records = Records(str(tmp_path / "records.db"))
    blobs = Blobs(str(tmp_path / "blobs"))
    layers = Layers(str(tmp_path), records)
    served.engine.images = Images(records, blobs, layers, Snapshots(str(tmp_path), records, layers))
    wire = await served.connect()
    yield wire
    wire.close()
    records.close()


def upload(wire: Wire, path: str, data: bytes) -> None:
    wire.send("POST", path, None, {"Content-Type": "application/x-tar", "Content-Length": str(len(data))})
    wire.writer.write(data)


async def imported(wire: Wire, name: str, size: int = 10) -> str:
    upload(wire, f"/v1.50/images/create?fromSrc=-&repo={name}&tag=one&changes=CMD%20true", tarball(size))
    identity: str = (await wire.reply()).document["status"]
    return identity


async def test_import_list_inspect_tag_history_remove(served: Served, wire: Wire) -> None:
    events = served.engine.events
    identity = await imported(wire, "a")
    listed = (await wire.ask("GET", "/v1.50/images/json")).document
    assert [each["Id"] for each in listed] == [identity]
    assert listed[0]["RepoTags"] == ["a:one"]
    assert "VirtualSize" not in listed[0]
    assert "VirtualSize" in (await wire.ask("GET", "/v1.43/images/json")).document[0]
    assert (await wire.ask("POST", "/images/a:one/tag?repo=localhost:5000/x/y&tag=two")).status == 201
    inspected = (await wire.ask("GET", "/v1.50/images/localhost:5000/x/y:two/json")).document
    assert (inspected["Id"], inspected["Config"]["Cmd"]) == (identity, ["/bin/sh", "-c", "true"])
    assert len((await wire.ask("GET", "/images/a:one/history")).document) >= 1
    gone = (await wire.ask("DELETE", "/images/a:one")).document
    assert gone == [{"Untagged": "a:one"}]
    gone = (await wire.ask("DELETE", "/images/localhost:5000/x/y:two")).document
    assert {"Deleted": identity} in gone
    assert (await wire.ask("GET", "/images/a:one/json")).status == 404
    actions = [event.action for event in events.history(0)]
    assert actions == ["import", "tag", "untag", "untag", "delete"]


async def test_save_and_load_a_large_image(served: Served, wire: Wire) -> None:
    identity = await imported(wire, "big", size=3 << 20)
    saved = await wire.ask("GET", "/v1.50/images/get?names=big:one")
    assert saved.headers["content-type"] == "application/x-tar"
    assert (await wire.ask("DELETE", "/images/big:one?force=1")).status == 200
    upload(wire, "/v1.50/images/load?quiet=1", saved.body)
    loaded = await wire.reply()
    assert json.loads(loaded.body) == {"stream": "Loaded image: big:one\n"}
    listed = (await wire.ask("GET", "/images/json")).document
    assert [each["Id"] for each in listed] == [identity]


async def test_a_corrupt_archive_is_an_error_and_leaves_nothing(wire: Wire) -> None:
    upload(wire, "/images/load", b"no archive at all" * 100)
    reply = await wire.reply()
    assert reply.status in {400, 500}
    assert reply.document["message"]
    assert (await wire.ask("GET", "/images/json")).document == []


async def test_saving_what_is_not_there(wire: Wire) -> None:
    assert (await wire.ask("GET", "/images/get?names=nope")).status == 404
    assert (await wire.ask("GET", "/images/get")).status == 400
