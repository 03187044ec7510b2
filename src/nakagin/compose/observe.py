"""One look at the engine: what there is of a project. Reads only, decides nothing."""

from __future__ import annotations

from nakagin.compose import labels
from nakagin.compose.labels import image_key
from nakagin.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.client import Client
    from nakagin.compose.model import Project, Service

    Document = dict[str, Any]


class Observed:
    """A container of the project. `summary` is the engine's own (GET /containers/json).

    `networks`: name → id; `volumes`: target → name of the volume.
    """

    __slots__ = (
        "id", "labels", "name", "networks", "number", "oneoff", "service", "state", "summary", "volumes",
    )  # fmt: skip

    def __init__(
        self, *, id: str, name: str, service: str, number: int, state: str, oneoff: bool, labels: dict[str, str],
        networks: dict[str, str], volumes: dict[str, str], summary: Document | None = None,
    ) -> None:  # fmt: skip
        self.id = id
        self.name = name
        self.service = service
        self.number = number
        self.state = state
        self.oneoff = oneoff
        self.labels = labels
        self.networks = networks
        self.volumes = volumes
        self.summary = summary or {}

    @property
    def exit_code(self) -> int | None:
        """Of one that has ended."""
        told, _, rest = str(self.summary.get("Status", "")).partition(" (")
        code = rest.partition(")")[0]
        return int(code) if told == "Exited" and code.isdecimal() else None

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.state in ("running", "paused", "restarting")


class Resource:
    """A network or volume that exists."""

    __slots__ = ("id", "labels", "name")

    def __init__(self, id: str, name: str, labels: dict[str, str]) -> None:
        self.id = id
        self.name = name
        self.labels = labels


class Image:
    """An image that is here: its id, what it runs on, and how many seconds ago it got its name (0: nobody knows)."""

    __slots__ = ("age", "id", "platform")

    def __init__(self, id: str, platform: str = "", age: float = 0.0) -> None:
        self.id = id
        self.platform = platform
        self.age = age


class State:
    """What there is. `images`: those that are here, by reference and the platform that was asked for ("" is any).

    `keeps_time` is false of an engine that starts nothing on a schedule.
    """

    __slots__ = ("containers", "images", "keeps_time", "networks", "volumes")

    def __init__(
        self, *, containers: list[Observed] | None = None, networks: dict[str, Resource] | None = None,
        volumes: dict[str, Resource] | None = None, images: dict[tuple[str, str], Image] | None = None,
        keeps_time: bool = True,
    ) -> None:  # fmt: skip
        self.containers = containers or []
        self.networks = networks or {}
        self.volumes = volumes or {}
        self.images = images or {}
        self.keeps_time = keeps_time

    def image(self, project: Project, name: str, service: Service) -> Image | None:
        """The image of a service, if one of its name is here; it may be for another platform than was asked for."""
        return self.images.get(image_key(project, name, service))

    def of(self, service: str) -> list[Observed]:
        """The containers of a service, by number; no one-off ones."""
        found = [each for each in self.containers if each.service == service and not each.oneoff]
        return sorted(found, key=lambda each: each.number)


def observe(client: Client, project: Project) -> State:
    """All of the project, and the images that its services need."""
    from nakagin.compose.own import has_schedules  # what only looks at containers goes without

    found = client.containers.list(all=True, filters={"label": [f"{labels.PROJECT}={project.name}"]})
    state = State(
        containers=sorted((observed(each) for each in found), key=lambda each: (each.service, each.number)),
        networks={each["Name"]: _resource(each, each["Id"]) for each in client.networks.list()},
        volumes={each["Name"]: _resource(each, each["Name"]) for each in client.volumes.list()},
        keeps_time=not has_schedules(project) or is_ours(client),
    )
    observe_images(client, project, state)
    return state


def observe_images(client: Client, project: Project, state: State) -> None:
    """Look (again) for the images that the services name."""
    from nakagin.compose.select import build_order

    seen: set[tuple[str, str]] = set()
    for name in build_order(project, list(project.services)):
        service = project.every_service[name]
        key = image_key(project, name, service)
        if service.provider is not None or key in seen:
            continue
        seen.add(key)
        state.images.pop(key, None)
        if (found := _image(client, *key)) is not None:
            words = (found.get("Os"), found.get("Architecture"), found.get("Variant"))
            tagged = (found.get("Metadata") or {}).get("LastTagTime")
            age = _age(str(tagged)) if tagged else 0.0
            state.images[key] = Image(str(found["Id"]), "/".join(filter(None, words)), age)


def _image(client: Client, reference: str, platform: str) -> Document | None:
    """The one for the platform that is asked for, if it is there; or whatever else the name stands for."""
    for asked in dict.fromkeys((platform, "")):
        try:
            return client.images.get(reference, platform=asked or None)
        except NotFound:
            continue
    return None


def is_ours(client: Client) -> bool:
    """Whether the engine is one of Nakagin's."""
    return (client.version().get("Platform") or {}).get("Name") == "Nakagin"


def _age(time: str) -> float:
    import datetime as dt

    try:
        return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(time)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def observed(summary: Document) -> Observed:
    """A summary of the engine's list as we need it."""
    found: dict[str, str] = summary.get("Labels") or {}
    attached = (summary.get("NetworkSettings") or {}).get("Networks") or {}
    number = found.get(labels.NUMBER, "0")
    return Observed(
        id=str(summary["Id"]),
        name=str((summary.get("Names") or [""])[0]).lstrip("/"),
        service=found.get(labels.SERVICE, ""),
        number=int(number) if number.isdecimal() else 0,
        state=str(summary.get("State", "")),
        oneoff=found.get(labels.ONEOFF) == "True",
        labels=found,
        networks={name: str((each or {}).get("NetworkID", "")) for name, each in attached.items()},
        volumes={
            str(each.get("Destination")): str(each.get("Name"))
            for each in summary.get("Mounts") or []
            if each.get("Type") == "volume"
        },
        summary=summary,
    )


def _resource(document: Document, id: str) -> Resource:
    return Resource(id, str(document["Name"]), document.get("Labels") or {})
