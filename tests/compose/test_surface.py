"""The list of everything Compose knows, row by row, where it lies beside the repository.

A key of the file is covered by a project of the corpus that has it; a flag by the table of its verb; all else is named
here with the test that shows it, or among NOT_YET. What is named there and works after all is an error too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from nakagin.cli.composing.context import FLAGS
from nakagin.cli.composing.table import ALIASES, VERBS
from nakagin.cli.verbs.compose import load_verb
from nakagin.compose.source import parse
from nakagin.compose.tree import Mapping, Sequence, Value
from tests.compose.corpus import cases

ROOT = Path(__file__).parents[2]
LISTS = (ROOT.parent / "shared/surface", ROOT.parents[1] / "shared/surface")
HERE = Path(__file__).parent

#: Which test, or project of the corpus, shows a row that is neither a key nor a flag. A prefix stands for its rows.
SHOWN = {
    "COMPOSE.interp.simple": "corpus:variables-forms",
    "COMPOSE.interp.brace": "corpus:variables-forms",
    "COMPOSE.interp.default-colon": "corpus:variables-forms",
    "COMPOSE.interp.default": "corpus:variables-forms",
    "COMPOSE.interp.err-colon": "test_wrong",
    "COMPOSE.interp.err": "test_wrong",
    "COMPOSE.interp.alt-colon": "corpus:variables-forms",
    "COMPOSE.interp.alt": "corpus:variables-forms",
    "COMPOSE.interp.nested": "corpus:variables-forms",
    "COMPOSE.interp.escape": "corpus:variables-forms",
    "COMPOSE.interp.keys-not": "corpus:variables-keys-stay",
    "COMPOSE.interp.types": "corpus:variables-typed",
    "COMPOSE.interp.unset-warning": "test_wrong",
    "COMPOSE.interp.no-interpolate": "test_config",
    "COMPOSE.env.dotenv": "corpus:variables-dotenv",
    "COMPOSE.env.env-file-flag": "corpus:variables-env-files-flag",
    "COMPOSE.env.shell-wins": "corpus:variables-dotenv",
    "COMPOSE.env.COMPOSE_ENV_FILES": "test_config",
    "COMPOSE.env.precedence": "corpus:variables-env-file",
    "COMPOSE.env.env_file.required": "corpus:variables-env-file",
    "COMPOSE.env.env_file.raw": "corpus:variables-env-file",
    "COMPOSE.env.env_file.order": "corpus:variables-env-file",
    "COMPOSE.env.dotenv.syntax": "corpus:variables-dotenv",
    "COMPOSE.env.null-value": "corpus:variables-null-environment",
    "COMPOSE.env.COMPOSE_FILE": "corpus:variables-compose-file-variable-in-dotenv",
    "COMPOSE.env.COMPOSE_PROJECT_NAME": "corpus:variables-compose-file-variable-in-dotenv",
    "COMPOSE.env.COMPOSE_PROFILES": "corpus:variables-compose-file-variable-in-dotenv",
    "COMPOSE.env.COMPOSE_DISABLE_ENV_FILE": "test_config",
    "COMPOSE.env.COMPOSE_IGNORE_ORPHANS": "test_clients",
    "COMPOSE.env.COMPOSE_REMOVE_ORPHANS": "test_clients",
    "COMPOSE.env.COMPOSE_PARALLEL_LIMIT": "test_clients",
    "COMPOSE.env.COMPOSE_ANSI": "test_clients",
    "COMPOSE.env.COMPOSE_PROGRESS": "test_clients",
    "COMPOSE.env.DOCKER_HOST-etc": "test_clients",
    "COMPOSE.file.names": "corpus:files-docker-compose-names",
    "COMPOSE.file.parent-search": "test_config",
    "COMPOSE.file.override": "corpus:files-override-file",
    "COMPOSE.file.multi-f": "corpus:files-three-files",
    "COMPOSE.file.stdin": "test_config",
    "COMPOSE.file.project-name": "test_config",
    "COMPOSE.file.name-var": "corpus:variables-everywhere",
    "COMPOSE.file.version-ignored": "corpus:files-version-is-ignored",
    "COMPOSE.file.extension": "corpus:values-extensions",
    "COMPOSE.file.anchors": "corpus:values-anchors",
    "COMPOSE.file.unknown-key": "test_wrong",
    "COMPOSE.file.duplicate-key": "test_wrong",
    "COMPOSE.merge.scalar": "corpus:files-merge-scalars",
    "COMPOSE.merge.map": "corpus:files-merge-maps",
    "COMPOSE.merge.seq": "corpus:files-merge-lists",
    "COMPOSE.merge.command": "corpus:files-merge-scalars",
    "COMPOSE.merge.unique-ports": "corpus:files-merge-ports",
    "COMPOSE.merge.unique-volumes": "corpus:files-merge-volumes",
    "COMPOSE.merge.unique-secrets": "corpus:files-merge-secrets",
    "COMPOSE.merge.env": "corpus:files-override-file",
    "COMPOSE.merge.reset": "corpus:files-reset",
    "COMPOSE.merge.override": "corpus:files-override-tag",
    "COMPOSE.extends.same-file": "corpus:files-extends-same-file",
    "COMPOSE.extends.file": "corpus:files-extends-other-file",
    "COMPOSE.extends.nested": "corpus:files-extends-nested-files",
    "COMPOSE.extends.paths": "corpus:files-extends-nested-files",
    "COMPOSE.extends.not-shared": "corpus:files-extends-with-depends-and-networks",
    "COMPOSE.include.short": "corpus:files-include-short",
    "COMPOSE.include.long": "corpus:files-include-long",
    "COMPOSE.include.conflict": "test_config",
    "COMPOSE.include.recursive": "corpus:files-include-nested",
    "COMPOSE.profiles.default": "corpus:files-profiles-none",
    "COMPOSE.profiles.flag": "corpus:files-profiles-two",
    "COMPOSE.profiles.target": "test_config",
    "COMPOSE.depends.short": "corpus:resources-depends-on",
    "COMPOSE.depends.started": "test_plan",
    "COMPOSE.depends.healthy": "test_clients",
    "COMPOSE.depends.completed": "test_clients",
    "COMPOSE.depends.required": "corpus:resources-depends-on",
    "COMPOSE.depends.cycle": "test_wrong",
    "COMPOSE.depends.reverse-down": "test_plan",
    "COMPOSE.depends.unhealthy-fails": "test_clients",
    "COMPOSE.links.implicit-dep": "corpus:values-links",
    "COMPOSE.ports.short": "corpus:resources-ports-short",
    "COMPOSE.ports.long": "corpus:resources-ports-long",
    "COMPOSE.ports.random": "test_clients",
    "COMPOSE.ports.range": "corpus:resources-ports-short",
    "COMPOSE.ports.v6": "corpus:resources-ports-short",
    "COMPOSE.volumes.short": "corpus:resources-volumes-short",
    "COMPOSE.volumes.anon": "test_clients",
    "COMPOSE.volumes.relative": "corpus:resources-volumes-short",
    "COMPOSE.volumes.external": "corpus:resources-volume-resources",
    "COMPOSE.volumes.name": "corpus:resources-volume-resources",
    "COMPOSE.volumes.image-type": "corpus:resources-volumes-long",
    "COMPOSE.volumes.npipe-cluster": "corpus:resources-volumes-long",
    "COMPOSE.networks.default": "corpus:resources-default-network-changed",
    "COMPOSE.networks.alias": "test_clients",
    "COMPOSE.networks.priority": "test_same",
    "COMPOSE.networks.static-ip": "test_same",
    "COMPOSE.networks.network_mode": "test_same",
    "COMPOSE.secrets.file": "test_clients",
    "COMPOSE.secrets.environment": "corpus:resources-secrets",
    "COMPOSE.secrets.external": "corpus:resources-secrets",
    "COMPOSE.secrets.long": "corpus:resources-secrets",
    "COMPOSE.configs.file": "test_same",
    "COMPOSE.configs.content": "corpus:resources-configs",
    "COMPOSE.configs.environment": "corpus:resources-configs",
    "COMPOSE.deploy.replicas": "test_same",
    "COMPOSE.deploy.resources.limits": "test_same",
    "COMPOSE.deploy.resources.reservations": "test_same",
    "COMPOSE.deploy.restart_policy": "test_same",
    "COMPOSE.deploy.labels": "corpus:values-deploy",
    "COMPOSE.deploy.endpoint_mode": "corpus:values-deploy",
    "COMPOSE.deploy.update_config": "test_clients",
    "COMPOSE.depends.restart": "test_plan",
    "COMPOSE.lifecycle.post_start": "test_clients",
    "COMPOSE.lifecycle.pre_stop": "test_plan",
    "COMPOSE.behaviour.recreate-hash": "test_plan",
    "COMPOSE.behaviour.recreate-image": "test_plan",
    "COMPOSE.behaviour.scale": "test_plan",
    "COMPOSE.behaviour.orphans": "test_plan",
    "COMPOSE.behaviour.labels": "test_same",
    "COMPOSE.behaviour.naming": "test_same",
    "COMPOSE.behaviour.container_name": "test_same",
    "COMPOSE.behaviour.pull_policy": "test_plan",
    "COMPOSE.behaviour.attach": "test_clients",
    "COMPOSE.behaviour.exit-code": "test_clients",
    "COMPOSE.behaviour.wait": "test_clients",
    "COMPOSE.behaviour.ctrl-c": "test_clients",
    "COMPOSE.behaviour.dry-run": "test_clients",
    "COMPOSE.behaviour.logs-colour": "test_clients",
    "COMPOSE.lifecycle.provider": "test_providers",
    "COMPOSE.lifecycle.models": "test_providers",
    "COMPOSE.cli.alpha": "test_services",
    "COMPOSE.cli.alpha_dry-run": "test_services",
    "COMPOSE.env.COMPOSE_STATUS_STDOUT": "test_services",
    "COMPOSE.env.COMPOSE_MENU": "test_clients",
    "COMPOSE.profiles.regex": "corpus:applications-games",
    "COMPOSE.file.remote-git": "test_git",
    "COMPOSE.file.remote-oci": "test_publish",
    "COMPOSE.watch.sync": "test_watch",
    "COMPOSE.watch.rebuild": "test_watch",
    "COMPOSE.watch.restart": "test_watch",
    "COMPOSE.watch.sync+restart": "test_watch",
    "COMPOSE.watch.sync+exec": "test_watch",
    "COMPOSE.watch.ignore": "test_watch",
    "COMPOSE.watch.include": "test_watch",
    "COMPOSE.watch.initial_sync": "test_watch",
}  # fmt: skip

#: What changes nothing here, as it changes nothing with Compose on Linux or without its own builder.
WITHOUT_EFFECT = (
    "COMPOSE.env.COMPOSE_CONVERT_WINDOWS_PATHS", "COMPOSE.env.COMPOSE_EXPERIMENTAL", "COMPOSE.env.COMPOSE_BAKE",
)  # fmt: skip

#: Prefixes of rows that are not there yet.
NOT_YET = (
    "COMPOSE.lifecycle.pre_start",
)  # fmt: skip


@cache
def rows() -> list[tuple[str, str]]:
    """(id, area)."""
    for folder in LISTS:
        path = folder / "compose.tsv"
        if path.is_file():
            lines = path.read_text().splitlines()[1:]
            return [(line.split("\t")[0], line.split("\t")[1]) for line in lines]
    pytest.skip("the list of Compose's surface is not here")


def keys(value: Value, path: str) -> Iterator[str]:
    """The paths of all keys, as the list writes them; a name of the user's is a star."""
    if isinstance(value, Sequence):
        for each in value:
            yield from keys(each, f"{path}[]")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            for name in {key, "*"}:
                below = f"{path}.{name}" if path else name
                yield below
                yield from keys(each, below)


