"""`nakagin container|image|network|volume|system|builder prune`."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters
from nakagin.cli.quantities import human_size, parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_FILTER = Flag("filter", "", "filter", 'Provide filter values (e.g. "until=<timestamp>")')
_FORCE = Flag("force", "f", "bool", "Do not prompt for confirmation")


def containers(call: Call) -> int:
    """Remove all stopped containers."""
    if not _confirmed(call, "This will remove all stopped containers."):
        return 1
    outcome = call.client.containers.prune(filters(call.options.many("filter")))
    _tell("Deleted Containers", outcome.get("ContainersDeleted"))
    _tell_space(outcome)
    return 0


def images(call: Call) -> int:
    """Remove images without a name, or with -a all that no container uses."""
    options = call.options
    everything = options.on("all")
    retention = {
        key: [value] for key in ("unused-for", "keep") if options.given(key) and (value := options.text(key))
    }
    if retention:
        warning = "images without a container" + _limits(retention)
    elif everything:
        warning = "all images without at least one container associated to them"
    else:
        warning = "all dangling images"
    if not _confirmed(call, f"This will remove {warning}."):
        return 1
    wanted = {**filters(options.many("filter")), "dangling": ["false" if everything else "true"], **retention}
    outcome = call.client.images.prune(wanted)
    _tell_images(outcome)
    _tell_space(outcome)
    return 0


def _limits(retention: dict[str, list[str]]) -> str:
    """The words of --unused-for and --keep."""
    words = ""
    if "unused-for" in retention:
        words += f" that were not used for {retention['unused-for'][0]}"
    if "keep" in retention:
        words += f" beyond the newest {retention['keep'][0]} of each repository"
    return words


def networks(call: Call) -> int:
    """Remove networks that no container uses."""
    if not _confirmed(call, "This will remove all custom networks not used by at least one container."):
        return 1
    outcome = call.client.networks.prune(filters(call.options.many("filter")))
    _tell("Deleted Networks", outcome.get("NetworksDeleted"))
    return 0


def volumes(call: Call) -> int:
    """Remove volumes that no container uses: anonymous ones, with -a all."""
    everything = call.options.on("all")
    kind = "all" if everything else "anonymous"
    if not _confirmed(call, f"This will remove {kind} local volumes not used by at least one container."):
        return 1
    wanted = filters(call.options.many("filter"))
    if everything:
        wanted["all"] = ["true"]
    outcome = call.client.volumes.prune(wanted)
    _tell("Deleted Volumes", outcome.get("VolumesDeleted"))
    _tell_space(outcome)
    return 0


def builder(call: Call) -> int:
    """Remove what the build cache keeps; without -a, what images have too stays."""
    options = call.options
    everything = options.on("all")
    if not _confirmed(call, f"This will remove all {'' if everything else 'dangling '}build cache."):
        return 1
    keep = parse_bytes(options.text("keep-storage")) if options.given("keep-storage") else None
    wanted = filters(options.many("filter"))
    outcome = call.client.prune_build_cache(wanted, all=everything, keep=keep)
    _tell("Deleted build cache objects", outcome.get("CachesDeleted"))
    _tell_space(outcome)
    return 0


def system(call: Call) -> int:
    """Remove stopped containers, unused networks, images and build cache, and with --volumes anonymous volumes."""
    options = call.options
    what = ["all stopped containers", "all networks not used by at least one container"]
    if options.on("volumes"):
        what.append("all anonymous volumes not used by at least one container")
    unused = "all images without at least one container associated to them"
    what.append(unused if options.on("all") else "all dangling images")
    what.append("unused build cache")
    if not _confirmed(call, "This will remove:\n" + "\n".join(f"  - {each}" for each in what) + "\n"):
        return 1
    wanted = filters(options.many("filter"))
    client, space = call.client, 0
    gone = client.containers.prune(wanted)
    _tell("Deleted Containers", gone.get("ContainersDeleted"))
    space += gone.get("SpaceReclaimed") or 0
    _tell("Deleted Networks", client.networks.prune(wanted).get("NetworksDeleted"))
    if options.on("volumes"):
        gone = client.volumes.prune(wanted)
        _tell("Deleted Volumes", gone.get("VolumesDeleted"))
        space += gone.get("SpaceReclaimed") or 0
    gone = client.images.prune({**wanted, "dangling": ["false" if options.on("all") else "true"]})
    _tell_images(gone)
    space += gone.get("SpaceReclaimed") or 0
    gone = client.prune_build_cache(wanted, all=options.on("all"))
    _tell("Deleted build cache objects", gone.get("CachesDeleted"))
    _tell_space({"SpaceReclaimed": space + (gone.get("SpaceReclaimed") or 0)})
    return 0


def _confirmed(call: Call, warning: str) -> bool:
    if call.options.on("force"):
        return True
    sys.stdout.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() == "y":
        return True
    complain("prune has been cancelled")
    return False


def _tell(title: str, names: list[str] | None) -> None:
    if names:
        say(f"{title}:\n" + "\n".join(names) + "\n")


def _tell_images(outcome: Document) -> None:
    deleted = outcome.get("ImagesDeleted") or []
    lines = [
        f"{key.lower()}: {each[key]}" for each in deleted for key in ("Untagged", "Deleted") if each.get(key)
    ]
    _tell("Deleted Images", lines)


def _tell_space(outcome: Document) -> None:
    say(f"Total reclaimed space: {human_size(outcome.get('SpaceReclaimed') or 0, 4)}")


CONTAINERS = Command(containers, "[OPTIONS]", (_FILTER, _FORCE))
IMAGES = Command(
    images,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "Remove all unused images, not just dangling ones"),
        _FILTER,
        _FORCE,
        Flag("keep", "", "string", "Of every repository keep so many of the newest images (implies --all)"),
        Flag(
            "unused-for",
            "",
            "string",
            "Only images that no container used for so long, e.g. 7d (implies --all)",
        ),
    ),
)
NETWORKS = Command(networks, "[OPTIONS]", (_FILTER, _FORCE))
VOLUMES = Command(
    volumes,
    "[OPTIONS]",
    (Flag("all", "a", "bool", "Remove all unused volumes, not just anonymous ones"), _FILTER, _FORCE),
)
BUILDER = Command(
    builder,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "Remove all unused build cache, not just dangling ones"),
        Flag("filter", "", "filter", 'Provide filter values (e.g. "until=24h")'),
        _FORCE,
        Flag("keep-storage", "", "string", "Amount of disk space to keep for cache"),
    ),
)
SYSTEM = Command(
    system,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "Remove all unused images not just dangling ones"),
        _FILTER,
        _FORCE,
        Flag("volumes", "", "bool", "Prune anonymous volumes"),
    ),
)
