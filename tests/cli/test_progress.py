"""Progress bars on a terminal."""

from __future__ import annotations

import io
import re

from nakagin.cli import progress


def test_bars_that_scrolled_away_are_left_alone() -> None:
    """An image with more layers than the terminal has lines: what is out of reach is not drawn elsewhere."""
    output = io.StringIO()  # of 24 lines, as far as anybody knows
    messages = [{"status": "Waiting", "id": f"l{number}", "progressDetail": {}} for number in range(30)]
    progress._live([*messages, {"status": "Done", "id": "l0", "progressDetail": {}}], output)
    progress._live([*messages, {"status": "Done", "id": "l29", "progressDetail": {}}], output)
    text = output.getvalue()
    assert "l0: Done" not in text
    assert "l29: Done" in text
    assert max(map(int, re.findall(r"\x1b\[(\d+)A", text))) < 24
