"""`nakagin info` (system info)."""

from __future__ import annotations

import sys

from nakagin import __version__
from nakagin.cli.command import Call, Command, complain
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.cli.quantities import human_binary_size
from nakagin.errors import NakaginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Document = dict[str, Any]


def info(call: Call) -> int:
    """Show the engine's state; exit code 1 where none answers or it reports errors."""
    template = call.options.text("format")
    client = {"Version": __version__, "Context": "default", "Debug": False, "Plugins": []}
    try:
        server = call.client.info()
    except NakaginError as error:
        if not template:
            sys.stdout.write("\n".join(client_lines(client)) + "\n\nServer:\n")
        complain(explain(error))
        return 1
    if template:
        from nakagin.cli.templates import Template

        text = "{{json .}}" if template == "json" else template
        sys.stdout.write(Template(text).render({**server, "ClientInfo": client}) + "\n")
        return 0
    sys.stdout.write("\n".join([*client_lines(client), "", "Server:", *server_lines(server), ""]) + "\n")
    for warning in server.get("Warnings") or []:
        complain(warning)
    for error_text in server.get("ServerErrors") or []:
        complain(f"ERROR: {error_text}")
    return 1 if server.get("ServerErrors") else 0


def client_lines(client: Document) -> list[str]:
    """The part about this side."""
    debug = _word(client["Debug"])
    return [
        "Client:",
        f" Version:    {client['Version']}",
        f" Context:    {client['Context']}",
        f" Debug Mode: {debug}",
    ]


def server_lines(server: Document) -> Iterator[str]:
    """The part about the engine, line by line as docker has it."""
    yield f" Containers: {server.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {server.get(f'Containers{state}', 0)}"
    yield f" Images: {server.get('Images', 0)}"
    yield from _given(server, ("Server Version", "ServerVersion"), ("Storage Driver", "Driver"))
    yield from (f"  {name}: {value}" for name, value in server.get("DriverStatus") or [])
    yield from _given(
        server,
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    )
    plugins = server.get("Plugins") or {}
    yield " Plugins:"
    for kind in ("Volume", "Network", "Log", "Authorization"):
        if plugins.get(kind):
            yield f"  {kind}: {' '.join(plugins[kind])}"
    yield from _devices(server)
    yield f" Swarm: {(server.get('Swarm') or {}).get('LocalNodeState') or 'inactive'}"
    if server.get("Runtimes"):
        yield f" Runtimes: {' '.join(sorted(server['Runtimes']))}"
        yield f" Default Runtime: {server.get('DefaultRuntime', '')}"
    yield from _given(server, ("Init Binary", "InitBinary"))
    for title, key in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
        if key in server:
            yield f" {title} version: {(server[key] or {}).get('ID', '')}"
    yield from _security(server.get("SecurityOptions") or [])
    yield from _machine(server)
    yield from _registries(server)
    yield f" Live Restore Enabled: {_word(server.get('LiveRestoreEnabled'))}"
    if server.get("ProductLicense"):
        yield f" Product License: {server['ProductLicense']}"
    if pools := server.get("DefaultAddressPools"):
        yield " Default Address Pools:"
        yield from (f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in pools)


def _given(server: Document, *rows: tuple[str, str]) -> Iterator[str]:
    for title, key in rows:
        if server.get(key):
            yield f" {title}: {server[key]}"


def _devices(server: Document) -> Iterator[str]:
    if folders := server.get("CDISpecDirs"):
        yield " CDI spec directories:"
        yield from (f"  {folder}" for folder in folders)


def _security(options: list[str]) -> Iterator[str]:
    """ "name=seccomp,profile=builtin" as a name with its settings below."""
    if not options:
        return
    yield " Security Options:"
    for option in options:
        fields = [field.partition("=") for field in option.split(",")]
        names = [value for key, _, value in fields if key == "name"]
        yield f"  {names[0] if names else option}"
        for key, _, value in fields:
            if key != "name" and names:
                yield f"   {key.capitalize()}: {value}"


def _machine(server: Document) -> Iterator[str]:
    yield from _given(
        server,
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
    )
    yield f" CPUs: {server.get('NCPU', 0)}"
    yield f" Total Memory: {human_binary_size(server.get('MemTotal') or 0)}"
    yield from _given(server, ("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"))
    yield f" Debug Mode: {_word(server.get('Debug'))}"
    if server.get("Debug"):
        yield f"  File Descriptors: {server.get('NFd', 0)}"
        yield f"  Goroutines: {server.get('NGoroutines', 0)}"
        yield f"  System Time: {server.get('SystemTime', '')}"
        yield f"  EventsListeners: {server.get('NEventsListener', 0)}"
    yield from _given(
        server, ("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")
    )
    if labels := server.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in labels)
    yield f" Experimental: {_word(server.get('ExperimentalBuild'))}"


def _registries(server: Document) -> Iterator[str]:
    config = server.get("RegistryConfig") or {}
    insecure = [
        name for name, each in (config.get("IndexConfigs") or {}).items() if not each.get("Secure", True)
    ]
    insecure += config.get("InsecureRegistryCIDRs") or []
    if insecure:
        yield " Insecure Registries:"
        yield from (f"  {name}" for name in insecure)
    if mirrors := config.get("Mirrors"):
        yield " Registry Mirrors:"
        yield from (f"  {mirror}" for mirror in mirrors)


def _word(switch: object) -> str:
    return "true" if switch else "false"


INFO = Command(
    info, "[OPTIONS]", (Flag("format", "f", "string", "Format output using a Go template or 'json'"),)
)
