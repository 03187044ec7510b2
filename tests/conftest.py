"""Fixtures of every test: a scratch engine per worker, its clients, and the rule that nothing is left."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from docker import DockerClient

from tests.engine_fixture import ScratchEngine


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the black-box tests."""
    parser.addoption(
        "--against",
        choices=("nakagin", "dockerd"),
        default="nakagin",
        help="what the black-box tests face; dockerd shows that they ask for what Docker does",
    )
    parser.addoption("--chaos-rounds", type=int, default=25, help="how many kill -9 the engine must survive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root, real-kernel tests say why they do not run."""
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(
        reason="needs root: namespaces, mounts and cgroups are real here (sudo make test)"
    )
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


def scratch_engine(config: pytest.Config, *arguments: str) -> ScratchEngine:
    """The engine that was asked for with --against, not yet started."""
    if config.getoption("--against") == "dockerd":
        from tests.dockerd_fixture import ScratchDockerd

        return ScratchDockerd(*arguments)
    return ScratchEngine(*arguments)


def close_clean(engine: ScratchEngine) -> None:
    """End the engine; what it left behind fails the test."""
    found = engine.close()
    assert not found, "left behind:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """The worker's engine, with a busybox image. Tests may not stop it; see `own_engine`."""
    engine = scratch_engine(pytestconfig)
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


@pytest.fixture
def own_engine(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """An engine for one test that kills, restarts or fills it; with a busybox image."""
    engine = scratch_engine(pytestconfig)
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


@pytest.fixture(scope="session")
def api(engine: ScratchEngine) -> DockerClient:
    """docker-py on the worker's engine."""
    return engine.client()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container name that no other test has; the container is removed afterwards."""
    chosen = f"c{secrets.token_hex(4)}"
    yield chosen
    for fixture in ("own_engine", "engine"):
        if fixture in request.fixturenames:
            request.getfixturevalue(fixture).docker("rm", "-f", "-v", chosen, check=None)
            return
