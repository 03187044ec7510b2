"""What a BuildKit client asks of the frontend dockerfile.v0, as a request of ours. Pure.

The attributes are those of BuildKit's `frontend/dockerui` (build.md): filename, target, build-arg:NAME, …
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from nakagin.build.attestations import wanted
from nakagin.build.outputs import OutputSpec
from nakagin.build.request import BuildRequest
from nakagin.errors import Invalid
from nakagin.spec.docker import HostConfig, Ulimit
from nakagin.spec.size import parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.api.buildkit.protobuf import Message

CALLS = {"frontend.lint": "check", "frontend.outline": "outline", "frontend.targets": "targets"}
_MOBY = {"moby": "image"}


def request_of(
    attributes: Mapping[str, str],
    solve: Message,
    text: str | None,
    ignore: str,
    imports: Sequence[str] = (),
) -> BuildRequest:
    """`solve` is the message of Control.Solve: exporters, caches, entitlements. Raises Invalid."""
    no_cache = attributes.get("no-cache")
    named = {
        name.removeprefix("context:").lower(): "local:" if where.startswith("local:") else where
        for name, where in attributes.items()
        if name.startswith("context:")
    }
    cache = solve.message(8)
    return BuildRequest(
        dockerfile=attributes.get("filename") or "Dockerfile",
        text=text,
        ignore=ignore,
        remote=attributes.get("context", ""),
        target=attributes.get("target", ""),
        arguments={**_prefixed(attributes, "build-arg:")},
        labels=_prefixed(attributes, "label:"),
        annotations=tuple(_annotations(attributes)),
        attestations=wanted(
            {name: _fields(text) for name, text in _prefixed(attributes, "attest:").items()}, strict=False
        ),
        vcs=_prefixed(attributes, "vcs:"),
        host=_host(attributes),
        platforms=tuple(each for each in attributes.get("platform", "").split(",") if each),
        no_cache=no_cache == "",
        no_cache_stages=frozenset((no_cache or "").lower().split(",")) - {""},
        pull=attributes.get("image-resolve-mode") == "pull",
        contexts=named,
        outputs=tuple(_output(each) for each in solve.messages(13)) or _single(solve),
        cache_from=(*imports, *map(_cache, cache.messages(5))),
        cache_to=tuple(_cache(each) for each in cache.messages(4)),
        allow=frozenset(solve.texts(9)),
        call=CALLS.get(attributes.get("requestid", ""), ""),
    )


def _prefixed(attributes: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)}


def _fields(text: str) -> dict[str, str]:
    """`type=provenance,mode=max,version=v1`; quoted parts may hold commas."""
    return dict(each.partition("=")[::2] for each in next(csv.reader([text]), []) if each)


def _annotations(attributes: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in attributes.items() if name.startswith("annotation")]


def _single(solve: Message) -> tuple[OutputSpec, ...]:
    """The one exporter of older clients."""
    return (_spec(solve.text(3), solve.map(4)),) if solve.text(3) else (OutputSpec("cacheonly"),)


def _output(exporter: Message) -> OutputSpec:
    return _spec(exporter.text(1), exporter.map(2))


def _spec(kind: str, attributes: dict[str, str]) -> OutputSpec:
    kind = _MOBY.get(kind, kind)
    if kind in ("local", "tar", "oci", "docker"):
        attributes = {**attributes, "dest": "-"}
    known = {
        name: value
        for name, value in attributes.items()
        if not name.startswith(("buildinfo", "attest", "load"))
    }
    if kind == "local":
        known.pop("name", None)
    return OutputSpec(kind, known)


def _cache(entry: Message) -> str:
    fields = {"type": entry.text(1), **entry.map(2)}
    return ",".join(f"{name}={value}" for name, value in fields.items())


def _host(attributes: Mapping[str, str]) -> HostConfig:
    mode = attributes.get("force-network-mode", "")
    return HostConfig(
        shm_size=parse_size(attributes["shm-size"]) if attributes.get("shm-size") else 0,
        cgroup_parent=attributes.get("cgroup-parent", ""),
        network_mode=mode if mode in ("none", "host") else "",
        extra_hosts=tuple(
            each.replace("=", ":", 1) for each in attributes.get("add-hosts", "").split(",") if each
        ),
        ulimits=tuple(_ulimit(each) for each in attributes.get("ulimit", "").split(",") if each),
    )


def _ulimit(text: str) -> Ulimit:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        return Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        raise Invalid(f"invalid ulimit {text!r}") from None
