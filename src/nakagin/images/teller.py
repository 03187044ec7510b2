"""What one pull or push tells of one layer: Docker's words in Docker's order, no oftener than anybody can read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nakagin.images import progress

if TYPE_CHECKING:
    from nakagin.images.progress import State, Tell

_TELL_EVERY = 0.1


class Teller:
    """Passes changes of state on at once, and how far one is ten times a second."""

    def __init__(self, tell: Tell, id: str) -> None:
        self._tell = tell
        self._id = id
        self._last = ""
        self._when = 0.0

    def __call__(self, state: State) -> None:
        """Take a state of the work."""
        now = time.monotonic()
        if state.status == self._last and now - self._when < _TELL_EVERY:
            return
        self._last, self._when = state.status, now
        self._tell(progress.message(self._id, state))


class LayerTeller(Teller):
    """For a layer that is unpacked while it is still fetched: the fetching is what is told, till it is done."""

    def __init__(self, tell: Tell, id: str) -> None:
        super().__init__(tell, id)
        self._downloaded = False

    def __call__(self, state: State) -> None:
        """Take a state of the work."""
        if state.status == progress.DOWNLOADED:
            if self._downloaded:
                return
            self._downloaded = True
        elif state.status != progress.COMPLETE and (state.status == progress.EXTRACTING) != self._downloaded:
            return
        super().__call__(state)
