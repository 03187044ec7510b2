"""kill -9 at any moment of any verb: after the next start everything is whole or gone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.storage.tars import member, tar

from nakagin.images.intake import blobs_of
from nakagin.images.library import Images
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots

pytestmark = pytest.mark.root

LOOP = """
import io, sys
from nakagin.images.intake import blobs_of
from nakagin.images.library import Images
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots

root, number = sys.argv[1:]
data = open(root + "/../input.tar", "rb").read()
records = Records(root + "/nakagin.db")
layers = Layers(root, records)
snapshots = Snapshots(root, records, layers)
images = Images(records, Blobs(root), layers, snapshots)
layers.recover(); snapshots.recover(); images.recover()
print("ready", flush=True)
for turn in range(10000):
    key = f"k{number}-{turn}"
    image = images.import_(io.BytesIO(data), "app:1", created=turn % 3)
    saved = b"".join(images.save(["app:1"]))
    snapshots.prepare(key, image.chain_id)
    images.tag("app:1", "other:1")
    if turn % 2:
        snapshots.remove(key)
    images.remove("app:1", force=True)
    images.remove("other:1", force=True)
    images.load(io.BytesIO(saved))
    snapshots.empty_trash()
"""


def test_kill_at_any_moment(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "input.tar").write_bytes(tar(*(member(f"d{number}/f", b"x" * 3000) for number in range(30))))
    chance = random.Random(os.environ.get("CHAOS_SEED", "storage"))
    for number in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", LOOP, str(root), str(number)],
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:  # fmt: skip
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            # The moment itself is what is random here: there is no event to wait for.
            signal.sigtimedwait([], chance.random() * 0.15)
            process.kill()
        _check(root)
    records, snapshots, images = _open(root)
    snapshots.sweep([])
    for image in images.list():
        images.remove(image.id, force=True)
    images.collect()
    snapshots.empty_trash()
    records.close()
    files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    assert [each for each in files if not each.startswith(("nakagin.db", "places/"))] == []
    for folder in ("layers", "snapshots", "tmp", "trash", "blobs/sha256"):
        assert os.listdir(root / folder) == []


def _open(root: Path) -> tuple[Records, Snapshots, Images]:
    records = Records(str(root / "nakagin.db"))
    layers = Layers(str(root), records)
    snapshots = Snapshots(str(root), records, layers)
    images = Images(records, Blobs(str(root)), layers, snapshots)
    layers.recover()
    snapshots.recover()
    images.recover()
    return records, snapshots, images


def _check(root: Path) -> None:
    """Every image that is left can be used in full, and nothing lies around that belongs to none."""
    records, snapshots, images = _open(root)
    needed = {blob for image in images.list() for blob in blobs_of(image)}
    assert set(images.blobs.all()) == needed
    for image in images.list():
        assert image.size == 90000
        assert len(b"".join(images.save([image.id]))) > 90000
    for key in snapshots.all():
        assert len(os.listdir(snapshots.lower(key)[0])) == 30
    assert os.listdir(root / "tmp") == []
    records.close()
