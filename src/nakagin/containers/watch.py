"""From start to exit and what follows: record, events, restart policy, automatic removal, waiters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from nakagin.containers import links, policy, sources
from nakagin.containers.health import Probe
from nakagin.containers.launch import failure, launch, release_shared_memory
from nakagin.containers.model import NEVER, nanoseconds, now, require
from nakagin.containers.remove import end_processes, end_strays, release_run, remove, see_cleared
from nakagin.errors import NakaginError
from nakagin.monitor import protocol
from nakagin.monitor.launch import Monitor
from nakagin.tasks import drop

if TYPE_CHECKING:
    from nakagin.containers.exec import Execs
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings

LOST = "the container's monitor was killed, and the container with it"
_SIGKILLED = 137
# A monitor that does not answer a new engine for so many seconds hangs, and counts as dead.
_CONNECT_PATIENCE = 30.0


class Watch:
    """Starts containers and hears of their ends. One per engine."""

    def __init__(self, shelf: Shelf, around: Surroundings, execs: Execs) -> None:
        self._shelf = shelf
        self._around = around
        self._execs = execs
        self._tasks: set[asyncio.Task[None]] = set()
        self.heal: Callable[[Capsule], Coroutine[Any, Any, None]] | None = None
        """What ends an unhealthy container that is to be started again; set by who can stop containers."""

    # -- starting ------------------------------------------------------------------------------

    async def start(self, capsule: Capsule) -> None:
        """Start it; the caller holds its lock. A failure is recorded, and raised."""
        require(capsule.record, "start")
        await see_cleared(self._around, capsule)
        try:
            monitor = await launch(
                self._shelf, self._around, capsule, lambda event: self._on_event(capsule, event)
            )
        except (
            BaseException
        ) as error:  # a mistake of ours, or a cancelled request, must not leave clients waiting
            await self._on_failed_start(capsule, error)
            raise
        self._on_started(capsule, monitor)

    def _on_started(self, capsule: Capsule, monitor: Monitor) -> None:
        capsule.monitor = monitor
        capsule.ended.clear()
        record = capsule.record.with_facts(
            pid=monitor.pid, started_at=monitor.started_at, finished_at=capsule.record.facts.finished_at, exit_code=0,
            error="", oom_killed=False, paused=False, restarting=False, stopped_by_user=False, healing=False,
            health=None,
        )  # fmt: skip
        self._shelf.save(capsule, record)
        for spec in record.mounts:
            if spec.type == "volume":
                attributes = {
                    "container": record.id, "destination": spec.target, "driver": spec.driver or "local",
                    "propagation": spec.propagation, "read/write": "false" if spec.read_only else "true",
                }  # fmt: skip
                self._around.events.publish("volume", "mount", spec.name, attributes)
        self._around.images.use(record.image_id)
        links.refresh(self._shelf, self._around, record)
        self.publish(capsule, "start")
        self._begin_probe(capsule)

    def _begin_probe(self, capsule: Capsule) -> None:
        health = capsule.record.config.healthcheck
        if health is None or not health.test or health.test[0] == "NONE":
            return
        capsule.probe = Probe(self._shelf, self._execs, capsule, self._on_health)
        capsule.probe.begin()

    def _on_health(self, capsule: Capsule, status: str) -> None:
        """A verdict has changed."""
        self.publish(capsule, f"health_status: {status}")
        record = capsule.record
        wanted = policy.wants_healing(record.host_config.restart_policy, record.facts)
        if status == "unhealthy" and wanted and self.heal is not None:
            self._spawn(self.heal(capsule))

    async def _on_failed_start(self, capsule: Capsule, error: BaseException) -> None:
        code, text = failure(error)
        record = capsule.record.with_facts(exit_code=code, error=text, restarting=False)
        self._shelf.save(capsule, record)
        capsule.wake(capsule.exit_waiters)
        if record.host_config.auto_remove:
            await self._remove_automatically(capsule)

    # -- ending --------------------------------------------------------------------------------

    def _on_event(self, capsule: Capsule, event: dict[str, Any]) -> None:
        match event["event"]:
            case "exit":
                self._spawn(self._on_exit(capsule, event))
            case "lost":
                self._spawn(self._on_lost(capsule))
            case "oom":
                self._spawn(self._on_oom(capsule))
            case "exec-exit":
                self._execs.on_exit(capsule, event["exec_id"], event["exit_code"])
            case "execs":
                self._execs.adopt(capsule, event["execs"])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_exit(self, capsule: Capsule, document: dict[str, Any]) -> None:
        async with capsule.lock:
            await self.settle_exit(capsule, document)

    async def _on_oom(self, capsule: Capsule) -> None:
        """A process of it was killed for want of memory, perhaps not its first; the container may live on."""
        async with capsule.lock:
            if capsule.record.running:
                if not capsule.record.facts.oom_killed:
                    self._shelf.save(capsule, capsule.record.with_facts(oom_killed=True))
                self.publish(capsule, "oom")

    async def _on_lost(self, capsule: Capsule) -> None:
        """Its monitor is gone without a word: what it wrote down counts, else the container died with it."""
        async with capsule.lock:
            if not capsule.record.running:
                return
            await self.settle_exit(capsule, await self.last_words(capsule))

    async def last_words(self, capsule: Capsule) -> dict[str, Any]:
        """What exit.json says, or that the container died with its monitor (and then it is made sure of)."""
        words = _read_exit(self._around.run_dir(capsule.id))
        if words is not None:
            return words
        await asyncio.to_thread(end_processes, self._around, capsule.record)
        return {"exit_code": _SIGKILLED, "oom_killed": False, "error": LOST, "finished_at": now()}

    async def settle_exit(self, capsule: Capsule, document: dict[str, Any]) -> None:
        """Record an end and do what follows from it; the caller holds the lock."""
        record, around = capsule.record, self._around
        if capsule.probe is not None:
            capsule.probe.end()
            capsule.probe = None
        capsule.leaving, capsule.monitor = capsule.monitor, None
        self._execs.on_container_exit(capsule)
        if document["oom_killed"] and not record.facts.oom_killed:
            self.publish(capsule, "oom")  # nobody was there to hear of it before
        record = record.with_facts(
            pid=0, paused=False, exit_code=document["exit_code"],
            oom_killed=document["oom_killed"] or record.facts.oom_killed,
            error=document["error"], finished_at=document["finished_at"],
            started_at=document.get("started_at") or record.facts.started_at,
        )  # fmt: skip
        again = policy.wants_restart(record.host_config.restart_policy, record.facts)
        if again:
            record = record.with_facts(restarting=True, restart_count=record.facts.restart_count + 1)
        self._shelf.save(capsule, record, lambda: around.networks.release(record.id))
        release_shared_memory(around, record)
        sources.release(around, record)
        around.run_trash.take(around.run_dir(record.id))
        self._announce_end(capsule)
        capsule.ended.set()
        if again:
            self._restart_later(capsule)
            return
        capsule.wake(capsule.exit_waiters, record.facts.error or None)
        if record.host_config.auto_remove and not capsule.held_for_restart:
            await self._remove_automatically(capsule)

    def _announce_end(self, capsule: Capsule) -> None:
        record = capsule.record
        facts = record.facts
        ran = (
            max(0, nanoseconds(facts.finished_at) - nanoseconds(facts.started_at))
            if facts.started_at != NEVER
            else 0
        )
        self.publish(capsule, "die", exitCode=str(facts.exit_code), execDuration=str(ran // 1_000_000_000))
        for spec in record.mounts:
            if spec.type == "volume":
                attributes = {"container": record.id, "driver": spec.driver or "local"}
                self._around.events.publish("volume", "unmount", spec.name, attributes)

    # -- what follows --------------------------------------------------------------------------

    def _restart_later(self, capsule: Capsule) -> None:
        facts = capsule.record.facts
        ran = (nanoseconds(facts.finished_at) - nanoseconds(facts.started_at)) / 1e9
        capsule.restart_delay = policy.next_delay(capsule.restart_delay, ran, healing=facts.healing)
        capsule.restart_task = asyncio.get_running_loop().create_task(
            self._restart(capsule, capsule.restart_delay)
        )

    async def _restart(self, capsule: Capsule, delay: float) -> None:
        await asyncio.sleep(delay)
        async with capsule.lock:
            capsule.restart_task = None
            if not capsule.record.facts.restarting or capsule.record.facts.intent == "removing":
                return
            # The failure is in the record; nobody else waits for this start.
            with contextlib.suppress(NakaginError):
                await self.start(capsule)
                return
            capsule.wake(capsule.exit_waiters)

    def cancel_restart(self, capsule: Capsule) -> None:
        """Give up a planned restart: it has been stopped or is to be removed. The caller holds the lock."""
        if capsule.restart_task is not None:
            capsule.restart_task.cancel()
            capsule.restart_task = None
        if capsule.record.facts.restarting:
            self._shelf.save(capsule, capsule.record.with_facts(restarting=False, stopped_by_user=True))
            capsule.wake(capsule.exit_waiters)

    async def _remove_automatically(self, capsule: Capsule) -> None:
        self._shelf.remember(capsule)
        await remove(self._shelf, self._around, capsule, volumes=True)
        self.publish(capsule, "destroy")

    def publish(self, capsule: Capsule, action: str, **attributes: str) -> None:
        """An event of this container, with its name, image and labels."""
        record = capsule.record
        own = {**record.config.labels, "image": record.config.image, "name": record.name, **attributes}
        self._around.events.publish("container", action, record.id, own)

    def teller(self, capsule: Capsule, action: str) -> Callable[[], None]:
        """What publishes that event when it is called."""
        return lambda: self.publish(capsule, action)

    # -- after an engine restart ----------------------------------------------------------------

    async def recover(self) -> None:
        """Make records and world agree: finish or undo what was interrupted, find the living, judge the dead."""
        for capsule in self._shelf:
            facts = capsule.record.facts
            if facts.intent != "kept" or capsule.record.purpose:
                await self._finish_removal(capsule)
            elif os.path.lexists(self._around.run_dir(capsule.id)):
                await self._find_again(capsule)
            elif facts.pid:
                async with capsule.lock:
                    await self.settle_exit(capsule, await self.last_words(capsule))
        living = {capsule.id for capsule in self._shelf if capsule.record.running}
        await asyncio.to_thread(end_strays, self._around, living)
        self._sweep()

    async def _finish_removal(self, capsule: Capsule) -> None:
        async with capsule.lock:
            facts = capsule.record.facts
            volumes = facts.volumes_too or facts.intent == "creating"
            await asyncio.to_thread(end_processes, self._around, capsule.record)
            await remove(self._shelf, self._around, capsule, volumes=volumes)

    async def _find_again(self, capsule: Capsule) -> None:
        """Connect to the monitor of a container that ran, or was being started, when the engine died."""
        run_dir = self._around.run_dir(capsule.id)
        async with capsule.lock:
            if not os.path.lexists(os.path.join(run_dir, protocol.SOCKET_NAME)):
                # A monitor that has not opened its socket yet will not find its configuration, and give up.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(run_dir, "config.json"))
            try:
                async with asyncio.timeout(_CONNECT_PATIENCE):
                    monitor = await Monitor.connect(run_dir, lambda event: self._on_event(capsule, event))
            except (NakaginError, TimeoutError):
                await self._judge(capsule)
                return
            for spec in capsule.record.mounts:
                if spec.type == "volume":
                    self._around.volumes.use(spec.name, capsule.id)
            if capsule.record.running:
                capsule.monitor = monitor
                self._begin_probe(capsule)
            else:
                self._on_started(capsule, monitor)

    async def _judge(self, capsule: Capsule) -> None:
        """No monitor: it has ended, or it never came to run."""
        words = await self.last_words(capsule)
        record = capsule.record
        if words["finished_at"] == record.facts.finished_at:  # settled, but its folder was not taken away
            release_run(self._around, record)
            return
        # A monitor that was cut short after it wrote its last words may have left more than those.
        await asyncio.to_thread(end_processes, self._around, record)
        if record.running or words.get("started_at"):
            await self.settle_exit(capsule, words)
            return
        release_run(self._around, record)
        if words["error"] != LOST:
            self._shelf.save(capsule, record.with_facts(exit_code=words["exit_code"], error=words["error"]))

    def _sweep(self) -> None:
        """Delete folders that belong to no container."""
        for parent in (
            os.path.join(self._around.exec_root, "containers"),
            os.path.join(self._around.exec_root, "secrets"),
            os.path.join(self._around.data_root, "containers"),
        ):
            for name in os.listdir(parent) if os.path.isdir(parent) else ():
                if self._shelf.get(name) is None:
                    shutil.rmtree(os.path.join(parent, name), ignore_errors=True)

    async def resume_policies(self) -> None:
        """Start what its restart policy wants to run; remove what should have been removed by itself."""
        for capsule in self._shelf:
            record = capsule.record
            if record.running or (record.facts.restarting and capsule.restart_task is not None):
                continue
            if record.host_config.auto_remove and record.facts.started_at != NEVER:
                async with capsule.lock:
                    await self._remove_automatically(capsule)
            elif policy.wants_start_with_engine(record.host_config.restart_policy, record.facts):
                async with capsule.lock:
                    with contextlib.suppress(NakaginError):
                        await self.start(capsule)

    async def close(self) -> None:
        """Let go of all containers; they run on."""
        for capsule in self._shelf:
            if capsule.restart_task is not None:
                capsule.restart_task.cancel()
            if capsule.probe is not None:
                capsule.probe.end()
            for monitor in (capsule.monitor, capsule.leaving):
                if monitor is not None:
                    monitor.close()
        await drop(*self._tasks)


def _read_exit(run_dir: str) -> dict[str, Any] | None:
    """What a monitor wrote down at the end; None where it did not come to that."""
    try:
        with open(os.path.join(run_dir, protocol.EXIT_NAME), "rb") as file:
            words: dict[str, Any] = json.load(file)
            return words
    except (OSError, ValueError):
        return None
