"""`--squash`: the layers that a build has added, made into one."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, cast

from nakagin.build.context import Context
from nakagin.build.stack import Stack
from nakagin.build.tree import Placed
from nakagin.build.writing import copied
from nakagin.storage.overlay import is_opaque
from nakagin.storage.unpack import OPAQUE_MARK, WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.build.state import State
    from nakagin.build.workshop import Workshop
    from nakagin.spec.image import History


def squashed(workshop: Workshop, state: State, created: str) -> State:
    """The same files and config on the base's layers and one more. Blocking."""
    count = len(state.layers) - state.base_layers
    if count < 2:
        return state
    whole = workshop.folders(state.chain)
    new, old = whole[:count], whole[count:]
    mark = Context.empty(workshop.temporary, {b"mark": b""})
    try:
        changes = _Merge(Stack(whole), Stack(old), mark).folder(b"", [os.fsencode(folder) for folder in new])
        placed = sorted(changes, key=lambda each: each.target)
        chain, layer = workshop.from_tar(copied(placed), workshop.chain_of(state.layers[: state.base_layers]))
    finally:
        mark.close()
    found = state.copy()
    found.editor = state.editor
    found.layers = state.layers[: state.base_layers]
    before, after = state.history[: state.base_steps], state.history[state.base_steps :]
    found.history = [*before, *(cast("History", {**step, "empty_layer": True}) for step in after)]
    below = workshop.chain_of(found.layers) or "scratch"
    found.add(chain, layer, created, "", f"merge {state.chain} to {below}")
    return found


class _Merge:
    """One walk through the new layers, against what is below them."""

    def __init__(self, whole: Stack, base: Stack, mark: Context) -> None:
        self._whole = whole
        self._base = base
        self._mark = mark

    def folder(self, path: bytes, new: Sequence[bytes]) -> Iterator[Placed]:
        """What changed in a folder: files, deletions, and below. `new` are the new layers' own real folders."""
        for name in sorted({name for folder in new for name in os.listdir(folder)}):
            inner = [each for folder in new if _is_folder(each := folder + b"/" + name)]
            yield from self._one(path + b"/" + name if path else name, name, inner)

    def _one(self, path: bytes, name: bytes, inner: Sequence[bytes]) -> Iterator[Placed]:
        item, old = self._whole.look(path), self._base.look(path)
        if item is None:
            if old is not None:
                yield self._marked(path[: -len(name)] + WHITEOUT + name)
            return
        yield Placed(path, item, self._whole)
        if not item.is_folder:
            return
        if old is not None and old.is_folder and any(is_opaque(folder) for folder in inner):
            yield self._marked(path + b"/" + OPAQUE_MARK)
        yield from self.folder(path, inner)

    def _marked(self, target: bytes) -> Placed:
        item = self._mark.look(b"mark")
        assert item is not None
        return Placed(target, item, self._mark)


def _is_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
