"""Packets: how much goes through, how long a request takes, and what a bridge adds to a start.

Each engine has a machine of its own on a LAN (tests/network_fixture.py), where dockerd may have its firewall rules.
iperf3 and ab are the host's, run in the namespaces of the machines and of the containers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import ExitStack
from functools import partial

from tests.dockerd_fixture import ScratchDockerd
from tests.engine_fixture import ScratchEngine, await_until
from tests.network.sandbox import Host
from tests.network_fixture import HOST, NetworkedEngine

from bench import containers
from bench.measure import Row, in_turns
from bench.wire import Connection

# Short bursts in many turns: on a machine with others the mood changes within seconds, and the spread of single bursts
# is ten times the difference between the engines.
BURST = "256M"
TURNS = 31
REQUESTS = 400
PAGE = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www"


class NetworkedDockerd(NetworkedEngine, ScratchDockerd):
    """dockerd on a LAN of its own, with its own firewall rules: the way it is run everywhere."""

    name = "dockerd"

    def __init__(self, *, parent: str, log_level: str) -> None:
        super().__init__("--iptables=true", parent=parent, log_level=log_level)
        self.kept.add(self.bridge)

    def start(self) -> None:
        self.on_host("ip", "link", "add", self.bridge, "type", "bridge")
        self.on_host("ip", "address", "add", "10.201.0.1/24", "dev", self.bridge)
        self.on_host("ip", "link", "set", self.bridge, "up")
        self.on_host("sysctl", "-qw", "net.ipv4.ip_forward=1")
        ScratchEngine.start(self)


def measure(folder: str, rounds: int) -> list[Row]:
    """The rows of the network scenario."""
    with ExitStack() as stack:
        engines: dict[str, NetworkedEngine] = {}
        for kind in (NetworkedEngine, NetworkedDockerd):
            engine: NetworkedEngine = kind(parent=folder, log_level="info")
            stack.callback(engine.close)
            engine.start()
            engine.bootstrap_busybox()
            engines[engine.name] = engine
        return [*_start_cost(engines["nakagin"], rounds), *_traffic(engines, max(TURNS, rounds))]


def _start_cost(engine: NetworkedEngine, rounds: int) -> list[Row]:
    """create + start + wait + remove on a bridge, less the same without a network, in turns."""
    connection = Connection(str(engine.socket))
    engine.docker("network", "create", "user")
    rows = []
    for network in ("bridge", "user"):
        deeds = {each: partial(containers.cycle, connection, each) for each in ("none", network)}
        taken = in_turns(deeds, rounds, warm=3)
        extra = [one - other for one, other in zip(taken[network], taken["none"], strict=True)]
        rows.append(
            Row(f"what a network adds ({network})", "ms", {"nakagin": extra}, target=6, absolute=True)
        )
    connection.close()
    engine.docker("network", "rm", "user")
    return rows


def _traffic(engines: dict[str, NetworkedEngine], rounds: int) -> list[Row]:
    ways: dict[str, dict[str, tuple[Host, str, Host]]] = {"container": {}, "published port": {}}
    for peer, engine in engines.items():
        engine.docker("network", "create", "bench")
        ports = ("-p", "8080:80", "-p", "5201:5201")
        server = engine.run("server", "--network", "bench", *ports, command=("sh", "-c", PAGE))
        asking = engine.run("asking", "--network", "bench")
        address = engine.place("server", "bench")["IPAddress"]
        ways["container"][peer] = (asking, address, server)
        ways["published port"][peer] = (engine.lan.client, HOST, server)
        await_until(lambda engine=engine: _serves(engine), "the page to be served")  # type: ignore[misc]
    rows = []
    for way, ends in ways.items():
        amounts: dict[str, list[float]] = {peer: [] for peer in ends}
        times: dict[str, list[float]] = {peer: [] for peer in ends}
        for turn in range(rounds):
            peers = list(ends.items())
            for peer, (source, target, host) in peers if turn % 2 else reversed(peers):
                amounts[peer].append(_gigabits(source, target, host))
                times[peer].append(_milliseconds(source, target, 80 if way == "container" else 8080))
        rows.append(Row(f"throughput to a {way}", "Gbit/s", amounts, target=1.0, higher_is_better=True))
        rows.append(Row(f"request to a {way}", "ms", times, target=1.0))
    for engine in engines.values():
        engine.remove_containers()
        engine.docker("network", "rm", "bench")
    return rows


def _serves(engine: NetworkedEngine) -> bool:
    with engine.lan.client.open() as sock:
        return sock.connect_ex((HOST, 8080)) == 0


def _in(host: Host, *command: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{host.pid}/ns/net", "--", *command]


def _gigabits(client: Host, address: str, server: Host) -> float:
    """What iperf3 brings through one TCP connection."""
    none = subprocess.DEVNULL
    listening = subprocess.Popen(_in(server, "iperf3", "-s", "-1"), stdout=none, stderr=none)
    try:
        deadline = time.monotonic() + 10
        while True:
            command = _in(client, "iperf3", "-J", "-c", address, "-n", BURST)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            # It ends well even where nobody listens yet; then there is no sum.
            if received := json.loads(done.stdout or "{}").get("end", {}).get("sum_received"):
                return float(received["bits_per_second"]) / 1e9
            assert time.monotonic() < deadline, done.stdout
    finally:
        listening.terminate()
        listening.wait(10)


def _milliseconds(client: Host, address: str, port: int) -> float:
    """The mean time of a request, as ab sees it: one at a time, a new connection each."""
    command = _in(client, "ab", "-q", "-n", str(REQUESTS), "-c", "1", f"http://{address}:{port}/")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=os.environ)
    found = re.search(r"Time per request:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])
