"""Networks and endpoints as the Docker Engine API shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nakagin.network.model import DEFAULT_BRIDGE, PREDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nakagin.network.model import Endpoint, Network, PortMapping

Document = dict[str, Any]


def network_document(network: Network, endpoints: Iterable[Endpoint] = ()) -> Document:
    """GET /networks/{id}."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.enable_ipv4 or network.driver != "bridge",
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {"Driver": "default", "Options": None, "Config": _pools(network)},
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {each.container_id: _member(each) for each in endpoints},
        "Options": _options(network),
        "Labels": dict(network.labels),
    }


def _pools(network: Network) -> list[Document] | None:
    pools = []
    for each in network.subnets:
        pool: Document = {"Subnet": each.subnet, "Gateway": each.gateway}
        if each.ip_range:
            pool["IPRange"] = each.ip_range
        if each.auxiliary:
            pool["AuxiliaryAddresses"] = dict(each.auxiliary)
        pools.append(pool)
    return pools or None


def _options(network: Network) -> dict[str, str]:
    if not network.is_default_bridge:
        return dict(network.options)
    prefix = "com.docker.network."
    return {
        f"{prefix}bridge.default_bridge": "true",
        f"{prefix}bridge.enable_icc": str(network.icc).lower(),
        f"{prefix}bridge.enable_ip_masquerade": str(network.masquerade).lower(),
        f"{prefix}bridge.host_binding_ipv4": network.host_binding or "0.0.0.0",  # noqa: S104 (a text for people)
        f"{prefix}bridge.name": network.bridge,
        f"{prefix}driver.mtu": str(network.mtu),
    }


def _member(endpoint: Endpoint) -> Document:
    return {
        "Name": endpoint.container_name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": next((each for each in endpoint.addresses if ":" not in each), ""),
        "IPv6Address": next((each for each in endpoint.addresses if ":" in each), ""),
    }


def matches(network: Network, filters: Mapping[str, Sequence[str]], *, used: bool) -> bool:
    """Whether a network passes the filters of GET /networks: values of one key are alternatives."""
    kind = "builtin" if network.name in PREDEFINED else "custom"
    tests: dict[str, Callable[[str], bool]] = {
        "driver": lambda value: network.driver == value,
        "id": lambda value: network.id.startswith(value),
        "name": lambda value: value in network.name,
        "scope": lambda value: value == "local",
        "type": lambda value: value == kind,
        "label": lambda value: _labelled(network.labels, value),
        "dangling": lambda value: (value in {"true", "1"}) == (kind == "custom" and not used),
    }
    return all(
        any(tests[key](value) for value in values)
        for key, values in filters.items()
        if key in tests and values
    )


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def endpoint_document(network: Network, endpoint: Endpoint | None) -> Document:
    """EndpointSettings: with `endpoint` None, those of a container that does not run."""
    document: Document = {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": network.id,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }
    if endpoint is None:
        return document
    document |= {"EndpointID": endpoint.id, "MacAddress": endpoint.mac}
    gateways = {pool.is_ipv6: pool.gateway for pool in network.subnets}
    for each in endpoint.addresses:
        address, _, length = each.partition("/")
        if ":" in each:
            document |= {"GlobalIPv6Address": address, "GlobalIPv6PrefixLen": int(length)}
            document["IPv6Gateway"] = gateways.get(True, "")
        else:
            document |= {"IPAddress": address, "IPPrefixLen": int(length), "Gateway": gateways.get(False, "")}
    return document


def ports_document(mappings: Iterable[PortMapping], exposed: Iterable[str] = ()) -> Document:
    """The Ports of NetworkSettings: {"80/tcp": [{"HostIp", "HostPort"}]}; null where only exposed."""
    document: Document = dict.fromkeys(exposed)
    for each in mappings:
        for offset in range(each.count):
            key = f"{each.container_port + offset}/{each.protocol}"
            binding = {"HostIp": each.host_ip, "HostPort": str(each.host_port + offset)}
            document[key] = [*(document.get(key) or ()), binding]
    return document


def settings_document(
    members: Sequence[tuple[Network, Endpoint | None]], exposed: Iterable[str] = (), sandbox_key: str = ""
) -> Document:
    """NetworkSettings of a container: the networks it is (or would be) on, and the legacy default bridge."""
    legacy: Document = {
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
    }
    attached = [endpoint for _, endpoint in members if endpoint is not None]
    networks = {network.name: endpoint_document(network, endpoint) for network, endpoint in members}
    if DEFAULT_BRIDGE in networks:
        legacy = {key: networks[DEFAULT_BRIDGE][key] for key in legacy}
    ports = [mapping for endpoint in attached for mapping in endpoint.ports]
    return {
        "Bridge": "",
        "SandboxID": attached[0].id if attached else "",
        "SandboxKey": sandbox_key,
        "Ports": ports_document(ports, exposed if attached else ()),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **legacy,
        "Networks": networks,
    }
