"""Plans as text: what happens, after what, and why. No engine is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from nakagin.compose import labels
from nakagin.compose.apisocket import with_socket
from nakagin.compose.environment import gather
from nakagin.compose.hashes import network_hash, service_hash
from nakagin.compose.loader import load
from nakagin.compose.model import Project
from nakagin.compose.mounts import copied_files
from nakagin.compose.observe import Image, Observed, Resource, State
from nakagin.compose.plan import StartContainer
from nakagin.compose.reconcile import Wish, plan_up
from nakagin.compose.rolling import plan_rollback
from nakagin.compose.select import build_order, for_services, without_unused
from nakagin.compose.supply import Supply, plan_builds, plan_images
from nakagin.compose.teardown import Ending, plan_down
from nakagin.errors import Invalid, NotFound, Unsupported
from tests.compose.corpus import SURROUNDINGS

T = TypeVar("T")
SHOP = """
name: shop
services:
  web: {image: web, depends_on: {app: {condition: service_healthy}}, networks: [front, back]}
  app:
    image: app
    depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}}
    networks: [back]
    scale: 2
  job: {image: app, depends_on: [db], networks: [back]}
  db: {image: db, volumes: ["data:/data", /scratch], networks: [back]}
networks: {front: , back: }
volumes: {data: }
"""


def project(tmp_path: Path, text: str = SHOP) -> Project:
    (tmp_path / "compose.yaml").write_text(text)
    return without_unused(load(gather(working=str(tmp_path), surroundings=SURROUNDINGS)).project)


def container(
    shop: Project, service: str, number: int = 1, state: str = "running", **more: object
) -> Observed:
    """One that is as it should be, unless `more` says otherwise."""
    settings = shop.services[service]
    found = {
        labels.SERVICE: service,
        labels.NUMBER: str(number),
        labels.PROJECT: shop.name,
        labels.CONFIG_HASH: str(more.get("hash", service_hash(settings))),
        labels.IMAGE: str(more.get("image", f"sha256:{settings.image}")),
        labels.ONEOFF: "False",
    }
    return Observed(
        id=f"{service}{number}".ljust(64, "0"),
        name=f"shop-{service}-{number}",
        service=service,
        number=number,
        state=state,
        oneoff=False,
        labels=found,
        networks={shop.networks[key].name: f"id-{key}" for key in settings.networks},
        volumes={each.target: "shop_data" if each.source else "anonymous" for each in settings.volumes},
    )


def but(value: T, **changes: object) -> T:
    """The same with other values."""
    names: tuple[str, ...] = getattr(value, "__slots__", ())
    return type(value)(**{name: getattr(value, name) for name in names} | changes)


def everything(shop: Project, *containers: Observed) -> State:
    """All resources as they should be, and these containers."""
    return State(
        containers=list(containers),
        networks={
            each.name: Resource(
                f"id-{key}",
                each.name,
                {labels.PROJECT: shop.name, labels.NETWORK: key, labels.CONFIG_HASH: network_hash(each)},
            )
            for key, each in shop.networks.items()
        },
        volumes={
            each.name: Resource(each.name, each.name, {labels.PROJECT: shop.name, labels.VOLUME: key})
            for key, each in shop.volumes.items()
        },
        images={(each.image, ""): Image(f"sha256:{each.image}") for each in shop.services.values()},
    )


def all_containers(shop: Project) -> list[Observed]:
    return [
        container(shop, "app", 1), container(shop, "app", 2), container(shop, "db"),
        container(shop, "job"), container(shop, "web"),
    ]  # fmt: skip


def lines(text: object) -> list[str]:
    """A plan without the padding of its columns."""
    return [" ".join(line.split()) for line in str(text).splitlines()]


def test_from_nothing_to_all_in_the_order_of_dependencies(tmp_path: Path) -> None:
    assert lines(plan_up(project(tmp_path), State(), Wish())) == [
        "[1] network shop_back create it is not there",
        "[2] network shop_front create it is not there",
        "[3] volume shop_data create it is not there",
        "[4] -> 1,3 container shop-db-1 create it is not there",
        "[5] -> 1 container shop-job-1 create it is not there",
        "[6] -> 1 container shop-app-1 create it is not there",
        "[7] -> 1 container shop-app-2 create it is not there",
        "[8] -> 1,2 container shop-web-1 create it is not there",
        "[9] -> 4 container shop-db-1 start it is new",
        "[10] -> 5,9 container shop-job-1 start it is new",
        "[11] -> 9 service db wait until it is healthy, for app",
        "[12] -> 10 service job wait until it has ended well, for app",
        "[13] -> 6,7,11,12 container shop-app-1 start it is new",
        "[14] -> 6,7,11,12 container shop-app-2 start it is new",
        "[15] -> 13,14 service app wait until it is healthy, for web",
        "[16] -> 8,15 container shop-web-1 start it is new",
    ]


def test_nothing_to_do(tmp_path: Path) -> None:
    shop = project(tmp_path)
    assert not plan_up(shop, everything(shop, *all_containers(shop)), Wish()).operations
    assert not plan_images(shop, everything(shop), Supply()).operations


def test_one_service_changed_keeps_its_anonymous_volume(tmp_path: Path) -> None:
    shop = project(tmp_path)
    state = everything(shop, *all_containers(shop))
    changed = project(tmp_path, SHOP.replace("image: db", "image: db, command: new"))
    plan = plan_up(changed, state, Wish())
    assert lines(plan) == [
        "[1] container shop-db-1 create its configuration changed",
        "[2] -> 1 container shop-db-1 stop its configuration changed",
        "[3] -> 2 container shop-db-1 remove its configuration changed",
        "[4] -> 3 container shop-db-1 rename its configuration changed",
        "[5] -> 4 container shop-db-1 start it is new",
    ]
    create = plan.operations[0].action
    assert getattr(create, "inherited", None) == (("/scratch", "anonymous"),)
    plan = plan_up(changed, state, Wish(renew_anonymous=True))
    assert getattr(plan.operations[0].action, "inherited", None) == ()


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Wish(force_recreate=True), "--force-recreate was given"),
        (Wish(always_recreate_deps=True, chosen=["web"]), "--always-recreate-deps was given"),
    ],
)
def test_wishes_make_things_anew(tmp_path: Path, wish: Wish, reason: str) -> None:
    shop = project(tmp_path)
    plan = plan_up(shop, everything(shop, *all_containers(shop)), wish)
    assert {each.cause for each in plan.operations if each.verb == "create"} == {reason}


def test_a_new_image_a_moved_network_and_a_lost_one(tmp_path: Path) -> None:
    shop = project(tmp_path)
    old = container(shop, "db", image="sha256:older")
    web = container(shop, "web")
    web.networks["shop_front"] = "another-id"
    app = container(shop, "app", 1)
    app.networks.clear()
    plan = plan_up(
        shop, everything(shop, old, web, app, container(shop, "app", 2), container(shop, "job")), Wish()
    )
    assert {each.subject: each.cause for each in plan.operations if each.verb == "create"} == {
        "shop-db-1": "its image changed",
        "shop-web-1": "network shop_front is another one now",
        "shop-app-1": "it is not attached to network shop_back",
    }


def test_scaling_fills_gaps_and_takes_the_highest_numbers(tmp_path: Path) -> None:
    shop = project(tmp_path)
    rest = [each for each in all_containers(shop) if each.service != "app"]
    up = plan_up(shop, everything(shop, *rest, container(shop, "app", 3)), Wish(scale={"app": 3}))
    assert [each.subject for each in up.operations if each.verb == "create"] == ["shop-app-1", "shop-app-2"]
    three = [container(shop, "app", number) for number in (1, 2, 3)]
    down = plan_up(shop, everything(shop, *rest, *three), Wish(scale={"app": 1}))
    assert lines(down) == [
        "[1] container shop-app-2 stop scaled to 1",
        "[2] -> 1 container shop-app-2 remove scaled to 1",
        "[3] container shop-app-3 stop scaled to 1",
        "[4] -> 3 container shop-app-3 remove scaled to 1",
    ]


def test_a_stopped_one_is_started_after_what_it_needs(tmp_path: Path) -> None:
    shop = project(tmp_path)
    there = [each for each in all_containers(shop) if each.service not in ("db", "app")]
    stopped = [
        container(shop, "db", state="exited"),
        container(shop, "app", 1, "exited"),
        container(shop, "app", 2),
    ]
    assert lines(plan_up(shop, everything(shop, *there, *stopped), Wish())) == [
        "[1] container shop-db-1 start it is exited",
        "[2] -> 1 service db wait until it is healthy, for app",
        "[3] service job wait until it has ended well, for app",
        "[4] -> 2,3 container shop-app-1 start it is exited",
    ]


def test_a_network_that_changed_is_made_anew_with_its_containers(tmp_path: Path) -> None:
    shop = project(tmp_path)
    state = everything(shop, *all_containers(shop))
    changed = project(tmp_path, SHOP.replace("{front: ,", "{front: {internal: true},"))
    plan = [line for line in lines(plan_up(changed, state, Wish())) if "front" in line or "web" in line]
    assert plan[:4] == [
        "[1] container shop-web-1 stop the network's configuration changed",
        "[2] -> 1 container shop-web-1 remove the network's configuration changed",
        "[3] -> 2 network shop_front remove the network's configuration changed",
        "[4] -> 3 network shop_front create the network's configuration changed",
    ]
    assert any("container shop-web-1 create it is not there" in line for line in plan)


def test_orphans_are_told_or_removed(tmp_path: Path) -> None:
    shop = project(tmp_path)
    old = replace_service(container(shop, "job"), "gone")
    state = everything(shop, *all_containers(shop), old)
    plan = plan_up(shop, state, Wish())
    assert not plan.operations
    assert "orphan containers ([shop-gone-1])" in plan.warnings[0]
    assert not plan_up(shop, state, Wish(ignore_orphans=True)).warnings
    assert [each.verb for each in plan_up(shop, state, Wish(remove_orphans=True)).operations] == [
        "stop",
        "remove",
    ]


def replace_service(found: Observed, name: str) -> Observed:
    return Observed(
        id=name.ljust(64, "0"), name=f"shop-{name}-1", service=name, number=1, state=found.state, oneoff=False,
        labels=found.labels, networks={}, volumes={},
    )  # fmt: skip


def test_chosen_services_bring_their_dependencies(tmp_path: Path) -> None:
    shop = project(tmp_path)
    assert list(for_services(shop, ["job"]).services) == ["db", "job"]
    assert list(for_services(shop, ["job"], dependencies=False).services) == ["job"]
    with pytest.raises(NotFound, match=r"no such service: wbe.*did you mean web"):
        for_services(shop, ["wbe"])


def test_images_come_first_and_each_once(tmp_path: Path) -> None:
    shop = project(
        tmp_path,
        SHOP.replace("image: db,", "build: ./db,").replace("image: web,", "image: web, pull_policy: always,"),
    )
    assert lines(plan_images(shop, everything(shop), Supply())) == [
        "[1] image shop-db build the image is not there",
        "[2] image web pull pull_policy is always",
    ]
    assert lines(plan_images(shop, everything(shop), Supply(build=True, pull="always"))) == [
        "[1] image app pull --pull always was given",
        "[2] image shop-db build --build was given",
        "[3] image web pull --pull always was given",
    ]
    with pytest.raises(NotFound, match="no such image: app"):
        plan_images(shop, State(), Supply(pull="never"))


def test_down_ends_those_first_that_depend_on_others(tmp_path: Path) -> None:
    shop = project(tmp_path)
    plan = plan_down(shop, everything(shop, *all_containers(shop)), Ending(volumes=True))
    order = [each.subject for each in plan.operations if each.verb == "remove"]
    assert order.index("shop-web-1") < order.index("shop-app-1") < order.index("shop-db-1")
    assert {"shop_back", "shop_front", "shop_data"} <= set(order)
    last = plan.operations[-1]
    assert {plan.operations[number - 1].verb for number in last.after} == {"remove"}
    assert "shop_data" not in str(plan_down(shop, everything(shop), Ending()))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    named = project(tmp_path, "name: shop\nservices: {a: {image: x, container_name: mine}}")
    with pytest.raises(Invalid, match="cannot be scaled to 2"):
        plan_up(named, State(), Wish(scale={"a": 2}))
    with pytest.raises(NotFound, match="no such service: b"):
        plan_up(named, State(), Wish(scale={"b": 2}))
    outer = project(
        tmp_path, "name: shop\nservices: {a: {image: x, networks: [n]}}\nnetworks: {n: {external: true}}"
    )
    with pytest.raises(NotFound, match=r"network n declared as external.*network create n"):
        plan_up(outer, State(), Wish())


def test_what_runs_and_stays_is_named(tmp_path: Path) -> None:
    shop = project(tmp_path)
    plan = plan_up(shop, everything(shop, *all_containers(shop)), Wish())
    assert not plan.operations
    assert plan.kept == sorted(each.name for each in all_containers(shop) if each.is_running)
    assert plan.kept
    forced = plan_up(shop, everything(shop, *all_containers(shop)), Wish(force_recreate=True))
    assert not forced.kept


def test_scale_in_the_file_and_by_flag(tmp_path: Path) -> None:
    shop = project(tmp_path)
    assert shop.services["app"].replicas == 2
    assert replace(shop.services["app"], scale=None).replicas == 1


ROLLING = """
name: shop
services:
  web:
    image: web
    scale: 3
    networks: [n]
    deploy: {update_config: {order: start-first, parallelism: 2, delay: 5s}}
