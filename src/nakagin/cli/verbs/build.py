"""`nakagin build`: a folder, a tar, a repository or a URL becomes an image, or files."""

from __future__ import annotations

import json
import os

from nakagin.cli.building import contexts, values
from nakagin.cli.building.answers import tell
from nakagin.cli.building.flags import FLAGS, as_json, query
from nakagin.cli.building.repository import repository_of
from nakagin.cli.building.show import settle, show
from nakagin.cli.command import Call, Command, say
from nakagin.errors import Invalid, NotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

#: What an engine of another kind can not do; the flag, and the parameter that says it was asked for.
_OURS_ALONE = (
    "contexts",
    "secrets",
    "ssh",
    "outputs",
    "nocachefilter",
    "annotations",
    "allow",
    "cacheto",
    "attestations",
    "onerror",
)


class _Found:
    """What the messages told on the way."""

    def __init__(self) -> None:
        self.id = ""
        self.index = ""
        self.pushed: dict[str, str] = {}
        self.called: dict[str, Any] = {}


def build(call: Call) -> int:
    """Send what the engine asks for, show the steps, write down what came out."""
    options = call.options
    _refuse(call)
    outputs = [values.output(text) for text in options.many("output")]
    if options.on("push"):
        outputs.append(values.Output("registry", {}, ""))
    if options.on("load") and outputs:
        outputs.append(values.Output("docker", {}, ""))
    found = _Found()
    form = settle(options.text("progress"), quiet=options.on("quiet"))
    show(_noting(messages(call, outputs), found), form)
    if found.called:
        return tell(
            found.called["Call"], found.called["Answer"], json_wanted="format=json" in options.text("call")
        )
    if options.on("quiet") and found.id:
        say(found.id)
    if (path := options.text("iidfile")) and found.id:
        _write(path, found.id)
    if path := options.text("metadata-file"):
        _write(path, json.dumps(_metadata(found, options.many("tag")), indent=2) + "\n")
    return 0


def _refuse(call: Call) -> None:
    options = call.options
    if options.text("on-error") not in ("", "shell"):
        raise Invalid(f"unknown --on-error={options.text('on-error')}", hint="shell is known")
    if options.given("security-opt"):
        raise Unsupported("--security-opt is not possible for builds", hint="see --allow security.insecure")


def messages(call: Call, outputs: list[values.Output]) -> Iterator[dict[str, Any]]:
    """The progress of the build that `call` asks for; the engine asks for what it needs meanwhile."""
    from nakagin.cli.building.supplier import Supplier

    options = call.options
    plan = contexts.plan(call.arguments[0], options.text("file"))
    told, folders = values.contexts(options.many("build-context"))
    secrets = {
        id: (path, name)
        for id, path, name in (values.secret(each, os.environ) for each in options.many("secret"))
    }
    for id, (path, _) in secrets.items():
        if path and not os.path.isfile(path):
            raise NotFound(f"the secret {id}: {path} is no file")
    agents = dict(values.agent(each, os.environ) for each in options.many("ssh"))
    cache_from, taken = values.caches(options.many("cache-from"), "from", os.environ)
    cache_to, written = values.caches(options.many("cache-to"), "to", os.environ)
    attestations = values.attestations(
        options.many("attest"), options.text("sbom"), options.text("provenance")
    )
    parameters = {
        **query(options),
        **plan.parameters(),
        "cachefrom": as_json(cache_from),
        "cacheto": as_json(cache_to),
        "contexts": as_json(told),
        "secrets": as_json(list(secrets)),
        "ssh": as_json(list(agents)),
        "outputs": as_json([each.document() for each in outputs]),
        "attestations": as_json(attestations),
        "vcs": as_json(repository_of(plan.folder)) if "provenance" in attestations else None,
        "events": True,
    }
    with Supplier(
        plan, folders, secrets, agents, outputs, {**taken, **written}, call.client.session
    ) as supplier:
        began = False
        try:
            for message in call.client.images.build_asking(parameters, supplier):
                began = True
                yield message
            return
        except NotFound as error:
            if began or "page not found" not in error.message:
                raise
    yield from _classic(call, plan, parameters)


def _classic(call: Call, plan: contexts.Plan, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Against an engine of another kind."""
    for name in _OURS_ALONE:
        if parameters.get(name):
            raise Unsupported(f"this engine can not build with {name}", hint="`nakagin engine` can")
    context, dockerfile = (b"", plan.dockerfile) if plan.remote else plan.classic()
    plain = {name: value for name, value in parameters.items() if name not in ("text", "ignore")}
    yield from call.client.images.build(context, {**plain, "dockerfile": dockerfile})


def _noting(told: Iterable[dict[str, Any]], found: _Found) -> Iterator[dict[str, Any]]:
    """The messages for people; what is for us is kept on the way."""
    for message in told:
        aux = message.get("aux") or {}
        if message.get("id") == "nakagin.index":
            found.index = str(aux["Digest"])
        elif message.get("id") == "nakagin.called":
            found.called = aux
        elif message.get("id") == "nakagin.pushed":
            found.pushed[str(aux["Name"])] = str(aux["Digest"])
        elif id := aux.get("ID"):
            found.id = str(id)
        else:
            yield message


def _metadata(found: _Found, tags: list[str]) -> dict[str, object]:
    """buildx's words for what came out."""
    digest = next(iter(found.pushed.values()), "") or found.index or found.id
    known = {
        "containerimage.config.digest": found.id,
        "containerimage.digest": digest,
        "image.name": ",".join(tags),
    }
    return {name: value for name, value in known.items() if value}


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


BUILD = Command(
    build,
    "[OPTIONS] PATH | URL | -",
    FLAGS,
    least=1,
    most=1,
)
