"""Rows of the lists that no other test here needs: fields of answers, status codes, filters, old spellings of flags."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from docker import DockerClient

from tests.engine_fixture import await_until
from tests.network_fixture import CLIENT, NetworkedEngine, echo, says
from tests.networking.conftest import Make, Run

pytestmark = pytest.mark.root


@pytest.fixture
def api(net: NetworkedEngine) -> DockerClient:
    return net.client()


def call(api: DockerClient, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
    """Status and decoded answer of a request."""
    done = api.api.request(method, api.api._url(path), json=body, params=query)
    return done.status_code, json.loads(done.content) if done.content else None


def test_statuses(net: NetworkedEngine, network: Make, run: Run, api: DockerClient) -> None:
    name = network()
    one = run("--network", name)
    for method, path, body, status in (
        ("GET", f"/networks/{name}?verbose=true&scope=local", None, 200),
        ("GET", f"/networks/{name}?scope=swarm", None, 404),
        ("GET", "/networks/nowhere", None, 404),
        ("POST", "/networks/create", {"Name": name}, 409),
        ("POST", "/networks/create", {"Name": "bridge"}, 403),
        ("POST", "/networks/create", {"Name": "xx", "Driver": "nothing"}, 400),
        ("POST", "/networks/create", {"Name": "xx", "Ingress": True}, 501),
        ("POST", "/networks/create", {"Name": "xx", "ConfigFrom": {"Network": "nowhere"}}, 404),
        ("POST", f"/networks/{name}/connect", {"Container": "nobody"}, 404),
        ("POST", f"/networks/{name}/connect", {"Container": one.name}, 403),
        ("POST", "/networks/nowhere/disconnect", {"Container": one.name}, 404),
        ("DELETE", "/networks/bridge", None, 403),
        ("DELETE", f"/networks/{name}", None, 403),
    ):
        found, answer = call(api, method, path, body)
        assert found == status, (method, path, answer)
        assert status < 400 or answer["message"]
    for method, path in (("GET", "/networks"), ("POST", "/networks/prune")):
        found, answer = call(api, method, path, filters='{"color":["red"]}')
        assert (found, answer["message"][:22]) == (400, "invalid filter 'color'")


@pytest.mark.docker(28)
def test_what_a_container_shows_of_its_networks(
    net: NetworkedEngine, network: Make, run: Run, api: DockerClient
) -> None:
    name = network("--ipv6", "--subnet", "10.77.90.0/24", "--subnet", "fd77:90::/64")
    one = run("--network", f"name={name},alias=shown,driver-opt=k=v,gw-priority=4", "-p", "8190:80", "-P")
    settings = call(api, "GET", f"/containers/{one.name}/json")[1]["NetworkSettings"]
    place = settings["Networks"][name]
    assert place["NetworkID"] == net.docker("network", "inspect", "-f", "{{.Id}}", name).stdout.strip()
    assert place["DNSNames"][:2] == [one.name, "shown"]
    shown = {key: place[key] for key in ("Aliases", "DriverOpts", "GwPriority", "Links", "IPAMConfig")}
    assert shown == {
        "Aliases": ["shown"], "DriverOpts": {"k": "v"}, "GwPriority": 4, "Links": None, "IPAMConfig": None,
    }  # fmt: skip
    assert (place["IPAddress"], place["IPPrefixLen"], place["Gateway"]) == ("10.77.90.2", 24, "10.77.90.1")
    assert (place["GlobalIPv6Address"], place["GlobalIPv6PrefixLen"]) == ("fd77:90::2", 64)
    assert (place["IPv6Gateway"], place["MacAddress"]) == ("fd77:90::1", "02:42:0a:4d:5a:02")
    assert settings["Ports"]["80/tcp"] == [
        {"HostIp": "0.0.0.0", "HostPort": "8190"}, {"HostIp": "::", "HostPort": "8190"},
    ]  # fmt: skip
    assert len(settings["SandboxID"]) == 64
    # the sandbox is a network namespace that tools can enter
    inside = ["nsenter", f"--net={settings['SandboxKey']}", "ip", "-o", "address"]
    assert "10.77.90.2/24" in subprocess.run(inside, capture_output=True, text=True, check=True).stdout
    summary = next(
        each for each in call(api, "GET", "/containers/json")[1] if f"/{one.name}" in each["Names"]
    )
    assert summary["HostConfig"]["NetworkMode"] == name
    assert summary["NetworkSettings"]["Networks"][name]["IPAddress"] == "10.77.90.2"
    assert {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8190, "Type": "tcp"} in summary["Ports"]


def test_containers_are_found_by_network_and_port(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    one, two = run("--network", name, "-p", "8191:7078", "--expose", "7077"), run("--network", "none")

    def found(*filters: str) -> set[str]:
        flags = [word for each in filters for word in ("--filter", each)]
        return set(net.docker("ps", "--format", "{{.Names}}", *flags).stdout.split())

    assert found(f"network={name}") == {one.name}
    assert two.name in found("network=none")
    # as in Docker, it is the container's own port that is asked for
    assert found("publish=7078") == found("publish=7077-7079/tcp") == {one.name}
    assert found("expose=7077") == {one.name}
    assert found("publish=7078/udp") == set()


@pytest.mark.docker(28)
def test_traffic_is_counted_by_interface(
    net: NetworkedEngine, network: Make, run: Run, api: DockerClient
) -> None:
    one = run("--network", f"name={network()},gw-priority=1", "--network", network())
    says(one, CLIENT, 80)

    def counted() -> bool:
        figures = call(api, "GET", f"/containers/{one.name}/stats?stream=false")[1]["networks"]
        assert set(figures) == {"eth0", "eth1"}
        return bool(figures["eth0"]["rx_bytes"] and figures["eth0"]["tx_packets"])

    await_until(counted, "the traffic in the statistics")


def test_a_container_without_any_network(net: NetworkedEngine, api: DockerClient) -> None:
    body = {"Image": "busybox", "Cmd": ["sleep", "600"], "NetworkDisabled": True, "StopSignal": "KILL"}
    made = call(api, "POST", "/containers/create", body)[1]["Id"]
    try:
        assert call(api, "POST", f"/containers/{made}/start")[0] == 204
        guest = net.guest(made)
        assert net.docker("exec", made, "ip", "-o", "link").stdout.count("\n") == 1
        assert echo(guest, "127.0.0.1")
        net.part(guest)
    finally:
        net.docker("rm", "-f", made)


@pytest.mark.docker(28)
def test_old_spellings(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    one = run(
        "--net", name, "--net-alias", "old", "--dns-opt", "timeout:2", "-h", "box", "--domainname", "dom"
    )
    assert net.place(one.name, name)["Aliases"] == ["old"]
    assert "timeout:2" in net.docker("exec", one.name, "cat", "/etc/resolv.conf").stdout
    asked = net.docker("run", "--rm", "--net", name, "busybox", "nslookup", "old").stdout
    assert net.place(one.name, name)["IPAddress"] in asked


def test_disconnecting_by_force(net: NetworkedEngine, network: Make, run: Run) -> None:
    name = network()
    one = run("--network", name)
    net.docker("network", "disconnect", "-f", name, one.name)
    assert net.docker("exec", one.name, "ip", "-o", "link").stdout.count("\n") == 1
    net.docker("network", "connect", "--driver-opt", "a=b", "--link", "other:name", name, one.name)
    place = net.place(one.name, name)
    assert (place["DriverOpts"], place["Links"]) == ({"a": "b"}, ["other:name"])


@pytest.mark.docker(28)
def test_lists_in_every_shape(net: NetworkedEngine, network: Make) -> None:
    name = network("--label", "a=b")
    for cli in (net.docker, net.nakagin):
        row = cli("network", "ls", "--no-trunc", "--filter", f"name={name}", "--format", "json").stdout
        shown = json.loads(row)
        assert (shown["Name"], shown["Driver"], shown["Labels"], shown["Scope"]) == (
            name,
            "bridge",
            "a=b",
            "local",
        )
        assert len(shown["ID"]) == 64
        table = cli("network", "ls", "--filter", f"name={name}").stdout.splitlines()
        assert table[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
        assert table[1].split() == [shown["ID"][:12], name, "bridge", "local"]
        assert cli("network", "inspect", "-f", "{{.Name}} {{.Scope}}", name).stdout == f"{name} local\n"
        missing = cli("network", "inspect", name, "nowhere", check=1)
        assert json.loads(missing.stdout)[0]["Name"] == name
        assert "network nowhere not found" in missing.stderr


def test_what_info_says(net: NetworkedEngine, api: DockerClient) -> None:
    info = call(api, "GET", "/info")[1]
    assert info["IPv4Forwarding"] is True
    assert {"bridge", "host", "ipvlan", "macvlan", "null"} <= set(info["Plugins"]["Network"])


def test_what_older_clients_cannot_leave_out(net: NetworkedEngine, api: DockerClient) -> None:
    """They say false for IPv6 where nothing was said, and "default" where the default bridge is meant."""
    old = f"{api.api.base_url}/v1.41"
    subnets = {"Config": [{"Subnet": "10.77.90.0/24"}, {"Subnet": "fd77:90::/64"}]}
    made = api.api.post(
        f"{old}/networks/create", json={"Name": "older", "EnableIPv6": False, "IPAM": subnets}
    )
    assert made.status_code == 201, made.text
    try:
        assert net.docker("network", "inspect", "-f", "{{.EnableIPv6}}", "older").stdout == "true\n"
    finally:
        net.docker("network", "rm", "older")
    address = {"EndpointsConfig": {"default": {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}}
    body = {"Image": "busybox", "HostConfig": {"NetworkMode": "default"}, "NetworkingConfig": address}
    refused = api.api.post(f"{old}/containers/create", json=body)
    assert refused.status_code == 400
    assert "supported on user defined networks only" in refused.text
