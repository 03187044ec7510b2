"""What must happen so that a project is as its files say: pure, from `Project` and `State` to `Plan`.

A container is left alone when its config hash, image, networks and volumes are what they should be.
"""

from __future__ import annotations

from msgspec import Struct

from nakagin.compose import labels
from nakagin.compose.ending import plan_end, removal
from nakagin.compose.hashes import content_hash, network_hash, service_hash
from nakagin.compose.labels import container_name
from nakagin.compose.model import Project, Service
from nakagin.compose.mounts import copied_files
from nakagin.compose.observe import Observed, State
from nakagin.compose.own import has_schedules, job
from nakagin.compose.plan import (
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    Plan,
    RemoveNetwork,
    RenameContainer,
)
from nakagin.compose.rolling import Rolling
from nakagin.compose.sharing import sharing, with_ids
from nakagin.compose.starting import Conditions, plan_begin
from nakagin.errors import Invalid, NotFound, Unsupported
from nakagin.spec.labels import SCHEDULE, SCHEDULE_ZONE


class Wish(Struct, frozen=True):
    """What `up` and `create` were asked for besides the project."""

    start: bool = True
    scale: dict[str, int] = {}
    force_recreate: bool = False
    no_recreate: bool = False
    always_recreate_deps: bool = False
    renew_anonymous: bool = False
    remove_orphans: bool = False
    ignore_orphans: bool = False
    #: Services named by the user; the others are their dependencies.
    chosen: list[str] = []
    seconds: int | None = None


_INTERRUPTED = "an update was interrupted"


def plan_up(project: Project, state: State, wish: Wish) -> Plan:
    """Raises NotFound for external resources that are missing, Invalid for a wish that cannot be."""
    return _Reconciliation(project, state, wish).plan_up()


