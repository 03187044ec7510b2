"""The rows of the lists of docker's command line and API that are about containers, volumes and the system.

Each is shown by a test that names it: in a docstring of this folder, in the table of `test_same_output`, or below.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from tests.networking import test_surface as networking
from tests.operations import test_same_output

from nakagin.cli import registry

HERE = Path(__file__).parent
TESTS = HERE.parent

ELSEWHERE = {
    "spine/test_jobs.test_attach_sees_output_and_gives_the_exit_code":
        "API.ContainerAttach API.ContainerAttach.stream API.ContainerAttach.stdin API.ContainerAttach.stdout "
        "API.ContainerAttach.stderr",
    "spine/test_terminal.test_detach_and_attach_again": "API.ContainerAttach.detachKeys",
    "api/test_streams.test_backlog_comes_first": "API.ContainerAttach.logs",
    "spine/test_devices.test_cdi_devices": "CLI.run.gpus",
    "spine/test_health.test_healthy_then_unhealthy_then_healthy":
        "CLI.run.health-cmd CLI.run.health-interval CLI.run.health-timeout CLI.run.health-retries",
    "spine/test_health.test_failures_do_not_count_while_it_starts":
        "CLI.run.health-start-interval CLI.run.health-start-period",
    "spine/test_health.test_no_healthcheck": "CLI.run.no-healthcheck",
    "spine/test_restart_policy.test_policies_across_a_restart_of_the_engine": "CLI.run.restart",
    "spine/test_storage_size.test_a_container_cannot_write_more_and_loses_nothing": "CLI.run.storage-opt",
    "spine/test_tls.test_the_same_by_flags":
        "CLI.root.tls CLI.root.tlscacert CLI.root.tlscert CLI.root.tlskey CLI.root.tlsverify",
}  # fmt: skip
NOT_HERE = {
    "CLI.volume_update": "of swarm's cluster volumes",
    "CLI.volume_update.availability": "of swarm's cluster volumes",
}

_NOUNS = (
    "attach|container|cp|create|diff|events|exec|export|info|inspect|kill|logs|pause|port|ps|rename|restart|rm|root|run"
    "|start|stats|stop|system(?!_prune|_df)|top|unpause|update|version|volume|wait"
)
_OURS = re.compile(
    rf"CLI\.({_NOUNS})(_\w+)?(\.|$)|API\.(Container|Exec|PutContainer|System(?!Auth|DataUsage)|Volume)\w*(\.|$)"
)


@cache
def rows() -> list[str]:
    """The ids that are ours to show; skips where the lists are not beside the repository."""
    places = [above / "shared" / "surface" for above in TESTS.parents]
    found = next(filter(Path.is_dir, places), None)
    if found is None:
        pytest.skip("the lists are not beside this repository")
    ids = [
        line.partition("\t")[0]
        for name in ("cli", "api")
        for line in (found / f"{name}.tsv").read_text().splitlines()[1:]
    ]
    return [
        id
        for id in ids
        if _OURS.match(id) and not networking.CLI.fullmatch(id) and not networking.API.fullmatch(id)
    ]


def canonical(row: str) -> str:
    """The same for all spellings of a verb: "CLI.ps.all" and "CLI.container_ls.all"; of create, what run has too."""
    kind, _, rest = row.partition(".")
    if kind != "CLI":
        return row
    verb, dot, flag = rest.partition(".")
    written = verb.replace("_", " ", 1)
    full = registry.SHORT.get(written) or registry.ALIASES.get(written, written)
    if full == "container create" and flag in {each.name for each in registry.load("container run").flags}:
        full = "container run"
    return f"CLI.{full.replace(' ', '_')}{dot}{flag}"


def named() -> set[str]:
    """Every row that a test of this folder names."""
    text = "\n".join(path.read_text() for path in HERE.glob("*.py") if path != Path(__file__))
    found = set(re.findall(r"\b(?:CLI|API)\.[\w.-]*\w", text))
    return found | {row.partition(" ")[0] for row in test_same_output.SAME}


def test_every_row_is_shown() -> None:
    shown = {canonical(row) for row in named() | {row for each in ELSEWHERE.values() for row in each.split()}}
    missing = [row for row in rows() if canonical(row) not in shown and row not in NOT_HERE]
    assert not missing, " ".join(sorted({canonical(row) for row in missing}))


@pytest.mark.parametrize("test", ELSEWHERE)
def test_a_row_has_its_test(test: str) -> None:
    module, _, name = test.rpartition(".")
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in tree.body if isinstance(node, functions)}


def test_what_is_not_here_is_in_the_lists() -> None:
    assert not set(NOT_HERE) - set(rows())
