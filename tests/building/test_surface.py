"""Every row of the list of the Dockerfile's features is named by a test, or stands here with the reason why not.

A test names rows in its docstring or in the ids of its parameters, a case of the corpus in a comment. The list is not
part of this tree: without it only what stands here is checked.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LIST = next(
    (path for top in TESTS.parents if (path := top / "shared" / "surface" / "dockerfile.tsv").exists()), None
)

#: Rows that a test shows without naming them: file and test.
ELSEWHERE = {
    "DF.syntax.tar-stdin": "building/test_corpus.py::test_it_is_the_image_that_dockerd_makes",
    "DF.from.dup-name": "dockerfile/test_lint.py::test_each_rule",
    "DF.from.reserved": "dockerfile/test_lint.py::test_each_rule",
    "DF.cmd.last-wins": "dockerfile/test_lint.py::test_each_rule",
    "DF.health.exit": "spine/test_health.py::test_healthy_then_unhealthy_then_healthy",
    "DF.health.log": "containers/test_health.py::test_the_last_results_are_kept",
    "DF.health.event": "spine/test_health.py::test_healthy_then_unhealthy_then_healthy",
    "DF.health.start-interval": "spine/test_health.py::test_failures_do_not_count_while_it_starts",
    "DF.arg.builtin.BUILDKIT_DOCKERFILE_CHECK": "building/test_people.py::test_the_checks",
    "DF.build.opts.progress": "cli/test_build_progress.py::test_the_form_is_known",
}


def named() -> set[str]:
    """Every id in the tests, and the rules that the tests of the build checks go through."""
    found: set[str] = set()
    for path in (*TESTS.rglob("*.py"), *TESTS.rglob("*.Dockerfile")):
        if path != Path(__file__):
            found |= set(re.findall(r"\bDF\.[A-Za-z0-9_.-]*[A-Za-z0-9]", path.read_text()))
    lint = (TESTS / "dockerfile" / "test_lint.py").read_text()
    return found | {f"DF.lint.{rule}" for rule in re.findall(r'\("([A-Z]\w+)", ', lint)}


def test_every_row_is_shown_or_explained() -> None:
    if LIST is None:
        pytest.skip("the list of features (shared/surface/dockerfile.tsv) is not here")
    rows = [line.split("\t")[0] for line in LIST.read_text().splitlines()[1:]]
    missing = set(rows) - named() - ELSEWHERE.keys()
    assert not missing, f"neither named by a test nor explained: {sorted(missing)}"
    assert set(ELSEWHERE) <= set(rows)


@pytest.mark.parametrize("row", ELSEWHERE)
def test_what_is_shown_elsewhere_is_there(row: str) -> None:
    file, _, test = ELSEWHERE[row].partition("::")
    assert re.search(rf"^(?:async )?def {test}\(", (TESTS / file).read_text(), re.MULTILINE), ELSEWHERE[row]
