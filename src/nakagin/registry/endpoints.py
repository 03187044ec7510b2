"""Where a registry's content is: from a reference's domain and the policy to a list of addresses to try. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

from nakagin.errors import Denied, Invalid
from nakagin.spec.domain import DEFAULT_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCKER_HUB = "registry-1.docker.io"
"""The machine behind the domain docker.io."""
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""The name under which Docker's clients keep its credentials."""


class Files(msgspec.Struct, frozen=True):
    """PEM files for TLS: authorities to trust besides the system's, and (certificate, key) of this client."""

    authorities: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


NO_FILES = Files()


class Endpoint(msgspec.Struct, frozen=True):
    """One place to ask for the content of `domain`: `address` is host[:port], `prefix` a path before /v2/.

    `schemes` are tried in order until one answers. `verify` is off for insecure registries. A mirror only
    serves pulls, is told the `domain` it stands for, and never sees the registry's credentials.
    """

    domain: str
    address: str
    schemes: tuple[str, ...] = ("https",)
    prefix: str = ""
    verify: bool = True
    mirror: bool = False
    files: Files = NO_FILES
    stall: float = 30.0
    """Seconds without a byte after which a transfer counts as broken."""

    def __str__(self) -> str:
        return f"{self.address}{self.prefix}"


class Mirror(msgspec.Struct, frozen=True):
    """A place to ask before the registry itself: a URL, or host[:port] (then https)."""

    url: str
    insecure: bool = False


class Rule(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """What the administrator says of one registry."""

    mirrors: tuple[str | Mirror, ...] = ()
    insecure: bool = False
    blocked: bool = False
    location: str = ""
    """host[:port][/prefix] or URL to ask instead of the domain itself."""
    ca: tuple[str, ...] = ()
    client_cert: str = ""
    client_key: str = ""
    stall_timeout: float = 30.0


class Policy(msgspec.Struct, frozen=True):
    """Everything that is said of registries: the engine's flags and the registries file, as one value."""

    hub_mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    """host[:port], or networks in CIDR form."""
    rules: dict[str, Rule] = {}

    def endpoints(self, domain: str, *, push: bool = False) -> Sequence[Endpoint]:
        """Where to ask, in order: mirrors (not for a push), then the registry. Raises Invalid, Denied."""
        rule = self.rule(domain)
        if rule.blocked:
            raise Denied(
                f"the registry {domain} is blocked here", hint="see `blocked` in the registries file"
            )
        own = self._own(domain, rule)
        if push:
            return [own]
        mirrors = [_mirror(domain, each, self) for each in rule.mirrors]
        if domain == DEFAULT_DOMAIN:
            mirrors += [_mirror(domain, each, self) for each in self.hub_mirrors]
        return [*mirrors, own]

    def rule(self, domain: str) -> Rule:
        """The rule for a domain; "*" stands for those without one of their own."""
        return self.rules.get(domain) or self.rules.get("*") or Rule()

    def _own(self, domain: str, rule: Rule) -> Endpoint:
        where = rule.location or (DOCKER_HUB if domain == DEFAULT_DOMAIN else domain)
        scheme, address, prefix = split_url(where)
        insecure = rule.insecure or self.is_insecure(address)
        pairs = ((rule.client_cert, rule.client_key or rule.client_cert),) if rule.client_cert else ()
        return Endpoint(
            domain, address, _schemes(scheme, insecure), prefix, not insecure,
            files=Files(rule.ca, pairs), stall=rule.stall_timeout,
        )  # fmt: skip

    def is_insecure(self, address: str) -> bool:
        """Whether TLS may go unverified or be missing: named so, or on this machine itself (as for dockerd)."""
        host = host_of(address)
        rule = self.rules.get(address)
        if host == "localhost" or (rule is not None and rule.insecure):
            return True
        ip = _ip(host)
        if ip is not None and ip.is_loopback:
            return True
        for word in self.insecure:
            if word in (address, host):
                return True
            network = _network(word)
            if ip is not None and network is not None and ip.version == network.version and ip in network:
                return True
        return False


def check_mirror(url: str) -> None:
    """Invalid for what dockerd refuses as --registry-mirror too."""
    scheme, address, _ = split_url(url)
    if scheme not in ("http", "https") or not address or any(sign in url for sign in "?#@"):
        raise Invalid(
            f"invalid mirror: {url!r}", hint="write http(s)://host[:port], without user, query or fragment"
        )


def split_url(text: str) -> tuple[str, str, str]:
    """(scheme or "", host[:port], path without a slash at its end)."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    address, slash, path = rest.partition("/")
    return scheme.lower(), address, (slash + path).rstrip("/")


def host_of(address: str) -> str:
    """The host of host[:port], without the brackets of an IPv6 address."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") < 2 else address


def _mirror(domain: str, said: str | Mirror, policy: Policy) -> Endpoint:
    mirror = Mirror(said) if isinstance(said, str) else said
    scheme, address, prefix = split_url(mirror.url)
    insecure = mirror.insecure or policy.is_insecure(address)
    schemes = (scheme,) if scheme else _schemes("", insecure)
    rule = policy.rules.get(address) or Rule()
    pairs = ((rule.client_cert, rule.client_key or rule.client_cert),) if rule.client_cert else ()
    return Endpoint(
        domain, address, schemes, prefix, not insecure, mirror=True,
        files=Files(rule.ca, pairs), stall=rule.stall_timeout,
    )  # fmt: skip


def _schemes(scheme: str, insecure: bool) -> tuple[str, ...]:
    if scheme:
        return (scheme,)
    return ("https", "http") if insecure else ("https",)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if "/" not in word:
        return None
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        return None
