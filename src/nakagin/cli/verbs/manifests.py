"""`nakagin manifest create|annotate|inspect|push|rm`."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Which registries may be spoken to without TLS is the engine's word (--insecure-registry), not its client's.
_INSECURE = Flag("insecure", "", "bool", "No effect: the engine's --insecure-registry says it", hidden=True)


def create(call: Call) -> int:
    """Make a list of images at a registry."""
    name, *images = call.arguments
    made = call.client.manifests.create(name, images, amend=call.options.on("amend"))
    say(f"Created manifest list {made}")
    return 0


def annotate(call: Call) -> int:
    """Say what platform an image of a list is for."""
    name, image = call.arguments
    options = call.options
    features = [word for each in options.many("os-features") for word in each.split(",") if word]
    platform = {
        "Os": options.text("os"), "Architecture": options.text("arch"), "Variant": options.text("variant"),
        "OsVersion": options.text("os-version"), "OsFeatures": features,
    }  # fmt: skip
    call.client.manifests.annotate(name, image, platform)
    return 0


def inspect(call: Call) -> int:
    """Show the bytes of a manifest or list, indented; verbosely with reference and digest."""
    import json

    name = call.arguments[-1]
    data = call.client.manifests.inspect(name)
    document = json.loads(data)
    if call.options.on("verbose"):
        document = _verbose(name, document, data)
    sys.stdout.write(json.dumps(document, indent="\t", ensure_ascii=False) + "\n")
    return 0


def _verbose(name: str, document: dict[str, Any], data: bytes) -> dict[str, Any]:
    from hashlib import sha256

    from nakagin.spec.reference import Reference

    descriptor = {
        "mediaType": document.get("mediaType", ""),
        "digest": f"sha256:{sha256(data).hexdigest()}",
        "size": len(data),
    }
    key = "OCIIndex" if "manifests" in document else "OCIManifest"
    if "docker" in descriptor["mediaType"]:
        key = "ManifestList" if "manifests" in document else "SchemaV2Manifest"
    return {"Ref": str(Reference.parse(name).tagged()), "Descriptor": descriptor, key: document}


def push(call: Call) -> int:
    """Bring a list to its registry and print its digest."""
    say(call.client.manifests.push(call.arguments[0], purge=call.options.on("purge")))
    return 0


def remove(call: Call) -> int:
    """Forget lists."""
    return call.each(call.client.manifests.remove)


CREATE = Command(
    create,
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    (Flag("amend", "a", "bool", "Amend an existing manifest list"), _INSECURE),
    least=2,
    most=None,
)
ANNOTATE = Command(
    annotate,
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    (
        Flag("arch", "", "string", "Set architecture"),
        Flag("os", "", "string", "Set operating system"),
        Flag("os-features", "", "strings", "Set operating system feature"),
        Flag("os-version", "", "string", "Set operating system version"),
        Flag("variant", "", "string", "Set architecture variant"),
    ),
    least=2,
    most=2,
)
INSPECT = Command(
    inspect,
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    (Flag("verbose", "v", "bool", "Output additional info including layers and platform"), _INSECURE),
    least=1,
    most=2,
)
PUSH = Command(
    push,
    "[OPTIONS] MANIFEST_LIST",
    (Flag("purge", "p", "bool", "Remove the local manifest list after push"), _INSECURE),
    least=1,
    most=1,
)
RM = Command(remove, "MANIFEST_LIST [MANIFEST_LIST...]", (), least=1, most=None)
