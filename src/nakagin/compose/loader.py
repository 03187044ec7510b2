"""The pipeline from files to `Project`; each stage has a module of its own.

for each document of each file:
    parse → interpolate → extends → include → merge upon what there is → check → canonical
then: defaults → paths → variables without values → normalize → decode → profiles → consistency → env files
"""

from __future__ import annotations

import os

from msgspec import Struct

from nakagin.compose.canonical import canonical
from nakagin.compose.environment import Sources, check_name, project_name
from nakagin.compose.extends import Extends
from nakagin.compose.include import included
from nakagin.compose.interpolate import Interpolation
from nakagin.compose.merge import enforce_unicity, merge
from nakagin.compose.model import Project
from nakagin.compose.normalize import normalize, resolve_environment, set_defaults
from nakagin.compose.paths import resolve_paths
from nakagin.compose.reading import Loading, Stages, documents, top
from nakagin.compose.schema import check
from nakagin.compose.settle import settle
from nakagin.compose.source import Document
from nakagin.compose.tree import Mapping, Path, Value
from nakagin.errors import Invalid


class Loaded(Struct):
    """A project, the tree it was made of, and what there is to say about the way."""

    name: str
    tree: Mapping
    project: Project
    warnings: list[str]
    interpolation: Interpolation


def load(sources: Sources, stages: Stages = Stages()) -> Loaded:  # noqa: B008  (frozen)
    """The project that `sources` describe. Raises Invalid and NotFound with file, line and key."""
    name, root, loading = _load_root(sources, stages)
    if stages.normalize:
        normalize(root, name, sources.lookup)
    project = settle(root, name, sources, stages.consistency, stages.environment)
    warnings = list(dict.fromkeys([*loading.interpolation.warnings, *loading.warnings]))
    return Loaded(name, root, project, warnings, loading.interpolation)


def load_untyped(sources: Sources, stages: Stages) -> tuple[str, Mapping]:
    """(name, tree) of a project that still has variables in it, or lacks what is implied."""
    name, root, _ = _load_root(sources, stages)
    if stages.normalize:
        normalize(root, name, lambda _: None)
    return name, root


def _load_root(sources: Sources, stages: Stages) -> tuple[str, Mapping, Loading]:
    name = sources.name or _name_of_files(sources) or project_name(os.path.basename(sources.folder))
    if not name:
        raise Invalid("project name must not be empty", hint="give one with -p, or `name:` in the file")
    sources.environment["COMPOSE_PROJECT_NAME"] = name
    loading = Loading(
        sources.lookup, sources.folder, stages, Interpolation(sources.lookup), list(sources.warnings),
        fetch=sources.fetch,
    )  # fmt: skip
    root = load_tree(sources.files, loading)
    if not any(key in root for key in ("services", "networks", "volumes", "secrets", "configs", "models")):
        raise Invalid("empty compose file", where=sources.files[0] if sources.files else None)
    root.pop("name", None)
    return name, root, loading


def load_tree(files: list[str], loading: Loading) -> Mapping:
    """The files merged, in long form, with absolute paths."""
    root = Mapping()
    for path in files:
        for document in documents(path):
            root = _add(root, document, path, loading)
    set_defaults(root)
    if loading.stages.paths:
        resolve_paths(root, loading.folder)
    if loading.stages.interpolate:
        resolve_environment(root, loading.lookup)
    return root


def _add(root: Mapping, document: Document, path: str, loading: Loading) -> Mapping:
    tree = top(document, path)
    if loading.stages.interpolate:
        loading.interpolation.apply(tree)
    Extends(loading, path, tree).apply()
    for gone in [*document.resets, *document.overrides]:
        forget(root, gone)
    for gone in document.resets:
        forget(tree, gone)
    included(tree, path, loading, load_tree)
    merged = merge(root, tree)
    assert isinstance(merged, Mapping)
    enforce_unicity(merged)
    check(merged)
    if merged.pop("version", None) is not None:
        loading.warnings.append(
            f"{path}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid "
            "potential confusion"
        )
    canonical(merged, lenient=not loading.stages.interpolate)
    enforce_unicity(merged)
    return merged


def forget(node: Value, path: Path) -> None:
    """Remove what stands at `path`, if anything does."""
    for part in path[:-1]:
        if isinstance(node, Mapping) and isinstance(part, str) and part in node:
            node = node[part]
        else:
            return
    if path and isinstance(node, Mapping) and isinstance(path[-1], str):
        node.pop(path[-1], None)


def _name_of_files(sources: Sources) -> str:
    """What the last file that says `name:` says."""
    found = ""
    for path in sources.files:
        if path == "-":
            continue
        for document in documents(path):
            name = document.root.get("name") if isinstance(document.root, Mapping) else None
            if isinstance(name, str) and name:
                tree = Mapping([("name", name)])
                Interpolation(sources.lookup).apply(tree)
                found = str(tree["name"])
    if found:
        check_name(found)
    return found
