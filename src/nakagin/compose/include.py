"""`include`: another project's resources, loaded with its own folder and variables, and added to this one's."""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec.structs import replace

from nakagin.compose.envfile import read
from nakagin.compose.interpolate import Lookup
from nakagin.compose.reading import Loading
from nakagin.compose.tree import Mapping, Sequence, Value, plain, wrong
from nakagin.errors import Invalid, NotFound

#: Loads files as a project of its own: the pipeline itself.
LoadTree = Callable[[list[str], Loading], Mapping]
_SECTIONS = ("services", "networks", "volumes", "secrets", "configs", "models")


def included(tree: Mapping, file: str, loading: Loading, load_tree: LoadTree) -> None:
    """Take the resources of all that `tree` includes into it. Raises Invalid (circle, conflict), NotFound."""
    items = tree.pop("include", None)
    if items is None:
        return
    if not isinstance(items, Sequence):
        raise wrong(tree, ("include",), "must be a list of files", "write `include: [other/compose.yaml]`")
    chain = (*loading.chain, file)
    for index, item in enumerate(items):
        where = items.mark_of(index)
        try:
            _import(tree, _load(item, loading, chain, load_tree))
        except NotFound as error:
            raise Invalid(error.message, where=f"{where}: include[{index}]", hint=error.hint) from None


def _load(item: Value, loading: Loading, chain: tuple[str, ...], load_tree: LoadTree) -> Mapping:
    given = item if isinstance(item, Mapping) else Mapping([("path", item)])
    paths = [path for each in _texts(given.get("path")) for path in loading.paths(each, loading.folder)]
    if not paths:
        raise Invalid("an include needs a path", where=str(given.mark) if given.mark else None)
    for path in paths:
        if path in chain:
            raise Invalid("include cycle detected: " + " includes ".join([*chain, path]))
    folder = given.get("project_directory")
    folder = os.path.join(loading.folder, str(folder)) if folder else os.path.dirname(paths[0])
    lookup = _variables(given, loading, folder)
    interpolation = loading.interpolation.with_lookup(lookup)
    inner = replace(
        loading, lookup=lookup, folder=os.path.normpath(folder), chain=chain, interpolation=interpolation
    )
    return load_tree(paths, inner)


def _texts(value: Value) -> list[str]:
    if isinstance(value, Sequence):
        return [str(each) for each in value]
    return [] if value is None else [str(value)]


def _variables(given: Mapping, loading: Loading, folder: str) -> Lookup:
    files = [os.path.join(loading.folder, each) for each in _texts(given.get("env_file"))]
    if not files and os.path.isfile(os.path.join(folder, ".env")):
        files = [os.path.join(folder, ".env")]
    own: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        outer = loading.lookup(name)
        return outer if outer is not None else own.get(name)

    for file in files:
        if file != os.devnull:
            own.update(read(file, lookup))
    return lookup


def _import(tree: Mapping, other: Mapping) -> None:
    for group in _SECTIONS:
        source = other.get(group)
        if not isinstance(source, Mapping):
            continue
        target = tree.get(group)
        if not isinstance(target, Mapping):
            target = Mapping()
            tree[group] = target
        for name, value in source.items():
            if name in target and plain(target[name]) != plain(value):
                theirs = source.marks.get(name)
                raise wrong(
                    tree,
                    (group, name),
                    "conflicts with imported resource" + (f" of {theirs}" if theirs else ""),
                    "give it another name, or change it in an override file",
                )
            target.put(name, value, source.marks.get(name))
    for key, value in other.items():
        if key.startswith("x-"):
            tree.setdefault(key, value)
