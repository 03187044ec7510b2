"""An image explained: what each step of its history added, what later steps hid of it, and what others share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nakagin.spec.digest import chain_ids
from nakagin.spec.reference import shown_name
from nakagin.storage.waste import hidden

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nakagin.images.model import Image
    from nakagin.spec.image import History
    from nakagin.storage.layers import Layers


def explained(asked: str, image: Image, others: Iterable[Image], layers: Layers) -> dict[str, Any]:
    """{"Name", "Id", "Size", "Steps": [{"CreatedBy", "Comment", "Size", "DiffId", "Shared", "Hidden"}, …]}. Blocking.

    `asked` is the name that the image was found by. Oldest first. DiffId is "" for a step without a layer, Shared the
    number of `others` that begin with the same layers, Hidden [{"By": number of a later step, "Bytes"}] what no
    container sees any more.
    """
    chains = list(chain_ids(image.diff_ids))
    stack = list(reversed(layers.stack(image.chain_id)))
    unseen = hidden([layers.path(layer) for layer in stack])
    begins = [{*chain_ids(other.diff_ids)} for other in others if other.id != image.id]
    steps = [_step(entry) for entry in image.history]
    step_of = [number for number, entry in enumerate(image.history) if not entry.get("empty_layer")]
    while len(step_of) < len(stack):  # archives of strangers may have fewer steps than layers
        step_of.append(len(steps))
        steps.append(_step({}))
    for layer, chain, by, number in zip(stack, chains, unseen, step_of, strict=False):
        steps[number] |= {
            "Size": layer.size,
            "DiffId": layer.diff_id,
            "Shared": sum(chain in theirs for theirs in begins),
            "Hidden": [{"By": step_of[above], "Bytes": amount} for above, amount in sorted(by.items())],
        }
    return {
        "Name": shown_name(asked, image.repo_tags),
        "Id": image.id,
        "Size": image.size,
        "Steps": steps,
    }


def _step(entry: History) -> dict[str, Any]:
    said = {"CreatedBy": entry.get("created_by", ""), "Comment": entry.get("comment", "")}
    return {**said, "Size": 0, "DiffId": "", "Shared": 0, "Hidden": []}
