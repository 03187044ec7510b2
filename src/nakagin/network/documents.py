"""Networks and endpoints as the Docker Engine API shows them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nakagin.errors import Invalid
from nakagin.network.endpoints import pool_of
from nakagin.network.model import DEFAULT_BRIDGE
from nakagin.spec.endpoint import NO_ENDPOINT
from nakagin.spec.labels import has_labels

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
        "EnableIPv4": network.enable_ipv4 or network.driver in {"host", "null"},
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": dict(network.ipam_options) if network.ipam_options or not network.predefined else None,
            "Config": _pools(network),
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.config_only,
        "Containers": {each.container_id: _member(each) for each in endpoints},
        "Options": _options(network),
        "Labels": dict(network.labels),
    }


_LARGEST = (1 << 64) - 1


def status(counts: Mapping[str, tuple[int, int]]) -> Document:
    """NetworkStatus: of each subnet, how many addresses are taken and how many free, at most 2^64 - 1."""
    subnets = {
        subnet: {"IPsInUse": min(taken, _LARGEST), "DynamicIPsAvailable": min(free, _LARGEST)}
        for subnet, (taken, free) in counts.items()
    }
    return {"IPAM": {"Subnets": subnets}}


def _pools(network: Network) -> list[Document] | None:
    pools = []
    for each in network.subnets:
        pool: Document = {"Subnet": each.subnet}
        if each.gateway:
            pool["Gateway"] = each.gateway
        if each.ip_range:
            pool["IPRange"] = each.ip_range
        if each.auxiliary:
            pool["AuxiliaryAddresses"] = dict(each.auxiliary)
        pools.append(pool)
    return pools or (None if network.predefined else [])


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


FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def check_filters(filters: Mapping[str, Sequence[str]]) -> None:
    """Raise Invalid for a filter that GET /networks does not have, or a value that one of them does not take."""
    for key, values in filters.items():
        if key not in FILTERS:
            raise Invalid(f"invalid filter '{key}'", hint=f"known filters: {', '.join(FILTERS)}")
        if key == "type" and (wrong := set(values) - {"builtin", "custom"}):
            raise Invalid(f"invalid filter: 'type'='{min(wrong)}'", hint="builtin or custom")
        if key == "dangling" and (wrong := set(values) - {"true", "false", "1", "0"}):
            raise Invalid(f"invalid filter: 'dangling'='{min(wrong)}'", hint="true or false")


def matches(network: Network, filters: Mapping[str, Sequence[str]], *, used: bool) -> bool:
    """Whether a network passes the filters of GET /networks: values of one key are alternatives, labels are not."""
    kind = "builtin" if network.predefined else "custom"
    tests: dict[str, Callable[[str], bool]] = {
        "driver": lambda value: network.driver == value,
        "id": lambda value: network.id.startswith(value),
        "name": lambda value: value in network.name,
        "scope": lambda value: value == "local",
        "type": lambda value: value == kind,
        "dangling": lambda value: (value in {"true", "1"}) == (kind == "custom" and not used),
    }
    if not has_labels(network.labels, filters.get("label", ())):
        return False
    return all(
        any(tests[key](value) for value in values)
        for key, values in filters.items()
        if key in tests and values
    )


def endpoint_document(network: Network | None, endpoint: Endpoint | None) -> Document:
    """EndpointSettings: without `endpoint` those of a container that does not run; `network` may be gone by then."""
    document: Document = {**NO_ENDPOINT, "NetworkID": network.id if network else ""}
    if endpoint is None or network is None:
        return document
    document |= {
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "GwPriority": endpoint.gw_priority,
        "DNSNames": list(endpoint.dns_names) or None,
    }
    for each in endpoint.addresses:
        address, _, length = each.partition("/")
        pool = pool_of(network, address)
        router = pool.route if pool and network.routes(ipv6=":" in each) else ""
        if ":" in each:
            document |= {
                "GlobalIPv6Address": address,
                "GlobalIPv6PrefixLen": int(length),
                "IPv6Gateway": router,
            }
        else:
            document |= {"IPAddress": address, "IPPrefixLen": int(length), "Gateway": router}
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
    members: Mapping[str, tuple[Network | None, Endpoint | None]], exposed: Iterable[str] = ()
) -> Document:
    """NetworkSettings of a container: by name the networks it is (or would be) on, and the legacy default bridge."""
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
    attached = [endpoint for _, endpoint in members.values() if endpoint is not None]
    networks = {name: endpoint_document(network, endpoint) for name, (network, endpoint) in members.items()}
    if DEFAULT_BRIDGE in networks:
        legacy = {key: networks[DEFAULT_BRIDGE][key] for key in legacy}
    ports = [mapping for endpoint in attached for mapping in endpoint.ports]
    return {
        "Bridge": "",
        "SandboxID": attached[0].id if attached else "",
        "SandboxKey": "",
        "Ports": ports_document(ports, exposed if attached else ()),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **legacy,
        "Networks": networks,
    }
