"""`nakagin system fsck`: check what is stored, and mend what can be mended."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.quantities import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def fsck(call: Call) -> int:
    """Exit code 0 when all is well or was mended, else 1."""
    dry_run = call.options.on("dry-run")
    count = left = freed = 0
    for finding in call.client.fsck(dry_run=dry_run):
        say(line(finding))
        count += 1
        if finding["Outcome"].startswith("not repaired") or dry_run:
            left += 1
        elif finding["Problem"] == "orphan":
            freed += finding["Bytes"]
    if not count:
        say("Everything is as it should be.")
    elif not dry_run and freed:
        say(f"Total reclaimed space: {human_size(freed, 4)}")
    return 1 if left else 0


def line(finding: dict[str, Any]) -> str:
    """One finding in words: what, which, of which images, and what came of it."""
    images = f" (of {', '.join(finding['Images'])})" if finding["Images"] else ""
    outcome = f": {finding['Outcome']}" if finding["Outcome"] else ""
    return f"{finding['Problem']} {finding['Kind']} {finding['Name']}{images}{outcome}"


FSCK = Command(fsck, "[OPTIONS]", (Flag("dry-run", "", "bool", "Only tell what is wrong, change nothing"),))
