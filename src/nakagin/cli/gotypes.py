"""What docker's own client knows about types that JSON does not tell: for `inspect --format`.

In Go a list that is null prints as [], a map as map[], and a key that was left out because it is empty still
has a value, so that {{if .State.Health}} works.
"""

from __future__ import annotations

from nakagin.cli.templates.values import NIL, NilList, NilMap

_LISTS = frozenset(
    [
        "Aliases",
        "Args",
        "Binds",
        "BlkioDeviceReadBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceWriteIOps",
        "BlkioWeightDevice",
        "CapAdd",
        "CapDrop",
        "Cmd",
        "DNSNames",
        "DeviceCgroupRules",
        "DeviceRequests",
        "Devices",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "Entrypoint",
        "Env",
        "ExecIDs",
        "ExtraHosts",
        "GroupAdd",
        "Layers",
        "Links",
        "MaskedPaths",
        "Mounts",
        "OnBuild",
        "ReadonlyPaths",
        "RepoDigests",
        "RepoTags",
        "SecondaryIPAddresses",
        "SecondaryIPv6Addresses",
        "SecurityOpt",
        "Shell",
        "Ulimits",
        "VolumesFrom",
        "Warnings",
    ]
)
_MAPS = frozenset(
    [
        "Annotations",
        "Config",
        "Containers",
        "Data",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "Networks",
        "Options",
        "PortBindings",
        "Ports",
        "Status",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
    ]
)
_TEXTS = [
    "Author",
    "Comment",
    "Cgroup",
    "Driver",
    "Mode",
    "Name",
    "Parent",
    "Platform",
    "Runtime",
    "StopSignal",
    "Variant",
    "Zone",
]
_POINTERS = [
    "BindOptions",
    "DriverConfig",
    "Health",
    "Healthcheck",
    "Init",
    "NodeDescription",
    "SizeRootFs",
    "SizeRw",
    "StopTimeout",
    "TmpfsOptions",
    "UsageData",
    "VolumeOptions",
]
_SWITCHES = ["ArgsEscaped", "ConfigOnly", "NetworkDisabled", "PublishAllPorts", "ReadOnly"]

# A key that is not in the document → its value in Go.
ABSENT: dict[str, object] = {
    **{key: NilList() for key in _LISTS},
    **{key: NilMap() for key in _MAPS},
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(_POINTERS, NIL),
    **dict.fromkeys(_SWITCHES, False),
}


def typed(value: object, key: str = "") -> object:
    """The document with nil lists and nil maps where JSON has null for them."""
    if isinstance(value, dict):
        return {name: typed(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    if value is None:
        return NilList() if key in _LISTS else NilMap() if key in _MAPS else NIL
    return value
