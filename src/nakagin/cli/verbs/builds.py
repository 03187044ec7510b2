"""`nakagin builder history`: what was built here, and what came of it."""

from __future__ import annotations

import time

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import show
from nakagin.cli.quantities import human_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

HEADERS = {
    "ID": "BUILD ID",
    "Name": "NAME",
    "Status": "STATUS",
    "Steps": "STEPS",
    "Cached": "CACHED",
    "CreatedSince": "CREATED",
    "Duration": "DURATION",
    "Image": "IMAGE",
    "Error": "ERROR",
}
_DEFAULT = ("ID", "Name", "Status", "Steps", "Cached", "CreatedSince", "Duration", "Image")
_SHORT = 12


def history(call: Call) -> int:
    """List the builds under way and the last ones, the newest first; or forget those that are over."""
    options = call.options
    if options.on("clear"):
        call.client.images.clear_builds()
        return 0
    builds = call.client.images.builds()
    if options.on("quiet"):
        for each in builds:
            say(str(each["ID"]))
        return 0
    rows = [_row(each, whole=options.on("no-trunc")) for each in builds]
    show(rows, options.text("format"), _DEFAULT, HEADERS)
    return 0


def _row(told: Document, *, whole: bool) -> Document:
    cut = None if whole else _SHORT
    age = max(0.0, time.time() - told["Began"])
    return {
        "ID": str(told["ID"])[:cut],
        "Name": str(told["Name"]),
        "Status": str(told["State"]).capitalize(),
        "Steps": f"{told['Ended']}/{told['Steps']}",
        "Cached": str(told["Cached"]),
        "CreatedSince": f"{human_duration(age)} ago",
        "Duration": f"{told['Seconds']:.1f}s",
        "Image": str(told["Image"]).removeprefix("sha256:")[:cut],
        "Error": str(told["Error"]),
    }


HISTORY = Command(
    history,
    "[OPTIONS]",
    (
        Flag("clear", "", "bool", "Forget the builds that are over"),
        Flag(
            "format", "", "string", 'Format output using a custom template ("table", "json", a Go template)'
        ),
        Flag("no-trunc", "", "bool", "Don't truncate output"),
        Flag("quiet", "q", "bool", "Only show build IDs"),
    ),
    most=0,
)
