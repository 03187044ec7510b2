"""`nakagin network create|connect|disconnect|ls|rm`."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters, short_id, show
from nakagin.cli.request import addresses
from nakagin.cli.request.environment import mapping
from nakagin.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.cli.flags import Options

    Document = dict[str, Any]

HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def ls(call: Call) -> int:
    """List networks."""
    options = call.options
    found = call.client.networks.list(filters(options.many("filter")))
    rows = [
        row(each, whole=options.on("no-trunc")) for each in sorted(found, key=lambda each: str(each["Name"]))
    ]
    if options.on("quiet") and not options.text("format"):
        for each in rows:
            say(each["ID"])
        return 0
    show(rows, options.text("format"), ("ID", "Name", "Driver", "Scope"), HEADERS)
    return 0


def row(network: Document, *, whole: bool) -> Document:
    """A network's fields as --format knows them."""
    labels = network.get("Labels") or {}
    return {
        "ID": network["Id"] if whole else short_id(network["Id"]),
        "Name": network["Name"],
        "Driver": network.get("Driver", ""),
        "Scope": network.get("Scope", ""),
        "IPv4": _word(network.get("EnableIPv4")),
        "IPv6": _word(network.get("EnableIPv6")),
        "Internal": _word(network.get("Internal")),
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "CreatedAt": _created(str(network.get("Created", ""))),
        "Label": lambda name: labels.get(name, ""),
    }


def _created(text: str) -> str:
    """RFC 3339 in UTC as Go shows it: without the fraction's last zeros."""
    if not text.endswith("Z"):
        return text
    moment, _, fraction = text.removesuffix("Z").replace("T", " ").partition(".")
    fraction = fraction.rstrip("0")
    return f"{moment}{'.' + fraction if fraction else ''} +0000 UTC"


def _word(switch: object) -> str:
    return "true" if switch else "false"


def create(call: Call) -> int:
    """Create a network and print its id."""
    made = call.client.networks.create(create_body(call.options, call.arguments[0]))
    if made.get("Warning"):
        complain(f"WARNING: {made['Warning']}")
    say(made["Id"])
    return 0


def create_body(options: Options, name: str) -> Document:
    """The body of POST /networks/create."""
    config_from = options.text("config-from")
    return {
        "Name": name,
        "Driver": options.text("driver"),
        "Scope": options.text("scope"),
        "EnableIPv4": options.on("ipv4") if options.given("ipv4") else None,
        "EnableIPv6": options.on("ipv6") if options.given("ipv6") else None,
        "IPAM": {
            "Driver": options.text("ipam-driver"),
            "Options": mapping(options.many("ipam-opt")),
            "Config": _pools(options),
        },
        "Internal": options.on("internal"),
        "Attachable": options.on("attachable"),
        "Ingress": options.on("ingress"),
        "ConfigOnly": options.on("config-only"),
        "ConfigFrom": {"Network": config_from} if config_from else None,
        "Options": {**mapping(options.many("opt")), **_egress(options), **_publish_default(options)},
        "Labels": mapping(options.many("label")),
    }


def _publish_default(options: Options) -> dict[str, str]:
    """Where -p without an address publishes: for one family, as the option of Docker's bridge."""
    address = options.text("publish-default-address")
    return {"nakagin.publish-default-address": address} if address else {}


def _egress(options: Options) -> dict[str, str]:
    """--egress may be repeated: "none", or several lists that begin with "allow="."""
    given = options.many("egress")
    if not given:
        return {}
    if given == ["none"]:
        return {"nakagin.egress": "none"}
    allowed = [each.removeprefix("allow=") for each in given if each.startswith("allow=")]
    if len(allowed) != len(given):
        raise Invalid(f'invalid --egress "{" ".join(given)}"', hint="none, or allow=HOST:PORT,CIDR,…")
    return {"nakagin.egress": f"allow={','.join(allowed)}"}


def _pools(options: Options) -> list[Document]:
    """One pool for each --subnet, with the gateways and ranges that lie in it."""
    from ipaddress import ip_address, ip_network

    try:
        pools = [(ip_network(subnet, strict=False), {"Subnet": subnet}) for subnet in options.many("subnet")]
        loose = [(ip_address(gateway), "Gateway", gateway) for gateway in options.many("gateway")]
        loose += [(ip_network(span).network_address, "IPRange", span) for span in options.many("ip-range")]
        auxiliary = [(ip_address(at), name, at) for name, at in mapping(options.many("aux-address")).items()]
    except ValueError as error:
        raise Invalid(f"invalid network definition: {error}") from None
    found: list[tuple[Any, Document]] = [(network, dict(pool)) for network, pool in pools]
    for address, key, text in loose:
        pool = next((pool for network, pool in found if address in network), None)
        if pool is None:
            raise Invalid(f"no matching subnet for {'gateway' if key == 'Gateway' else 'range'} {text}")
        pool[key] = text
    for address, name, text in auxiliary:
        pool = next((pool for network, pool in found if address in network), None)
        if pool is None:
            raise Invalid(f"no matching subnet for aux-address {text}")
        pool.setdefault("AuxiliaryAddresses", {})[name] = text
    return [pool for _, pool in found]


