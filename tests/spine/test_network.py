"""The default bridge, published ports, and the other network modes."""

from __future__ import annotations

import os
import socket
import urllib.request
from pathlib import Path

import pytest
from tests.engine_fixture import ScratchEngine, await_until
from tests.free_port import free_port
from tests.spine.conftest import Cli
from tests.spine.observe import inspect, is_free

pytestmark = pytest.mark.root

SERVER = ("busybox", "sh", "-c", "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www")


ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7))
while True:
    server.sendto(*server.recvfrom(64))
"""


def fetch(address: str, port: int | str) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def await_page(address: str, port: int | str) -> None:
    def answered() -> bool:
        try:
            return fetch(address, port) == "served\n"
        except OSError:
            return False

    await_until(answered, f"the page at {address}:{port}")


def test_published_on_loopback(cli: Cli, engine: ScratchEngine, name: str) -> None:
    port = free_port()
    cli("run", "-d", "-p", f"127.0.0.1:{port}:80", "--name", name, *SERVER)
    await_page("127.0.0.1", port)
    await_page("localhost", port)
    assert cli("port", name).stdout.strip() == f"80/tcp -> 127.0.0.1:{port}"
    assert f"127.0.0.1:{port}->80/tcp" in cli("ps", "--filter", f"name={name}").stdout
    cli("rm", "-f", name)
    await_until(lambda: is_free(port), "the port to be free again")


def test_published_on_every_address(cli: Cli, engine: ScratchEngine, name: str) -> None:
    cli("run", "-d", "-p", "80", "--name", name, *SERVER)
    template = '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}'
    port = inspect(engine, name, template)
    await_page("127.0.0.1", port)
    address = inspect(engine, name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    await_page(address, 80)
    gateway = inspect(engine, name, "{{.NetworkSettings.Networks.bridge.Gateway}}")
    await_page(gateway, port)


def test_udp_and_ranges(engine: ScratchEngine, name: str) -> None:
    first = free_port(socket.SOCK_DGRAM)
    ports = ("-p", f"127.0.0.1:{first}:7/udp", "-p", "127.0.0.1::100-102")
    # Debian's busybox has no server for datagrams: the host's Python echoes them
    python = tuple(word for folder in ("/usr", "/lib", "/lib64") for word in ("-v", f"{folder}:{folder}:ro"))
    engine.docker("run", "-d", *ports, *python, "--name", name, "busybox", "/usr/bin/python3", "-c", ECHO)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", first))
        client.settimeout(0.2)

        def echoed() -> bool:
            try:
                client.send(b"ping")
                return client.recv(16) == b"ping"
            except OSError:
                return False

        await_until(echoed, "the echo")
    assert engine.docker("port", name).stdout.count("/tcp ->") == 3


def test_containers_reach_each_other(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, *SERVER)
    address = inspect(engine, name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    script = f"for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://{address}/ && exit; sleep 0.2; done"
    assert engine.docker("run", "--rm", "busybox", "sh", "-c", script).stdout == "served\n"


def test_a_shared_network_namespace(engine: ScratchEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, *SERVER)
    script = "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://127.0.0.1/ && exit; sleep 0.2; done"
    done = engine.docker("run", "--rm", "--network", f"container:{name}", "busybox", "sh", "-c", script)
    assert done.stdout == "served\n"


def test_its_own_files(engine: ScratchEngine) -> None:
    flags = ["-h", "capsule", "--add-host", "other:10.9.8.7", "--dns", "10.1.1.1"]
    flags += ["--dns-search", "example.org"]
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf"
    shown = engine.docker("run", "--rm", *flags, "busybox", "sh", "-c", script).stdout
    assert "10.9.8.7\tother" in shown
    assert "\tcapsule\n" in shown
    assert "nameserver 10.1.1.1\n" in shown
    assert "search example.org\n" in shown


def test_addresses_are_unique_and_come_back(engine: ScratchEngine, name: str) -> None:
    seen = set()
    for number in range(3):
        engine.docker("run", "-d", "--name", f"{name}-{number}", "busybox", "sleep", "300")
        seen.add(inspect(engine, f"{name}-{number}", "{{.NetworkSettings.Networks.bridge.IPAddress}}"))
    engine.docker("rm", "-f", *(f"{name}-{number}" for number in range(3)))
    assert len(seen) == 3


def test_port_in_use_by_a_container(cli: Cli, engine: ScratchEngine, name: str) -> None:
    port = free_port()
    cli("run", "-d", "-p", f"127.0.0.1:{port}:80", "--name", name, *SERVER)
    refused = cli("run", "--rm", "-p", f"127.0.0.1:{port}:80", *SERVER, check=125).stderr
    assert str(port) in refused
    if engine.name == "nakagin":
        assert name in refused, "the error does not name the holder"


def test_port_in_use_by_a_process(cli: Cli, engine: ScratchEngine, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        refused = cli("run", "--name", name, "-p", f"127.0.0.1:{port}:80", *SERVER, check=125).stderr
        assert str(port) in refused
        if engine.name == "nakagin":
            assert f"(pid {os.getpid()})" in refused, "the error does not name the holder"
    cli("start", name)  # the port is free now: nothing stands in the way any more
    cli("rm", "-f", name)


def test_a_full_name_as_hostname(cli: Cli, engine: ScratchEngine) -> None:
    shown = cli(
        "run", "--rm", "-h", "box.example.org", "busybox", "sh", "-c", "cat /etc/hosts; hostname -f"
    ).stdout
    assert "\tbox.example.org box\n" in shown
    assert shown.endswith("box.example.org\n")


def test_on_the_hosts_network_its_names_are_known(cli: Cli, engine: ScratchEngine) -> None:
    flags = ("--network", "host", "--add-host", "extra:10.9.8.7")
    shown = cli("run", "--rm", *flags, "busybox", "cat", "/etc/hosts").stdout
    own = Path("/etc/hosts").read_text()
    assert shown.startswith(own.rstrip("\n"))
    assert "10.9.8.7\textra\n" in shown
    for mode in ("host", "none", "bridge"):
        refused = engine.docker(
            "run", "--rm", "--network", mode, "--ip", "10.9.8.6", "busybox", "true", check=125
        )
        assert "supported on user defined networks only" in refused.stderr
