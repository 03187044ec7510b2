"""`extends`: a service is laid upon another one, of the same file or of another."""

from __future__ import annotations

import os

from nakagin.compose.canonical import canonical
from nakagin.compose.merge import merge
from nakagin.compose.paths import resolve_paths
from nakagin.compose.reading import Loading, documents, top
from nakagin.compose.tree import Mapping, Path, Value, copy, section, wrong
from nakagin.errors import Invalid, NotFound

#: (file, service) that are being extended, to tell a circle.
Chain = tuple[tuple[str, str], ...]


class Extends:
    """Replaces every `extends` of one document."""

    def __init__(self, loading: Loading, file: str, tree: Mapping) -> None:
        self._loading = loading
        self._file = file
        self._tree = tree
        self._others: dict[str, Mapping] = {}

    def apply(self) -> None:
        """In place. Raises Invalid, NotFound."""
        services = self._tree.get("services")
        if not isinstance(services, Mapping):
            return
        for name, service in services.items():
            if isinstance(service, Mapping) and "extends" in service:
                services[name] = self._resolved(self._tree, self._file, name, ())

    def _resolved(self, tree: Mapping, file: str, name: str, chain: Chain) -> Value:
        services = section(tree, "services")
        service = services[name]
        if not isinstance(service, Mapping) or service.get("extends") is None:
            return service
        path: Path = ("services", name, "extends")
        if (file, name) in chain:
            way = [*chain[chain.index((file, name)) :], (file, name)]
            raise wrong(tree, path, "circular reference: " + " extends ".join(each for _, each in way))
        base_name, other = self._target(service["extends"], tree, path)
        source, source_file = (self._other(tree, other, file, path), other) if other else (tree, file)
        if base_name not in section(source, "services"):
            known = ", ".join(section(source, "services")) or "none"
            raise wrong(tree, path, f"service {base_name!r} not found in {source_file}", f"it has: {known}")
        base = self._resolved(source, source_file, base_name, (*chain, (file, name)))
        over = Mapping(((key, value) for key, value in service.items() if key != "extends"), service.mark)
        over.marks = service.marks
        return merge(copy(base), copy(over), ("services", name))

    def _target(self, extends: Value, tree: Mapping, path: Path) -> tuple[str, str]:
        if isinstance(extends, str):
            return extends, ""
        if isinstance(extends, Mapping) and isinstance(name := extends.get("service"), str):
            file = extends.get("file")
            return name, str(file) if file else ""
        raise wrong(tree, path, "must name a service", "write `extends: {service: NAME, file: FILE}`")

    def _other(self, tree: Mapping, file: str, here: str, path: Path) -> Mapping:
        beside = self._loading.folder if here in ("-", self._file) else os.path.dirname(here)
        full = self._loading.paths(os.path.expanduser(file), beside)[0]
        if full in self._others:
            return self._others[full]
        try:
            found = documents(full)
        except NotFound as error:
            raise wrong(
                tree, path, error.message, "extends.file is seen from the folder of the project"
            ) from None
        root = Mapping()
        for document in found:
            part = top(document, full)
            if self._loading.stages.interpolate:
                self._loading.interpolation.apply(part)
            merged = merge(root, part)
            assert isinstance(merged, Mapping)
            root = merged
        if full == os.path.normpath(self._file):
            self._others[full] = root
            return root
        try:
            canonical(root, lenient=True)
        except (AttributeError, TypeError):
            raise Invalid("not a Compose file", where=full) from None
        folder = os.path.dirname(full)
        resolve_paths(
            root, folder if self._loading.stages.paths else os.path.relpath(folder, self._loading.folder)
        )
        self._others[full] = root
        return root
