"""`nakagin image attestations`: what is said of an image: where it comes from, and what is in it."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WORDS = {
    "sbom": ("https://spdx.dev/Document",),
    "provenance": ("https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"),
}


def attestations(call: Call) -> int:
    """Print the in-toto statements that stand beside an image, or of one kind what they say."""
    options = call.options
    name, kind = call.arguments[0], options.text("type")
    types = _WORDS.get(kind, (kind,) if kind else ())
    found = call.client.images.attestations(name, types=types, platform=options.text("platform") or None)
    if not found:
        what = f" of type {kind}" if kind else ""
        raise NotFound(
            f"the image {name} has no attestations{what}", hint="build it with --provenance=true --sbom=true"
        )
    say(_json([each["Statement"] for each in found] if not kind else found[0]["Statement"]["predicate"]))
    return 0


def _json(document: Any) -> str:
    import json

    return json.dumps(document, indent=4, ensure_ascii=False)


ATTESTATIONS = Command(
    attestations,
    "[OPTIONS] IMAGE",
    (
        Flag("platform", "", "string", "Those of a specific platform of the image"),
        Flag("type", "", "string", 'Only what one says: "sbom", "provenance", or the URI of its type'),
    ),
    least=1,
    most=1,
)
