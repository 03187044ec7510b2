"""From the engine's answers to amounts: what a machine has, what a living container takes."""

from __future__ import annotations

import ipaddress
import time

from nakagin.capacity.model import Amounts, Demand, Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client import Client
    from nakagin.client.containers import Container
    from nakagin.client.session import Document
    from nakagin.compose.model import Project

# What the engine's own side of one more container takes, measured by the benchmark of idle containers. A monitor that
# has outlived its engine has more for itself than a new one would: it shares its pages with nobody any more.
_MONITOR = 1.5 * 1024**2
_ENGINE_FILES = 6
# Namespaces, cgroups, mounts, stacks and page tables: memory of the kernel that no process shows (Slab, KernelStack and
# PageTables of /proc/meminfo before and after 60 containers on Linux 6.18).
_KERNEL = 640 * 1024


def host(client: Client, network: str, bandwidth: float = 0.0) -> Host:
    """What the engine's machine has now; `bandwidth` (bits per second) where its link does not know its own."""
    found = client.resources()
    before, began = found["Busy"], time.monotonic()
    time.sleep(0.5)  # how busy the processors are is a difference of two looks
    later = client.resources()
    busy = (later["Busy"] - before) / (time.monotonic() - began)
    speed = float(bandwidth or later["Bandwidth"])
    unknown = {"network"} if not speed else set()
    addresses = _addresses(client, network)
    if addresses is None:
        unknown.add("addresses")
    total, free = addresses or (0, 0)
    return Host(
        Amounts(
            later["CPUs"], later["Memory"]["Total"], later["Disk"]["Total"], speed, later["Processes"]["Total"],
            later["Files"]["Total"], later["Inotify"]["Total"], total,
        ),
        Amounts(
            free_processors(later["CPUs"], busy, later["Load"]), later["Memory"]["Free"], later["Disk"]["Free"], speed,
            later["Processes"]["Free"], later["Files"]["Free"], later["Inotify"]["Free"], free,
        ),
        frozenset(unknown),
    )  # fmt: skip


def free_processors(count: float, busy: float, load: float) -> float:
    """What copies get of `count` processors of which others use `busy`, while `load` processes want one.

    At least their fair share: the scheduler divides a processor evenly among the groups that want it, and all copies
    are one group. So a machine that is busy has less for them, but never nothing.
    """
    rivals = max(load, busy) / count
    return max(count - busy, count / (1 + rivals))


def _addresses(client: Client, network: str) -> tuple[int, int] | None:
    """(all, free) IPv4 addresses of a network; None where it gives none out."""
    document = client.networks.get(network)
    pools = [
        each
        for each in (document.get("IPAM") or {}).get("Config") or ()
        if ":" not in each.get("Subnet", ":")
    ]
    if not pools:
        return None
    # Of each subnet, its own address, the gateway's and the broadcast address are taken.
    total = sum(
        ipaddress.ip_network(each.get("IPRange") or each["Subnet"]).num_addresses - 3 for each in pools
    )
    return total, total - len(document.get("Containers") or {})


def demand(container: Container, window: float) -> Demand:
    """What a living container takes: its rates over `window` seconds, the rest as it is now."""
    first, began = _sample(container), time.monotonic()
    time.sleep(window)
    last, seconds = _sample(container), time.monotonic() - began
    own = container.overhead()
    size = container.inspect(size=True).get("SizeRw") or 0
    measured = f"measured over {window:g} s"
    now = "measured"
    networked = container.attributes["HostConfig"]["NetworkMode"] not in {"none", "host"}
    amounts = Amounts(
        cpu=(_cpu(last) - _cpu(first)) / 1e9 / seconds,
        memory=max(_memory(first), _memory(last)) + min(own["Monitor"], _MONITOR) + _KERNEL,
        disk=float(size),
        network=max(_traffic(last) - _traffic(first), 0) * 8 / seconds,
        # one more for its monitor
        pids=float((last.get("pids_stats") or {}).get("current") or 1) + 1,
        files=float(own["Files"] + _ENGINE_FILES),
        inotify=float(own["Inotify"]),
        addresses=1.0 if networked else 0.0,
    )
    source = dict.fromkeys(("memory", "disk", "pids", "files", "inotify"), now)
    source |= {"cpu": measured, "network": measured}
    return Demand(amounts, source | ({"addresses": "one each"} if networked else {}))


def _sample(container: Container) -> Document:
    return next(iter(container.stats(one_shot=True)))


def _cpu(sample: Document) -> float:
    return float(sample["cpu_stats"]["cpu_usage"]["total_usage"])


def _memory(sample: Document) -> float:
    """What the kernel could not give to others at once: usage without pages of files, as the machine's "free" has it.

    They are charged to who read a file first: of an image's files that is one container, and not the copies.
    """
    memory = sample["memory_stats"]
    details = memory.get("stats") or {}
    of_files = sum(
        details.get(f"total_{each}", details.get(each, 0)) for each in ("inactive_file", "active_file")
    )
    return float(max(memory.get("usage", 0) - of_files, 0))


def _traffic(sample: Document) -> float:
    return float(sum(each["rx_bytes"] + each["tx_bytes"] for each in (sample.get("networks") or {}).values()))


def declared(
    *, memory: float, cpus: float, pids: float, disk: float, bandwidth: float, networked: bool
) -> Demand:
    """What limits allow a copy to take: the worst case."""
    given = {"memory": memory, "cpu": cpus, "pids": pids, "disk": disk, "network": bandwidth}
    source = {name: "your limit" for name, amount in given.items() if amount}
    amounts = Amounts(
        cpu=cpus,
        memory=memory + _MONITOR + _KERNEL if memory else 0.0,
        disk=disk,
        network=bandwidth,
        pids=pids + 1 if pids else 0.0,
        files=float(_ENGINE_FILES),
        addresses=1.0 if networked else 0.0,
    )
    return Demand(amounts, source)


def of_project(project: Project) -> tuple[Demand, list[str]]:
    """What all services of a Compose project take together by their limits, and which have none."""
    whole, without = Amounts(), []
    for name, service in project.services.items():
        limits = service.deploy.resources.limits if service.deploy else None
        memory = float((limits and limits.memory) or service.mem_limit or 0)
        cpus = float((limits and limits.cpus) or service.cpus or 0)
        pids = float((limits and limits.pids) or service.pids_limit or 0)
        replicas = service.scale or (service.deploy and service.deploy.replicas) or 1
        networked = service.network_mode not in {"none", "host"}
        one = declared(memory=memory, cpus=cpus, pids=max(pids, 0), disk=0, bandwidth=0, networked=networked)
        whole += one.each.times(replicas)
        if not memory:
            without.append(name)
    return Demand(whole, dict.fromkeys(("memory", "cpu", "pids"), "the services' limits")), without
