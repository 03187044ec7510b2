"""Ending a container from outside: its own signal first, SIGKILL later, the whole cgroup at last."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from nakagin.containers import policy
from nakagin.containers.defaults import STOP_SIGNAL, STOP_TIMEOUT
from nakagin.containers.model import require
from nakagin.containers.remove import end_processes
from nakagin.errors import NakaginError, NotModified

if TYPE_CHECKING:
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.containers.watch import Watch

SIGKILL = 9
# How long a SIGKILLed container may take to be seen dead before its cgroup is killed, in seconds.
KILL_PATIENCE = 10.0


class Stopping:
    """Ends containers; none of its waits holds a container's lock."""

    def __init__(self, shelf: Shelf, around: Surroundings, watch: Watch) -> None:
        self._shelf = shelf
        self._around = around
        self._watch = watch

    async def stop(
        self, capsule: Capsule, patience: int | None, signal: str | None, *, by_user: bool
    ) -> None:
        """Its stop signal; after `patience` seconds (None: its own, negative: never) SIGKILL. Raises NotModified."""
        config = capsule.record.config
        number = policy.signal_number(signal or config.stop_signal or STOP_SIGNAL)
        if patience is None:
            patience = config.stop_timeout if config.stop_timeout is not None else STOP_TIMEOUT
        async with capsule.lock:
            self._watch.cancel_restart(capsule)
            require(capsule.record, "stop")
            if by_user:
                self._shelf.save(capsule, capsule.record.with_facts(stopped_by_user=True))
            await self.thaw(capsule)
            await self.signal(capsule, number)
        if not await self.has_ended(capsule, None if patience < 0 else float(patience)):
            await self.end(capsule)

    async def heal(self, capsule: Capsule) -> None:
        """End one that is unhealthy, as `stop` does; its policy starts it again."""
        self._shelf.save(capsule, capsule.record.with_facts(healing=True))
        with contextlib.suppress(NotModified):  # it has ended meanwhile
            await self.stop(capsule, None, None, by_user=False)

    async def thaw(self, capsule: Capsule) -> None:
        """Let a paused one go on: frozen processes hear no signal. The caller holds the lock."""
        if capsule.record.facts.paused and capsule.monitor is not None:
            await capsule.monitor.request("resume")
            self._shelf.save(capsule, capsule.record.with_facts(paused=False))

    async def signal(self, capsule: Capsule, number: int, *, everyone: bool = False) -> None:
        """Send one to its first process, or to all of them. The caller holds the lock."""
        if capsule.monitor is None:
            return
        # A container that ends this very moment is as good as signalled.
        with contextlib.suppress(NakaginError):
            await capsule.monitor.request("signal", number=number, all=everyone)
        self._watch.publish(capsule, "kill", signal=str(number))

    async def has_ended(self, capsule: Capsule, patience: float | None) -> bool:
        """Wait until none of its processes runs, at most `patience` seconds (None: for ever)."""
        try:
            async with asyncio.timeout(patience):
                await capsule.ended.wait()
        except TimeoutError:
            return False
        return True

    async def end(self, capsule: Capsule) -> None:
        """SIGKILL, and where even that is not heard (a monitor that hangs), the whole cgroup."""
        async with capsule.lock:
            if not capsule.record.running:
                return
            await self.thaw(capsule)
            await self.signal(capsule, SIGKILL, everyone=True)
        if await self.has_ended(capsule, KILL_PATIENCE):
            return
        async with capsule.lock:
            if capsule.record.running:
                if capsule.monitor is not None:
                    capsule.monitor.close()  # it hangs: nobody must wait for it
                await asyncio.to_thread(end_processes, self._around, capsule.record)
                await self._watch.settle_exit(capsule, await self._watch.last_words(capsule))
