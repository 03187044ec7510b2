"""What we make on an engine is what the Compose v2 binary makes, and each leaves alone what the other made."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nakagin.client import Client
from nakagin.compose.environment import gather
from nakagin.compose.execute import Execution
from nakagin.compose.loader import load
from nakagin.compose.observe import observe
from nakagin.compose.plan import Plan
from nakagin.compose.reconcile import Wish, plan_up
from nakagin.compose.select import without_unused
from nakagin.compose.teardown import Ending, plan_down
from tests.compose.corpus import Case, binary, cases
from tests.engine_fixture import ScratchEngine

LIVE = Path(__file__).parent / "live"
#: What differs from one making to the next.
PASSING = {
    "Id", "Created", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver", "State", "CreatedAt",
    "NetworkID", "Mountpoint", "Source", "UpperDir", "IPAM", "Containers",
}  # fmt: skip


#: Ids of other containers are in the hashes of these.
SHARING = {"sharing"}


class Stand:
    """One project on an engine, handled by us (in this process) and by the binary."""

    def __init__(self, engine: ScratchEngine, case: Case, folder: Path) -> None:
        self.engine, self.case = engine, case
        self.home = case.write(folder)
        self.name = case.name
        self.api = engine.client().api
        self.client = Client(engine.host)
        words = dict(zip(case.arguments[::2], case.arguments[1::2], strict=True))
        files = [
            word for flag, word in zip(case.arguments[::2], case.arguments[1::2], strict=True) if flag == "-f"
        ]
        sources = gather(files=files, profiles=[words.get("--profile", "")], working=str(self.home))
        self.project = without_unused(load(sources).project)

    def plan(self) -> Plan:
        return plan_up(self.project, observe(self.client, self.project), Wish(start=False))

    def perform(self, plan: Plan) -> None:
        state = observe(self.client, self.project)
        Execution(self.project, state, lambda: Client(self.engine.host), at_once=4).run(plan)

    def theirs(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [binary(), *self.case.arguments, *words],
            cwd=self.home, env=self.engine.environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{self.name}: {words}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def found(self) -> dict[str, Any]:
        """Containers, networks and volumes of the project by name, without what differs each time."""
        client = self.api
        label = {"label": f"com.docker.compose.project={self.name}"}
        shown: dict[str, Any] = {}
        ids: dict[str, str] = {}
        for each in client.containers(all=True, filters=label):
            document = client.inspect_container(each["Id"])
            ids[document["Id"]] = document["Name"].lstrip("/")
            shown[f"container {document['Name']}"] = document
        shown |= {f"network {each['Name']}": each for each in client.networks(filters=label)}
        shown |= {f"volume {each['Name']}": each for each in client.volumes(filters=label)["Volumes"] or []}
        text = json.dumps(cleaned(shown))
        for id, name in ids.items():
            text = text.replace(id, name).replace(id[:12], name)
        found: dict[str, Any] = json.loads(text)
        return found


def cleaned(value: Any) -> Any:
    """Without what differs each time, and without the order of what has none."""
    if isinstance(value, dict):
        kept = {key: cleaned(each) for key, each in value.items() if key not in PASSING}
        if "Mode" in kept and "Destination" in kept:
            kept.pop("Name", None)  # of an anonymous volume
        if str(kept.get("NetworkMode", "")).startswith("container:"):
            kept["NetworkMode"] = "container:"
        if "com.docker.compose.config-hash" in kept and value.get("com.docker.compose.service") in SHARING:
            kept.pop("com.docker.compose.config-hash")
        if text := kept.get("com.docker.compose.depends_on"):
            kept["com.docker.compose.depends_on"] = sorted(text.split(","))
        unordered = ("Env", "Binds", "ExtraHosts", "Links")
        return {key: sorted(each) if key in unordered and each else each for key, each in kept.items()}
    if isinstance(value, list):
        made = [cleaned(each) for each in value]
        return sorted(made, key=json.dumps) if all(isinstance(each, dict) for each in made) else made
    return value


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two documents differ, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            line
            for key in sorted({*ours, *theirs})
            for line in differences(ours.get(key), theirs.get(key), f"{path}.{key}")
        ]
    return [] if ours == theirs else [f"{path}: ours {ours!r}, theirs {theirs!r}"]


@pytest.mark.root
def test_both_make_the_same_of_a_project(engine: ScratchEngine, tmp_path: Path) -> None:
    found: list[str] = []

    def compare(case: Case) -> None:
        stand = Stand(engine, case, tmp_path)
        try:
            stand.theirs("create")
            theirs = stand.found()
            plan = stand.plan()
            assert not plan.operations, f"{case.name}: it is not taken over\n{plan}"
            stand.perform(
                plan_down(stand.project, observe(stand.client, stand.project), Ending(volumes=True))
            )
            assert not stand.found(), case.name
            stand.perform(stand.plan())
            found.extend(f"{case.name}{line}" for line in differences(stand.found(), theirs))
            again = stand.theirs("create")
            assert "Recreate" not in again, f"{case.name}: {again}"
        finally:
            stand.theirs("down", "-v", check=False)
            assert not stand.found(), case.name
            stand.client.close()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(compare, case) for case in cases(LIVE)]:
            if error := future.exception():
                found.append(str(error))
    assert not found, "\n".join(found)
