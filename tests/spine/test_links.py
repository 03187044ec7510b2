"""Links of the default bridge: hosts entries, variables, and what happens when the target moves."""

from __future__ import annotations

import pytest
from tests.engine_fixture import ScratchEngine
from tests.spine.conftest import Cli
from tests.spine.observe import inspect

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "300")
ADDRESS = "{{.NetworkSettings.Networks.bridge.IPAddress}}"


def hosts(engine: ScratchEngine, container: str, name: str) -> str:
    """The address of a name in the container's hosts file."""
    lines = engine.docker("exec", container, "cat", "/etc/hosts").stdout.splitlines()
    return next((words[0] for words in map(str.split, lines) if name in words[1:]), "")


def test_a_link_is_a_name_and_variables(cli: Cli, engine: ScratchEngine, name: str) -> None:
    target = f"{name}-t"
    cli(
        "run",
        "-d",
        "--name",
        target,
        "-e",
        "SECRET=4 2",
        "--expose",
        "7000-7001",
        "--expose",
        "53/udp",
        *SLEEP,
    )
    cli("run", "-d", "--name", name, "--link", f"{target}:the-db", *SLEEP)
    address = inspect(engine, target, ADDRESS)
    assert hosts(engine, name, "the-db") == hosts(engine, name, target) == address
    for shown in (
        engine.docker("exec", name, "env").stdout,
        engine.docker("exec", name, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ").stdout,
    ):
        variables = dict(line.partition("=")[::2] for line in shown.splitlines())
        assert variables["THE_DB_NAME"] == f"/{name}/the-db"
        assert variables["THE_DB_PORT"] == f"udp://{address}:53", "the lowest number"
        assert variables["THE_DB_PORT_7001_TCP"] == f"tcp://{address}:7001"
        assert variables["THE_DB_PORT_53_UDP_PROTO"] == "udp"
        assert variables["THE_DB_PORT_53_UDP_ADDR"] == address
        assert variables["THE_DB_ENV_SECRET"] == "4 2"
        assert "THE_DB_ENV_PATH" not in variables
    assert inspect(engine, name, "{{json .HostConfig.Links}}") == f'["/{target}:/{name}/the-db"]'
    assert f"{name}/the-db" in cli("ps", "--no-trunc", "--filter", f"name={target}").stdout


def test_the_target_moves(engine: ScratchEngine, name: str) -> None:
    target, other = f"{name}-t", f"{name}-o"
    engine.docker("run", "-d", "--name", target, *SLEEP)
    engine.docker("run", "-d", "--name", name, "--link", f"{target}:db", *SLEEP)
    engine.docker("exec", name, "sh", "-c", "echo '10.1.1.1 mine' >> /etc/hosts")
    before = inspect(engine, target, ADDRESS)
    engine.docker("stop", "-t", "0", target)
    engine.docker("rename", target, other)
    engine.docker("start", other)
    after = inspect(engine, other, ADDRESS)
    assert after != before
    assert hosts(engine, name, "db") == hosts(engine, name, other) == after
    assert hosts(engine, name, "mine") == "10.1.1.1"
    assert inspect(engine, name, "{{json .HostConfig.Links}}") == f'["/{other}:/{name}/db"]'


def test_what_a_link_needs(cli: Cli, engine: ScratchEngine, name: str) -> None:
    target = f"{name}-t"
    assert "no-such-thing" in cli("run", "--rm", "--link", "no-such-thing", *SLEEP, check=125).stderr
    engine.docker("create", "--name", target, *SLEEP)
    refused = cli("run", "--name", name, "--link", target, *SLEEP, check=125).stderr
    assert f"Cannot link to a non running container: /{target} AS /{name}/{target}" in refused


def test_a_link_is_removed(cli: Cli, engine: ScratchEngine, name: str) -> None:
    target = f"{name}-t"
    engine.docker("run", "-d", "--name", target, *SLEEP)
    engine.docker("create", "--name", name, "--link", f"{target}:db", *SLEEP)
    cli("rm", "--link", f"/{name}/db")
    assert inspect(engine, name, "{{json .HostConfig.Links}}") == "null"
    engine.docker("start", name)
    assert hosts(engine, name, "db") == ""


def test_on_other_networks_a_link_is_a_name_of_whoever_has_it_by_then(
    cli: Cli, engine: ScratchEngine, name: str
) -> None:
    network, target = f"{name}-n", f"{name}-t"
    engine.docker("network", "create", network)
    try:
        cli("run", "-d", "--name", name, "--network", network, "--link", f"{target}:later", *SLEEP)
        engine.docker("run", "-d", "--name", target, "--network", network, *SLEEP)
        address = inspect(engine, target, f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}')
        assert address in engine.docker("exec", name, "nslookup", "later").stdout
        assert hosts(engine, name, "later") == ""
        assert "LATER" not in engine.docker("exec", name, "env").stdout
        assert inspect(engine, name, "{{json .HostConfig.Links}}") == "null"
    finally:
        engine.docker("rm", "-f", name, target, check=None)
        engine.docker("network", "rm", network)