class _Reconciliation:
    def __init__(self, project: Project, state: State, wish: Wish) -> None:
        self._project = project
        self._state = state
        self._wish = wish
        self._plan = Plan()
        self._network_ready: dict[str, list[int]] = {}
        self._volume_ready: dict[str, list[int]] = {}
        #: service → (containers that stay, numbers of the operations that make others)
        self._replicas: dict[str, tuple[list[Observed], list[int]]] = {}
        #: service → numbers after which all its containers run
        self._started: dict[str, list[int]] = {}
        #: services whose containers are made anew, for those that share their namespaces
        self._recreated: set[str] = set()
        #: id of a container → number of the operation that removes it before its service is looked at
        self._gone: dict[str, int] = {}
        self._conditions = Conditions(self._plan, project)
        #: (service, number) of the containers that a rolling update has started
        self._rolled: set[tuple[str, int]] = set()
        #: service → numbers after which leftovers of an interrupted update are gone
        self._cleared: dict[str, list[int]] = {}
        #: id of a container that gets its proper name → that name
        self._renamed: dict[str, str] = {}
        #: id of a container → number of the operation that stops it
        self._stopped: dict[str, int] = {}

    def plan_up(self) -> Plan:
        for name in self._wish.scale:
            if name not in self._project.services:
                raise NotFound(f"no such service: {name}")
        self._files()
        self._networks()
        self._volumes()
        for name in ordered(self._project):
            self._service(name, self._project.services[name])
        if self._wish.start:
            for name in ordered(self._project):
                self._start(name, self._project.services[name])
        self._orphans()
        self._plan.kept += sorted(
            each.name
            for kept, _ in self._replicas.values()
            for each in kept
            if each.is_running and each.id not in self._stopped
        )
        if has_schedules(self._project) and not self._state.keeps_time:
            self._plan.warnings.append(
                "this engine starts no containers on a schedule: jobs of this project wait for `compose start`"
            )
        return self._plan

    def _files(self) -> None:
        """What configs and secrets cannot be, before anything is made."""
        ignored: set[str] = set()
        for service in self._project.services.values():
            for kind, references, known in (
                ("secret", service.secrets, self._project.secrets),
                ("config", service.configs, self._project.configs),
            ):
                for each in references:
                    if known[each.source].external:
                        raise Unsupported(
                            f"unsupported external {kind} {known[each.source].name or each.source}",
                            hint="only clusters have those: name a file, a variable or the content",
                        )
                    if known[each.source].file and (each.uid or each.gid or each.mode):
                        ignored.add(kind)
        self._plan.warnings += [
            f"{kind}s `uid`, `gid` and `mode` are not supported for files, they will be ignored"
            for kind in sorted(ignored)
        ]

    # networks, volumes

    def _networks(self) -> None:
        for key, network in self._project.networks.items():
            found = self._state.networks.get(network.name)
            self._network_ready[key] = []
            if network.external:
                if found is None:
                    raise NotFound(
                        f"network {network.name} declared as external, but could not be found",
                        hint=f"make it with: network create {network.name}",
                    )
            elif found is None:
                self._network_ready[key] = [self._plan.add(CreateNetwork(key, network), "it is not there")]
            elif self._is_foreign(found.labels, labels.NETWORK, key):
                self._plan.warnings.append(
                    f'a network with name {network.name} exists but was not created for project "'
                    f'{self._project.name}". Set `external: true` to use an existing network'
                )
            elif found.labels.get(labels.CONFIG_HASH) not in (None, network_hash(network)):
                self._renew_network(key, network.name, found.id)

    def _is_foreign(self, found: dict[str, str], label: str, key: str) -> bool:
        return found.get(labels.PROJECT) != self._project.name or found.get(label) != key

    def _renew_network(self, key: str, name: str, id: str) -> None:
        cause = "the network's configuration changed"
        gone: list[int] = []
        for container in self._state.containers:
            if name in container.networks:
                stop = self._stop(container, cause, [])
                gone.append(self._plan.add(removal(container), cause, stop))
                self._gone[container.id] = gone[-1]
        removed = self._plan.add(RemoveNetwork(name, id), cause, gone)
        self._network_ready[key] = [
            self._plan.add(CreateNetwork(key, self._project.networks[key]), cause, [removed])
        ]

    def _volumes(self) -> None:
        for key, volume in self._project.volumes.items():
            found = self._state.volumes.get(volume.name)
            self._volume_ready[key] = []
            if volume.external:
                if found is None:
                    raise NotFound(
                        f"external volume {volume.name!r} not found",
                        hint=f"make it with: volume create {volume.name}",
                    )
            elif found is None:
                self._volume_ready[key] = [self._plan.add(CreateVolume(key, volume), "it is not there")]
            elif self._is_foreign(found.labels, labels.VOLUME, key):
                self._plan.warnings.append(
                    f'volume "{volume.name}" already exists but was not created for project '
                    f'"{self._project.name}". Use `external: true` to use an existing volume'
                )

    # containers

    def _service(self, name: str, service: Service) -> None:
        if service.provider is not None:
            return
        wanted = self._wish.scale.get(name, service.replicas)
        if wanted > 1 and service.container_name:
            raise Invalid(f"service {name!r} has a container_name and cannot be scaled to {wanted}")
        before = self._before(service)
        there = self._one_of_each(name, service)
        removed = [self._gone[each.id] for each in self._state.of(name) if each.id in self._gone]
        reasons = {each.id: self._reason(name, service, each) for each in there}
        # What is outdated goes first where there are too many; of the others, the highest numbers.
        there.sort(key=lambda each: (bool(reasons[each.id]), each.number))
        for each in there[wanted:]:
            self._remove(each, f"scaled to {wanted}")
        kept = sorted(there[:wanted], key=lambda each: each.number)
        outdated = [each for each in kept if reasons[each.id]]
        self._settle_names(name, service, [each for each in kept if not reasons[each.id]])
        made = self._replace(name, service, wanted, [(each, reasons[each.id]) for each in outdated], before)
        numbers = {each.number for each in kept}
        free = (number for number in range(1, wanted + len(there) + 1) if number not in numbers)
        for _ in range(wanted - len(kept)):
            number = next(free)
            full = container_name(self._project, name, service, number)
            action = CreateContainer(full, name, service, number)
            made.append(self._plan.add(action, "it is not there", before + removed))
        self._replicas[name] = (kept, made)

    def _one_of_each(self, name: str, service: Service) -> list[Observed]:
        """The service's containers, one a number: where an update was interrupted, old and new are both there."""
        found: dict[int, Observed] = {}
        for each in self._state.of(name):
            if each.id in self._gone:
                continue
            proper = container_name(self._project, name, service, each.number)

            def rank(one: Observed, proper: str = proper) -> tuple[bool, bool, bool]:
                return (bool(self._reason(name, service, one)), one.name != proper, not one.is_running)

            best, *rest = sorted([each, *filter(None, [found.get(each.number)])], key=rank)
            found[each.number] = best
            for other in rest:
                self._cleared.setdefault(name, []).append(self._remove(other, _INTERRUPTED))
        return list(found.values())

    def _settle_names(self, name: str, service: Service, kept: list[Observed]) -> None:
        for each in kept:
            proper = container_name(self._project, name, service, each.number)
            if each.name == f"{each.labels.get(labels.REPLACE, '')[:12]}_{proper}":
                after = [
                    operation.number for operation in self._plan.operations if operation.subject == proper
                ]
                rename = RenameContainer(proper, name, each.number, each.id)
                self._plan.add(rename, _INTERRUPTED, after)
                self._renamed[each.id] = proper

    def _before(self, service: Service) -> list[int]:
        """Numbers that come before any container of a service is made."""
        found: list[int] = []
        for key in service.networks:
            found += self._network_ready.get(key, ())
        for mount in service.volumes:
            if mount.type == "volume":
                found += self._volume_ready.get(mount.source, ())
        for other in [*sharing(service), *(each.partition(":")[0] for each in service.links)]:
            found += self._replicas.get(other, ([], []))[1]
        return found

    def _reason(self, name: str, service: Service, found: Observed) -> str:
        """Why a container must be made anew; "" where it need not."""
        wish = self._wish
        if wish.no_recreate:
            return ""
        if wish.force_recreate and (not wish.chosen or name in wish.chosen):
            return "--force-recreate was given"
        if wish.always_recreate_deps and wish.chosen and name not in wish.chosen:
            return "--always-recreate-deps was given"
        shared = next((other for other in sharing(service) if other in self._recreated), "")
        if shared:
            return f"it refers to a container of {shared}, which is made anew"
        if found.labels.get(labels.CONFIG_HASH) != service_hash(with_ids(service, self._container_of)):
            return "its configuration changed"
        image = self._state.image(self._project, name, service)
        if image is not None and found.labels.get(labels.IMAGE, image.id) != image.id:
            return "its image changed"
        contents = contents_hash(self._project, service)
        if found.labels.get(labels.CONTENTS, contents) != contents:  # what Compose made does not say
            return "the content of a config or secret changed"
        return (
            self._detached(service, found)
            or self._unmounted(service, found)
            or self._rescheduled(name, found)
        )

    def _rescheduled(self, name: str, found: Observed) -> str:
        timed = job(self._project, name)
        wanted = timed.labels if timed else {}
        there = {key: each for key, each in found.labels.items() if key in (SCHEDULE, SCHEDULE_ZONE)}
        return "" if there == wanted else "its schedule changed"

    def _container_of(self, name: str) -> str:
        """The id of a service's first container, "" where it is still to be made."""
        kept, _ = self._replicas.get(name, ([], []))
        return kept[0].id if kept else ""

    def _detached(self, service: Service, found: Observed) -> str:
        for key in service.networks:
            network = self._project.networks[key]
            there = self._state.networks.get(network.name)
            if there is None or self._network_ready[key]:
                return f"network {network.name} is made anew"
            if network.name not in found.networks:
                return f"it is not attached to network {network.name}"
            if found.networks[network.name] not in ("", there.id):
                return f"network {network.name} is another one now"
        return ""

    def _unmounted(self, service: Service, found: Observed) -> str:
        for mount in service.volumes:
            if mount.type != "volume" or not mount.source:
                continue
            volume = self._project.volumes[mount.source]
            if self._volume_ready.get(mount.source):
                return f"volume {volume.name} is made anew"
            if found.volumes.get(mount.target, volume.name) != volume.name:
                return f"another volume is mounted at {mount.target}"
        return ""

    def _replace(
        self,
        name: str,
        service: Service,
        wanted: int,
        outdated: list[tuple[Observed, str]],
        before: list[int],
    ) -> list[int]:
        """Other containers take the places of these; the numbers after which they have."""
        if not outdated:
            return []
        self._recreated.add(name)
        updates = service.deploy is not None and service.deploy.update_config is not None
        if not (updates and self._wish.start):
            return [
                self._take_over(name, old, reason, self._stop_after(name, old, reason, [number]))
                for old, reason in outdated
                for number in [self._successor(name, service, old, reason, before)]
            ]
        return self._roll(
            name, service, Rolling(self._plan, self._project, name, service, wanted), outdated, before
        )

    def _roll(
        self,
        name: str,
        service: Service,
        rolling: Rolling,
        outdated: list[tuple[Observed, str]],
        before: list[int],
    ) -> list[int]:
        made: list[int] = []
        old_ones: list[tuple[Observed, str]] = []
        for old, reason in outdated:
            after = [self._successor(name, service, old, reason, [*before, *rolling.turn()])]
            goes_back = rolling.goes_back and old.is_running
            if old.is_running and rolling.starts_first:
                after = self._stop_after(name, old, reason, [self._begin(name, rolling, old, reason, after)])
                after = after if goes_back else [self._take_over(name, old, reason, after)]
            else:
                after = self._stop_after(name, old, reason, after)
                after = after if goes_back else [self._take_over(name, old, reason, after)]
                if old.is_running:
                    after = [self._begin(name, rolling, old, reason, after)]
            rolling.done(after[-1])
            made += after
            if goes_back:
                old_ones.append((old, reason))
        ready = list(made)
        return made + [self._take_over(name, old, reason, ready) for old, reason in old_ones]

    def _successor(self, name: str, service: Service, old: Observed, reason: str, before: list[int]) -> int:
        full = container_name(self._project, name, service, old.number)
        inherited: dict[str, str] = {}
        if not self._wish.renew_anonymous:
            named = {self._project.volumes[key].name for key in self._project.volumes}
            inherited = {target: volume for target, volume in old.volumes.items() if volume not in named}
        action = CreateContainer(
            full,
            name,
            service,
            old.number,
            replaces=old.id,
            passing_name=f"{old.id[:12]}_{full}",
            inherited=tuple(sorted(inherited.items())),
        )
        return self._plan.add(action, reason, before)

    def _begin(self, name: str, rolling: Rolling, old: Observed, reason: str, after: list[int]) -> int:
        self._rolled.add((name, old.number))
        return rolling.begin(old, reason, after)

    def _stop_after(self, name: str, old: Observed, reason: str, after: list[int]) -> list[int]:
        return self._stop(old, reason, [*after, *self._stop_dependents(name)])

    def _take_over(self, name: str, old: Observed, reason: str, after: list[int]) -> int:
        """The old one goes, and the new one gets its name."""
        full = container_name(self._project, name, self._project.services[name], old.number)
        remove = removal(old, volumes=self._wish.renew_anonymous)
        removed = self._plan.add(remove, reason, after)
        return self._plan.add(RenameContainer(full, name, old.number), reason, [removed])

    def _stop_dependents(self, name: str) -> list[int]:
        """Services whose depends_on says restart: true end before a container of this one does."""
        found: list[int] = []
        for other, service in self._project.services.items():
            dependency = service.depends_on.get(name)
            if dependency is not None and dependency.restart and self._wish.start:
                for each in self._state.of(other):
                    found += self._stop(each, f"{name}, which it depends on, is made anew", [])
        return found

    def _stop(self, container: Observed, cause: str, after: list[int]) -> list[int]:
        if not container.is_running:
            return after
        if container.id in self._stopped:
            return [*after, self._stopped[container.id]]
        service = self._project.services.get(container.service)
        ended = plan_end(self._plan, container, service, cause, after, seconds=self._wish.seconds)
        self._stopped[container.id] = ended[-1]
        return ended

    def _remove(self, container: Observed, cause: str) -> int:
        stopped = self._stop(container, cause, [])
        return self._plan.add(removal(container), cause, stopped)

    def _start(self, name: str, service: Service) -> None:
        kept, made = self._replicas.get(name, ([], []))
        before = [*made, *self._cleared.get(name, ())]
        timed = job(self._project, name)
        if timed and timed.schedule:  # the engine starts it
            self._started[name] = before
            return
        if timed:
            kept = [each for each in kept if each.exit_code != 0 or each.id in self._stopped]
        fresh = {
            (each.action.service, each.action.number)
            for each in self._plan.operations
            if isinstance(each.action, CreateContainer)
        }
        starting: list[tuple[int, str, str, str]] = [
            (
                each.number,
                self._renamed.get(each.id, each.name),
                each.id,
                "it was stopped" if each.is_running else f"it is {each.state}",
            )
            for each in kept
            if (not each.is_running or each.id in self._stopped) and (name, each.number) not in fresh
        ]
        starting += [
            (number, container_name(self._project, name, service, number), "", "it is new")
            for owner, number in sorted(fresh)
            if owner == name and (name, number) not in self._rolled
        ]
        before += [self._stopped[id] for _, _, id, _ in starting if id in self._stopped]
        if not starting:
            self._started[name] = before
            return
        before += self._conditions.before(name, service, self._started)
        self._started[name] = [
            plan_begin(self._plan, name, service, number, full, cause, before, id)
            for number, full, id, cause in starting
        ]

    def _orphans(self) -> None:
        known = {*self._project.services, *self._project.disabled}
        orphans = [each for each in self._state.containers if each.service not in known and not each.oneoff]
        if self._wish.remove_orphans:
            for each in orphans:
                self._remove(each, "its service is not in the file any more")
        elif orphans and not self._wish.ignore_orphans:
            names = " ".join(each.name for each in orphans)
            self._plan.warnings.append(
                f"Found orphan containers ([{names}]) for this project. If you removed or renamed this service in "
                "your compose file, you can run this command with the --remove-orphans flag to clean it up."
            )


def contents_hash(project: Project, service: Service) -> str:
    """Over the configs and secrets that are copied in; "" where there are none."""
    files = copied_files(project, service)
    if not files:
        return ""
    return content_hash(b"\0".join(part for each, data in files for part in (each.target.encode(), data)))


def ordered(project: Project) -> list[str]:
    """The services so that each comes after those it depends on; by name where that leaves a choice."""
    done: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in done or name not in project.services:
            return
        service = project.services[name]
        linked = {each.partition(":")[0] for each in service.links}
        for other in sorted({*service.depends_on, *sharing(service), *linked}):
            visit(other)
        done[name] = None

    for name in sorted(project.services):
        visit(name)
    return list(done)
