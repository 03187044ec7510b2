from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.storage.layers import Layers
from nakagin.storage.records import Records
from nakagin.storage.snapshots import Snapshots


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    found = Records(str(tmp_path / "nakagin.db"))
    yield found
    found.close()


@pytest.fixture
def layers(tmp_path: Path, records: Records) -> Layers:
    return Layers(str(tmp_path), records)


@pytest.fixture
def snapshots(tmp_path: Path, records: Records, layers: Layers) -> Snapshots:
    return Snapshots(str(tmp_path), records, layers)