networks: {n: }
"""


def test_builds_wait_only_for_what_they_are_built_from(tmp_path: Path) -> None:
    text = """
name: shop
services:
  base: {build: .}
  one: {image: same, build: {context: ., additional_contexts: {b: "service:base"}}}
  two: {image: same, build: .}
  alone: {build: .}
"""
    shop = project(tmp_path, text)
    assert [
        line.removesuffix(" it was asked for")
        for line in lines(plan_builds(shop, build_order(shop, [*shop.services])))
    ] == [
        "[1] image shop-alone build",
        "[2] image shop-base build",
        "[3] -> 2 image same build",
        "[4] -> 3 image same build",
    ]


def test_an_update_starts_the_new_ones_first_two_at_a_time(tmp_path: Path) -> None:
    shop = project(tmp_path, ROLLING)
    state = everything(shop, *(container(shop, "web", number, hash="older") for number in (1, 2, 3)))
    first, rest = lines(plan_up(shop, state, Wish()))[:6], lines(plan_up(shop, state, Wish()))[12:]
    assert first == [
        "[1] container shop-web-1 create its configuration changed",
        "[2] -> 1 container shop-web-1 start its configuration changed",
        "[3] -> 2 service web 1 wait until it is ready to take over",
        "[4] -> 3 container shop-web-1 stop its configuration changed",
        "[5] -> 4 container shop-web-1 remove its configuration changed",
        "[6] -> 5 container shop-web-1 rename its configuration changed",
    ]
    assert rest == [
        "[13] -> 6 service shop-web-1 linger update_config.delay is 5s",
        "[14] -> 13 container shop-web-3 create its configuration changed",
        "[15] -> 14 container shop-web-3 start its configuration changed",
        "[16] -> 15 service web 3 wait until it is ready to take over",
        "[17] -> 16 container shop-web-3 stop its configuration changed",
        "[18] -> 17 container shop-web-3 remove its configuration changed",
        "[19] -> 18 container shop-web-3 rename its configuration changed",
    ]


def test_old_containers_stay_until_all_new_ones_are_ready_where_an_update_may_go_back(tmp_path: Path) -> None:
    text = ROLLING.replace("scale: 3", "scale: 2").replace(
        "order: start-first, parallelism: 2, delay: 5s",
        "failure_action: rollback, monitor: 10s, max_failure_ratio: 0.5",
    )
    shop = project(tmp_path, text)
    state = everything(shop, *(container(shop, "web", number, hash="older") for number in (1, 2)))
    plan = plan_up(shop, state, Wish())
    wait = "until it is ready to take over, and stays so for 10s; else all of them go back"
    assert [line.replace("its configuration changed", "…") for line in lines(plan)] == [
        "[1] container shop-web-1 create …",
        "[2] -> 1 container shop-web-1 stop …",
        "[3] -> 2 container shop-web-1 start …",
        f"[4] -> 3 service web 1 wait {wait}",
        "[5] -> 4 container shop-web-2 create …",
        "[6] -> 5 container shop-web-2 stop …",
        "[7] -> 6 container shop-web-2 start …",
        f"[8] -> 7 service web 2 wait {wait}",
        "[9] -> 4,8 container shop-web-1 remove …",
        "[10] -> 9 container shop-web-1 rename …",
        "[11] -> 4,8 container shop-web-2 remove …",
        "[12] -> 11 container shop-web-2 rename …",
    ]
    update = plan.updates["web"]
    assert (update.tolerated, [each.number for each in update.swaps]) == (1, [1, 2])
    old, new = update.swaps[0].id, "n" * 64
    back = [
        line.replace("the update of web failed", "…")
        for line in lines(plan_rollback(update, {("web", 1): new}))
    ]
    assert back == [
        f"[1] container {old[:12]}_shop-web-1 remove …",
        "[2] -> 1 container shop-web-1 start …",
    ], "what was not begun stays as it is"
    user = StartContainer("shop-user-1", "user", 1, "u" * 64)
    last = lines(plan_rollback(update, {("web", 1): new}, [user]))[-1]
    assert last == "[3] -> 1,2 container shop-user-1 start web, which it depends on, is back"


def test_an_update_that_started_first_goes_back_the_same_way(tmp_path: Path) -> None:
    shop = project(tmp_path, ROLLING.replace("delay: 5s", "failure_action: rollback"))
    state = everything(shop, container(shop, "web", 1, hash="older"))
    update = plan_up(shop, state, Wish(scale={"web": 1})).updates["web"]
    assert [line.split(" the ")[0] for line in lines(plan_rollback(update, {("web", 1): "n"}))] == [
        "[1] container shop-web-1 start",
        "[2] -> 1 service web 1 wait until it is back",
        f"[3] -> 2 container {update.swaps[0].id[:12]}_shop-web-1 remove",
    ]
    carefree = project(tmp_path, ROLLING.replace("delay: 5s", "failure_action: continue"))
    assert plan_up(carefree, state, Wish(scale={"web": 1})).updates["web"].tolerated == 1


def test_published_ports_allow_no_start_first(tmp_path: Path) -> None:
    text = ROLLING.replace("scale: 3", "ports: ['80:80']").replace(", parallelism: 2, delay: 5s", "")
    shop = project(tmp_path, text)
    plan = plan_up(shop, everything(shop, container(shop, "web", hash="older")), Wish())
    assert "stop-first" in plan.warnings[0]
    assert [each.verb for each in plan.operations] == ["create", "stop", "remove", "rename", "start", "wait"]


def test_dependents_with_restart_are_stopped_before_and_started_after(tmp_path: Path) -> None:
    text = SHOP.replace("db: {condition: service_healthy}", "db: {condition: service_healthy, restart: true}")
    shop = project(tmp_path, text)
    rest = [each for each in all_containers(shop) if each.service != "db"]
    plan = lines(plan_up(shop, everything(shop, *rest, container(shop, "db", hash="older")), Wish()))
    assert plan[:4] == [
        "[1] container shop-db-1 create its configuration changed",
        "[2] container shop-app-1 stop db, which it depends on, is made anew",
        "[3] container shop-app-2 stop db, which it depends on, is made anew",
        "[4] -> 1,2,3 container shop-db-1 stop its configuration changed",
    ]
    assert plan[-2:] == [
        "[10] -> 2,3,8,9 container shop-app-1 start it was stopped",
        "[11] -> 2,3,8,9 container shop-app-2 start it was stopped",
    ]


def test_hooks_run_after_the_start_and_before_the_stop(tmp_path: Path) -> None:
    hooks = "post_start: [{command: warm up}, {command: more}], pre_stop: [{command: drain}]"
    shop = project(
        tmp_path, "name: shop\nservices: {a: {image: x, " + hooks + "}, b: {image: x, depends_on: [a]}}"
    )
    up = lines(plan_up(shop, State(networks=everything(shop).networks), Wish()))
    assert up[-4:] == [
        "[3] -> 1 container shop-a-1 start it is new",
        "[4] -> 3 hook post_start of shop-a-1 run it was started",
        "[5] -> 4 hook post_start of shop-a-1 run it was started",
        "[6] -> 2,5 container shop-b-1 start it is new",
    ]
    down = lines(plan_down(shop, State(containers=[container(shop, "a")]), Ending()))
    assert down[:2] == [
        "[1] hook pre_stop of shop-a-1 run the project goes down",
        "[2] -> 1 container shop-a-1 stop the project goes down",
    ]


def test_images_that_are_old_enough_are_pulled_again(tmp_path: Path) -> None:
    text = """
