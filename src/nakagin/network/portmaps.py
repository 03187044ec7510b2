"""Published ports as elements of nf_tables maps. Pure.

A port that was published on all addresses is found by number, one on an address by both, a range by interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.network.model import PortMapping

#: The words of a key or a value in a map: joined by " . " in nft's language.
Element = tuple[str, ...]

_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 (said of published ports, not of a socket here)


class Published(NamedTuple):
    """One published mapping and the container's address (of the mapping's family) that it leads to.

    `routed`: nothing is translated, the container's own port is opened (gateway mode "routed"). `direct`: it is
    opened beside the translation (--allow-direct-routing, trusted interfaces).
    """

    mapping: PortMapping
    address: str
    routed: bool = False
    direct: bool = False


def maps(family: str) -> list[tuple[str, str, str]]:
    """The port maps of a family ("ip", "ip6"): name, type, and the expression of their key."""
    digit, address = ("4", "ipv4_addr") if family == "ip" else ("6", "ipv6_addr")
    at = f"meta l4proto . {family} daddr . th dport"
    at_type = f"inet_proto . {address} . inet_service"
    return [
        (f"ports{digit}", f"inet_proto . inet_service : {address} . inet_service", "meta l4proto . th dport"),
        (f"ports{digit}_at", f"{at_type} : {address} . inet_service", at),
        (f"ranges{digit}", f"{at_type} : {address}; flags interval", at),
    ]


def port_elements(published: Iterable[Published]) -> dict[str, dict[Element, Element]]:
    """What these mappings put into which map or set."""
    found: dict[str, dict[Element, Element]] = {}
    for each in published:
        if not each.routed:
            name, elements = _translated(each)
            found.setdefault(name, {}).update(elements)
        if each.routed or each.direct:
            name, elements = _opened(each)
            found.setdefault(name, {}).update(elements)
    return found


def _opened(published: Published) -> tuple[str, dict[Element, Element]]:
    mapping, address = published.mapping, published.address
    inside = range(mapping.container_port, mapping.container_port + mapping.count)
    name = "open6" if ":" in address else "open4"
    return name, {(address, mapping.protocol, str(port)): () for port in inside}


def _translated(published: Published) -> tuple[str, dict[Element, Element]]:
    """A range published to the same port numbers is one interval; one that is shifted needs an element for
    each port, as nf_tables cannot shift.
    """
    mapping, address = published.mapping, published.address
    digit = "6" if ":" in address else "4"
    host = "" if mapping.host_ip in _ANYWHERE else mapping.host_ip
    first, count, shift = mapping.host_port, mapping.count, mapping.container_port - mapping.host_port
    if count > 1 and not shift:
        where = host or ("::/0" if digit == "6" else "0.0.0.0/0")
        return f"ranges{digit}", {(mapping.protocol, where, f"{first}-{first + count - 1}"): (address,)}
    middle = (host,) if host else ()
    ports = range(first, first + count)
    elements: dict[Element, Element] = {
        (mapping.protocol, *middle, str(port)): (address, str(port + shift)) for port in ports
    }
    return f"ports{digit}_at" if host else f"ports{digit}", elements
