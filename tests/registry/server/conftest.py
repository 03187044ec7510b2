"""One registry for all tests that only look at answers; `own` makes further ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.registry.server.box import Served, served


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The worker's registry; each test uses a repository of its own."""
    with served(tmp_path_factory.mktemp("registry"), metrics=True) as found:
        yield found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    words = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    return "test/" + "-".join(filter(None, words.split("-")))[:100]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes registries with settings of the test's own; `root` is a folder's name."""
    with ExitStack() as stack:

        def make(root: str = "root", **document: Any) -> Served:
            return stack.enter_context(served(tmp_path / root, **document))

        yield make