services:
  a: {image: a, pull_policy: daily}
  b: {image: b, pull_policy: weekly}
  c: {image: c, pull_policy: every_1d12h}
  d: {image: d}
"""
    shop = project(tmp_path, text)
    names = [(name, "") for name in "abcd"]
    state = State(images=dict.fromkeys(names, Image("sha256:x", age=130_000.0)))
    assert lines(plan_images(shop, state, Supply())) == [
        "[1] image a pull pull_policy is daily, and it was pulled 36.1 hours ago",
        "[2] image c pull pull_policy is every_1d12h, and it was pulled 36.1 hours ago",
    ]
    assert not plan_images(shop, State(images=dict.fromkeys(names, Image("sha256:x"))), Supply()).operations


def test_an_update_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    shop = project(tmp_path, "name: shop\nservices:\n  a: {image: a}\n")
    old = container(shop, "a", hash="older")
    new = container(shop, "a", state="created")
    new = but(new, id="b" * 64, name=f"{old.id[:12]}_shop-a-1", labels={**new.labels, labels.REPLACE: old.id})
    assert lines(plan_up(shop, everything(shop, old, new), Wish())) == [
        "[1] container shop-a-1 stop an update was interrupted",
        "[2] -> 1 container shop-a-1 remove an update was interrupted",
        "[3] -> 1,2 container shop-a-1 rename an update was interrupted",
        "[4] -> 2 container shop-a-1 start it is created",
    ]
    # without a change the old one stays, and what was half made goes
    old = container(shop, "a")
    assert lines(plan_up(shop, everything(shop, old, new), Wish())) == [
        f"[1] container {new.name} remove an update was interrupted"
    ]
    # the old one was gone already
    assert lines(plan_up(shop, everything(shop, new), Wish())) == [
        "[1] container shop-a-1 rename an update was interrupted",
        "[2] container shop-a-1 start it is created",
    ]


def test_an_image_for_another_platform_counts_as_missing(tmp_path: Path) -> None:
    text = """
