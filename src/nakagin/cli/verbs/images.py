"""`nakagin images`, `rmi`, `tag`, `history`."""

from __future__ import annotations

import time

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.door import explain
from nakagin.cli.flags import Flag
from nakagin.cli.listing import NEVER, ellipsis, filters, short_id, show, timestamp
from nakagin.cli.quantities import human_duration, human_size
from nakagin.errors import Invalid, NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Document = dict[str, Any]

NONE = "<none>"
LS_FLAGS = (
    Flag("all", "a", "bool", "Show all images (default hides intermediate images)"),
    Flag("digests", "", "bool", "Show digests"),
    Flag("filter", "f", "filter", "Filter output based on conditions provided"),
    Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
    Flag("no-trunc", "", "bool", "Don't truncate output"),
    Flag("quiet", "q", "bool", "Only show image IDs"),
    Flag("tree", "", "bool", "Show images under those whose layers they stand on, with what they share"),
)
HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
    "Containers": "CONTAINERS",
}
HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


def ls(call: Call) -> int:
    """List images."""
    options = call.options
    wanted = filters(options.many("filter"))
    if call.arguments:
        wanted["reference"] = [call.arguments[0]]
    if options.on("tree"):
        return _tree(call, wanted)
    digests = options.on("digests") or "{{.Digest}}" in options.text("format")
    found = call.client.images.list(all=options.on("all"), filters=wanted)
    whole = options.on("no-trunc")
    asked = options.on("digests")
    rows = [each for one in found for each in rows_of(one, whole=whole, digests=digests, asked=asked)]
    if options.on("quiet"):
        for each in rows:
            say(str(each["ID"]))
        return 0
    columns = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
    shown = columns if options.on("digests") else tuple(name for name in columns if name != "Digest")
    if options.text("format") in ("", "table"):
        rows = [{**each, "CreatedSince": each["CreatedSince"] or "N/A"} for each in rows]
    show(rows, options.text("format"), shown, HEADERS)
    return 0


def _tree(call: Call, wanted: dict[str, list[str]]) -> int:
    import sys

    from nakagin.cli.verbs.image_tree import drawn

    for name in ("quiet", "no-trunc", "digests", "format"):
        if call.options.given(name):
            raise Invalid(f"--{name} is not supported with --tree")
    images = call.client.images
    documents = []
    for summary in images.list(all=call.options.on("all"), manifests=True, filters=wanted):
        found = images.get(str(summary["Id"]))
        known = summary.get("Manifests") or []
        platforms = [each["ImageData"]["Platform"] for each in known if each["Kind"] == "image"]
        words = ["/".join(filter(None, (p["os"], p["architecture"], p.get("variant")))) for p in platforms]
        layers = (found.get("RootFS") or {}).get("Layers") or []
        documents.append(
            {**summary, "RepoTags": summary.get("RepoTags") or [], "Layers": layers, "Platforms": words}
        )
    sys.stdout.write(drawn(documents))
    return 0


def rows_of(summary: Document, *, whole: bool, digests: bool, asked: bool) -> Iterator[Document]:
    """One row for each name of an image; an image without a name has one of <none>. `asked`: by --digests."""
    identity = str(summary["Id"])
    created = int(summary.get("Created") or 0)
    size = human_size(summary.get("Size") or 0)
    row = {
        "ID": identity if whole else short_id(identity),
        "CreatedSince": f"{human_duration(time.time() - created)} ago" if created > NEVER else "",
        "CreatedAt": timestamp(created),
        "Size": size,
        "VirtualSize": human_size(summary.get("Size") or 0, 4),
        "SharedSize": _known(summary.get("SharedSize", -1)),
        "UniqueSize": "N/A",
        "Containers": str(summary["Containers"]) if summary.get("Containers", -1) >= 0 else "N/A",
    }
    for repository, tag, digest in _names(summary, digests=digests, asked=asked):
        yield {**row, "Repository": repository, "Tag": tag, "Digest": digest}


def _known(size: int) -> str:
    return human_size(size) if size >= 0 else "N/A"


