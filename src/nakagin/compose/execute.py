"""Performs a plan: every operation as soon as those before it are done. It decides nothing.

Each thread has a client of its own. The first failure lets what runs come to its end and starts nothing new.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

from msgspec import Struct, field

from nakagin.compose import labels
from nakagin.compose.model import Project, Service
from nakagin.compose.mounts import copied_files
from nakagin.compose.observe import State
from nakagin.compose.own import job
from nakagin.compose.plan import (
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    FetchModels,
    FreezeContainer,
    KillContainer,
    Operation,
    Pause,
    Plan,
    PullImage,
    RemoveContainer,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    RestartContainer,
    RunHook,
    RunProvider,
    StartContainer,
    StopContainer,
    ThawContainer,
    Update,
    WaitFor,
)
from nakagin.compose.reconcile import contents_hash
from nakagin.compose.wait import Unmet, wait_for, watch_over
from nakagin.errors import Conflict, Denied, NakaginError, NotFound, NotModified, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.client import Client

#: Without COMPOSE_PARALLEL_LIMIT; each takes a thread and a connection while it runs.
AT_ONCE = 32


class Report(Struct, frozen=True):
    """What happened to an operation: "begun", "done", "failed", "kept" (`text` says why the thing stays), or "told".

    With "told" `text` says how far it is.
    """

    operation: Operation
    phase: str
    text: str = ""


Reporter = Callable[[Report], None]
#: (project, service) → the engine's messages while it builds the service's image.
Builder = Callable[[Project, str], Iterator[dict[str, Any]]]


def _silent(report: Report) -> None:
    return


def _no_builder(project: Project, service: str) -> Iterator[dict[str, Any]]:
    raise Unsupported(f"nobody here builds the image of service {service!r}")


class Execution(Struct):
    """One run of plans over one project; `connect` opens a client for a thread."""

    project: Project
    state: State
    connect: Callable[[], Client]
    report: Reporter = _silent
    at_once: int = AT_ONCE
    #: builds a service's image; its progress messages
    build: Builder = _no_builder
    #: (service, number) → id, of what was made
    ids: dict[tuple[str, int], str] = {}
    #: variables that providers and models gave to services
    provided: dict[str, dict[str, str]] = {}
    #: id → (service, number), of all that exists by now
    _there: dict[str, tuple[str, int]] = {}
    _own: threading.local = field(default_factory=threading.local)
    _tasks: SimpleQueue[Operation | None] = field(default_factory=SimpleQueue)
    _results: SimpleQueue[tuple[Operation, BaseException | None]] = field(default_factory=SimpleQueue)
    _updates: dict[str, Update] = {}
    #: (service, number) of the replicas whose update failed, and what that means is looked at by one at a time
    _failed: set[tuple[str, int]] = set()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for each in self.state.containers:
            if not each.oneoff:
                self._there[each.id] = (each.service, each.number)

    def supply(self, plan: Plan) -> None:
        """Perform what comes before all else: images, providers, models. What those tell goes into `project`."""
        self.run(plan)
        if self.provided:
            from nakagin.compose.providers import with_provided

            self.project = with_provided(self.project, self.provided)

    def run(self, plan: Plan) -> None:
        """Perform it all. Raises what the first failed operation raised; an interrupt leaves at once.

        An update that fails goes back before that, where it was to.
        """
        self._updates = plan.updates
        failed, failure, done = self._run(plan)
        if failure is None:
            return
        update = self._update_of(failed) if failed else None
        if update is None or not isinstance(failure, NakaginError):
            raise failure
        hint = failure.hint
        if update.goes_back:
            from nakagin.compose.rolling import plan_rollback

            hint = self._last_words(failed) or hint
            self._updates = {}
            _, also, _ = self._run(plan_rollback(update, self.ids, _to_resume(plan, done)))
            if also is not None:
                raise also
        how = "was rolled back" if update.goes_back else "failed"
        raise Unmet(f"the update of {update.service} {how}: {failure.message}", hint=hint)

    def _last_words(self, operation: Operation | None) -> str:
        """What the container of a failed update wrote at last; its log goes with it."""
        action = operation.action if operation else None
        if not isinstance(action, StartContainer | RunHook | WaitFor):
            return ""
        with self.connect() as client:
            try:
                container = client.containers.refer(self.ids[(action.service, action.number)])
                words = b"".join(piece for _, piece in container.logs(tail="5"))
            except NakaginError:
                return ""
        text = words.decode("utf-8", "replace").strip()
        return f"its last words: {text}" if text else ""

    def _update_of(self, operation: Operation) -> Update | None:
        """The rolling update of whose new containers an operation makes one go."""
        action = operation.action
        if not isinstance(action, CreateContainer | StartContainer | RunHook | WaitFor):
            return None
        update = self._updates.get(action.service)
        numbers = [each.number for each in update.swaps] if update else []
        return update if action.number in numbers else None

    def _run(self, plan: Plan) -> tuple[Operation | None, BaseException | None, set[int]]:
        """(the first operation that failed, why, the numbers of those that are done)."""
        waiting = {each.number: each for each in plan.operations}
        done: set[int] = set()
        running = 0
        failed: Operation | None = None
        failure: BaseException | None = None
        threads: list[threading.Thread] = []
        while waiting or running:
            ready = [] if failure else [each for each in waiting.values() if done.issuperset(each.after)]
            for each in ready:
                self._tasks.put(waiting.pop(each.number))
                running += 1
                if len(threads) < min(running, self.at_once):
                    # A daemon: one that waits for an engine's answer cannot be called back.
                    threads.append(threading.Thread(target=self._work, daemon=True))
                    threads[-1].start()
            if not running:
                break
            operation, error = self._results.get()
            running -= 1
            if failure is None and error is not None:
                failed, failure = operation, error
            if error is None:
                done.add(operation.number)
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:
            thread.join()
        return failed, failure, done

    def _work(self) -> None:
        """One thread's share, over a client of its own."""
        self._own.client = self.connect()
        while (operation := self._tasks.get()) is not None:
            try:
                self._perform(operation)
            except BaseException as error:  # noqa: BLE001  (carried to whoever runs the plan)
                self._results.put((operation, error))
            else:
                self._results.put((operation, None))
        self._own.client.close()

    @property
    def client(self) -> Client:
        """This thread's."""
        client: Client = self._own.client
        return client

    def _perform(self, operation: Operation) -> None:
        if self._is_lost(operation):
            return
        self.report(Report(operation, "begun"))
        try:
            self._act(operation)
        except NakaginError as error:
            if _is_in_use(operation, error):
                self.report(Report(operation, "kept", error.message))
                return
            self.report(Report(operation, "failed", error.message))
            if self._is_tolerated(operation):
                return
            raise
        self.report(Report(operation, "done"))

    def _is_lost(self, operation: Operation) -> bool:
        """Whether it goes on with a replica whose update has failed."""
        action = operation.action
        if self._update_of(operation) is None or not isinstance(action, StartContainer | RunHook | WaitFor):
            return False
        return (action.service, action.number) in self._failed

    def _is_tolerated(self, operation: Operation) -> bool:
        """Whether the update goes on though this replica failed (`max_failure_ratio`, `failure_action: continue`)."""
        update, action = self._update_of(operation), operation.action
        if update is None or not isinstance(action, StartContainer | RunHook | WaitFor):
            return False
        with self._lock:
            self._failed.add((action.service, action.number))
            return sum(service == action.service for service, _ in self._failed) <= update.tolerated

    def _act(self, operation: Operation) -> None:
        match operation.action:
            case CreateContainer() as action:
                self._create(action)
            case StartContainer(service=service, number=number, id=id):
                self.client.containers.refer(id or self.ids[(service, number)]).start()
            case WaitFor() as action:
                self._wait(action)
            case RunHook() as action:
                self._run_hook(action)
            case Pause(nanoseconds=nanoseconds):
                time.sleep(nanoseconds / 1e9)
            case PullImage() as action:
                self._pull(operation, action)
            case RunProvider(service=service, verb=verb):
                self._provide(operation, service, verb)
            case FetchModels():
                from nakagin.compose.providers import run_models

                self._note(run_models(self.project, self._teller(operation)))
            case BuildImage(service=service):
                self._build(operation, service)
            case _ if operation.noun == "container":
                self._change(operation)
            case _:
                self._resource(operation)

    def _pull(self, operation: Operation, action: PullImage) -> None:
        try:
            for message in self.client.images.pull(action.image, platform=action.platform or None):
                self.report(Report(operation, "told", str(message.get("status", ""))))
        except NakaginError:
            if not action.or_build:
                raise
            self._build(operation, action.service)

    def _build(self, operation: Operation, service: str) -> None:
        for message in self.build(self.project, service):
            self.report(Report(operation, "told", _last_line(message)))

    def _provide(self, operation: Operation, service: str, verb: str) -> None:
        from nakagin.compose.providers import run_provider  # with subprocesses, for those who need them

        word = "up" if verb == "provide" else "down"
        self._note(run_provider(self.project, service, word, self._teller(operation)))

    def _teller(self, operation: Operation) -> Callable[[str], None]:
        return lambda text: self.report(Report(operation, "told", text))

    def _note(self, provided: dict[str, dict[str, str]]) -> None:
        for name, variables in provided.items():
            self.provided.setdefault(name, {}).update(variables)

    def _change(self, operation: Operation) -> None:
        """Do something to a container that is there."""
        refer = self.client.containers.refer
        match operation.action:
            case StopContainer(id=id, seconds=seconds):
                _gone_is_fine(lambda: refer(id).stop(seconds=seconds))
            case RestartContainer(id=id, seconds=seconds):
                refer(id).restart(seconds=seconds)
            case KillContainer(id=id, signal=signal):
                refer(id).kill(signal)
            case FreezeContainer(id=id):
                refer(id).pause()
            case ThawContainer(id=id):
                refer(id).unpause()
            case RemoveContainer(id=id, volumes=volumes, force=force):
                _gone_is_fine(lambda: refer(id).remove(volumes=volumes, force=force))
                self._there.pop(id, None)
            case RenameContainer(service=service, number=number, name=name, id=id):
                refer(id or self.ids[(service, number)]).rename(name)

    def _resource(self, operation: Operation) -> None:
        match operation.action:
            case CreateNetwork(key=key, network=network):
                from nakagin.compose.body import network_body

                self.client.networks.create(network_body(self.project, key, network))
            case RemoveNetwork(id=id):
                _gone_is_fine(lambda: self.client.networks.remove(id))
            case CreateVolume(key=key, volume=volume):
                from nakagin.compose.labelling import volume_labels

                self.client.volumes.create(
                    volume.name,
                    driver=volume.driver,
                    options=volume.driver_opts,
                    labels=volume_labels(self.project, key, volume),
                )
            case RemoveVolume(name=name):
                _gone_is_fine(lambda: self.client.volumes.remove(name))
            case RemoveImage(image=image):
                _gone_is_fine(lambda: self.client.images.remove(image))

    def _create(self, action: CreateContainer) -> None:
        from nakagin.compose.body import Known, container_body
        from nakagin.compose.copying import copy_files

        service: Service = action.settings
        image = self.state.image(self.project, action.service, service)
        known = Known(self._container_of, image.id if image else "", dict(action.inherited))
        body = container_body(self.project, action.service, service, action.number, known, action.oneoff)
        if contents := contents_hash(self.project, service):
            body["Labels"][labels.CONTENTS] = contents
        if action.oneoff is None and (timed := job(self.project, action.service)):
            body["Labels"] |= timed.labels
        if action.replaces:
            body["Labels"][labels.REPLACE] = action.replaces
        container, _ = self.client.containers.create_from(
            body, name=action.passing_name or action.name, platform=self.project.platform_of(service) or None
        )
        self.ids[(action.service, action.number)] = container.reference
        if action.oneoff is None:
            self._there[container.reference] = (action.service, action.number)
        try:
            copy_files(container, copied_files(self.project, service))
        except NakaginError:
            container.remove(force=True)
            raise

    def _container_of(self, service: str) -> str:
        found = sorted((number, id) for id, (name, number) in self._there.items() if name == service)
        if not found:
            raise NotFound(
                f"service {service!r} has no container to share with", hint=f"start it first: up {service}"
            )
        return found[0][1]

    def _run_hook(self, action: RunHook) -> None:
        hook = action.hook
        running = self.client.containers.refer(action.id or self.ids[(action.service, action.number)]).exec(
            hook.command or [],
            user=hook.user,
            privileged=hook.privileged,
            workdir=hook.working_dir,
            environment={key: value or "" for key, value in hook.environment.items()},
        )
        output, errors = running.communicate()
        if code := running.returncode:
            words = (errors or output or b"").decode("utf-8", "replace").strip()[-300:]
            raise Unmet(f"{action.when} hook exited with status {code}", hint=words or None)

    def _wait(self, action: WaitFor) -> None:
        service = action.service
        chosen = [(number, id) for id, (name, number) in self._there.items() if name == service]
        if action.number:  # the new one, whose number the old one has as well
            chosen = [(action.number, action.id or self.ids[(service, action.number)])]
        for number, id in sorted(chosen):
            name = labels.container_name(self.project, service, self.project.services[service], number)
            try:
                wait_for(self.client, id, name, action.condition, action.seconds)
                if action.ready:
                    from nakagin.compose.ready import await_ready

                    await_ready(self.client, id, name, action.ready)
                if action.monitor:
                    watch_over(self.client, id, name, action.monitor / 1e9)
            except Unmet as error:
                if action.number and action.required:
                    raise
                if action.required:
                    raise Unmet(f"dependency failed to start: {error.message}", hint=error.hint) from None


def _to_resume(plan: Plan, done: set[int]) -> list[StartContainer]:
    """The starts that did not happen of containers that were stopped for them."""
    stopped = {
        each.action.id
        for each in plan.operations
        if each.number in done and isinstance(each.action, StopContainer)
    }
    return [
        each.action
        for each in plan.operations
        if each.number not in done and isinstance(each.action, StartContainer) and each.action.id in stopped
    ]


def _last_line(message: dict[str, Any]) -> str:
    return str(message.get("stream") or message.get("status") or "").strip().rpartition("\n")[2]


def _is_in_use(operation: Operation, error: NakaginError) -> bool:
    """Whether something stays because others need it."""
    if isinstance(operation.action, RemoveNetwork):
        return isinstance(error, Conflict | Denied) and "active endpoints" in error.message
    return isinstance(operation.action, RemoveVolume | RemoveImage) and isinstance(error, Conflict)


def _gone_is_fine(deed: Callable[[], object]) -> None:
    try:
        deed()
    except (NotFound, NotModified):
        return
