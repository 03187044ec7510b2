"""Where an image comes from, as a SLSA provenance predicate. Pure.

The fields are filled as BuildKit fills them (docs/attestations/slsa-definitions.md); where that has its graph of
operations, the steps of the Dockerfile stand in the same form.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from nakagin.build.attestations import Predicate
from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.mounts import parse_mount
from nakagin.images.model import timestamp
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nakagin.build.attestations import Provenance
    from nakagin.build.graph import Graph
    from nakagin.build.request import BuildRequest
    from nakagin.dockerfile.stages import Dockerfile
    from nakagin.images.model import StoredLayer
    from nakagin.spec.platform import Platform

_V02, _V1 = "https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"
_TYPE = "https://mobyproject.org/buildkit@v1"
_TYPE_V1 = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
FILE = "provenance.json"


class Material(NamedTuple):
    """Something from outside that the build has used: its URI, and its digest ("sha256:…", "sha1:…" of git)."""

    uri: str
    digest: str

    def document(self) -> dict[str, object]:
        """As SLSA has it."""
        algorithm, _, value = self.digest.partition(":")
        return {"uri": self.uri, "digest": {algorithm: value}}


def image_uri(name: str, platform: Platform) -> str:
    """The package URL of an image."""
    reference = Reference.parse(name).tagged()
    where = f"@{reference.tag}" if reference.tag else ""
    digest = f"&digest={quote(reference.digest, safe='')}" if reference.digest else ""
    kept = quote(reference.familiar_name, safe="/")
    return f"pkg:docker/{kept}{where}?platform={quote(str(platform), safe='')}{digest}"


class Facts(NamedTuple):
    """What is known of a build for one platform. Times are seconds since the epoch."""

    invocation: str
    started: float
    finished: float
    request: BuildRequest
    dockerfile: Dockerfile
    graph: Graph
    builder: Platform
    layers: Sequence[StoredLayer]
    materials: Sequence[Material]
    source: Material | None
    """The build's own context, where it came from a repository or URL."""


def predicate(facts: Facts, wanted: Provenance) -> Predicate:
    """The predicate, in the version that is wanted."""
    if wanted.version == "v1":
        return Predicate(_V1, _version_1(facts, wanted), FILE)
    return Predicate(_V02, _version_02(facts, wanted), FILE)


def _version_02(facts: Facts, wanted: Provenance) -> dict[str, object]:
    extension = _extension(facts, wanted)
    document: dict[str, object] = {
        "builder": {"id": wanted.builder},
        "buildType": _TYPE,
        "materials": [each.document() for each in facts.materials],
        "invocation": {
            "configSource": _source(facts, "entryPoint"),
            "parameters": _parameters(facts, wanted),
            "environment": {"platform": str(facts.builder)},
        },
        "metadata": {
            "buildInvocationID": facts.invocation,
            "buildStartedOn": timestamp(facts.started),
            "buildFinishedOn": timestamp(facts.finished),
            "completeness": {
                "parameters": wanted.full,
                "environment": True,
                "materials": facts.source is not None,
            },
            "reproducible": wanted.reproducible,
            f"{_TYPE}#hermetic": is_hermetic(facts.graph, facts.request),
            f"{_TYPE}#metadata": extension,
        },
    }
    if wanted.full:
        document["buildConfig"] = {"llbDefinition": list(_steps(facts.graph))}
    return document


def _version_1(facts: Facts, wanted: Provenance) -> dict[str, object]:
    inner: dict[str, object] = {"builderPlatform": str(facts.builder)}
    if wanted.full:
        inner["buildConfig"] = {"llbDefinition": list(_steps(facts.graph))}
    return {
        "buildDefinition": {
            "buildType": _TYPE_V1,
            "externalParameters": {
                "configSource": _source(facts, "path"),
                "request": _parameters(facts, wanted),
            },
            "internalParameters": inner,
            "resolvedDependencies": [each.document() for each in facts.materials],
        },
        "runDetails": {
            "builder": {"id": wanted.builder},
            "metadata": {
                "invocationID": facts.invocation,
                "startedOn": timestamp(facts.started),
                "finishedOn": timestamp(facts.finished),
                "buildkit_metadata": _extension(facts, wanted),
                "buildkit_hermetic": is_hermetic(facts.graph, facts.request),
                "buildkit_completeness": {
                    "request": wanted.full,
                    "resolvedDependencies": facts.source is not None,
                },
                "buildkit_reproducible": wanted.reproducible,
            },
        },
    }


