"""The short forms of Compose: what "8080:80/udp", "./data:/data:ro" or a list of A=1 stand for."""

from __future__ import annotations

import re

from nakagin.compose.tree import Mapping, Sequence, Value
from nakagin.errors import Invalid

_PROPAGATIONS = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}
_WINDOWS = re.compile(r"[a-zA-Z]:[\\/]")


def text_of(value: Value) -> str:
    """A scalar as Go prints it: true, 1.5, an empty text for null."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case float():
            return repr(value)
    return str(value)


def pairs_as_list(value: Value) -> Sequence:
    """A map or a single text as the list of A=1 that it stands for."""
    if isinstance(value, Sequence):
        return value
    if not isinstance(value, Mapping):
        return Sequence([value])
    made = Sequence(mark=value.mark)
    for key in sorted(value):
        each = value[key]
        for one in each if isinstance(each, Sequence) else [each]:
            made.add(key if one is None else f"{key}={text_of(one)}", value.marks.get(key))
    return made


def pairs(value: Value) -> Mapping:
    """A list of A=1 as the map that it stands for; a lone A has no value (null)."""
    if not isinstance(value, Sequence):
        return value if isinstance(value, Mapping) else Mapping()
    made = Mapping(mark=value.mark)
    for index, item in enumerate(value):
        key, given, text = str(item).partition("=")
        made.put(key, text if given else None, value.mark_of(index))
    return made


def device(text: str) -> Mapping:
    """ "/dev/a:/dev/b:rw"."""
    parts = text.split(":")
    if len(parts) > 3:
        raise Invalid(f"confusing device mapping, please use long syntax: {text}")
    source = parts[0]
    target = parts[1] if len(parts) > 1 else source
    return Mapping(
        [("source", source), ("target", target), ("permissions", parts[2] if len(parts) > 2 else "rwm")]
    )


def mount_target(value: Value) -> str:
    """Where something is mounted, whatever form it is written in."""
    if isinstance(value, Mapping):
        return str(value.get("target"))
    try:
        return str(mount(str(value))["target"])
    except Invalid:
        return str(value)


def mount(text: str) -> Mapping:
    """ "source:/target:options"; without a source it is an anonymous volume. Raises Invalid."""
    if not text:
        raise Invalid("invalid empty volume spec")
    if len(text) <= 2:  # Compose takes a short cut, which shows in its hashes
        return Mapping([("type", "volume"), ("target", text)])
    parts = _split_mount(text)
    if len(parts) == 1:
        return Mapping([("type", "volume"), ("target", parts[0]), ("volume", Mapping())])
    if not all(parts[:2]):
        raise Invalid(
            f"invalid spec: {text}: empty section between colons", hint="write SOURCE:TARGET[:OPTIONS]"
        )
    if len(parts) > 3:
        raise Invalid(f"invalid spec: {text}: too many colons", hint="the long form knows no such limits")
    source, target = parts[0], parts[1]
    made = Mapping([("type", "volume"), ("source", source), ("target", target)])
    bind, volume = Mapping(), Mapping()
    for option in parts[2].split(",") if len(parts) > 2 else ():
        if option == "ro":
            made["read_only"] = True
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in _PROPAGATIONS:
            bind["propagation"] = option
        elif option == "nocopy":
            volume["nocopy"] = True
        elif option == "O":  # Compose passes over what it does not know; here that would harm the source
            raise Invalid(
                f"invalid spec: {text}: Compose files know no bind that is written over (O)",
                hint="write ro, or let `nakagin run -v` start this one",
            )
    if _is_path(source):
        made["type"] = "bind"
        bind["create_host_path"] = True
        made["bind"] = bind
    else:
        made["volume"] = volume
        if bind:
            made["bind"] = bind
    return made


def _split_mount(text: str) -> list[str]:
    parts = re.findall(r"(?:\$\{[^}]*\}|[^:])+|(?<=:)(?=:|$)|^(?=:)", text)  # a variable's colons are its own
    for index in range(len(parts) - 1):  # C:\data is one part
        if index < len(parts) - 1 and _WINDOWS.fullmatch(f"{parts[index]}:{parts[index + 1][:1]}"):
            parts[index : index + 2] = [f"{parts[index]}:{parts[index + 1]}"]
    return parts


def _is_path(source: str) -> bool:
    return source[0] in "./~" or bool(_WINDOWS.match(source)) or source.startswith("\\\\")


_PORT = re.compile(r"(?:(?:(\[[^\]]*\]|[^:\[\]]*):)?(\d*(?:-\d+)?):)?(\d+(?:-\d+)?)(?:/([a-zA-Z]+))?")


def ports(text: str) -> list[Mapping]:
    """ "127.0.0.1:8000-8001:80-81/udp" as one map a port. Raises Invalid."""
    hint = "write [[IP:]PUBLISHED:]TARGET[/tcp|udp|sctp]"
    bare = re.fullmatch(
        r"((?:[0-9a-fA-F]*:){2,}[0-9a-fA-F.]*):(\d*(?:-\d+)?):(\d+(?:-\d+)?)(?:/([a-zA-Z]+))?", text
    )
    found = bare or _PORT.fullmatch(text)
    if not found:
        raise Invalid(f"invalid port specification: {text!r}", hint=hint)
    host, published, target, protocol = (each or "" for each in found.groups())
    host = host.strip("[]")
    protocol = (protocol or "tcp").lower()
    if protocol not in ("tcp", "udp", "sctp"):
        raise Invalid(f"invalid proto: {protocol}", hint=hint)
    if host:
        import ipaddress

        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise Invalid(f"invalid IP address: {host}", hint=hint) from None
    first, last = _range(target)
    from_, to = _range(published) if published else (0, 0)
    if published and to - from_ != last - first and first != last:
        raise Invalid(
            f"invalid ranges specified for container and host Ports: {target} and {published}", hint=hint
        )
    spread = bool(published) and to - from_ != last - first
    made: list[Mapping] = []
    for index in range(last - first + 1):
        port = Mapping([("mode", "ingress")])
        if host:
            port["host_ip"] = host
        port["target"] = first + index
        if published:
            port["published"] = published if spread else str(from_ + index)
        port["protocol"] = protocol
        made.append(port)
    # Compose sorts by text: 10/tcp before 9/tcp
    return sorted(made, key=lambda port: f"{port['target']}/{port['protocol']}")


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    low, high = int(first or last), int(last or first)
    if low > high or not 0 <= low <= 65535 or high > 65535 or (high == 0 and "-" in text):
        raise Invalid(f"invalid port range: {text}", hint="ports go from 1 to 65535, the lower one first")
    return low, high