def connect(call: Call) -> int:
    """Connect a container to a network."""
    options = call.options
    addressing = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.many("link-local-ip"),
    }
    endpoint = {
        "IPAMConfig": {key: value for key, value in addressing.items() if value},
        "Links": options.many("link") or None,
        "Aliases": options.many("alias") or None,
        "DriverOpts": mapping(options.many("driver-opt")) or None,
        "GwPriority": options.number("gw-priority"),
    }
    network, container = call.arguments
    call.client.networks.connect(network, container, endpoint)
    return 0


def disconnect(call: Call) -> int:
    """Disconnect a container from a network."""
    network, container = call.arguments
    call.client.networks.disconnect(network, container, force=call.options.on("force"))
    return 0


def rm(call: Call) -> int:
    """Remove networks."""

    def remove(name: str) -> None:
        try:
            call.client.networks.remove(name)
        except NotFound:
            if not call.options.on("force"):
                raise

    return call.each(remove)


LS = Command(
    ls,
    "[OPTIONS]",
    (
        Flag("filter", "f", "filter", 'Provide filter values (e.g. "driver=bridge")'),
        Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("no-trunc", "", "bool", "Do not truncate the output"),
        Flag("quiet", "q", "bool", "Only display network IDs"),
    ),
)
CREATE = Command(
    create,
    "[OPTIONS] NETWORK",
    (
        Flag("attachable", "", "bool", "Enable manual container attachment"),
        Flag("aux-address", "", "map", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        Flag("config-from", "", "string", "The network from which to copy the configuration"),
        Flag("config-only", "", "bool", "Create a configuration only network"),
        Flag("driver", "d", "string", "Driver to manage the Network", "bridge"),
        Flag("egress", "", "list", "What containers may reach outside: none, or allow=HOST[:PORT],CIDR,…"),
        Flag("gateway", "", "strings", "IPv4 or IPv6 Gateway for the master subnet"),
        Flag("ingress", "", "bool", "Create swarm routing-mesh network", hidden=True),
        Flag("internal", "", "bool", "Restrict external access to the network"),
        Flag("ip-range", "", "strings", "Allocate container ip from a sub-range"),
        Flag("ipam-driver", "", "string", "IP Address Management Driver", "default"),
        Flag("ipam-opt", "", "map", "Set IPAM driver specific options"),
        Flag("ipv4", "", "bool", "Enable or disable IPv4 address assignment", True),
        Flag("ipv6", "", "bool", "Enable or disable IPv6 address assignment"),
        Flag("label", "", "list", "Set metadata on a network"),
        Flag("opt", "o", "map", "Set driver specific options"),
        Flag("publish-default-address", "", "string", "Address of the host for ports published without one"),
        Flag("scope", "", "string", "Control the network's scope"),
        Flag("subnet", "", "strings", "Subnet in CIDR format that represents a network segment"),
    ),
    least=1,
    most=1,
)
CONNECT = Command(
    connect,
    "[OPTIONS] NETWORK CONTAINER",
    (
        Flag("alias", "", "strings", "Add network-scoped alias for the container"),
        Flag("driver-opt", "", "strings", "Driver options for the network"),
        Flag("gw-priority", "", "int", "Highest gw-priority provides the default gateway"),
        Flag("ip", "", "string", 'IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", "", "string", 'IPv6 address (e.g., "2001:db8::33")'),
        Flag("link", "", "list", "Add link to another container", check=addresses.link),
        Flag("link-local-ip", "", "strings", "Add a link-local address for the container"),
    ),
    least=2,
    most=2,
)
DISCONNECT = Command(
    disconnect,
    "[OPTIONS] NETWORK CONTAINER",
    (Flag("force", "f", "bool", "Force the container to disconnect from a network"),),
    least=2,
    most=2,
)
RM = Command(
    rm,
    "NETWORK [NETWORK...]",
    (Flag("force", "f", "bool", "Do not error if the network does not exist"),),
    least=1,
    most=None,
)
