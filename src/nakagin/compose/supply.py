"""What a project needs before its containers: images, and what others provide. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from nakagin.compose.labels import image_key, image_name
from nakagin.compose.model import Project, Service
from nakagin.compose.observe import Image, State
from nakagin.compose.plan import BuildImage, FetchModels, Plan, PullImage, RunProvider
from nakagin.compose.reconcile import ordered
from nakagin.compose.select import build_order
from nakagin.errors import NotFound

_SPAN = re.compile(r"(\d+)([wdhms])")
_SECONDS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}


class Supply(Struct, frozen=True):
    """What was asked for besides the services' own pull_policy."""

    build: bool = False
    no_build: bool = False
    pull: str = ""


def plan_images(project: Project, state: State, supply: Supply) -> Plan:
    """What to build, pull and have provided, all at once but for what needs another. Raises NotFound, Invalid."""
    plan = Plan()
    ready: dict[tuple[str, str], int] = {}
    every = project.every_service
    for name in build_order(project, list(project.services)):
        service = every[name]
        key = image_key(project, name, service)
        if service.provider is not None or key in ready:
            continue
        others = [image_key(project, other, every[other]) for other in service.built_from]
        after = [ready[other] for other in others if other in ready]
        if (number := _supply(plan, name, service, key, state.images.get(key), supply, after)) is not None:
            ready[key] = number
    _provide(plan, project)
    return plan


def plan_builds(project: Project, names: Sequence[str]) -> Plan:
    """The images of these services, which come in the order of `build_order`; of one name, one after the other."""
    plan = Plan()
    ready: dict[str, int] = {}
    last: dict[str, int] = {}
    for name in names:
        service = project.every_service[name]
        image = image_name(project, name, service)
        after = [ready[other] for other in service.built_from if other in ready]
        after += [last[image]] if image in last else []
        ready[name] = last[image] = plan.add(BuildImage(image, name), "it was asked for", after)
    return plan


def _provide(plan: Plan, project: Project) -> None:
    """What programs provide, those first that others of them depend on; then the models."""
    ready: dict[str, int] = {}
    for name in ordered(project):
        service = project.services[name]
        if service.provider is not None:
            after = [ready[other] for other in service.depends_on if other in ready]
            cause = f"the provider {service.provider.type} is asked every time"
            ready[name] = plan.add(RunProvider(name), cause, after)
    if project.models:
        plan.add(FetchModels(tuple(project.models)), "services use them")


def _lack(here: Image | None, wanted: str) -> str:
    """Why an image is missing, "" where it is not; one for another platform than the wanted one is."""
    if here is None:
        return "the image is not there"
    if here.platform and wanted:
        from nakagin.spec.platform import Platform

        has, asked = Platform.parse(here.platform), Platform.parse(wanted)
        alike = (has.os, has.architecture) == (asked.os, asked.architecture)
        if not alike or has.variant not in ("", asked.variant):
            return f"the image is for {has}, not for {asked}"
    return ""


def _supply(
    plan: Plan,
    name: str,
    service: Service,
    key: tuple[str, str],
    here: Image | None,
    supply: Supply,
    after: list[int],
) -> int | None:
    """The number of the operation after which the image is there; None where nothing is to do."""
    image, platform = key
    lack = _lack(here, platform)
    policy = supply.pull or service.pull_policy or "missing"
    if service.build is not None and not supply.no_build:
        asked = "--build was given" if supply.build else "pull_policy is build" if policy == "build" else ""
        if lack and not asked and service.image and policy != "never":
            action = PullImage(image, name, platform, or_build=True)
            return plan.add(action, f"{lack}; it is built where nobody has it", after)
        cause = asked or lack
        return plan.add(BuildImage(image, name), cause, after) if cause else None
    if policy == "always":
        cause = "--pull always was given" if supply.pull else "pull_policy is always"
        return plan.add(PullImage(image, name, platform), cause)
    if here is None or lack:
        if policy == "never":
            wrong = f" for {platform}" if here else ""
            hint = "its pull_policy is never: pull or build it by hand"
            raise NotFound(f"no such image{wrong}: {image}", hint=hint)
        return plan.add(PullImage(image, name, platform), lack)
    patience = refresh_after(policy)
    if patience is None or here.age < patience:
        return None
    cause = f"pull_policy is {policy}, and it was pulled {here.age / 3600:.1f} hours ago"
    return plan.add(PullImage(image, name, platform), cause)


def refresh_after(policy: str) -> float | None:
    """Seconds after which an image is to be pulled again: of daily, weekly and every_1w2d3h; None of all others."""
    spans = {"daily": "1d", "weekly": "1w"}.get(policy, policy.removeprefix("every_"))
    if spans == policy:
        return None
    return float(sum(int(count) * _SECONDS[unit] for count, unit in _SPAN.findall(spans)))
