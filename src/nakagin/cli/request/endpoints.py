"""--network (short and long form) with --ip, --network-alias and friends → NetworkMode and EndpointsConfig. Pure."""

from __future__ import annotations

from nakagin.errors import Invalid
from nakagin.spec.endpoint import NO_ENDPOINT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.cli.flags import Options

    Endpoint = dict[str, Any]


def network(text: str) -> tuple[str, Endpoint]:
    """One --network value: "name", or CSV of name, alias, ip, ip6, link-local-ip, mac-address, driver-opt …"""
    endpoint: Endpoint = {}
    if "=" not in text:
        return text, endpoint
    name = ""
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals:
            raise ValueError(f"invalid field {field}")
        if key == "name":
            name = value
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key in ("ip", "ip6"):
            endpoint.setdefault("IPAMConfig", {})["IPv4Address" if key == "ip" else "IPv6Address"] = value
        elif key == "link-local-ip":
            endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        elif key == "driver-opt":
            option, _, setting = value.partition("=")
            endpoint.setdefault("DriverOpts", {})[option] = setting
        elif key == "gw-priority":
            endpoint["GwPriority"] = _priority(value)
        else:
            raise ValueError(f"invalid field key {key}")
    return name, endpoint


def _priority(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"invalid gw-priority ({text}): invalid syntax") from None


def endpoints(options: Options) -> tuple[str, dict[str, Endpoint]]:
    """(NetworkMode, EndpointsConfig): flags such as --ip belong to the first network."""
    given: list[tuple[str, Endpoint]] = [*options.values("network")] or [("default", {})]
    config: dict[str, Endpoint] = {}
    seen: set[str] = set()
    for index, (name, endpoint) in enumerate(given):
        if name in seen:
            raise Invalid(f'network "{name}" is specified multiple times')
        seen.add(name)
        if _user_defined(name) != _user_defined(given[0][0]):
            raise Invalid(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
            )
        chosen = _with_flags(endpoint, options) if index == 0 else endpoint
        if chosen.get("Aliases") and not _user_defined(name):
            raise Invalid("network-scoped aliases are only supported for user-defined networks")
        if chosen or len(given) > 1 or _user_defined(name) or name == "default":
            config[name] = {**NO_ENDPOINT, **chosen}
    return given[0][0], config


def _user_defined(name: str) -> bool:
    return name not in ("default", "bridge", "host", "none", "nat") and not name.startswith("container:")


def _with_flags(endpoint: Endpoint, options: Options) -> Endpoint:
    merged = {**endpoint, "IPAMConfig": dict(endpoint.get("IPAMConfig") or {})}
    simple = (("ip", "IPv4Address"), ("ip6", "IPv6Address"))
    for flag, key in simple:
        if value := options.text(flag):
            if key in merged["IPAMConfig"]:
                raise Invalid(
                    f"conflicting options: cannot specify both --{flag} and per-network {_WORDS[flag]} address"
                )
            merged["IPAMConfig"][key] = value
    if options.many("link-local-ip"):
        merged["IPAMConfig"]["LinkLocalIPs"] = options.many("link-local-ip")
    if aliases := options.many("network-alias"):
        if endpoint.get("Aliases"):
            raise Invalid("conflicting options: cannot specify both --network-alias and per-network alias")
        merged["Aliases"] = aliases
    if (links := options.many("link")) and _user_defined_mode(options):
        merged["Links"] = links
    if mac := options.text("mac-address"):
        if endpoint.get("MacAddress"):
            raise Invalid(
                "conflicting options: cannot specify both --mac-address and per-network MAC address"
            )
        merged["MacAddress"] = mac
    return {key: value for key, value in merged.items() if value}


_WORDS = {"ip": "IPv4", "ip6": "IPv6"}


def _user_defined_mode(options: Options) -> bool:
    names = [name for name, _ in options.values("network")]
    return bool(names) and _user_defined(names[0])
