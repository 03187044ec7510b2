"""Making, listing, showing and removing networks, by both command lines; what is refused, and in which words."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.network_fixture import NetworkedEngine
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["docker", "nakagin"])
def cli(request: pytest.FixtureRequest, net: NetworkedEngine) -> Cli:
    """Docker's command line, then ours."""
    chosen: Cli = getattr(net, request.param)
    return chosen


def shown(cli: Cli, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("network", "inspect", "--verbose", name).stdout)[0]
    return found


def test_inspect_is_dockers_document(cli: Cli, net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network(
        "--ipv6", "--subnet", "10.77.60.0/24", "--ip-range", "10.77.60.128/25", "--gateway", "10.77.60.9",
        "--aux-address", "a=10.77.60.7", "--subnet", "fd77:60::/64", "--label", "tier=web", "--attachable",
        "-o", "com.docker.network.bridge.name=nk-doc0", "--ipam-opt", "k=v",
    )  # fmt: skip
    one = run("--network", name)
    document = shown(cli, name)
    (member,) = document.pop("Containers").values()
    assert document.pop("Id")
    assert document.pop("Created").endswith("Z")
    assert document == {
        "Name": name, "Scope": "local", "Driver": "bridge", "EnableIPv4": True, "EnableIPv6": True,
        "IPAM": {
            "Driver": "default", "Options": {"k": "v"},
            "Config": [
                {
                    "Subnet": "10.77.60.0/24", "IPRange": "10.77.60.128/25", "Gateway": "10.77.60.9",
                    "AuxiliaryAddresses": {"a": "10.77.60.7"},
                },
                {"Subnet": "fd77:60::/64", "Gateway": "fd77:60::1"},
            ],
        },
        "Internal": False, "Attachable": True, "Ingress": False, "ConfigFrom": {"Network": ""}, "ConfigOnly": False,
        "Options": {"com.docker.network.bridge.name": "nk-doc0"}, "Labels": {"tier": "web"},
    }  # fmt: skip
    assert member["EndpointID"] == net.place(one.name, name)["EndpointID"]
    del member["EndpointID"]
    assert member == {
        "Name": one.name, "MacAddress": "02:42:0a:4d:3c:80",
        "IPv4Address": "10.77.60.128/24", "IPv6Address": "fd77:60::2/64",
    }  # fmt: skip
    api = net.client().api
    for version, status in (
        ("1.51", None),
        ("1.52", {"10.77.60.0/24": (5, 126), "fd77:60::/64": (4, (1 << 64) - 4)}),
    ):
        found = api.get(f"{api.base_url}/v{version}/networks/{name}").json().get("Status")
        counts = found and {key: tuple(each.values()) for key, each in found["IPAM"]["Subnets"].items()}
        assert counts == status
    full = shown(cli, name)["Id"]
    assert shown(cli, full[:12])["Name"] == shown(cli, full)["Name"] == name


def test_filters_and_columns(cli: Cli, network: Make, run: Run) -> None:
    plain, labelled = (
        network("--label", "tier=web", "--label", "nk-test"),
        network("--internal", "--label", "nk-test"),
    )
    run("--network", plain)

    def listed(*filters: str) -> set[str]:
        flags = [word for each in filters for word in ("--filter", each)]
        return set(cli("network", "ls", "--format", "{{.Name}}", *flags).stdout.split())

    assert listed("label=nk-test") == {plain, labelled}
    assert listed("label=nk-test", "label=tier=web") == {plain}
    assert listed("type=builtin") == {"bridge", "host", "none"}
    assert {plain, labelled} <= listed("type=custom")
    assert plain not in listed("dangling=true")
    assert labelled in listed("dangling=true")
    assert listed("name=" + plain[:5]) >= {plain}
    assert listed("driver=host") == {"host"}
    assert listed("driver=null", "scope=local") == {"none"}
    assert listed("scope=swarm") == set()
    identity = cli("network", "ls", "-q", "--no-trunc", "--filter", f"name={plain}").stdout.strip()
    assert len(identity) == 64
    assert listed(f"id={identity[:9]}") == {plain}
    row = cli(
        "network", "ls", "--filter", f"name={labelled}", "--format", "{{.Driver}} {{.IPv6}} {{.Internal}}"
    )
    assert row.stdout.strip() == "bridge false true"
    assert "invalid filter 'color'" in cli("network", "ls", "--filter", "color=red", check=1).stderr


@pytest.mark.docker(28)
def test_removing(cli: Cli, net: NetworkedEngine, network: Make, run: Run) -> None:
    used, idle = network(), network()
    one = run("--network", used)
    refused = cli("network", "rm", used, idle, check=1)
    assert refused.stdout.strip() == idle
    assert f'network {used} has active endpoints (name:"{one.name}" id:"' in refused.stderr
    for name in ("bridge", "host", "none"):
        assert "is a pre-defined network and cannot be removed" in cli("network", "rm", name, check=1).stderr
    assert "not found" in cli("network", "rm", idle, check=1).stderr
    assert cli("network", "rm", "-f", idle).returncode == 0
    net.part(one)
    net.docker("stop", one.name)
    cli("network", "rm", used)
    assert "not found" in cli("start", one.name, check=1).stderr
    assert net.place(one.name, used)["EndpointID"] == "", "a container remembers a network that is gone"


def test_prune_takes_what_nobody_uses(cli: Cli, network: Make, run: Run) -> None:
    mark = f"prune-{network()}"
    used, old, kept = (
        network("--label", mark),
        network("--label", mark),
        network("--label", mark, "--label", "keep"),
    )
    run("--network", used)
    pruned = cli("network", "prune", "-f", "--filter", f"label={mark}", "--filter", "until=1h").stdout
    assert old not in pruned
    pruned = cli("network", "prune", "-f", "--filter", f"label={mark}", "--filter", "label!=keep").stdout
    assert old in pruned
    left = cli("network", "ls", "--filter", f"label={mark}", "--format", "{{.Name}}").stdout.split()
    assert set(left) == {used, kept}
    assert "invalid filter 'color'" in cli("network", "prune", "-f", "--filter", "color=red", check=1).stderr


def test_configurations_of_networks(cli: Cli, net: NetworkedEngine, network: Make, run: Run) -> None:
    config = network(
        "--config-only",
        "--subnet",
        "10.77.61.0/24",
        "--label",
        "from=config",
        "-o",
        "com.docker.network.driver.mtu=1400",
    )
    assert shown(cli, config)["ConfigOnly"] is True
    refused = cli("run", "--rm", "--network", config, "busybox", "true", check=125)
    assert "configuration-only" in refused.stderr
    name = network("--config-from", config)
    document = shown(cli, name)
    assert document["ConfigFrom"] == {"Network": config}
    assert document["IPAM"]["Config"] == [{"Subnet": "10.77.61.0/24", "Gateway": "10.77.61.1"}]
    assert document["Labels"] == {"from": "config"}
    one = run("--network", name)
    assert "mtu 1400" in net.docker("exec", one.name, "ip", "-o", "link", "show", "eth0").stdout
    assert f'configuration network "{config}" is in use' in cli("network", "rm", config, check=1).stderr
    assert "not a configuration-only network" in cli(
        "network", "create", "--config-from", name, "wrong", check=1
    ).stderr  # fmt: skip


REFUSED = [
    (("bridge",), "operation is not permitted on predefined bridge network"),
    (("-d", "host", "xx"), 'only one instance of "host" network is allowed'),
    (("-d", "none", "xx"), 'only one instance of "null" network is allowed'),
    (("-d", "overlay", "xx"), "overlay networks need a swarm"),
    (("-d", "weave", "xx"), "plugin not found"),
    (("--scope", "swarm", "xx"), "networks of a swarm are not supported"),
    (("--ipam-driver", "dhcp", "xx"), "could not find ipam driver dhcp"),
    (("--subnet", "10.77.62.1/24", "xx"), "it should be 10.77.62.0/24"),
    (("--subnet", "10.77.62.0/24", "--subnet", "10.77.62.0/25", "xx"), "overlap"),
    (("--subnet", "10.77.62.0/24", "--ipv4=false", "xx"), "IPv4 or IPv6 must be enabled"),
    (("--ipv4=false", "xx"), "IPv4 or IPv6 must be enabled"),
    (("--ipv6=false", "--subnet", "fd77:62::/64", "xx"), "needs IPv6"),
    (("-o", "com.docker.network.driver.mtu=big", "xx"), 'invalid MTU "big"'),
    (("-o", "com.docker.network.bridge.enable_icc=perhaps", "xx"), "failed to parse"),
    (("-o", "com.docker.network.bridge.name=far-too-long-for-linux", "xx"), "invalid bridge name"),
    (("-o", "com.docker.network.bridge.name=eth0", "xx"), "but no bridge"),
    (("-o", 'com.docker.network.bridge.name=a"b', "xx"), "invalid bridge name"),
    (("-o", "com.docker.network.bridge.trusted_host_interfaces=eth0:x*", "xx"), 'invalid interface "x*"'),
    (
        ("-o", "com.docker.network.enable_ipv6=perhaps", "xx"),
        "failed to parse com.docker.network.enable_ipv6",
    ),
    (
        ("-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated", "xx"),
        'can only be used for an "internal"',
    ),
    (("-o", "com.docker.network.bridge.gateway_mode_ipv6=best", "xx"), 'unknown gateway mode "best"'),
    (("-o", "com.docker.network.container_iface_prefix=way/wrong", "xx"), "invalid interface prefix"),
    (("--config-from", "nowhere", "xx"), "network nowhere not found"),
    (("in/valid",), 'invalid network name "in/valid"'),
]


@pytest.mark.docker(28)
@pytest.mark.parametrize(("flags", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused(net: NetworkedEngine, flags: tuple[str, ...], words: str) -> None:
    assert words in net.docker("network", "create", *flags, check=1).stderr
    assert "xx" not in net.docker("network", "ls", "--format", "{{.Name}}").stdout.split()


def test_taken_names_subnets_and_bridges_say_by_whom(net: NetworkedEngine, network: Make) -> None:
    name = network("--subnet", "10.77.63.0/24", "-o", "com.docker.network.bridge.name=nk-mine0")
    for flags, words in (
        ((name,), f"network with name {name} already exists"),
        (("--subnet", "10.77.63.128/25", "xx"), f"10.77.63.128/25 with 10.77.63.0/24 of network {name}"),
        (
            ("-o", "com.docker.network.bridge.name=nk-mine0", "xx"),
            f"bridge nk-mine0 is already used by network {name}",
        ),
    ):
        assert words in net.docker("network", "create", *flags, check=1).stderr
    warned = net.nakagin("network", "create", "--subnet", "10.99.0.0/25", "near")
    assert "WARNING: subnet 10.99.0.0/25 overlaps with the route by eth0 (10.99.0.0/24)" in warned.stderr
    net.docker("network", "rm", "near")


@pytest.mark.docker(28)
def test_families_by_option(net: NetworkedEngine, network: Make) -> None:
    """As --default-network-opt gives them; what the request says itself wins, and the option is not shown then."""
    options = ("-o", "com.docker.network.enable_ipv6=true", "-o", "com.docker.network.enable_ipv4=0")
    shown = "{{.EnableIPv4}} {{.EnableIPv6}} {{len .Options}}"
    for flags, words in (
        (options, "false true 2"),
        (("--ipv4", "--ipv6=false", *options), "true false 0"),
        (("--ipv4", *options), "true true 1"),
    ):
        assert net.docker("network", "inspect", "-f", shown, network(*flags)).stdout == f"{words}\n"


def test_ids_that_begin_alike(net: NetworkedEngine, network: Make) -> None:
    ids: dict[str, str] = {}
    while True:
        name = network("--internal", "--ipam-driver", "null")
        key = net.docker("network", "inspect", "-f", "{{.Id}}", name).stdout[0]
        if key in ids:
            break
        ids[key] = name
    refused = net.docker("network", "inspect", key, check=1)
    assert "is ambiguous" in refused.stderr
    assert ids[key] in refused.stderr


def test_events(net: NetworkedEngine, network: Make, run: Run) -> None:
    since = str(time.time())
    name = network()
    one = run("--network", "bridge")
    net.docker("network", "connect", name, one.name)
    net.docker("network", "disconnect", name, one.name)
    net.docker("network", "rm", name)
    shape = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}"
    told = net.docker(
        "events", "--since", since, "--until", str(time.time()), "--filter", "type=network",
        "--filter", f"network={name}", "--format", shape,
    ).stdout.splitlines()  # fmt: skip
    assert told == [f"{each} {name} bridge" for each in ("create", "connect", "disconnect", "destroy")]
