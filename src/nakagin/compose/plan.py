"""A plan: operations and what each must wait for. Plain data; `str(plan)` shows it, `execute` performs it.

[1]           network shop_front    create   it is not there
[2] -> 1      container shop-web-1  create   it is not there
[3] -> 2      service web           wait     until it is healthy, for proxy
"""

from __future__ import annotations

from msgspec import Struct

from nakagin.compose.model import Network, Service, Volume
from nakagin.compose.own import Readiness
from nakagin.compose.parts import Hook


class PullImage(Struct, frozen=True):
    """Fetch an image; with `or_build` it is built where nobody has it."""

    image: str
    service: str
    platform: str = ""
    or_build: bool = False


class BuildImage(Struct, frozen=True):
    """Build a service's image."""

    image: str
    service: str


class RunProvider(Struct, frozen=True):
    """Let a program provide a service ("provide") or take it away ("release")."""

    service: str
    verb: str = "provide"


class FetchModels(Struct, frozen=True):
    """Have the language models of the project here."""

    names: tuple[str, ...]


class CreateNetwork(Struct, frozen=True):
    """Make a network."""

    key: str
    network: Network


class RemoveNetwork(Struct, frozen=True):
    """Remove a network."""

    name: str
    id: str


class CreateVolume(Struct, frozen=True):
    """Make a volume."""

    key: str
    volume: Volume


class RemoveVolume(Struct, frozen=True):
    """Remove a volume with its data."""

    name: str


class RemoveImage(Struct, frozen=True):
    """Take an image away."""

    image: str


class OneOff(Struct, frozen=True, kw_only=True):
    """What sets a container of `run` apart: `slug` is its label; with `aliases` it has the service's names."""

    slug: str
    auto_remove: bool = False
    stdin: bool = False
    aliases: bool = False


class CreateContainer(Struct, frozen=True):
    """Make a container. One that takes another's place has a passing name, `replaces` its id.

    One of `run` is `oneoff`.
    """

    name: str
    service: str
    settings: Service
    number: int
    replaces: str = ""
    passing_name: str = ""
    inherited: tuple[tuple[str, str], ...] = ()
    oneoff: OneOff | None = None


class StartContainer(Struct, frozen=True):
    """Start one: by id, or the one that was created for (service, number)."""

    name: str
    service: str
    number: int
    id: str = ""


class StopContainer(Struct, frozen=True):
    """Ask one to end; `seconds` until it is killed, None for its own setting."""

    name: str
    id: str
    service: str = ""
    seconds: int | None = None


class RestartContainer(Struct, frozen=True):
    """Stop one and start it again; `seconds` until it is killed, None for its own setting."""

    name: str
    id: str
    service: str
    seconds: int | None = None


class KillContainer(Struct, frozen=True):
    """Send one a signal."""

    name: str
    id: str
    signal: str


class FreezeContainer(Struct, frozen=True):
    """Let the processes of one stand still."""

    name: str
    id: str


class ThawContainer(Struct, frozen=True):
    """Let them go on."""

    name: str
    id: str


class RemoveContainer(Struct, frozen=True):
    """Remove one; `volumes` with its anonymous ones."""

    name: str
    id: str
    volumes: bool = False
    force: bool = False


class RenameContainer(Struct, frozen=True):
    """Give a container its proper name: by id, or the one that was created for (service, number)."""

    name: str
    service: str
    number: int
    id: str = ""


class WaitFor(Struct, frozen=True):
    """Wait until all containers of a service meet a condition; not `required` is told and then forgotten.

    After `seconds` (0: never) it has failed. `number` means one container alone: the one that was made, or `id`.
    `ready` comes after the condition, and then `monitor` nanoseconds in which it must not fail.
    """

    service: str
    condition: str
    required: bool = True
    seconds: int = 0
    number: int = 0
    ready: Readiness | None = None
    monitor: int = 0
    id: str = ""


class RunHook(Struct, frozen=True):
    """Run a command in a container when it was started, or before it is stopped."""

    name: str
    service: str
    number: int
    hook: Hook
    when: str
    id: str = ""


