"""Keyword options of the SDK → the body of POST /containers/create. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypedDict

    Published = int | str | tuple[str, int] | list[int] | None

    class ContainerOptions(TypedDict, total=False):
        """What `create` and `run` take besides image and command."""

        name: str | None
        platform: str | None
        entrypoint: Sequence[str]
        environment: Mapping[str, str]
        labels: Mapping[str, str]
        user: str
        workdir: str
        hostname: str
        tty: bool
        interactive: bool
        auto_remove: bool
        privileged: bool
        read_only: bool
        init: bool
        binds: Sequence[str]
        tmpfs: Mapping[str, str]
        ports: Mapping[str, Published]
        network: str
        memory: int
        cpus: float
        pids_limit: int
        restart: str
        capabilities_added: Sequence[str]
        capabilities_dropped: Sequence[str]
        sysctls: Mapping[str, str]
        stop_signal: str
        rootfs: str
        timezone: str
        secrets: Mapping[str, bytes]
        host_config: Mapping[str, Any]


_CONFIG = {
    "entrypoint": "Entrypoint",
    "labels": "Labels",
    "user": "User",
    "workdir": "WorkingDir",
    "hostname": "Hostname",
    "stop_signal": "StopSignal",
}
_HOST = {
    "auto_remove": "AutoRemove",
    "privileged": "Privileged",
    "read_only": "ReadonlyRootfs",
    "init": "Init",
    "binds": "Binds",
    "tmpfs": "Tmpfs",
    "network": "NetworkMode",
    "memory": "Memory",
    "pids_limit": "PidsLimit",
    "capabilities_added": "CapAdd",
    "capabilities_dropped": "CapDrop",
    "sysctls": "Sysctls",
}


def container_body(image: str, command: Sequence[str] | None, options: ContainerOptions) -> dict[str, Any]:
    """The request for a container; `host_config` overrides single HostConfig keys in Docker's own words."""
    given: Mapping[str, Any] = options
    tty, interactive = bool(given.get("tty")), bool(given.get("interactive"))
    host: dict[str, Any] = {key: given[option] for option, key in _HOST.items() if option in given}
    if "cpus" in given:
        host["NanoCpus"] = round(given["cpus"] * 1e9)
    if "restart" in given:
        policy, _, count = given["restart"].partition(":")
        host["RestartPolicy"] = {"Name": policy, "MaximumRetryCount": int(count or 0)}
    ports = {_port(port): _bindings(where) for port, where in (given.get("ports") or {}).items()}
    host["PortBindings"] = ports
    host.update(given.get("host_config") or {})
    body: dict[str, Any] = {
        "Image": image,
        "Cmd": list(command) if command is not None else None,
        "Tty": tty,
        "OpenStdin": interactive,
        "StdinOnce": interactive,
        "AttachStdin": interactive,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {port: {} for port in ports},
        "Env": [f"{key}={value}" for key, value in (given.get("environment") or {}).items()],
        "HostConfig": host,
    }
    body.update({key: given[option] for option, key in _CONFIG.items() if option in given})
    secrets = [secret(name, data) for name, data in (given.get("secrets") or {}).items()]
    if extension := nakagin_extension(given.get("rootfs"), given.get("timezone"), secrets):
        body["Nakagin"] = extension
    return body


def nakagin_extension(
    rootfs: str | None, timezone: str | None, secrets: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What Docker's API has no word for: the key "Nakagin" of a create request."""
    found = (("Rootfs", rootfs), ("Timezone", timezone), ("Secrets", list(secrets)))
    return {key: value for key, value in found if value}


def secret(name: str, data: bytes, **options: Any) -> dict[str, Any]:
    """A secret as the engine takes it; options Target, Env, Mode, Uid, Gid."""
    from base64 import b64encode

    return {"Name": name, "Data": b64encode(data).decode(), **options}


def _port(port: str | int) -> str:
    text = str(port)
    return text if "/" in text else f"{text}/tcp"


def _bindings(where: Published) -> list[dict[str, str]]:
    """None: any free port; 8080; ("127.0.0.1", 8080); [8080, 8081]."""
    if where is None:
        return [{"HostIp": "", "HostPort": ""}]
    if isinstance(where, tuple):
        return [{"HostIp": where[0], "HostPort": str(where[1])}]
    return [{"HostIp": "", "HostPort": str(each)} for each in (where if isinstance(where, list) else [where])]
