"""docs/sdk.md as written: each example prints what its comment says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine_fixture import ScratchEngine

PAGE = (Path(__file__).parents[2] / "docs/sdk.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_sandbox_is_five_lines() -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip() and "# prints" not in line]) <= 5


@pytest.mark.root
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(engine: ScratchEngine, number: int) -> None:
    example = EXAMPLES[number]
    promised = re.findall(r"# prints (.*)", example)
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=False, env=engine.environment()
    )
    assert (done.stderr, done.stdout.splitlines()) == ("", promised)
