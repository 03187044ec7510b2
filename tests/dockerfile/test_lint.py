from __future__ import annotations

import pytest

from nakagin.dockerfile.fill import fill
from nakagin.dockerfile.ignore import Patterns
from nakagin.dockerfile.lint import EXPERIMENTAL, RULES, Finding, lint, undefined
from nakagin.dockerfile.stages import read

CASES = [
    ("ConsistentInstructionCasing", "FROM a\nrun b\nRUN c", 2),
    ("CopyIgnoredFile", "FROM a\nCOPY secret.txt /", 2),
    ("DuplicateStageName", "FROM a AS x\nFROM b AS x", 2),
    ("ExposeInvalidFormat", "FROM a\nEXPOSE 127.0.0.1:80:80", 2),
    ("ExposeProtoCasing", "FROM a\nEXPOSE 80/TCP", 2),
    ("FromAsCasing", "FROM a as x", 1),
    ("FromPlatformFlagConstDisallowed", "FROM --platform=linux/amd64 a", 1),
    ("InvalidDefaultArgInFrom", "ARG TAG\nFROM a:$TAG", 2),
    ("InvalidDefinitionDescription", "# the base\nFROM a AS x", 2),
    ("JSONArgsRecommended", "FROM a\nCMD a b", 2),
    ("JSONArgsRecommended", 'FROM a\nENTRYPOINT ["a" "b"]', 2),
    ("LegacyKeyValueFormat", "FROM a\nENV b c", 2),
    ("MaintainerDeprecated", "FROM a\nMAINTAINER m", 2),
    ("MultipleInstructionsDisallowed", 'FROM a\nCMD ["b"]\nCMD ["c"]', 2),
    ("NoEmptyContinuation", "FROM a\nRUN b \\\n\n c", 3),
    ("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a", 1),
    ("ReservedStageName", "FROM a AS context", 1),
    ("SecretsUsedInArgOrEnv", "FROM a\nARG DB_PASSWORD", 2),
    ("SecretsUsedInArgOrEnv", "FROM a\nENV API_TOKEN=x", 2),
    ("StageNameCasing", "FROM a AS Base", 1),
    ("UndefinedArgInFrom", "ARG VERSION=1\nFROM a:${VERSOIN:-1}$VERSOIN", 2),
    ("WorkdirRelativePath", "FROM a\nWORKDIR b", 2),
]


def findings(text: str) -> list[Finding]:
    return lint(read(text), ignored=Patterns(["*.txt"]), experimental=True)


@pytest.mark.parametrize(
    ("rule", "text", "line"), [pytest.param(*case, id=f"DF.lint.{case[0]}") for case in CASES]
)
def test_each_rule(rule: str, text: str, line: int) -> None:
    found = [each for each in findings(text) if each.rule == rule]
    assert [each.start for each in found] == [line]
    assert found[0].explanation == RULES[rule]


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS x\nFROM b AS y\nCOPY --from=x secret.txt /\n",
        'FROM scratch\nCOPY code /\nCMD ["a"]\nEXPOSE 80/tcp $PORT\nWORKDIR /a\nWORKDIR b\n',
        "ARG BASE=debian\nFROM ${BASE} AS build\nARG PUBLIC_KEY\nARG KEYBOARD\n",
        "FROM --platform=$BUILDPLATFORM a\nFROM --platform=linux/arm64 a AS app-arm64\n",
        'FROM a\nSHELL ["bash", "-c"]\nCMD a b\n',
        "from a as x\nrun b\n",
        'FROM a AS one\nCMD ["a"]\nFROM one\nCMD ["b"]\n',
        "# x is the base\nFROM a AS x\n",
    ],
)
def test_what_is_right_is_not_reported(text: str) -> None:
    assert findings(text) == []


def test_rules_can_be_left_out() -> None:
    """DF.directive.check-skip"""
    text = "FROM a as b\nMAINTAINER m\n"
    assert {each.rule for each in findings(text)} == {"FromAsCasing", "MaintainerDeprecated"}
    assert {each.rule for each in findings("# check=skip=FromAsCasing\n" + text)} == {"MaintainerDeprecated"}
    assert findings("# check=skip=all\n" + text) == []


def test_experimental_rules_are_asked_for() -> None:
    """DF.lint.InvalidDefinitionDescription"""
    assert {"InvalidDefinitionDescription"} == EXPERIMENTAL
    assert lint(read("# the base\nFROM a AS x")) == []


def test_undefined_variables_name_the_nearest() -> None:
    """DF.lint.UndefinedVar"""
    instruction = read("FROM a\nCOPY $SOURCE /").stages[0].instructions[0]
    _, names = fill(instruction, {"SOURCES": "x"})
    (found,) = undefined(instruction, names, ["SOURCES", "PATH"])
    assert (found.rule, found.start) == ("UndefinedVar", 2)
    assert "$SOURCE'" in found.message
    assert "did you mean SOURCES?" in found.message


def test_every_rule_is_tested() -> None:
    assert {rule for rule, _, _ in CASES} | {"UndefinedVar"} == set(RULES)
