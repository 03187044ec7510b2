"""Which proxy leads to a host: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as Go's programs read them. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class Proxies(msgspec.Struct, frozen=True):
    """URLs of proxies by scheme, and the comma-separated list of what is reached without one."""

    http: str = ""
    https: str = ""
    without: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str], settings: Mapping[str, str]) -> Proxies:
        """The engine's settings (http-proxy, https-proxy, no-proxy) before the environment's variables."""

        def said(name: str) -> str:
            variable = name.replace("-", "_")
            return (
                settings.get(name) or environment.get(variable.upper(), "") or environment.get(variable, "")
            )

        return cls(said("http-proxy"), said("https-proxy"), said("no-proxy"))

    def of(self, scheme: str, host: str, port: int) -> str | None:
        """The proxy for a URL's scheme and host, or None. This machine itself is reached without one."""
        proxy = self.https if scheme == "https" else self.http
        if not proxy or _is_here(host) or self._is_left_out(host.lower().rstrip("."), port):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _is_left_out(self, host: str, port: int) -> bool:
        return any(_matches(word.strip().lower(), host, port) for word in self.without.split(","))


def _is_here(host: str) -> bool:
    ip = _ip(host)
    return host == "localhost" or (ip is not None and ip.is_loopback)


def _matches(word: str, host: str, port: int) -> bool:
    """Whether one word of NO_PROXY means the host: "*", an address, a network, a domain (and those below it)."""
    if word == "*":
        return True
    ip = _ip(host)
    if ip is not None and "/" in word:
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            return False
        return ip.version == network.version and ip in network
    name, colon, number = word.rpartition(":")
    if (
        colon
        and number.isdecimal()
        and not name.endswith(":")
        and (name.count(":") == 0 or name.endswith("]"))
    ):
        if int(number) != port:
            return False
        word = name
    word = word.strip("[]")
    if not word:
        return False
    if ip is not None:
        return _ip(word) == ip
    below = word.removeprefix("*")
    return host.endswith(below) if below.startswith(".") else host == below or host.endswith("." + below)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
