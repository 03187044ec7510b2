"""What one build attests of its images and files."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from nakagin.build import bill, provenance
from nakagin.build.attestations import Attached, Predicate, Subject, attached, statement
from nakagin.build.inventory import packages_of, system_of
from nakagin.build.tree import Item, walk
from nakagin.spec.reference import Reference
from nakagin.storage.tarread import DIRECTORY, FILE, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nakagin.build.graph import Graph
    from nakagin.build.state import State
    from nakagin.build.underway import Order
    from nakagin.images.model import StoredLayer
    from nakagin.spec.platform import Platform


class Outcome(NamedTuple):
    """One platform of a build, when it is done."""

    platform: Platform
    state: State
    graph: Graph


class Attesting:
    """The statements of one build. Blocking: an inventory reads every name in an image."""

    def __init__(self, order: Order, here: Platform) -> None:
        self._order = order
        self._here = here
        self._started = time.time()
        self._invocation = secrets.token_hex(16)

    def of_image(
        self, outcome: Outcome, manifest: str, layers: Sequence[StoredLayer], names: Sequence[str]
    ) -> Attached:
        """Of the image with this manifest's digest, its layers, and these names."""
        uris = [provenance.image_uri(name, outcome.platform) for name in names] or ["_"]
        return attached(
            manifest, self._predicates(outcome, layers, names), [Subject(uri, manifest) for uri in uris]
        )

    def of_files(self, outcome: Outcome) -> Iterator[tuple[str, bytes]]:
        """Of the files of a result: each statement by its file name."""
        tree = self._order.workshop.stack(outcome.state.chain)
        subjects = [
            Subject(item.path.decode(errors="replace"), f"sha256:{tree.digest(item)}")
            for item in walk(tree, Item(b"", Entry(b"", DIRECTORY, 0o755)))
            if item.entry.type == FILE
        ]
        for each in self._predicates(outcome, outcome.state.layers, ()):
            yield each.file, statement(each, subjects)

    def _predicates(
        self, outcome: Outcome, layers: Sequence[StoredLayer], names: Sequence[str]
    ) -> list[Predicate]:
        order, wanted = self._order, self._order.request.attestations
        found = []
        if wanted.bill:
            tree = order.workshop.stack(outcome.state.chain)
            name = Reference.parse(names[0]).familiar_name if names else "image"
            chain = outcome.state.chain or "scratch"
            found.append(bill.predicate(name, chain, system_of(tree), packages_of(tree), time.time()))
        if wanted.provenance is not None:
            sources = order.sources
            facts = provenance.Facts(
                self._invocation, self._started, time.time(), order.request, order.dockerfile, outcome.graph,
                self._here, layers, list(sources.materials.values()), sources.origin,
            )  # fmt: skip
            found.append(provenance.predicate(facts, wanted.provenance))
        return found
