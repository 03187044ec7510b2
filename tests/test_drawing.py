"""Pictures: sound SVG, nothing outside of it, lengths that mean what they should."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nakagin.drawing import Bar, Picture, bars, write
from nakagin.errors import Invalid

SPACE = "{http://www.w3.org/2000/svg}"


def test_words_are_words(tmp_path: Path) -> None:
    picture = Picture(100, 50)
    picture.text(1, 2, 'a <b> & "c"', anchor="end")
    picture.line(0, 0.25, 10, 10, "#000")
    tree = ET.fromstring(picture.svg())
    assert [node.text for node in tree.iter(f"{SPACE}text")] == ['a <b> & "c"']
    assert tree.get("viewBox") == "0 0 100 50"
    write(str(tmp_path / "x.html"), "a <b>", picture.svg())
    assert "<title>a &lt;b&gt;</title>" in (tmp_path / "x.html").read_text()
    write(str(tmp_path / "x.svg"), "a <b>", picture.svg())
    assert (tmp_path / "x.svg").read_text() == picture.svg()
    with pytest.raises(Invalid, match=r"cannot write the picture .*nowhere/x.svg: No such file"):
        write(str(tmp_path / "nowhere" / "x.svg"), "", "")


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.8, 1.0, 7.0])
def test_a_gauge_stays_in_its_window(part: float) -> None:
    """Its filling begins at the level that the part says, and the larger arc is taken above the middle."""
    picture = Picture(100, 100)
    picture.gauge(50, 50, 22, part, "#00f", "#000")
    tree = ET.fromstring(picture.svg())
    paths = list(tree.iter(f"{SPACE}path"))
    circles = list(tree.iter(f"{SPACE}circle"))
    if part == 0:
        assert (len(paths), len(circles)) == (0, 1)
    elif part >= 1:
        assert [each.get("r") for each in circles] == ["22", "20"]
    else:
        words = (paths[0].get("d") or "").split()
        level, large = float(words[2]), words[7]
        assert level == pytest.approx(50 + 20 * (1 - 2 * part), abs=0.1)
        assert large == ("1" if part > 0.5 else "0")


def test_bars_are_on_a_logarithmic_scale_and_within_the_picture() -> None:
    long = "12,345,678 copies: 20.57 GiB free, 4.304 MiB each"
    rows = [
        Bar("a", 1, "one"),
        Bar("a very long name", 100, "hundred", "below"),
        Bar("c", 10_000, long, chosen=True),
    ]
    tree = ET.fromstring(bars("Title", ["a note"], rows))
    width = float((tree.get("viewBox") or "").split()[2])
    boxes = [node for node in tree.iter(f"{SPACE}rect") if node.get("rx")]
    lengths = [float(node.get("width") or 0) for node in boxes]
    assert lengths[0] == 6
    assert lengths[2] - 6 == pytest.approx(2 * (lengths[1] - 6), abs=0.2)
    assert len({node.get("fill") for node in boxes[:2]}) == 1
    assert boxes[2].get("fill") != boxes[0].get("fill")
    end = float(boxes[2].get("x") or 0) + lengths[2]
    assert end + 8 + 6 * len(long) < width
    assert ET.fromstring(bars("Nothing", [], [])).tag == f"{SPACE}svg"
