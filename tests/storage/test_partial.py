"""Blobs half fetched: kept, continued, followed by a reader, verified."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nakagin.errors import Conflict, Damaged
from nakagin.spec.digest import digest_of
from nakagin.storage.blobs import Blobs
from nakagin.storage.partial import Partials

DATA = bytes(range(256)) * 4096
DIGEST = digest_of(DATA)


@pytest.fixture
def partials(tmp_path: Path) -> Partials:
    return Partials(str(tmp_path), Blobs(str(tmp_path)))


def test_it_becomes_a_blob(partials: Partials) -> None:
    partial = partials.open(DIGEST, len(DATA))
    partial.write(DATA)
    partial.commit()
    partial.close()
    assert partials.blobs.read(DIGEST) == DATA
    assert partials.usage() == 0


def test_its_bytes_stay_for_the_next(partials: Partials, tmp_path: Path) -> None:
    partial = partials.open(DIGEST, len(DATA))
    partial.write(DATA[:1000])
    partial.close()
    again = Partials(str(tmp_path), partials.blobs).open(DIGEST, len(DATA))
    assert again.offset == 1000
    again.write(DATA[1000:])
    again.commit()
    again.close()
    assert partials.blobs.read(DIGEST) == DATA


def test_what_is_not_it_does_not_stay(partials: Partials) -> None:
    partial = partials.open(DIGEST, len(DATA))
    partial.write(DATA[:-1] + b"x")
    with pytest.raises(Damaged, match="with the digest"):
        partial.commit()
    partial.close()
    assert partials.usage() == 0
    assert not partials.blobs.exists(DIGEST)
    partial = partials.open(DIGEST, len(DATA))
    partial.write(DATA[:10])
    with pytest.raises(Damaged, match="more than"):
        partial.write(DATA)
    partial.close()
    Path(partials.path(DIGEST)).write_bytes(DATA + b"more")
    assert partials.open(DIGEST, len(DATA)).offset == 0


def test_one_at_a_time_and_sweeping(partials: Partials) -> None:
    partial = partials.open(DIGEST, len(DATA))
    partial.write(b"\0")
    with pytest.raises(Conflict):
        partials.open(DIGEST, len(DATA))
    assert partials.sweep() == 0
    partial.close()
    assert partials.sweep(older_than=3600) == 0
    assert partials.sweep() == 1
    assert not os.listdir(partials.root)


class Heard:
    """Writes down what a watcher is told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def have(self, size: int, /) -> None:
        self.words.append(f"have {size}")

    def end(self, size: int, /) -> None:
        self.words.append(f"end {size}")

    def again(self) -> None:
        self.words.append("again")


def test_a_watcher_hears_what_comes(partials: Partials) -> None:
    partial = partials.open(DIGEST, len(DATA))
    partial.write(DATA[:10])
    heard = Heard()
    partial.watch(heard)
    file = partial.reopened()
    assert os.pread(file, 100, 0) == DATA[:10]
    os.close(file)
    partial.write(DATA[10:])
    partial.commit()
    partial.close()
    assert heard.words == ["have 10", f"have {len(DATA)}", f"end {len(DATA)}"]
    late = Heard()
    partial.watch(late)
    assert late.words == [f"have {len(DATA)}", f"end {len(DATA)}"]


def test_a_watcher_hears_that_all_was_wrong(partials: Partials) -> None:
    partial = partials.open(DIGEST, len(DATA))
    heard = Heard()
    partial.watch(heard)
    partial.write(b"wrong")
    partial.rewind()
    partial.write(DATA)
    partial.commit()
    partial.close()
    assert heard.words == ["have 0", "have 5", "again"]
    assert partials.blobs.read(DIGEST) == DATA
