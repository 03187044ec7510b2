"""Where steps leave what they made."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.storage.tars import member, tar

from nakagin.build.workshop import Workshop
from nakagin.storage.blobs import Blobs
from nakagin.storage.layers import Layers
from nakagin.storage.records import Records


@pytest.mark.root
def test_a_layer_that_is_there_is_not_unpacked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(str(tmp_path / "records.db"))
    layers = Layers(str(tmp_path), records)
    kept: list[str] = []
    workshop = Workshop(Blobs(str(tmp_path)), layers, kept.append, str(tmp_path / "tmp"))
    first = workshop.from_tar([tar(member("a", b"a"))], "")
    other = workshop.from_tar([tar(member("b", b"b"))], first[0])
    assert first[1] is not None
    assert [Path(folder, "a").exists() for folder in workshop.folders(other[0])] == [False, True]

    def unpacked(*_: object) -> None:
        raise AssertionError("it was unpacked again")

    monkeypatch.setattr(layers, "apply", unpacked)
    assert workshop.from_tar([tar(member("a", b"a"))], "") == first
    assert first[0] in kept
    with pytest.raises(AssertionError, match="unpacked again"):
        workshop.from_tar([tar(member("a", b"a"))], first[0])
    records.close()
