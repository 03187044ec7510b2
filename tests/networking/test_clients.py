"""docker-py and the Compose binary, for all that they do with networks."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from tests.network_fixture import CLIENT, HOST, NetworkedEngine, echo, says

pytestmark = pytest.mark.root


@pytest.fixture
def api(net: NetworkedEngine) -> DockerClient:
    return net.client()


def test_docker_py_makes_lists_connects_and_removes(net: NetworkedEngine, api: DockerClient) -> None:
    name = f"py{secrets.token_hex(3)}"
    pool = IPAMPool(
        "10.77.80.0/24", iprange="10.77.80.128/25", gateway="10.77.80.1", aux_addresses={"a": "10.77.80.5"}
    )
    network = api.networks.create(
        name, driver="bridge", ipam=IPAMConfig(pool_configs=[pool]), labels={"made": "by-py"}, attachable=True,
        options={"com.docker.network.driver.mtu": "1420"}, check_duplicate=True, enable_ipv6=True,
    )  # fmt: skip
    containers = []
    try:
        assert [each.name for each in api.networks.list(names=[name])] == [name]
        assert [each.name for each in api.networks.list(filters={"label": "made=by-py"}, greedy=True)] == [
            name
        ]
        assert network.attrs["EnableIPv6"] is True
        one = api.containers.run(
            "busybox", "sleep 600", detach=True, network=name, stop_signal="KILL", name=f"{name}-one"
        )
        two = api.containers.create("busybox", "sleep 600", stop_signal="KILL", name=f"{name}-two")
        containers += [one, two]
        network.connect(two, aliases=["late"], ipv4_address="10.77.80.77", driver_opt={"x": "y"})
        two.start()
        guests = [net.guest(each.name) for each in (one, two)]
        net.greet(guests[1], "two", 80)
        assert says(guests[0], "10.77.80.77", 80) == "two 80 10.77.80.128"
        network.reload()
        assert {each.name for each in network.containers} == {one.name, two.name}
        with pytest.raises(APIError, match="has active endpoints"):
            network.remove()
        network.disconnect(two)
        assert not echo(guests[0], "10.77.80.77", 0.3)
        net.part(*guests)
    finally:
        for each in containers:
            each.remove(force=True)
        network.remove()
    with pytest.raises(NotFound):
        network.reload()
    assert name not in (api.networks.prune()["NetworksDeleted"] or [])


PROJECT = """
services:
  web:
    image: busybox
    command: sh -c "mkdir /www && echo served by compose > /www/index.html && exec httpd -f -p 80 -h /www"
    stop_signal: SIGKILL
    ports: ["8180:80"]
    networks:
      front: {aliases: [www]}
      back: {ipv4_address: 10.77.81.9, ipv6_address: "fd77:81::9", priority: 5}
  app:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    networks: [back]
  job:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    network_mode: none
  side:
    image: busybox
    command: sleep 600
    stop_signal: SIGKILL
    network_mode: service:web
networks:
  front: {}
  back:
    internal: true
    enable_ipv6: true
    driver_opts: {com.docker.network.driver.mtu: 1430}
    ipam: {config: [{subnet: 10.77.81.0/24}, {subnet: "fd77:81::/64"}]}
    labels: {tier: back}
  outer: {external: true, name: OUTER}
"""


class Compose:
    """The Compose binary on a project of its own."""

    def __init__(self, net: NetworkedEngine, folder: Path) -> None:
        self.name = f"p{secrets.token_hex(3)}"
        self._net = net
        self.file = folder / "compose.yaml"

    def __call__(self, *arguments: str, check: bool = True) -> str:
        places = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
        binary = shutil.which("docker-compose", path=places)
        assert binary, "no Compose binary: make setup-test installs one"
        done = subprocess.run(
            [binary, "-p", self.name, "-f", str(self.file), *arguments],
            capture_output=True, text=True, timeout=90, env=self._net.environment(), check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def compose(net: NetworkedEngine, tmp_path: Path) -> Iterator[Compose]:
    made = Compose(net, tmp_path)
    yield made
    made("down", "-t", "0", "-v", check=False)


def test_compose_brings_a_project_with_its_networks_up_changes_it_and_takes_it_down(
    net: NetworkedEngine, compose: Compose
) -> None:
    net.docker("network", "create", compose.name)
    try:
        compose.file.write_text(PROJECT.replace("OUTER", compose.name))
        compose("up", "-d", "--wait")
        web, app = (net.guest(f"{compose.name}-{each}-1") for each in ("web", "app"))
        assert echo(app, "10.77.81.9")
        assert echo(app, "fd77:81::9")
        assert not echo(app, CLIENT, 0.3), "back is internal"
        assert echo(web, CLIENT), "by front"
        asked = net.docker("exec", f"{compose.name}-app-1", "wget", "-qO-", "http://web/").stdout
        assert asked == "served by compose\n"
        with net.lan.client.connect(HOST, 8180) as page:
            page.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"served by compose" in page.makefile("rb").read()
        side = net.docker("exec", f"{compose.name}-side-1", "ip", "-o", "address").stdout
        assert "10.77.81.9/24" in side
        job = net.docker("exec", f"{compose.name}-job-1", "ip", "-o", "link").stdout
        assert job.count("\n") == 1
        assert (
            "mtu 1430"
            in net.docker("exec", f"{compose.name}-app-1", "ip", "-o", "link", "show", "eth0").stdout
        )
        label = net.docker("network", "inspect", "-f", "{{.Labels.tier}}", f"{compose.name}_back").stdout
        assert label.strip() == "back"
        net.part(web, app)
        # a changed network is made anew, its containers with it
        compose.file.write_text(
            compose.file.read_text().replace("mtu: 1430", "mtu: 1440").replace("  outer:", "  #outer:")
        )
        compose("up", "-d", "--wait")
        assert (
            "mtu 1440"
            in net.docker("exec", f"{compose.name}-app-1", "ip", "-o", "link", "show", "eth0").stdout
        )
        compose("down", "-t", "0")
        left = net.docker("network", "ls", "--format", "{{.Name}}", "--filter", f"name={compose.name}").stdout
        assert left.split() == [compose.name], "only the external one stays"
    finally:
        compose("down", "-t", "0", check=False)
        net.docker("network", "rm", compose.name)
