"""The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf for a container. Pure but for one reader."""

from __future__ import annotations

from collections.abc import Sequence


def hostname_file(hostname: str) -> str:
    """The text of /etc/hostname."""
    raise NotImplementedError


def hosts_file(
    hostname: str,
    addresses: Sequence[str] = (),
    *,
    domain: str = "",
    extra: Sequence[str] = (),
    host_gateway: str = "",
) -> str:
    """The text of /etc/hosts.

    `addresses` are the container's own (with or without prefix length), `extra` are `--add-host` values
    ("name:address" or "name=address"; the address may be "host-gateway"). Raises Invalid.
    """
    raise NotImplementedError


def resolv_file(
    host: str,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    forwarder: str = "",
    host_network: bool = False,
) -> str:
    """The text of /etc/resolv.conf, from the host's text and `--dns`, `--dns-search`, `--dns-option`.

    Loopback servers of the host are dropped, as they mean the container itself there; when none is left,
    `forwarder` (the address of our DNS forwarder on the bridge) is the server. A container on the host's
    network (`host_network`) keeps the host's servers.
    """
    raise NotImplementedError


def read_host_resolver() -> str:
    """The host's resolver configuration: systemd-resolved's real servers where /etc/resolv.conf is its stub."""
    raise NotImplementedError