def _names(summary: Document, *, digests: bool, asked: bool) -> list[tuple[str, str, str]]:
    """(repository, tag, digest) of each name, as docker pairs them; what has no tag tells its digest if asked to."""
    by_digest: dict[str, list[str]] = {}
    for reference in summary.get("RepoDigests") or []:
        repository, _, digest = reference.partition("@")
        by_digest.setdefault(repository, []).append(digest)
    by_digest.pop(NONE, None)
    tagged: dict[str, list[str]] = {}
    for reference in summary.get("RepoTags") or []:
        repository, _, tag = reference.rpartition(":")
        tagged.setdefault(repository, []).append(tag)
    tagged.pop(NONE, None)
    names: list[tuple[str, str, str]] = []
    for repository, tags in tagged.items():
        found = by_digest.pop(repository, None)
        for digest in (found or [NONE]) if digests else [NONE]:
            names += [(repository, tag, digest) for tag in tags]
    for repository, left in by_digest.items():
        names += [(repository, NONE, digest) for digest in (left if asked else [""])]
    return names or [(NONE, NONE, NONE)]


def rm(call: Call) -> int:
    """Remove images; each name and each layer set that went is told."""
    force, code = call.options.on("force"), 0
    for reference in call.arguments:
        try:
            prune = not call.options.on("no-prune")
            platforms = call.options.many("platform")
            for each in call.client.images.remove(reference, force=force, prune=prune, platforms=platforms):
                for word, key in (("Deleted", "Deleted"), ("Untagged", "Untagged")):
                    if each.get(key):
                        say(f"{word}: {each[key]}")
        except NakaginError as error:
            if not (force and isinstance(error, NotFound)):
                code = 1
            complain(explain(error))
    return code


def tag(call: Call) -> int:
    """Give an image one more name."""
    call.client.images.tag(*call.arguments)
    return 0


def history(call: Call) -> int:
    """Show an image's layers, newest first."""
    options = call.options
    layers = call.client.images.history(call.arguments[0], platform=options.text("platform") or None)
    whole, human = options.on("no-trunc"), options.on("human")
    rows = [_layer(each, whole=whole, human=human) for each in layers]
    if options.on("quiet"):
        for each in rows:
            say(str(each["ID"]))
        return 0
    columns = ("ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment")
    show(rows, options.text("format"), columns, HISTORY_HEADERS)
    return 0


def _layer(entry: Document, *, whole: bool, human: bool) -> Document:
    identity, created = str(entry.get("Id") or "<missing>"), int(entry.get("Created") or 0)
    by = str(entry.get("CreatedBy") or "").replace("\t", " ")
    moment = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))
        if created > NEVER
        else "0001-01-01T00:00:00Z"
    )
    since = f"{human_duration(time.time() - created)} ago" if created > NEVER else "N/A"
    return {
        "ID": identity if whole or identity == "<missing>" else short_id(identity),
        "CreatedSince": since,
        "CreatedAt": moment,
        "CreatedBy": by if whole else ellipsis(by, 45),
        "Size": human_size(entry.get("Size") or 0) if human else str(entry.get("Size") or 0),
        "Comment": str(entry.get("Comment") or ""),
    }


LS = Command(ls, "[OPTIONS] [REPOSITORY[:TAG]]", LS_FLAGS, most=1)
RM = Command(
    rm,
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        Flag("force", "f", "bool", "Force removal of the image"),
        Flag("no-prune", "", "bool", "Do not delete untagged parents"),
        Flag("platform", "", "strings", "Remove only the given platform variant"),
    ),
    least=1,
    most=None,
)
TAG = Command(tag, "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2)
HISTORY = Command(
    history,
    "[OPTIONS] IMAGE",
    (
        Flag("format", "", "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("human", "H", "bool", "Print sizes and dates in human readable format", True),
        Flag("no-trunc", "", "bool", "Don't truncate output"),
        Flag("platform", "", "string", "Show history for the given platform"),
        Flag("quiet", "q", "bool", "Only show image IDs"),
    ),
    least=1,
    most=1,
)
