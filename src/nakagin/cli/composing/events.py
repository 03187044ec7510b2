"""`nakagin compose events`: what happens to the project's containers, as it happens."""

from __future__ import annotations

import sys
import time
from typing import Any

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag
from nakagin.cli.times import engine_time
from nakagin.compose import labels

_OWN = "com.docker.compose."


def events(compose: Compose) -> int:
    """Print them until the end that --until names, or for ever."""
    options = compose.options
    found = compose.client.events(
        since=engine_time(options.text("since"), "since"),
        until=engine_time(options.text("until"), "until"),
        filters={"label": [f"{labels.PROJECT}={compose.name()}"], "type": ["container"]},
    )
    for event in found:
        known = event["Actor"]["Attributes"]
        service = known.get(labels.SERVICE, "")
        if known.get(labels.ONEOFF) == "True" or (compose.arguments and service not in compose.arguments):
            continue
        attributes = {key: value for key, value in sorted(known.items()) if not key.startswith(_OWN)}
        say(_json(event, service, attributes) if options.on("json") else _line(event, attributes))
        sys.stdout.flush()
    return 0


def _line(event: dict[str, Any], attributes: dict[str, str]) -> str:
    """ "2026-11-22 17:06:15.123456 container start 4f5e… (image=busybox, name=shop-web-1)", in local time."""
    seconds, rest = divmod(event["timeNano"], 10**9)
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest // 1000:06}"
    pairs = ", ".join(f"{key}={value}" for key, value in attributes.items())
    return f"{stamp} container {event['Action']} {event['Actor']['ID']} ({pairs})"


def _json(event: dict[str, Any], service: str, attributes: dict[str, str]) -> str:
    from nakagin.spec.document import render

    seconds, rest = divmod(event["timeNano"], 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return render(
        {
            "action": event["Action"],
            "attributes": attributes,
            "id": event["Actor"]["ID"],
            "service": service,
            "time": f"{stamp}{f'.{rest:09}'.rstrip('0') if rest else ''}Z",
            "type": "container",
        }
    )


EVENTS = Verb(
    events,
    "[OPTIONS] [SERVICE...]",
    (
        Flag("json", "", "bool", "Output events as a stream of json objects"),
        Flag("since", "", "string", "Show all events created since a timestamp"),
        Flag("until", "", "string", "Stream events until this timestamp"),
    ),
)