@cache
def corpus_keys() -> frozenset[str]:
    found: set[str] = set()
    for case in cases():
        for name, text in case.files.items():
            if name.endswith((".yaml", ".yml")):
                for document in parse(text.encode(), name):
                    found.update(keys(document.root, ""))
    return frozenset(found)


def flags_of(verb: str) -> set[str]:
    """A verb's flags, or those before all verbs."""
    if verb == "root":
        return {flag.name for flag in FLAGS}
    name = ALIASES.get(verb, verb)
    return {flag.name for flag in load_verb(name).table.flags} if name in VERBS else set()


def is_covered(row: str, area: str) -> bool:
    if row in WITHOUT_EFFECT:
        return True
    if row in SHOWN:
        where = SHOWN[row]
        if where.startswith("corpus:"):
            return where.removeprefix("corpus:") in {case.name for case in cases()}
        return (HERE / f"{where}.py").is_file()
    if row.startswith("COMPOSE.cli."):
        verb, _, flag = row.removeprefix("COMPOSE.cli.").removeprefix("alpha_").partition(".")
        verb = verb.replace("_", " ")
        known = verb in ("root", *VERBS, *ALIASES) or any(each.startswith(f"{verb} ") for each in VERBS)
        return known and (not flag or flag in flags_of(verb))
    path = row.removeprefix("COMPOSE.").removeprefix("top.")
    return path in corpus_keys()


def test_every_row_is_covered_or_named_as_missing() -> None:
    uncovered = [row for row, area in rows() if not is_covered(row, area) and not row.startswith(NOT_YET)]
    assert not uncovered, "\n".join(uncovered)


def test_what_is_named_as_missing_is_missing() -> None:
    for prefix in NOT_YET:
        named = [(row, area) for row, area in rows() if row == prefix or row.startswith(prefix)]
        assert named, f"{prefix} is in no row"
        assert not all(is_covered(row, area) for row, area in named), (
            f"{prefix} is there: take it out of NOT_YET"
        )
