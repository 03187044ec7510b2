"""An inspection -> the create request that would make the same container again. Pure.

What the image says by itself is left out, so that the container follows another image; what the engine fills in, too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_FROM_IMAGE = ("User", "WorkingDir", "StopSignal", "Healthcheck", "Shell", "OnBuild", "ArgsEscaped")
_OWN = (
    "Domainname",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "StopTimeout",
)
# What every container has that asked for nothing.
_STANDARD: Document = {
    "IpcMode": "private", "ShmSize": 64 << 20, "NetworkMode": "default",
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "MemorySwappiness": -1,
}  # fmt: skip
_FILLED_IN = ("ConsoleSize", "MaskedPaths", "ReadonlyPaths", "ContainerIDFile", "VolumesFrom")


def request_of(inspection: Document, image: Document | None, info: Document) -> tuple[str, Document]:
    """(name, body of POST /containers/create); `image` is the inspection of its image, where it is still there.

    `info` is the engine's (GET /info): what its containers have that asked for nothing.

    Anonymous volumes get their names, so that what they hold is kept.
    """
    config, standard = inspection["Config"], (image or {}).get("Config") or {}
    body: Document = {"Image": config["Image"]}
    for key in _OWN:
        if config.get(key):
            body[key] = config[key]
    for key in _FROM_IMAGE:
        if config.get(key) and config[key] != standard.get(key):
            body[key] = config[key]
    if config.get("Hostname") and config["Hostname"] != inspection["Id"][:12]:
        body["Hostname"] = config["Hostname"]
    if (config.get("Entrypoint") or None) != (standard.get("Entrypoint") or None):
        body["Entrypoint"] = config.get("Entrypoint") or []
    if "Entrypoint" in body or (config.get("Cmd") or None) != (standard.get("Cmd") or None):
        body["Cmd"] = config.get("Cmd") or []
    given = set(standard.get("Env") or ())
    _put(body, "Env", [each for each in config.get("Env") or () if each not in given])
    for key in ("Labels", "ExposedPorts", "Volumes"):
        known = standard.get(key) or {}
        _put(
            body,
            key,
            {word: value for word, value in (config.get(key) or {}).items() if known.get(word) != value},
        )
    standards = {
        **_STANDARD,
        "Runtime": info.get("DefaultRuntime", "runc"),
        "CgroupnsMode": "private" if info.get("CgroupVersion") == "2" else "host",
    }
    body["HostConfig"] = _host(inspection, standards)
    # A volume that is named below is not made anew.
    mounted = {each["Destination"] for each in inspection.get("Mounts") or ()}
    _put(body, "Volumes", {path: {} for path in body.pop("Volumes", {}) if path not in mounted})
    if networks := _networks(inspection):
        body["NetworkingConfig"] = {"EndpointsConfig": networks}
    return inspection["Name"].lstrip("/"), body


def _put(body: Document, key: str, value: object) -> None:
    if value:
        body[key] = value


def _host(inspection: Document, standards: Document) -> Document:
    given: Document = inspection["HostConfig"]
    host = {
        key: value
        for key, value in given.items()
        if key not in _FILLED_IN and value not in (None, "", 0, [], {}, False) and standards.get(key) != value
    }
    if (log := host.get("LogConfig")) and not log.get("Config") and log.get("Type") in ("json-file", ""):
        del host["LogConfig"]
    if host.get("NetworkMode") == "bridge":
        del host["NetworkMode"]
    # What -v, --mount and --volumes-from did not name: anonymous volumes, of the image or of others.
    named = {bind.split(":")[1] for bind in host.get("Binds") or () if ":" in bind}
    named |= {
        each["Target"] for each in host.get("Mounts") or () if each.get("Source") or each["Type"] == "tmpfs"
    }
    binds = list(host.get("Binds") or ())
    for mount in inspection.get("Mounts") or ():
        if mount["Destination"] in named or mount["Type"] not in ("volume", "bind"):
            continue
        source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
        binds.append(f"{source}:{mount['Destination']}{'' if mount.get('RW', True) else ':ro'}")
    mounts = [each for each in host.get("Mounts") or () if each["Target"] in named]
    for key, value in (("Binds", binds), ("Mounts", mounts)):
        host.pop(key, None)
        _put(host, key, value)
    return host


def _networks(inspection: Document) -> Document:
    """The endpoints as they were asked for, without what the engine gave them."""
    found: Document = {}
    mode = inspection["HostConfig"].get("NetworkMode", "")
    own = {inspection["Id"][:12], inspection["Name"].lstrip("/")}
    for name, endpoint in (inspection["NetworkSettings"].get("Networks") or {}).items():
        wanted: Document = {}
        _put(wanted, "Aliases", [each for each in endpoint.get("Aliases") or () if each not in own])
        for key in ("IPAMConfig", "Links", "DriverOpts", "GwPriority"):
            _put(wanted, key, endpoint.get(key))
        if name not in ("bridge", "none", "host") or wanted:
            found[name] = wanted
    return {} if mode.startswith("container:") else found
