"""Checks of addresses on the command line. The operating system's own parser; `ipaddress` would cost its import."""

from __future__ import annotations

import _socket


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address in text form (without zone)."""
    return _parses(_socket.AF_INET, text) or _parses(_socket.AF_INET6, text)


def _parses(family: int, text: str) -> bool:
    try:
        _socket.inet_pton(family, text)
    except OSError:
        return False
    return True


def check_ip(text: str) -> str:
    """A value of --dns."""
    if not is_ip(text.strip()):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text.strip()


def check_mac(text: str) -> None:
    """ValueError unless it is six bytes in hexadecimal with colons or dashes."""
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or any(len(part) != 2 or not _hexadecimal(part) for part in parts):
        raise ValueError(f"{text} is not a valid mac address")


def _hexadecimal(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def extra_host(text: str) -> str:
    """A value of --add-host: "name:address" or "name=address" → "name:address"."""
    name, separator, address = text.partition("=")
    if not separator or ":" in name:
        name, separator, address = text.partition(":")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    bare = address.removeprefix("[").removesuffix("]") if address.startswith("[") else address
    if bare != "host-gateway" and not is_ip(bare):
        raise ValueError(f'invalid IP address in add-host: "{bare}"')
    return f"{name}:{bare}"


def dns_search(text: str) -> str:
    """A value of --dns-search; "." means none."""
    domain = text.strip()
    if domain != "." and not all(_label(part) for part in domain.removesuffix(".").split(".")):
        raise ValueError(f"{text} is not a valid domain")
    return domain


def _label(text: str) -> bool:
    return bool(text) and text[0] != "-" and all(c.isalnum() or c in "-_" for c in text)


def link(text: str) -> str:
    """A value of --link: "name" or "name:alias"."""
    name, _, alias = text.partition(":")
    if not name or ":" in alias:
        raise ValueError(f"bad format for links: {text}")
    return text
