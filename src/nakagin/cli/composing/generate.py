"""`nakagin compose generate`: a Compose file that makes containers which are there again."""

from __future__ import annotations

import json
import os
from typing import Any

from nakagin.cli.command import say
from nakagin.cli.composing.context import Compose, Verb
from nakagin.cli.flags import Flag
from nakagin.cli.portraits.documents import as_yaml, compose_document
from nakagin.client.portrait import request_of
from nakagin.compose import labels
from nakagin.errors import Conflict, Invalid, NotFound

_OWN = ("com.docker.compose.", "io.nakagin.compose.")


def generate(compose: Compose) -> int:
    """Print it, a service a container; networks and volumes stay those that are there."""
    options = compose.options
    form = options.text("format")
    if form not in ("yaml", "json"):
        raise Invalid(f'unsupported format "{form}"', hint="write yaml or json")
    folder = os.path.abspath(options.text("project-dir") or ".")
    info = compose.client.info()
    made: dict[str, Any] = {"name": options.text("name") or "generated", "services": {}}
    for reference in compose.arguments:
        found = compose.client.containers.refer(reference).inspect()
        try:
            image = compose.client.images.get(found["Image"])
        except NotFound:
            image = None
        name = found["Config"]["Labels"].get(labels.SERVICE) or found["Name"].lstrip("/")
        if name in made["services"]:
            raise Conflict(
                f"two containers of the service {name}", hint="name one of them, and set its `scale`"
            )
        document = compose_document(*request_of(found, image, info))
        (service,) = document["services"].values()
        made["services"][name] = _tidied(service, folder)
        for group in ("networks", "volumes"):
            if group in document:
                made.setdefault(group, {}).update(document[group])
    say(json.dumps(made, indent=2) if form == "json" else as_yaml(made))
    return 0


def _tidied(service: dict[str, Any], folder: str) -> dict[str, Any]:
    """Without Compose's own labels, and with paths that are seen from the folder."""
    kept = {key: each for key, each in service.get("labels", {}).items() if not key.startswith(_OWN)}
    service = {key: each for key, each in service.items() if key != "labels"}
    if kept:
        service["labels"] = kept
    if mounts := service.get("volumes"):
        inside = folder.rstrip("/") + "/"
        service["volumes"] = [
            f"./{each.removeprefix(inside)}" if isinstance(each, str) and each.startswith(inside) else each
            for each in mounts
        ]
    return service


GENERATE = Verb(
    generate,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        Flag("format", "", "string", "Format the output. Values: [yaml | json]", "yaml"),
        Flag("name", "", "string", "Project name to set in the Compose file"),
        Flag("project-dir", "", "string", "Directory that paths are seen from"),
    ),
    least=1,
)
