"""A lease: containers, networks and volumes that are removed when this process's connection to the engine ends."""

from __future__ import annotations

import threading
import time

from nakagin.client.session import quote
from nakagin.errors import Conflict, NakaginError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from nakagin.client.session import Response, Session

LABEL = "org.nakagin.lease"
_PATIENCE = 25.0


class Lease:
    """`with engine.lease():` all that this client makes meanwhile is removed afterwards; also after a crash of it.

    An engine that is started anew is found again by a thread of its own. For Nakagin only.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._own = session.twin()  # the connection is held all the time
        self._answer: Response | None = None
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="lease", daemon=True)
        self.id = ""

    def __enter__(self) -> Self:
        self._hold()
        self._session.labels[LABEL] = self.id
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Remove everything now, and wait until it is gone."""
        self._over.set()
        self._session.labels.pop(LABEL, None)
        try:
            path = f"/nakagin/leases/{quote(self.id)}"
            self._session.request("DELETE", path, timeout=None).read()
        finally:
            if self._answer is not None:
                self._answer.shut()
            self._watcher.join()
            self._own.close()

    def _hold(self) -> None:
        answer = self._own.request("POST", "/nakagin/leases", {"id": self.id or None}, timeout=None)
        self._answer, self._lines = answer, answer.documents()
        self.id = str(next(self._lines)["Id"])

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                for _ in self._lines:
                    pass
            except NakaginError:
                pass  # the connection is lost, and so is the lease unless it is claimed in time
            self._claim()

    def _claim(self) -> None:
        end = time.monotonic() + _PATIENCE
        while not self._over.wait(0.2):
            try:
                self._hold()
                return
            except (Unavailable, Conflict):
                if time.monotonic() > end:
                    return