class Pause(Struct, frozen=True):
    """Let some time pass between two replicas of an update."""

    service: str
    nanoseconds: int


Action = (
    PullImage | BuildImage | RunProvider | FetchModels | CreateNetwork | RemoveNetwork | CreateVolume | RemoveVolume
    | RemoveImage | CreateContainer | StartContainer | StopContainer | RestartContainer | KillContainer
    | FreezeContainer | ThawContainer | RemoveContainer | RenameContainer | WaitFor | RunHook | Pause
)  # fmt: skip

_VERBS: dict[type, tuple[str, str]] = {
    PullImage: ("image", "pull"),
    BuildImage: ("image", "build"),
    RemoveImage: ("image", "remove"),
    FetchModels: ("models", "pull"),
    CreateNetwork: ("network", "create"),
    RemoveNetwork: ("network", "remove"),
    CreateVolume: ("volume", "create"),
    RemoveVolume: ("volume", "remove"),
    CreateContainer: ("container", "create"),
    StartContainer: ("container", "start"),
    StopContainer: ("container", "stop"),
    RestartContainer: ("container", "restart"),
    KillContainer: ("container", "kill"),
    FreezeContainer: ("container", "pause"),
    ThawContainer: ("container", "unpause"),
    RemoveContainer: ("container", "remove"),
    RenameContainer: ("container", "rename"),
    WaitFor: ("service", "wait"),
    RunHook: ("hook", "run"),
    Pause: ("service", "linger"),
}


class Operation(Struct, frozen=True):
    """One call to the engine (or one wait), why, and the numbers of the operations before it."""

    number: int
    action: Action
    cause: str
    after: tuple[int, ...] = ()

    @property
    def noun(self) -> str:
        """What kind of thing it acts on."""
        if isinstance(self.action, RunProvider):
            return "service"
        return _VERBS[type(self.action)][0]

    @property
    def verb(self) -> str:
        """What is done to it."""
        if isinstance(self.action, RunProvider):
            return self.action.verb
        return _VERBS[type(self.action)][1]

    @property
    def subject(self) -> str:
        """The thing's name."""
        match self.action:
            case PullImage(image=image) | BuildImage(image=image) | RemoveImage(image=image):
                return image
            case CreateNetwork(network=network):
                return network.name
            case CreateVolume(volume=volume):
                return volume.name
            case WaitFor(service=service, number=number):
                return f"{service} {number}" if number else service
            case Pause(service=service) | RunProvider(service=service):
                return service
            case FetchModels(names=names):
                return ", ".join(names)
            case RunHook(name=name, when=when):
                return f"{when} of {name}"
            case _:
                return self.action.name


class Swap(Struct, frozen=True):
    """A replica of an update: number, and the name and id of the container whose place another one takes."""

    number: int
    name: str
    id: str


class Update(Struct):
    """The rolling update of a service: it has failed when more than `tolerated` replicas have.

    With `goes_back` the old containers are there until the last new one is ready; they take their places again.
    """

    service: str
    tolerated: int
    starts_first: bool
    goes_back: bool
    swaps: list[Swap] = []


class Plan(Struct):
    """Operations in an order in which they could be done one by one."""

    operations: list[Operation] = []
    #: Of the services whose replicas are replaced one after the other.
    updates: dict[str, Update] = {}
    #: What is to be said to the user about it.
    warnings: list[str] = []
    #: Names of the containers that run and stay as they are.
    kept: list[str] = []

    def add(self, action: Action, cause: str, after: list[int] | tuple[int, ...] = ()) -> int:
        """Append an operation; its number."""
        number = len(self.operations) + 1
        self.operations.append(Operation(number, action, cause, tuple(sorted(set(after)))))
        return number

    def __str__(self) -> str:
        rows = [
            (
                f"[{each.number}]" + (f" -> {','.join(map(str, each.after))}" if each.after else ""),
                f"{each.noun} {each.subject}",
                each.verb,
                each.cause,
            )
            for each in self.operations
        ]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        return "\n".join(
            "  ".join([*(row[column].ljust(widths[column]) for column in range(3)), row[3]]).rstrip()
            for row in rows
        )
