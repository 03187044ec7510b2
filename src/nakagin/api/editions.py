"""What older and newer API versions show differently. Pure: a document and a version → the document of that version.

The rooms below speak one dialect, that of 1.50; only what changed before or after it is here, newest last.
Source: moby api/docs/CHANGELOG.md and the documents of each version.
"""

from __future__ import annotations

from typing import Any

from nakagin.api.versions import Version
from nakagin.errors import Invalid

Document = dict[str, Any]

#: NetworkSettings of the default bridge outside of its `Networks`: gone in 1.52.
_LEGACY_NETWORK = (
    "Bridge", "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "HairpinMode", "IPAddress",
    "IPPrefixLen", "IPv6Gateway", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "MacAddress",
    "SecondaryIPAddresses", "SecondaryIPv6Addresses",
)  # fmt: skip
#: Of the container that an image was committed from: in an image's Config until 1.50.
_CONTAINER_CONFIG: Document = {
    "Hostname": "", "Domainname": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Image": "",
}  # fmt: skip
_USAGE = {"container": "Containers", "image": "Images", "volume": "Volumes", "build-cache": "BuildCache"}


def container(shown: Document, version: Version) -> Document:
    """The document of GET /containers/{id}/json."""
    networks = shown["NetworkSettings"]
    if version < (1, 45):
        networks = {**networks, "Networks": _with_short_id(networks.get("Networks") or {}, shown["Id"][:12])}
    if version >= (1, 52):
        networks = {key: value for key, value in networks.items() if key not in _LEGACY_NETWORK}
        shown = {**shown, "Storage": {"RootFS": {"Snapshot": {"Name": shown["Driver"]}}}}
    return {**_with_manifest(shown, version), "NetworkSettings": networks}


def _with_manifest(shown: Document, version: Version) -> Document:
    """A container's ImageManifestDescriptor is there from 1.48 on, where it is known."""
    if version >= (1, 48) and shown.get("ImageManifestDescriptor"):
        return shown
    return {key: value for key, value in shown.items() if key != "ImageManifestDescriptor"}


def _with_short_id(networks: Document, short: str) -> Document:
    """Until 1.45 the aliases on networks of users had the short id, which now is among the DNS names."""
    return {
        name: {**place, "Aliases": [*(place.get("Aliases") or ()), short]}
        if short in (place.get("DNSNames") or ())
        else place
        for name, place in networks.items()
    }


def container_summary(shown: Document, version: Version) -> Document:
    """One of GET /containers/json, which comes with its Health."""
    shown = _with_manifest(shown, version)
    if version >= (1, 52):
        return shown
    return {key: value for key, value in shown.items() if key != "Health"}


def image(shown: Document, version: Version, agent: str = "") -> Document:
    """The document of GET /images/{name}/json.

    docker-compose 1 asks for the newest version, and looks for an image's volumes where they were until 1.45: it cannot
    make a service anew with later engines. So that is shown to it, by the name that it calls itself (`agent`).
    """
    shown = dict(shown)
    if version < (1, 44):
        shown["VirtualSize"] = shown.get("Size", 0)
    whole = {**_CONTAINER_CONFIG, **(shown.get("Config") or {})}
    if version < (1, 45) or agent.startswith("docker-compose/1."):
        shown |= {"Container": "", "ContainerConfig": whole}
    if version < (1, 50):
        shown["Config"] = whole
    if version >= (1, 52):
        for name in ("Parent", "DockerVersion"):
            shown.pop(name, None)
        for name in ("Comment", "Author"):
            if not shown.get(name):
                shown.pop(name, None)
    return shown


def network(shown: Document, version: Version) -> Document:
    """The document of GET /networks/{id}: how full its subnets are is told from 1.52 on."""
    return shown if version >= (1, 52) else {key: value for key, value in shown.items() if key != "Status"}


