"""The builds of a project as a bake file, which other builders read (`build --print`). Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from nakagin.compose.labels import FOLLOWED, PROJECT, SERVICE, VERSION, image_name
from nakagin.compose.model import Project, Service
from nakagin.compose.parts import Build, Ulimit

Document = dict[str, Any]


def bake(project: Project, names: Sequence[str], *, push: bool = False) -> Document:
    """The file for the builds of these services."""
    targets = {name: _target(project, name, project.every_service[name], push) for name in names}
    return {"group": {"default": {"targets": sorted(names)}}, "target": targets}


def _target(project: Project, name: str, service: Service, push: bool) -> Document:
    build = service.build
    assert build is not None
    file = os.path.join(build.context, build.dockerfile) if build.dockerfile else ""
    made: Document = {
        "context": build.context,
        "contexts": {key: _context(where) for key, where in build.additional_contexts.items()},
        "dockerfile": "" if build.dockerfile_inline else file,
        "dockerfile-inline": build.dockerfile_inline.replace("${", "$${"),
        "args": {
            key: project.environment.get(key, "") if value is None else value
            for key, value in build.args.items()
        },
        "labels": {**build.labels, PROJECT: project.name, SERVICE: name, VERSION: FOLLOWED},
        "tags": [*build.tags, image_name(project, name, service)],
        "cache-from": build.cache_from,
        "cache-to": build.cache_to,
        "target": build.target,
        "secret": [_secret(project, each.source, each.target) for each in build.secrets],
        "ssh": [each if "=" in each else f"{each}=" for each in build.ssh],
        "platforms": build.platforms,
        "pull": build.pull,
        "no-cache": build.no_cache,
        "network": build.network,
        "shm-size": build.shm_size,
        "ulimits": [f"{key}={_ulimit(each)}" for key, each in build.ulimits.items()],
        "entitlements": build.entitlements,
        "extra-hosts": dict(each.partition("=")[::2] for each in build.extra_hosts),
        "attest": _attestations(build),
        "output": ["type=registry" if push else "type=docker"],
    }
    return {key: value for key, value in made.items() if value}


def _context(where: str) -> str:
    return f"target:{where.removeprefix('service:')}" if where.startswith("service:") else where


def _secret(project: Project, source: str, target: str) -> str:
    secret = project.secrets[source]
    if secret.file:
        return f"id={target or source},type=file,src={secret.file}"
    return f"id={target or source},type=env,env={secret.environment}"


def _ulimit(limit: int | Ulimit) -> str:
    return f"{limit.soft}:{limit.hard}" if isinstance(limit, Ulimit) else str(limit)


def _attestations(build: Build) -> list[str]:
    found: list[str] = []
    for kind, value in (("provenance", build.provenance), ("sbom", build.sbom)):
        if value in ("true", "false"):
            found.append(f"type={kind}" + (",disabled=true" if value == "false" else ""))
        elif value:
            found.append(f"type={kind},{value}")
    return found
