"""Fixtures of the black-box tests: both command lines, one test for the two of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from tests.engine_fixture import ScratchEngine

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["docker", "nakagin"])
def cli(request: pytest.FixtureRequest, engine: ScratchEngine) -> Cli:
    """`cli(*arguments, check=exit code)`: docker's command line, then ours, on the worker's engine."""
    chosen: Cli = getattr(engine, request.param)
    return chosen
