"""One docker-registry per test worker, and registries that misbehave."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from tests.registry.faulty import FaultyRegistry
from tests.transfer.peers import LocalRegistry


@pytest.fixture(scope="session")
def peer() -> Iterator[LocalRegistry]:
    """Debian's docker-registry."""
    if not shutil.which("docker-registry"):
        pytest.skip("no docker-registry: make setup-test installs it")
    with LocalRegistry() as found:
        yield found


@pytest.fixture
def faulty_registry() -> Iterator[FaultyRegistry]:
    """A registry in this process."""
    with FaultyRegistry() as found:
        yield found
