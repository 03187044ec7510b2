"""Whose namespaces a container uses: its own, the host's, or another container's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from nakagin.errors import Invalid

if TYPE_CHECKING:
    from nakagin.spec import docker
    from nakagin.spec import runtime as oci

Kind = Literal["pid", "ipc", "uts", "network", "cgroup", "user"]


class Mode(NamedTuple):
    """One namespace: "private", "shareable", "none", "host" or "container" (then of the container `of`)."""

    mode: str
    of: str = ""


def _container(text: str, what: str) -> Mode | None:
    if not text.startswith("container:"):
        return None
    name = text.partition(":")[2]
    if not name:
        raise Invalid(f"invalid {what} mode: {text}", hint="container:NAME")
    return Mode("container", name)


def pid_mode(text: str) -> Mode:
    """--pid: "", private, host, container:NAME."""
    if text in {"", "private"}:
        return Mode("private")
    if text == "host":
        return Mode("host")
    if joined := _container(text, "PID"):
        return joined
    raise Invalid(f"invalid PID mode: {text}", hint="private, host or container:NAME")


def ipc_mode(text: str) -> Mode:
    """--ipc: "", none, private, shareable, host, container:NAME."""
    if text in {"", "private"}:
        return Mode("private")
    if text in {"none", "shareable", "host"}:
        return Mode(text)
    if joined := _container(text, "IPC"):
        return joined
    raise Invalid(f"invalid IPC mode: {text}", hint="none, private, shareable, host or container:NAME")


def uts_mode(text: str) -> Mode:
    """--uts: "", private, host."""
    if text in {"", "private"}:
        return Mode("private")
    if text == "host":
        return Mode("host")
    raise Invalid(f"invalid UTS mode: {text}", hint="private or host")


def cgroup_mode(text: str, default: str) -> Mode:
    """--cgroupns: private or host; the engine's default otherwise."""
    if text in {"", "private", "host"}:
        return Mode(text or default)
    raise Invalid(f"invalid cgroup namespace mode: {text}", hint="private or host")


def network_mode(text: str) -> Mode:
    """--network: none, host, container:NAME, ns:PATH ("path") or a network ("private", with its name in `of`)."""
    if text in {"none", "host"}:
        return Mode(text)
    if text.startswith("ns:"):
        return Mode("path", text.removeprefix("ns:"))
    return _container(text, "network") or Mode("private", text if text not in {"", "default"} else "bridge")


def check(config: docker.ContainerConfig, host: docker.HostConfig) -> None:
    """Invalid, with Docker's words, for modes that are unknown or do not go together."""
    pid_mode(host.pid_mode)
    ipc_mode(host.ipc_mode)
    uts = uts_mode(host.uts_mode)
    cgroup_mode(host.cgroupns_mode, "private")
    if host.userns_mode not in {"", "host"}:
        raise Invalid(f"invalid userns mode: {host.userns_mode}", hint="host, or nothing")
    if host.isolation not in {"", "default"}:
        raise Invalid(f"invalid isolation '{host.isolation}' on linux")
    network = network_mode(host.network_mode)
    if uts.mode == "host" and config.hostname:
        raise Invalid("conflicting options: hostname and the UTS mode")
    if network.mode == "host" and host.links:
        raise Invalid(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    if network.mode == "path" and not network.of.startswith("/"):
        raise Invalid(f"invalid network namespace: {network.of}", hint="ns:/path/to/a/network/namespace")
    if network.mode in {"container", "path"}:
        _check_joined_network(config, host)


def _check_joined_network(config: docker.ContainerConfig, host: docker.HostConfig) -> None:
    conflicts = (
        (config.hostname, "hostname and the network mode"),
        (
            host.links,
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (config.mac_address, "mac-address and the network mode"),
        (host.port_bindings or host.publish_all_ports, "port publishing and the container type network mode"),
        (config.exposed_ports, "port exposing and the container type network mode"),
    )
    for value, words in conflicts:
        if value:
            raise Invalid(f"conflicting options: {words}")


def joined(host: docker.HostConfig) -> dict[Kind, str]:
    """The other containers whose namespaces are joined: kind -> name as the request has it."""
    modes: dict[Kind, Mode] = {
        "pid": pid_mode(host.pid_mode),
        "ipc": ipc_mode(host.ipc_mode),
        "network": network_mode(host.network_mode),
    }
    return {kind: mode.of for kind, mode in modes.items() if mode.mode == "container"}


def plan(host: docker.HostConfig, cgroup_default: str, pids: Mapping[Kind, int]) -> list[oci.Namespace]:
    """The OCI namespaces; `pids` are the init processes of the containers whose namespaces are joined."""
    wanted: dict[str, Mode] = {
        "network": network_mode(host.network_mode),
        "uts": uts_mode(host.uts_mode),
        "pid": pid_mode(host.pid_mode),
        "ipc": ipc_mode(host.ipc_mode),
        "cgroup": cgroup_mode(host.cgroupns_mode, cgroup_default),
    }
    namespaces: list[oci.Namespace] = [{"type": "mount"}]
    names = {"network": "net"}
    for kind, mode in wanted.items():
        if mode.mode == "container":
            pid = pids[kind]  # type: ignore[index]  # Kind by construction
            namespaces.append({"type": kind, "path": f"/proc/{pid}/ns/{names.get(kind, kind)}"})
        elif mode.mode == "path":
            namespaces.append({"type": kind, "path": mode.of})
        elif mode.mode != "host":
            namespaces.append({"type": kind})
    return namespaces
