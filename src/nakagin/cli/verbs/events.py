"""`nakagin events` (system events)."""

from __future__ import annotations

import json
import sys
import time

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import filters
from nakagin.cli.times import engine_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = (
    Flag("filter", "f", "filter", "Filter output based on conditions provided"),
    Flag("format", "", "string", "Format output: 'json' or a Go template"),
    Flag("since", "", "string", "Show all events created since a timestamp"),
    Flag("until", "", "string", "Stream events until this timestamp"),
)


def events(call: Call) -> int:
    """Print events as they happen."""
    options = call.options
    template = options.text("format")
    render = line
    if template == "json":
        render = _as_json
    elif template:
        from nakagin.cli.templates import Template

        parsed = Template(template)

        def render(event: dict[str, Any]) -> str:
            return parsed.render(event)

    found = call.client.events(
        since=engine_time(options.text("since"), "since"),
        until=engine_time(options.text("until"), "until"),
        filters=filters(options.many("filter")),
    )
    for event in found:
        say(render(event))
        sys.stdout.flush()
    return 0


def _as_json(event: dict[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


def line(event: dict[str, Any]) -> str:
    """ "2026-11-22T17:06:15.123456789Z container start <id> (image=busybox, name=web)", in local time."""
    nanoseconds = event.get("timeNano") or event.get("time", 0) * 1_000_000_000
    moment = time.localtime(nanoseconds // 1_000_000_000)
    zone = time.strftime("%z", moment)
    zone = f"{zone[:3]}:{zone[3:]}" if zone != "+0000" else "Z"
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{nanoseconds % 1_000_000_000:09d}{zone}"
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    words = f"{stamp} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    pairs = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
    return f"{words} ({pairs})" if pairs else words


EVENTS = Command(events, "[OPTIONS]", FLAGS)
