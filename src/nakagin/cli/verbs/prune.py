"""`nakagin container|image|network|volume|system prune`."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters
from nakagin.cli.quantities import human_size

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
    everything = call.options.on("all")
    warning = (
        "all images without at least one container associated to them"
        if everything
        else "all dangling images"
    )
    if not _confirmed(call, f"This will remove {warning}."):
        return 1
    wanted = {**filters(call.options.many("filter")), "dangling": ["false" if everything else "true"]}
    outcome = call.client.images.prune(wanted)
    _tell_images(outcome)
    _tell_space(outcome)
    return 0


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


def system(call: Call) -> int:
    """Remove stopped containers, unused networks and images, and with --volumes anonymous volumes."""
    options = call.options
    what = ["all stopped containers", "all networks not used by at least one container"]
    if options.on("volumes"):
        what.append("all anonymous volumes not used by at least one container")
    unused = "all images without at least one container associated to them"
    what.append(unused if options.on("all") else "all dangling images")
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
    (Flag("all", "a", "bool", "Remove all unused images, not just dangling ones"), _FILTER, _FORCE),
)
NETWORKS = Command(networks, "[OPTIONS]", (_FILTER, _FORCE))
VOLUMES = Command(
    volumes,
    "[OPTIONS]",
    (Flag("all", "a", "bool", "Remove all unused volumes, not just anonymous ones"), _FILTER, _FORCE),
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
