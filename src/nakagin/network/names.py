"""The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf for a container. Pure but for one reader."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

RESOLVER = "/etc/resolv.conf"
HOSTS = "/etc/hosts"
# systemd-resolved's own list of the real servers, where RESOLVER is its stub.
SYSTEMD_RESOLVER = "/run/systemd/resolve/resolv.conf"

# Where the name server answers inside of a container.
EMBEDDED = "127.0.0.11"

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class Resolver(NamedTuple):
    """What a resolv.conf says (resolv.conf(5))."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolver(text: str) -> Resolver:
    """Read a resolv.conf: the last search line counts, unknown lines do not."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            servers.append(rest[0])
        elif word in {"search", "domain"}:
            search = tuple(rest)
        elif word == "options":
            options += rest
    return Resolver(tuple(servers), search, tuple(options))


def is_loopback(server: str) -> bool:
    """Whether a server's address means the asking machine itself."""
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def reachable_servers(resolver: Resolver, *, ipv6: bool = False) -> tuple[str, ...]:
    """The servers that a container can reach: not loopback; IPv6 ones only where it has IPv6."""
    outside = (each for each in resolver.servers if not is_loopback(each))
    return tuple(each for each in outside if ":" not in each or (ipv6 and "%" not in each))


def hostname_file(hostname: str) -> str:
    """The text of /etc/hostname."""
    return f"{hostname}\n"


def hosts_file(
    hostname: str,
    addresses: Sequence[str] = (),
    *,
    domain: str = "",
    extra: Sequence[str] = (),
    host_gateway: str = "",
    begin: str = _HOSTS,
) -> str:
    """The text of /etc/hosts, which begins as it does everywhere, or as the host's own (`begin`).

    `addresses` are the container's own (with or without prefix length), `extra` are `--add-host` values
    ("name:address" or "name=address"; the address may be "host-gateway"). Raises Invalid.
    """
    lines = [_extra_host(each, host_gateway) for each in extra]
    return begin + "".join(lines) + hosts_lines(hostname, addresses, domain)


def hosts_lines(hostname: str, addresses: Sequence[str], domain: str = "") -> str:
    """The lines of a hosts file for a container's own addresses: its full name, and the first word of that."""
    full = f"{hostname}.{domain}" if domain else hostname
    first, dot, _ = full.partition(".")
    names = f"{full} {first}" if dot else full
    return "".join(f"{each.partition('/')[0]}\t{names}\n" for each in addresses)


def _extra_host(text: str, host_gateway: str) -> str:
    separator = "=" if "=" in text else ":"
    name, _, address = text.partition(separator)
    address = address.strip("[]")
    if address == "host-gateway":
        if not host_gateway:
            raise Invalid('"host-gateway" has no address on this network', where=f"add-host {text}")
        address = host_gateway
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise Invalid(f'invalid IP address in add-host: "{address}"', where=f"add-host {text}") from None
    if not name:
        raise Invalid("no name", where=f"add-host {text}")
    return f"{address}\t{name}\n"


def resolv_file(
    host: str,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    forwarder: str = "",
    ipv6: bool = False,
    host_network: bool = False,
) -> str:
    """The text of /etc/resolv.conf, from the host's text and `--dns`, `--dns-search`, `--dns-option`.

    Loopback servers of the host are dropped, as they mean the container itself there; when none is left,
    `forwarder` (the address of our DNS forwarder on the bridge) is the server. A container on the host's
    network (`host_network`) keeps the host's servers. A search list of "." means none.
    """
    given = parse_resolver(host)
    if servers:
        chosen = tuple(servers)
    elif host_network:
        chosen = given.servers
    else:
        chosen = reachable_servers(given, ipv6=ipv6) or ((forwarder,) if forwarder else ())
    domains = tuple(search) or given.search
    lines = [f"nameserver {each}" for each in chosen]
    if domains and domains != (".",):
        lines.append(f"search {' '.join(domains)}")
    if options or given.options:
        lines.append(f"options {' '.join(options or given.options)}")
    return "".join(f"{each}\n" for each in lines)


def embedded_resolv_file(host: str, *, search: Sequence[str] = (), options: Sequence[str] = ()) -> str:
    """The same for a container that asks our own name server, which knows --dns and the host's servers itself.

    ndots:0: a name without a dot is asked as it is, before any search domain is tried, as in Docker.
    """
    given = parse_resolver(host)
    domains = tuple(search) or given.search
    lines = [f"nameserver {EMBEDDED}"]
    if domains and domains != (".",):
        lines.append(f"search {' '.join(domains)}")
    chosen = list(options or given.options)
    if not any(each.startswith("ndots:") for each in chosen):
        chosen.append("ndots:0")
    lines.append(f"options {' '.join(chosen)}")
    return "".join(f"{each}\n" for each in lines)


def read_host_names(path: str = HOSTS) -> str:
    """The host's own hosts file, each line with its end."""
    text = _read(path)
    return text if not text or text.endswith("\n") else f"{text}\n"


def read_host_resolver(path: str = RESOLVER, systemd: str = SYSTEMD_RESOLVER) -> str:
    """The host's resolver configuration: systemd-resolved's real servers where `path` is its stub."""
    text = _read(path)
    if parse_resolver(text).servers == ("127.0.0.53",):
        return _read(systemd) or text
    return text


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