services:
  a: {image: a, platform: linux/arm64}
  b: {image: b, platform: linux/amd64}
  c: {image: c}
  d: {build: ., platform: linux/arm64}
"""
    shop = project(tmp_path, text)
    built, here = f"{shop.name}-d", Image("sha256:x", "linux/amd64")
    asked = [
        ("a", "linux/arm64"),
        ("b", "linux/amd64"),
        ("c", ""),
        ("c", "linux/386"),
        (built, "linux/arm64"),
    ]
    state = State(images=dict.fromkeys(asked, here))
    assert lines(plan_images(shop, state, Supply())) == [
        "[1] image a pull the image is for linux/amd64, not for linux/arm64",
        f"[2] image {built} build the image is for linux/amd64, not for linux/arm64",
    ]
    with pytest.raises(NotFound, match="no such image for linux/arm64: a"):
        plan_images(shop, state, Supply(pull="never"))
    everywhere = replace(shop, environment={"DOCKER_DEFAULT_PLATFORM": "linux/386"})
    pulled = [line.split()[2] for line in lines(plan_images(everywhere, state, Supply()))]
    assert pulled == ["a", "c", built], "b says its own"


def test_an_image_that_can_be_built_is_looked_for_first(tmp_path: Path) -> None:
    text = "services:\n  a: {image: far/a, build: .}\n  b: {build: .}\n  c: {image: c, build: ., pull_policy: build}\n"
    shop = project(tmp_path, text)
    assert [each.split(" ", 1)[1] for each in lines(plan_images(shop, State(), Supply()))] == [
        "image far/a pull the image is not there; it is built where nobody has it",
        f"image {shop.name}-b build the image is not there",
        "image c build pull_policy is build",
    ]


def test_a_service_with_the_engines_socket_is_composes(tmp_path: Path) -> None:
    text = """