def is_hermetic(graph: Graph, request: BuildRequest) -> bool:
    """Whether no step could reach the network."""
    offline = request.host.network_mode == "none"
    runs = [each for stage in graph.stages for each in stage.instructions if isinstance(each, i.Run)]
    return all(run.network == "none" or (offline and run.network == "default") for run in runs)


def _source(facts: Facts, key: str) -> dict[str, object]:
    found = facts.source.document() if facts.source else {}
    return {**found, key: facts.request.dockerfile}


def _parameters(facts: Facts, wanted: Provenance) -> dict[str, object]:
    request = facts.request
    arguments: dict[str, str] = {"target": request.target} if request.target else {}
    if request.dockerfile != "Dockerfile":
        arguments["filename"] = request.dockerfile
    document: dict[str, object] = {"frontend": "dockerfile.v0", "args": arguments}
    folders = [{"name": name} for name in ("context", "dockerfile") if not request.remote]
    document["locals"] = [*folders, *({"name": name} for name in sorted(request.contexts))]
    if wanted.full:
        arguments.update({f"build-arg:{name}": value for name, value in sorted(request.given.items())})
        arguments.update({f"label:{name}": value for name, value in sorted(request.labels.items())})
        document["secrets"] = _asked(facts.graph, "secret")
        document["ssh"] = _asked(facts.graph, "ssh")
    return document


def _asked(graph: Graph, kind: str) -> list[dict[str, object]]:
    """The secrets or agents that the steps mount, by their names."""
    found: dict[str, bool] = {}
    for stage in graph.stages:
        for each in stage.instructions:
            for text in each.mounts if isinstance(each, i.Run) else ():
                mount = parse_mount(text, lambda value: value if "$" not in value else "0")
                if mount.kind == kind:
                    name = mount.id or mount.target.rpartition("/")[2] or "default"
                    found[name] = found.get(name, False) or mount.required
    return [{"id": name, **({} if required else {"optional": True})} for name, required in found.items()]


def _extension(facts: Facts, wanted: Provenance) -> dict[str, object]:
    document: dict[str, object] = {}
    if facts.request.vcs:
        document["vcs"] = facts.request.vcs
    if wanted.full:
        data = base64.b64encode(facts.dockerfile.text.encode()).decode()
        document["source"] = {
            "locations": dict(_locations(facts.graph)),
            "infos": [{"filename": facts.request.dockerfile, "language": "Dockerfile", "data": data}],
        }
        last = sum(1 + len(stage.instructions) for stage in facts.graph.stages) - 1
        layers = [
            {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
            for layer in facts.layers
        ]
        document["layers"] = {f"step{last}:0": [layers]}
    return document


def _locations(graph: Graph) -> Iterator[tuple[str, object]]:
    number = 0
    for stage in graph.stages:
        for each in (stage.base, *stage.instructions):
            ranges = [{"start": {"line": each.node.start}, "end": {"line": each.node.end}}]
            yield f"step{number}", {"locations": [{"ranges": ranges}]}
            number += 1


def _steps(graph: Graph) -> Iterator[dict[str, object]]:
    """The instructions that were carried out, each with what it stands on."""
    ends: dict[int, int] = {}
    number = 0
    for stage in graph.stages:
        base = graph.bases[stage.index]
        inputs = [f"step{ends[base.index]}:0"] if base.kind == "stage" else []
        source = {"source": {"identifier": f"docker-image://{base.name}"}} if base.kind == "image" else None
        yield _step(number, source, inputs)
        for each in stage.instructions:
            number += 1
            yield _step(number, _operation(each), [f"step{number - 1}:0"])
        ends[stage.index] = number
        number += 1


def _step(number: int, operation: object, inputs: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {"id": f"step{number}", "op": {"Op": operation}}
    return {**found, "inputs": list(inputs)} if inputs else found


def _operation(it: i.Instruction) -> Mapping[str, object] | None:
    match it:
        case i.Run():
            return {"exec": {"meta": {"args": list(it.command.argv(("/bin/sh", "-c")))}}}
        case i.Copy() | i.Add():
            return {"file": {"actions": [{"sources": list(it.sources), "dest": it.destination}]}}
    return None
