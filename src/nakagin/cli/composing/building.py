"""The image of a service, built by what `nakagin build` does: its `build` section as that command's words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from nakagin.cli.command import Call
from nakagin.cli.composing.context import Compose
from nakagin.compose.labels import image_name
from nakagin.compose.model import Project, Service
from nakagin.compose.parts import Build, Ulimit
from nakagin.errors import NakaginError


def builder(compose: Compose, pages: list[str]) -> Any:
    """What an `Execution` builds with. What it tells are lines; `pages` gets what a failed build has to say."""

    def build(project: Project, name: str) -> Iterator[dict[str, Any]]:
        from nakagin.cli.building.board import Board
        from nakagin.cli.building.report import closing
        from nakagin.cli.building.show import EVENT

        board = Board()
        try:
            for message in messages_of(compose, project, name):
                if message.get("id") != EVENT:
                    yield message
                    continue
                step, lines = board.feed(message["aux"])
                if step is not None and message["aux"]["event"] == "begun":
                    lines = [step.title]
                yield from ({"stream": line} for line in lines)
        except NakaginError:
            pages.extend([f"\nThe image of service {name!r} was not built:", *closing(board)])
            raise

    return build


def messages_of(
    compose: Compose, project: Project, name: str, more: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """What the engine tells while it builds a service's image; `more` are further words for `build`."""
    import tempfile

    from nakagin.cli.verbs.build import BUILD, messages

    with tempfile.TemporaryDirectory(prefix="nakagin-compose-") as folder:
        words = build_words(project, name, project.every_service[name], folder)
        options, arguments = BUILD.parse("build", [*words[:-1], *more, words[-1]])
        yield from messages(Call("build", options, arguments, compose.connect), [])


def build_words(project: Project, name: str, service: Service, folder: str) -> list[str]:
    """The arguments of `build`, the context last; an inline Dockerfile is written below `folder`."""
    build = service.build
    assert build is not None
    words = ["-t", image_name(project, name, service)]
    for tag in build.tags:
        words += ["-t", tag]
    if build.dockerfile_inline:
        path = os.path.join(folder, "Dockerfile")
        with open(path, "w", encoding="utf-8") as file:
            file.write(build.dockerfile_inline)
        words += ["-f", path]
    elif build.dockerfile:
        remote = "://" in build.context or build.context.startswith("git@")
        words += ["-f", build.dockerfile if remote else os.path.join(build.context, build.dockerfile)]
    labels = {
        **build.labels,
        "com.docker.compose.project": project.name,
        "com.docker.compose.service": name,
        "com.docker.compose.version": _followed(),
    }
    for flag, pairs in (("--build-arg", build.args), ("--label", labels)):
        for key, value in pairs.items():
            words += [flag, key if value is None else f"{key}={value}"]
    for key, where in build.additional_contexts.items():
        words += ["--build-context", f"{key}={_context(project, where)}"]
    for host in build.extra_hosts:
        words += ["--add-host", host.replace("=", ":", 1)]
    words += _plain(build, project.platform_of(service))
    for reference in build.secrets:
        secret = project.secrets[reference.source]
        source = f"src={secret.file}" if secret.file else f"env={secret.environment}"
        words += ["--secret", f"id={reference.target or reference.source},{source}"]
    return [*words, build.context]


def _followed() -> str:
    from nakagin.compose.labels import FOLLOWED

    return FOLLOWED


def _context(project: Project, where: str) -> str:
    if where.startswith("service:"):
        other = where.removeprefix("service:")
        return f"docker-image://{image_name(project, other, project.every_service[other])}"
    return where


def _plain(build: Build, platform: str) -> list[str]:
    words: list[str] = []
    for flag, value in (
        ("--target", build.target),
        ("--network", build.network),
        ("--shm-size", build.shm_size),
        ("--provenance", build.provenance),
        ("--sbom", build.sbom),
    ):
        if value:
            words += [flag, value]
    for flag, values in (
        ("--cache-from", build.cache_from),
        ("--cache-to", build.cache_to),
        ("--ssh", build.ssh),
        ("--allow", build.entitlements),
        ("--platform", [platform] if platform else build.platforms),
    ):
        for each in values:
            words += [flag, each]
    for name, limit in build.ulimits.items():
        both = f"{limit.soft}:{limit.hard}" if isinstance(limit, Ulimit) else str(limit)
        words += ["--ulimit", f"{name}={both}"]
    return words + [flag for flag, on in (("--no-cache", build.no_cache), ("--pull", build.pull)) if on]
