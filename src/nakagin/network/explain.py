"""The way of a packet on a network: what the records say beside what the kernel really has.

Read only; runs in a thread, as it asks the kernel for all interfaces and the whole table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nakagin.kernel import netlink, nftables
from nakagin.network.bridges import addresses
from nakagin.network.endpoints import carried_to
from nakagin.network.firewall import shown_elements
from nakagin.network.portmaps import port_elements
from nakagin.network.ways import ways

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.network.model import Endpoint, Network, PortMapping
    from nakagin.network.portmaps import Published

Document = dict[str, Any]

#: The chains that every packet passes, in their order on the way.
_FIXED = ("guard", "prerouting", "published", "input", "forward", "postrouting", "output")
_OWN = ("from", "to", "host", "back", "leaving")
_SWITCHES = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/bridge/bridge-nf-call-iptables")


def facts(
    network: Network, members: Sequence[Endpoint], published: Mapping[str, Sequence[Published]], table: str
) -> Document:
    """The document of GET /nakagin/networks/{id}/explain.

    `Problems` names every place where the kernel is not as recorded; empty when packets can pass as planned.
    """
    with netlink.Socket() as kernel:
        links = {each.name: each for each in kernel.links()}
        known = kernel.addresses()
    problems: list[str] = []
    below = links.get(network.below)
    expected = bool(network.below and (members or network.parent))
    if expected and below is None:
        problems.append(f"interface {network.below} is missing")
    present, elements, chains = _firewall(table)
    if network.bridge and below is not None and not present:
        problems.append(f"firewall table inet {table} is missing")
    return {
        "Network": network.name,
        "Id": network.id,
        "Driver": network.driver,
        "Mode": network.mode,
        "Internal": network.internal,
        "Egress": None if network.egress is None else list(network.egress),
        "Subnets": [{"Subnet": each.subnet, "Gateway": each.gateway} for each in network.subnets],
        "Interface": _interface(network, below, known, problems) if below else None,
        "Containers": [
            _member(each, links, below, published.get(each.container_id, ()), elements, problems)
            for each in members
        ],
        "Table": f"inet {table}" if present else "",
        "Chains": [
            {"Name": name, "Lines": chains[name]}
            for name in (*_FIXED, *(f"{kind}_{network.id[:12]}" for kind in _OWN))
            if network.bridge and name in chains
        ],
        "Ways": [
            {"From": each.start, "To": each.end, "Verdict": each.verdict, "Dropped": each.dropped}
            for each in ways(network, chains)
        ],
        "Open": _open(network, elements),
        "Switches": {path.replace("/", "."): value for path in _SWITCHES if (value := _read(path))},
        "Problems": problems,
    }


def _open(network: Network, elements: Mapping[str, Mapping[Any, Any]]) -> list[str]:
    """What a network with limited egress may reach at this moment: "10.0.0.0/8", "192.0.2.7:443/tcp"."""
    found = []
    for digit in "46":
        found += [key[0] for key in elements.get(f"hosts{digit}_{network.id[:12]}", ())]
        for address, protocol, port in elements.get(f"allow{digit}_{network.id[:12]}", ()):
            host = f"[{address}]" if digit == "6" else address
            found.append(f"{host}:{port}/{protocol}")
    return sorted(found)


def _interface(
    network: Network, link: netlink.Link, known: Sequence[tuple[int, str]], problems: list[str]
) -> Document:
    mine = [address for number, address in known if number == link.index and not address.startswith("fe80:")]
    if not link.flags & netlink.IFF_UP:
        problems.append(f"interface {link.name} is down")
    if network.bridge:
        problems += [
            f"{link.name} lacks the address {each}" for each in addresses(network) if each not in mine
        ]
    return {
        "Name": link.name,
        "Kind": link.kind or "device",
        "Up": bool(link.flags & netlink.IFF_UP),
        "Mac": link.mac,
        "Mtu": link.mtu,
        "Addresses": mine,
    }


def _member(
    endpoint: Endpoint,
    links: Mapping[str, netlink.Link],
    below: netlink.Link | None,
    published: Sequence[Published],
    elements: Mapping[str, Mapping[Any, Any]],
    problems: list[str],
) -> Document:
    link = links.get(endpoint.host_interface)
    name = endpoint.container_name
    if endpoint.host_interface and link is None:
        problems.append(f"interface {endpoint.host_interface} of container {name} is missing")
    elif link is not None and (below is None or link.master != below.index):
        problems.append(f"interface {link.name} of container {name} is not on the bridge")
    elif link is not None and not link.flags & netlink.IFF_UP:
        problems.append(f"interface {link.name} of container {name} is down")
    return {
        "Name": name,
        "Id": endpoint.container_id,
        "Interface": endpoint.interface,
        "HostInterface": endpoint.host_interface,
        "Mac": endpoint.mac,
        "Addresses": [*endpoint.addresses, *endpoint.link_local],
        "DefaultRoute": [f"IPv{digit}" for digit in endpoint.gateway],
        "Ports": [
            *(_port(each, name, elements, problems) for each in published if endpoint.ports),
            *(
                _port_document(each, carried_to(endpoint), there=True)
                for each in endpoint.ports
                if each not in [one.mapping for one in published]
            ),
        ],
    }


def _port(
    published: Published, name: str, elements: Mapping[str, Mapping[Any, Any]], problems: list[str]
) -> Document:
    wanted = port_elements([published])
    there = all(
        elements.get(where, {}).get(key) == value
        for where, several in wanted.items()
        for key, value in several.items()
    )
    mapping = published.mapping
    if not there:
        problems.append(
            f"the firewall does not lead {mapping.protocol} port {mapping.host_port} to container {name}"
        )
    return _port_document(mapping, published.address, next(iter(wanted)), there=there)


def _port_document(mapping: PortMapping, address: str, where: str = "", *, there: bool) -> Document:
    """`Map` is empty for what the monitor's proxy carries."""
    return {
        "Protocol": mapping.protocol,
        "HostIp": mapping.host_ip,
        "HostPort": mapping.host_port,
        "Count": mapping.count,
        "Address": address,
        "ContainerPort": mapping.container_port,
        "Map": where,
        "InKernel": there,
    }


def _firewall(table: str) -> tuple[bool, dict[str, dict[Any, Any]], dict[str, list[str]]]:
    """Whether the table is there, what is in its maps, and its chains as text."""
    try:
        return True, shown_elements(nftables.run(f"list table inet {table}")), _chains(nftables.show(table))
    except OSError:
        return False, {}, {}


def _chains(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("\tchain "):
            current = found.setdefault(line.split()[1], [])
        elif line.startswith("\t}"):
            current = None
        elif current is not None:
            current.append(line.strip())
    return found


def _read(path: str) -> str:
    try:
        with open(f"/proc/sys/{path}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