def info(shown: Document, version: Version) -> Document:
    """The document of GET /info."""
    if version >= (1, 50):
        return shown
    older = {key: value for key, value in shown.items() if key != "DiscoveredDevices"}
    return {**older, "BridgeNfIptables": True, "BridgeNfIp6tables": True}


def stats(shown: Document, version: Version) -> Document:
    """One document of GET /containers/{id}/stats."""
    return {**shown, "os_type": "linux"} if version >= (1, 52) else shown


def event(shown: Document, version: Version) -> Document:
    """One document of GET /events: the fields from before 1.22 were there until 1.52."""
    if version < (1, 52):
        return shown
    return {key: value for key, value in shown.items() if key not in {"status", "id", "from"}}


def event_stream_type(accept: str, version: Version) -> str:
    """The media type of GET /events: from 1.52 on the client chooses."""
    if version < (1, 52):
        return "application/json"
    offered = ("application/jsonl", "application/x-ndjson", "application/json-seq")
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((each for each in wanted if each in offered), "application/jsonl")


def disk_usage(shown: Document, version: Version, kinds: set[str], *, verbose: bool) -> Document:
    """The document of GET /system/df, of these kinds only (none: all): lists, and from 1.52 on sums. Raises Invalid."""
    unknown = kinds - set(_USAGE)
    if unknown:
        raise Invalid(f"unknown object type: {min(unknown)}", hint=f"one of {', '.join(sorted(_USAGE))}")
    chosen = kinds or set(_USAGE)
    shown = {**shown, "Containers": [container_summary(each, version) for each in shown["Containers"]]}
    if version >= (1, 52):
        sums = _sums(shown)
        return {
            f"{name}Usage": {**sums[kind], **({"Items": shown[key]} if verbose else {})}
            for kind, name, key in (
                ("image", "Image", "Images"),
                ("container", "Container", "Containers"),
                ("volume", "Volume", "Volumes"),
                ("build-cache", "BuildCache", "BuildCache"),
            )
            if kind in chosen
        }
    if version < (1, 44):
        shown = {**shown, "Images": [{**each, "VirtualSize": each["Size"]} for each in shown["Images"]]}
    document = {_USAGE[kind]: shown[_USAGE[kind]] for kind in _USAGE if kind in chosen}
    if "image" in chosen:
        document["LayersSize"] = shown["LayersSize"]
    if "build-cache" in chosen and version < (1, 42):
        document["BuilderSize"] = shown["BuilderSize"]
    return document


def _sums(shown: Document) -> dict[str, Document]:
    images, containers, volumes = shown["Images"], shown["Containers"], shown["Volumes"] or []
    cache = shown["BuildCache"] or []
    running = [each for each in containers if each["State"] in {"running", "paused", "restarting"}]
    used_images = [each for each in images if each["Containers"] > 0]
    used_volumes = [each for each in volumes if each["UsageData"]["RefCount"] > 0]
    needed = sum(each["Size"] - max(each["SharedSize"], 0) for each in used_images)
    written = sum(each.get("SizeRw") or 0 for each in containers)
    kept = sum(max(each["UsageData"]["Size"], 0) for each in volumes)
    own = [each for each in cache if not each.get("Shared")]  # the rest is the images'
    return {
        "image": _sum(len(used_images), len(images), shown["LayersSize"], max(shown["LayersSize"] - needed, 0)),
        "container": _sum(
            len(running), len(containers), written, written - sum(each.get("SizeRw") or 0 for each in running)
        ),
        "volume": _sum(
            len(used_volumes), len(volumes), kept,
            kept - sum(max(each["UsageData"]["Size"], 0) for each in used_volumes),
        ),
        "build-cache": _sum(
            sum(each["InUse"] for each in cache), len(cache), sum(each["Size"] for each in own),
            sum(each["Size"] for each in own if not each["InUse"]),
        ),
    }  # fmt: skip


def _sum(active: int, total: int, size: int, reclaimable: int) -> Document:
    return {"ActiveCount": active, "TotalCount": total, "TotalSize": size, "Reclaimable": reclaimable}