services:
  a: {image: busybox, command: sleep 60, stop_signal: SIGKILL, use_api_socket: true, environment: {A: b}}
"""
    shop = with_socket(project(tmp_path, text), "/var/run/docker.sock", '{"auths": {}}')
    # what Compose 2.40.3 has in its label
    assert (
        service_hash(shop.services["a"]) == "a98e4a4c4c5daa4cd64f7c8582b83cb04f626c0f03c7668645ef8d9e87904314"
    )
    (file,) = copied_files(shop, shop.services["a"])
    assert (file[0].target, file[1]) == ("/run/secrets/docker/config.json", b'{"auths": {}}')
    with pytest.raises(Unsupported, match="unix socket"):
        with_socket(shop, None, "")


def test_what_only_clusters_have_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    text = "services:\n  a: {image: a, KINDs: [x]}\nKINDs: {x: {external: true}}\n"
    for kind in ("secret", "config"):
        shop = project(tmp_path, text.replace("KIND", kind))
        with pytest.raises(Unsupported, match=f"unsupported external {kind} x"):
            plan_up(shop, State(), Wish())
    text = "services:\n  a: {image: a, secrets: [{source: x, mode: 0400}]}\nsecrets: {x: {file: ./x}}\n"
    assert plan_up(project(tmp_path, text), State(), Wish()).warnings == [
        "secrets `uid`, `gid` and `mode` are not supported for files, they will be ignored"
    ]
