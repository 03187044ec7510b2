"""`nakagin search`."""

from __future__ import annotations

from nakagin.cli.command import Call, Command
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = (
    Flag("filter", "f", "filter", "Filter output based on conditions provided"),
    Flag("format", "", "string", "Pretty-print search using a Go template"),
    Flag("limit", "", "int", "Max number of search results"),
    Flag("no-trunc", "", "bool", "Don't truncate output"),
)
HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_DESCRIPTION = 45


def search(call: Call) -> int:
    """Search a registry for repositories."""
    options = call.options
    found = call.client.images.search(
        call.arguments[0], limit=options.number("limit") or None, filters=filters(options.many("filter"))
    )
    rows = [_row(each, whole=options.on("no-trunc")) for each in found]
    show(rows, options.text("format"), ("Name", "Description", "StarCount", "IsOfficial"), HEADERS)
    return 0


def _row(found: dict[str, Any], *, whole: bool) -> dict[str, object]:
    description = " ".join(str(found.get("description") or "").split())
    if not whole and len(description) > _DESCRIPTION:
        description = description[: _DESCRIPTION - 1] + "…"
    return {
        "Name": found.get("name", ""),
        "Description": description,
        "StarCount": str(found.get("star_count", 0)),
        "IsOfficial": "[OK]" if found.get("is_official") else "",
        "IsAutomated": "[OK]" if found.get("is_automated") else "",
    }


SEARCH = Command(search, "[OPTIONS] TERM", FLAGS, least=1, most=1)
