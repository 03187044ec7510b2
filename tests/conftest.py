"""Fixtures of every test: a scratch engine per worker, its clients, and the rule that nothing is left."""

from __future__ import annotations

import glob
import inspect
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from docker import DockerClient
from hypothesis import HealthCheck, settings

from tests.engine_fixture import ScratchEngine, docker_cli, docker_version
from tests.forked import run_forked

# a busy machine is no failure, and the same sources get the same verdict: new examples come with --fuzz-rounds
settings.register_profile(
    "shared", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("exploring", settings.get_profile("shared"), derandomize=False)
settings.load_profile("shared")


_GROUPS = pytest.StashKey[frozenset[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the black-box tests."""
    parser.addoption(
        "--against",
        choices=("nakagin", "dockerd"),
        default="nakagin",
        help="what the black-box tests face; dockerd shows that they ask for what Docker does",
    )
    parser.addoption(
        "--projects",
        action="store_true",
        help="build the real projects too: minutes, and a base image made once",
    )
    parser.addoption("--fuzz-rounds", type=int, default=1, help="how many times as long the fuzzing goes on")
    parser.addoption("--chaos-rounds", type=int, default=25, help="how many kill -9 the engine must survive")


def pytest_configure(config: pytest.Config) -> None:
    """With --fuzz-rounds the property tests look for examples that no run had before.

    A shell lets its background jobs ignore Ctrl-C and Ctrl-\\, and they hand that on to all that they start: here both
    are heard.
    """
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    if config.getoption("--fuzz-rounds") > 1:
        settings.load_profile("exploring")


def pytest_sessionstart(session: pytest.Session) -> None:
    """See pytest_sessionfinish."""
    session.config.stash[_GROUPS] = frozenset(_runtime_groups())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Containers without a cgroupsPath have one parent for all, which the runtime (as runc) leaves behind.

    It goes with the last of the workers' processes that may use it, if it was not there before.
    """
    if hasattr(session.config, "workerinput"):
        return
    before = session.config.stash[_GROUPS]
    for group in {*_runtime_groups()} - before:
        with suppress(OSError):  # somebody else's containers have come into it
            os.rmdir(group)


def _runtime_groups() -> list[str]:
    return glob.glob("/sys/fs/cgroup/nakagin") + glob.glob("/sys/fs/cgroup/*/nakagin")


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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `docker` have what they need, or their halves that ask docker's command line are skipped."""
    marker = item.get_closest_marker("docker")
    parameters = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    if marker and "nakagin" not in parameters.values() and docker_version(docker_cli()) < marker.args:
        pytest.skip(f"docker's command line here is older than {marker.args[0]}")


@pytest.hookimpl(wrapper=False, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests marked `forked` run in a child with one thread."""
    if pyfuncitem.get_closest_marker("forked") is None:
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    run_forked(partial(pyfuncitem.obj, **arguments))
    return True


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


@contextmanager
def running_engine(config: pytest.Config, *arguments: str) -> Iterator[ScratchEngine]:
    """A scratch engine with these flags and a busybox image; what it leaves behind fails the test."""
    engine = scratch_engine(config, *arguments)
    try:
        engine.start()
        engine.bootstrap_busybox()
        yield engine
    finally:
        close_clean(engine)


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """The worker's engine, with a busybox image. Tests may not stop it; see `own_engine`."""
    with running_engine(pytestconfig) as engine:
        yield engine


@pytest.fixture
def own_engine(pytestconfig: pytest.Config) -> Iterator[ScratchEngine]:
    """An engine for one test that kills, restarts or fills it; with a busybox image."""
    with running_engine(pytestconfig) as engine:
        yield engine


@pytest.fixture(scope="session")
def api(engine: ScratchEngine) -> DockerClient:
    """docker-py on the worker's engine."""
    return engine.client()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container name that no other test has; all containers whose names begin with it are removed afterwards."""
    chosen = f"c{secrets.token_hex(4)}"
    yield chosen
    for fixture in ("own_engine", "engine"):
        if fixture in request.fixturenames:
            docker = request.getfixturevalue(fixture).docker
            if left := docker("ps", "-aq", "--filter", f"name=^{chosen}", check=None).stdout.split():
                docker("rm", "-f", "-v", *left, check=None)
            return
