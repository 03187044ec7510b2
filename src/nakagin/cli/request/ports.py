"""-p and --expose in all their forms → ExposedPorts and PortBindings of a create request. Pure; Invalid on nonsense."""

from __future__ import annotations

from nakagin.cli.request.addresses import is_ip
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Bindings = dict[str, list[dict[str, str]]]

_PROTOCOLS = ("tcp", "udp", "sctp")


def published(specifications: Iterable[str]) -> Bindings:
    """{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]} of all -p values."""
    bindings: Bindings = {}
    for each in specifications:
        for port, binding in _publication(_short_form(each) if "=" in each else each):
            bindings.setdefault(port, []).append(binding)
    return bindings


def exposed(specifications: Iterable[str], bindings: Bindings) -> dict[str, dict[str, str]]:
    """{"80/tcp": {}} of all --expose values and all published ports."""
    ports = dict.fromkeys(bindings)
    for each in specifications:
        if ":" in each:
            raise Invalid(f"invalid port format for --expose: {each}")
        text, _, protocol = each.partition("/")
        try:
            first, last = _range(text)
        except ValueError as error:
            raise Invalid(f"invalid range format for --expose: {each}, error: {error}") from None
        _check_protocol(protocol or "tcp")
        ports.update(dict.fromkeys(f"{port}/{protocol or 'tcp'}" for port in range(first, last + 1)))
    return {port: {} for port in ports}


def _publication(text: str) -> list[tuple[str, dict[str, str]]]:
    """[host-address:[host-port[-last]]:]port[-last][/protocol]."""
    head, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    rest, _, container = head.rpartition(":")
    address, colon, host = rest.rpartition(":")
    if not colon:
        address, host = "", rest
    address = _address(address, text)
    if not container:
        raise Invalid(f"no port specified: {text}<empty>")
    first, last = _checked_range(container, "containerPort")
    _check_protocol(protocol)
    ports = range(first, last + 1)
    if not host:
        return [(f"{port}/{protocol}", {"HostIp": address, "HostPort": ""}) for port in ports]
    host_first, host_last = _checked_range(host, "hostPort")
    if host_last - host_first == last - first:
        pairs = zip(ports, range(host_first, host_last + 1), strict=True)
        return [(f"{port}/{protocol}", {"HostIp": address, "HostPort": str(outer)}) for port, outer in pairs]
    if first != last:
        raise Invalid(f"invalid ranges specified for container and host Ports: {container} and {host}")
    # One port inside, several outside: the engine takes the first that is free.
    return [(f"{first}/{protocol}", {"HostIp": address, "HostPort": host})]


def _address(text: str, whole: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    if text.startswith("[") != text.endswith("]"):
        raise Invalid(f"invalid IP address: {whole.rpartition(':')[0]}")
    if bare and not is_ip(bare):
        raise Invalid(f"invalid IP address: {bare}")
    return bare


def _check_protocol(protocol: str) -> None:
    if protocol not in _PROTOCOLS:
        raise Invalid(f"invalid proto: {protocol}")


def _checked_range(text: str, what: str) -> tuple[int, int]:
    try:
        return _range(text)
    except ValueError:
        raise Invalid(f"invalid {what}: {text}") from None


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = _port(first), _port(last if dash else first)
    if numbers[1] < numbers[0]:
        raise ValueError(f"invalid range specified for port: {text}")
    return numbers


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > 65535:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _short_form(text: str) -> str:
    """The long form `published=8080,target=80,protocol=tcp` in the short one."""
    fields: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.lower().partition("=")
        if not equals or not value:
            raise Invalid(f"invalid publish opts format (should be name=value but got '{field}')")
        fields[key] = value
    short = f"{fields.get('target', '')}/{fields.get('protocol', 'tcp')}"
    return f"{fields['published']}:{short}" if fields.get("published") else short


def port_key(port: str) -> tuple[int, str]:
    """Sorts "443/tcp" behind "80/tcp"."""
    number, _, protocol = port.partition("/")
    return (int(number) if number.isdigit() else 0, protocol)
