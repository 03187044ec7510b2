"""Which depot an attribute `type` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nakagin.build.cache_document import CacheSpec
    from nakagin.build.depots.model import Depot
    from nakagin.build.supplies import Supplies
    from nakagin.registry.wire import Wire

KINDS = ("gha", "s3", "azblob")


def depot_of(wire: Wire, supplies: Supplies, spec: CacheSpec) -> Depot | None:
    """The depot of a cache; None for those that are in none. Raises Invalid for what is missing."""
    attributes = spec.attributes
    if spec.type == "local":
        return supplies.depot(attributes)
    if spec.type not in KINDS:
        return None
    # Imported here: most builds know no depot.
    from nakagin.build.depots.actions import Actions
    from nakagin.build.depots.objects import Objects
    from nakagin.build.depots.signing import S3, Azure

    if spec.type == "gha":
        return Actions(wire, attributes)
    store = S3(attributes) if spec.type == "s3" else Azure(attributes)
    return Objects(wire, store, attributes)


def place_of(attributes: Mapping[str, str]) -> str:
    """Where that is, for people; no secrets."""
    kind, name = attributes["type"], attributes.get("name") or "buildkit"
    if kind == "gha":
        return f"gha:{attributes.get('scope') or 'buildkit'}"
    where = attributes.get("bucket") or attributes.get("container") or attributes.get("account_url", "")
    return f"{kind}:{where}/{attributes.get('prefix', '')}{name}"
