"""/etc/hostname, /etc/hosts and /etc/resolv.conf of a container: written before its start, mounted into it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nakagin.containers import bundle, links, namespaces
from nakagin.network import names
from nakagin.network.naming import Resident

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Shelf
    from nakagin.containers.surroundings import Surroundings

FILES = ("hostname", "hosts", "resolv.conf")


def write_files(shelf: Shelf, around: Surroundings, record: Container) -> dict[str, str]:
    """The engine's own files in the run directory; the result maps their place inside to them.

    After its networks were settled: the files tell its addresses.
    """
    owner = network_owner(shelf, record)
    folder = around.run_dir(owner.id)
    if owner is record:
        for name, text in _texts(shelf, around, record).items():
            write(os.path.join(folder, name), text)
    return {f"/etc/{name}": os.path.join(folder, name) for name in FILES}


def network_owner(shelf: Shelf, record: Container) -> Container:
    """The container whose network this one uses: another one's with --network container:NAME."""
    mode = namespaces.network_mode(record.host_config.network_mode)
    return shelf.find(mode.of).record if mode.mode == "container" else record


def _texts(shelf: Shelf, around: Surroundings, record: Container) -> dict[str, str]:
    hostname = bundle.hostname(record, around.host)
    return {
        "hostname": names.hostname_file(hostname),
        "hosts": _hosts(shelf, around, record, hostname),
        "resolv.conf": resolver(around, record),
    }


def _hosts(shelf: Shelf, around: Surroundings, record: Container, hostname: str) -> str:
    wanted = record.host_config
    on_host = namespaces.network_mode(wanted.network_mode).mode == "host"
    near = "127.0.0.1" if on_host else around.networks.host_gateway(record.id)
    gateway = around.names.host_gateway or near
    begin = {"begin": names.read_host_names()} if on_host else {}
    text = names.hosts_file(
        hostname, addresses_of(around, record), domain=record.config.domainname, extra=wanted.extra_hosts,
        host_gateway=gateway, **begin,
    )  # fmt: skip
    return text + links.hosts_lines(shelf, around, record)


def servers(around: Surroundings, record: Container) -> tuple[str, ...]:
    """The DNS servers that were asked for, by --dns of the container or of the engine."""
    return record.host_config.dns or around.names.servers


def residents(shelf: Shelf, around: Surroundings) -> list[Resident]:
    """The running containers, as the name server wants to know them."""
    running = [capsule.record for capsule in shelf if capsule.record.running]
    return [Resident(each.id, each.facts.pid, servers(around, each)) for each in running]


def resolver(around: Surroundings, record: Container) -> str:
    """The text of /etc/resolv.conf for the networks that the container is on now."""
    wanted, standard = record.host_config, around.names
    mode = namespaces.network_mode(wanted.network_mode).mode
    attached = around.networks.endpoints(record.id)
    reference = attached[0].network_id if attached else ("host" if mode == "host" else "none")
    return around.naming.resolv_file(
        record.id,
        reference,
        servers(around, record),
        wanted.dns_search or standard.search,
        wanted.dns_options or standard.options,
    )


def rejoin(around: Surroundings, record: Container, resolver_before: str, addresses: Iterable[str]) -> None:
    """A running container has joined or left a network: `resolver_before` and `addresses` are what it had.

    A resolv.conf that somebody changed is left alone; of hosts only the lines of its own addresses change.
    """
    around.naming.connected(record.id, record.facts.pid)
    folder = around.run_dir(record.id)
    try:
        path = os.path.join(folder, "resolv.conf")
        with open(path, encoding="utf-8", errors="replace") as file:
            untouched = file.read() == resolver_before
        if untouched:
            write(path, resolver(around, record))
        _readdress(os.path.join(folder, "hosts"), around, record, set(addresses))
    except OSError:
        pass  # it has ended meanwhile


def _readdress(path: str, around: Surroundings, record: Container, before: set[str]) -> None:
    now = addresses_of(around, record)
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().splitlines(keepends=True)
    hostname = bundle.hostname(record, around.host)
    gone = {each.partition("/")[0] for each in before.difference(now)}
    kept = [each for each in lines if each.split()[:1] not in [[address] for address in gone]]
    new = names.hosts_lines(hostname, [each for each in now if each not in before], record.config.domainname)
    write(path, "".join(kept) + new)


def addresses_of(around: Surroundings, record: Container) -> list[str]:
    """All addresses of a container, with prefix lengths."""
    return [address for each in around.networks.endpoints(record.id) for address in each.addresses]


def write(path: str, content: str | bytes) -> None:
    """Write a file of the run directory, in place where it is there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
    finally:
        os.close(fd)
