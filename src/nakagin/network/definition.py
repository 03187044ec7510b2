"""From a create request to a network: options read, pools checked. Pure; subnets that nobody named come later.

Option names are Docker's (docs: "bridge network driver", "macvlan", "ipvlan"), `nakagin.*` are ours.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
from typing import TYPE_CHECKING, cast

import msgspec

from nakagin.errors import Denied, Invalid, Unsupported
from nakagin.network.model import DRIVERS, PREDEFINED, GatewayMode, Network, Settings, Subnet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.spec.networking import IPAMConfig, NetworkCreate

BRIDGE = "com.docker.network.bridge."
#: Ours beside Docker's host_binding_ipv4: an address of either family.
PUBLISH_DEFAULT = "nakagin.publish-default-address"
MTU = "com.docker.network.driver.mtu"
PREFIX = "com.docker.network.container_iface_prefix"
#: What `--ipv4` and `--ipv6` say, for those who can only give options (--default-network-opt).
ENABLE_IPV4, ENABLE_IPV6 = "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"
EGRESS = "nakagin.egress"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
#: As the kernel has it, but for what ends a name in nft's language, or stands for others there.
_INTERFACE = re.compile(r"[^\s/:\"*\\]{1,15}")
_GATEWAY_MODES = ("nat", "nat-unprotected", "routed", "isolated")
_MODES = {"macvlan": ("bridge", "private", "vepa", "passthru"), "ipvlan": ("l2", "l3", "l3s")}
_FLAGS = ("bridge", "private", "vepa")
_LARGEST_MTU = 65535
_TRUE, _FALSE = {"1", "t", "true"}, {"0", "f", "false"}


def new_id() -> str:
    return os.urandom(32).hex()


def timestamp() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def define(body: NetworkCreate, settings: Settings, template: Network | None = None) -> Network:
    """The network that a request describes, `template` being the configuration-only network it names.

    Raises Invalid, Denied (predefined name), Unsupported (drivers of others, swarm's scope).
    """
    _check_request(body, template)
    driver = {"": "bridge", "none": "null"}.get(body.driver, body.driver)
    _check_driver(driver, config_only=body.config_only)
    ipam = body.ipam
    options = dict(template.options if template else body.options)
    options = {**settings.network_options.get(driver, {}), **options}
    for name, overruled in ((ENABLE_IPV4, body.enable_ipv4), (ENABLE_IPV6, body.enable_ipv6)):
        if overruled is not None:
            options.pop(name, None)
    _, enable_ipv6 = families(body, options)
    given = template.subnets if template else _pools(ipam.config if ipam else (), enable_ipv6)
    network = Network(
        new_id(),
        body.name,
        driver,
        timestamp(),
        subnets=given,
        internal=body.internal,
        attachable=body.attachable,
        options=options,
        labels={**template.labels, **body.labels} if template else dict(body.labels),
        mtu=settings.mtu,
        ipam_driver=(ipam.driver if ipam else "") or "default",
        ipam_options=dict(ipam.options) if ipam else {},
        config_only=body.config_only,
        config_from=template.name if template else "",
        user_subnets=bool(given),
    )
    if network.ipam_driver not in {"default", "null"}:
        raise Invalid(f"could not find ipam driver {network.ipam_driver}", hint="default or null")
    return network if body.config_only else with_options(network)


def families(body: NetworkCreate, options: Mapping[str, str]) -> tuple[bool, bool | None]:
    """Whether a network shall have IPv4, and IPv6 (None: where it has such a subnet). Raises Invalid."""
    ipv4, ipv6 = body.enable_ipv4, body.enable_ipv6
    if ipv4 is None:
        ipv4 = _switch(options, ENABLE_IPV4, default=True)
    if ipv6 is None and options.get(ENABLE_IPV6):
        ipv6 = _switch(options, ENABLE_IPV6, default=False)
    return ipv4, ipv6


def _check_request(body: NetworkCreate, template: Network | None) -> None:
    if not body.name.strip():
        raise Invalid("network name must not be empty", hint="network create NAME")
    if not _NAME.fullmatch(body.name):
        raise Invalid(
            f'invalid network name "{body.name}"',
            hint="letters, digits, _ . and -, the first a letter or digit",
        )
    if body.name in {*PREDEFINED, "default", "container"}:
        raise Denied(f"operation is not permitted on predefined {body.name} network")
    if body.ingress or body.scope not in {"", "local"}:
        raise Unsupported(
            "networks of a swarm are not supported", hint="--scope local; for several machines use Kubernetes"
        )
    if body.config_only and body.config_from is not None and body.config_from.network:
        raise Invalid("a configuration-only network cannot be made from another one")
    if template is not None:
        if not template.config_only:
            raise Denied(f"network {template.name} is not a configuration-only network")
        if body.options or (body.ipam and body.ipam.config) or body.enable_ipv6:
            raise Denied(
                "user specified configurations are not supported if the network depends on a configuration network"
            )


def _check_driver(driver: str, *, config_only: bool) -> None:
    if driver in {"host", "null"} and not config_only:
        raise Denied(f'only one instance of "{driver}" network is allowed')
    if driver == "overlay":
        raise Unsupported("overlay networks need a swarm", hint="for several machines use Kubernetes")
    if driver not in DRIVERS:
        known = ", ".join(each for each in DRIVERS if each not in {"host", "null"})
        raise Invalid(
            f"could not find plugin {driver} in v1 plugin registry: plugin not found",
            hint=f"drivers: {known}",
        )


# --- pools --------------------------------------------------------------------------------------------


def _pools(configs: Sequence[IPAMConfig], enable_ipv6: bool | None) -> tuple[Subnet, ...]:
    pools: list[Subnet] = []
    for each in configs:
        if not each.subnet:
            if each.ip_range or each.gateway or each.auxiliary_addresses:
                raise Invalid("a pool with a gateway, ip range or auxiliary address needs a subnet")
            continue
        pool = _pool(each)
        if pool.is_ipv6 and enable_ipv6 is False:
            raise Invalid(f"subnet {pool.subnet} needs IPv6", hint="--ipv6")
        if any(ipaddress.ip_network(pool.subnet) == ipaddress.ip_network(one.subnet) for one in pools):
            raise Invalid(f"subnet {pool.subnet} is given twice")
        pools.append(pool)
    for number, pool in enumerate(pools):
        for other in pools[:number]:
            mine, its = ipaddress.ip_network(pool.subnet), ipaddress.ip_network(other.subnet)
            if mine.version == its.version and mine.overlaps(its):
                raise Invalid(f"subnets {other.subnet} and {pool.subnet} overlap")
    return tuple(pools)


def _pool(config: IPAMConfig) -> Subnet:
    subnet = _prefix("subnet", config.subnet)
    if config.ip_range:
        span = _prefix("ip-range", config.ip_range)
        if span.version != subnet.version or not span.subnet_of(subnet):  # type: ignore[arg-type]
            raise Invalid(f"invalid ip-range {span}: parent subnet {subnet} doesn't contain ip-range")
    for what, text in (
        ("gateway", config.gateway),
        *((f'aux-address "{key}"', text) for key, text in config.auxiliary_addresses.items()),
    ):
        if text and _address(what, text) not in subnet:
            raise Invalid(f"invalid {what} {text}: parent subnet {subnet} doesn't contain it")
    return Subnet(
        str(subnet),
        str(_address("gateway", config.gateway)) if config.gateway else "",
        ip_range=config.ip_range and str(_prefix("ip-range", config.ip_range)),
        auxiliary={key: str(_address(key, text)) for key, text in config.auxiliary_addresses.items()},
    )


def _prefix(what: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Invalid(f"invalid {what} {text}: invalid CIDR block notation") from None
    if str(ipaddress.ip_interface(text).ip) != str(loose.network_address):
        raise Invalid(f"invalid {what} {text}: it should be {loose}")
    return loose


def _address(what: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"invalid {what} {text}: invalid address") from None


# --- options ------------------------------------------------------------------------------------------


def with_options(network: Network) -> Network:
    """The network with what its driver's options say. Raises Invalid."""
    options = network.options
    changes: dict[str, object] = {"mtu": _mtu(options, network.mtu), "egress": _egress(options)}
    if prefix := options.get(PREFIX, ""):
        changes["interface_prefix"] = _interface_prefix(prefix)
    if network.driver == "bridge":
        changes |= _bridge_options(network)
    elif network.driver in _MODES:
        changes |= _parent_options(network)
    if changes["egress"] is not None and network.driver != "bridge":
        raise Invalid(f"egress cannot be limited on a {network.driver} network", hint="use the bridge driver")
    return msgspec.structs.replace(network, **changes)


def _bridge_options(network: Network) -> dict[str, object]:
    options = network.options
    mode4, mode6 = (_gateway_mode(options, digit) for digit in "46")
    if "isolated" in {mode4, mode6} and not network.internal:
        raise Invalid('gateway mode "isolated" can only be used for an "internal" network', hint="--internal")
    name = options.get(f"{BRIDGE}name", "")
    if name and (not _INTERFACE.fullmatch(name) or name in {".", "..", "all", "default", "lo"}):
        raise Invalid(
            f'invalid bridge name "{name}"', hint='at most 15 characters, without spaces and / : " * \\'
        )
    binding = options.get(f"{BRIDGE}host_binding_ipv4", "")
    if binding:
        _address("host_binding_ipv4", binding)
    if chosen := options.get(PUBLISH_DEFAULT, ""):
        binding = str(_address("--publish-default-address", chosen))
    return {
        "bridge": name,
        "icc": _switch(options, f"{BRIDGE}enable_icc", default=True),
        "masquerade": _switch(options, f"{BRIDGE}enable_ip_masquerade", default=True),
        "host_binding": binding,
        "trusted": _trusted(options),
        "gateway_mode4": mode4,
        "gateway_mode6": mode6,
    }


def _trusted(options: Mapping[str, str]) -> tuple[str, ...]:
    """Names of interfaces, with colons between."""
    key = f"{BRIDGE}trusted_host_interfaces"
    names = tuple(dict.fromkeys(filter(None, options.get(key, "").split(":"))))
    for name in names:
        if not _INTERFACE.fullmatch(name):
            raise Invalid(f'invalid interface "{name}" in {key}', hint="names of this host's: eth1:vpn0")
    return names


def inhibits_ipv4(network: Network) -> bool:
    """Whether the bridge shall have no IPv4 address of its own."""
    return _switch(network.options, f"{BRIDGE}inhibit_ipv4", default=False)


def _parent_options(network: Network) -> dict[str, object]:
    driver, options = network.driver, network.options
    mode = options.get(f"{driver}_mode", "") or _MODES[driver][0]
    if mode not in _MODES[driver]:
        raise Invalid(
            f"requested {driver} mode '{mode}' is not valid", hint=f"one of {', '.join(_MODES[driver])}"
        )
    flag = options.get("ipvlan_flag", "") if driver == "ipvlan" else ""
    if flag and flag not in _FLAGS:
        raise Invalid(f"requested ipvlan flag '{flag}' is not valid", hint=f"one of {', '.join(_FLAGS)}")
    parent = options.get("parent", "")
    if parent == "lo":
        raise Invalid(f"loopback interface is not a valid {driver} parent link")
    if parent and (not _INTERFACE.fullmatch(parent) or parent.startswith(".")):
        raise Invalid(f'invalid parent interface "{parent}"')
    return {"mode": mode, "flag": flag, "parent": parent, "internal": network.internal or not parent}


def _gateway_mode(options: Mapping[str, str], digit: str) -> GatewayMode:
    mode = options.get(f"{BRIDGE}gateway_mode_ipv{digit}", "") or "nat"
    if mode not in _GATEWAY_MODES:
        raise Invalid(f'unknown gateway mode "{mode}"', hint=f"one of {', '.join(_GATEWAY_MODES)}")
    return cast("GatewayMode", mode)


def _mtu(options: Mapping[str, str], standard: int) -> int:
    text = options.get(MTU, "")
    if not text:
        return standard
    if not text.isdecimal() or int(text) > _LARGEST_MTU:
        raise Invalid(f'invalid MTU "{text}"', hint=f"a number up to {_LARGEST_MTU}")
    return int(text) or standard


def _interface_prefix(prefix: str) -> str:
    if not _INTERFACE.fullmatch(prefix) or len(prefix) > 12 or prefix[-1].isdigit():
        raise Invalid(f'invalid interface prefix "{prefix}"', hint="at most 12 characters, the last no digit")
    return prefix


def _switch(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = options.get(name, "").lower()
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise Invalid(f'failed to parse {name} value: "{options[name]}" is no boolean')
    return text in _TRUE


def _egress(options: Mapping[str, str]) -> tuple[str, ...] | None:
    """ "none", or "allow=" and a list of "host", "host:port", "CIDR", "[IPv6]:port"."""
    text = options.get(EGRESS)
    if text is None:
        return None
    if text == "none":
        return ()
    word, equals, rest = text.partition("=")
    if word != "allow" or not equals:
        raise Invalid(f'invalid egress "{text}"', hint="none, or allow=HOST:PORT,CIDR,…")
    return tuple(each.strip() for each in rest.split(",") if each.strip())
