"""What a stage has become so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from nakagin.dockerfile.apply import ConfigEditor
from nakagin.spec.image import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nakagin.images.model import Image, StoredLayer
    from nakagin.spec.image import ContainerDefaults, History, ImageConfig


class State:
    """The layers, the config and the history of an image in the making; `chain` "" is an empty root."""

    def __init__(self, editor: ConfigEditor, *, chain: str = "", base: ImageConfig | None = None) -> None:
        self.editor = editor
        self.chain = chain
        self.layers: list[StoredLayer] = []
        self.history: list[History] = []
        self.base: ImageConfig = base or cast("ImageConfig", {})
        self.author = self.base.get("author", "")
        self.arguments: dict[str, str | None] = {}
        """The ARGs of the stage, for stages that stand on it."""
        self.base_layers = 0
        self.base_steps = 0
        """How many layers and lines of history came with the base image."""

    @classmethod
    def of_image(cls, image: Image) -> State:
        """What FROM an image begins with; its triggers are the caller's."""
        config = cast("ContainerDefaults", dict(image.config.get("config") or {}))
        config.pop("OnBuild", None)
        if not any(entry.startswith("PATH=") for entry in config.get("Env") or ()):
            config["Env"] = [*(config.get("Env") or ()), DEFAULT_PATH]
        state = cls(ConfigEditor(config), chain=image.chain_id or "", base=image.config)
        state.layers = list(image.record.layers)
        state.history = list(image.history)
        state.base_layers, state.base_steps = len(state.layers), len(state.history)
        return state

    @classmethod
    def of_nothing(cls) -> State:
        """FROM scratch."""
        return cls(ConfigEditor({"Env": [DEFAULT_PATH]}))

    def copy(self) -> State:
        """What FROM a stage begins with."""
        state = State(ConfigEditor(self.editor.config), chain=self.chain, base=self.base)
        state.layers, state.history = list(self.layers), list(self.history)
        state.author, state.arguments = self.author, dict(self.arguments)
        state.base_layers, state.base_steps = self.base_layers, self.base_steps
        state.editor.config.pop("OnBuild", None)
        return state

    def add(self, chain: str, layer: StoredLayer | None, created: str, text: str, comment: str = "") -> None:
        """A step more."""
        entry: History = {"created": created, "created_by": text}
        if comment:
            entry["comment"] = comment
        if layer is None:
            entry["empty_layer"] = True
        else:
            self.layers.append(layer)
        self.chain = chain
        self.history.append(entry)

    @property
    def environment(self) -> Mapping[str, str]:
        return self.editor.environment
