"""Flags are read as pflag reads them."""

from __future__ import annotations

import pytest

from nakagin.cli.flags import Flag, HelpAsked, UsageError, parse

FLAGS = (
    Flag("interactive", "i", "bool", ""),
    Flag("tty", "t", "bool", ""),
    Flag("proxy", "", "bool", "", True),
    Flag("env", "e", "list", ""),
    Flag("subnet", "", "strings", ""),
    Flag("memory", "m", "bytes", ""),
    Flag("name", "", "string", "", "none"),
    Flag("net", "", "list", "", same_as="network"),
    Flag("network", "", "list", ""),
    Flag("count", "n", "int", "", -1),
)


def test_long_short_clusters_and_equals() -> None:
    options, rest = parse(
        FLAGS, ["-ite", "A=1", "--env=B=2", "-eC=3", "-e=D=4", "-m64m", "--name", "x", "img"]
    )
    assert options.on("interactive")
    assert options.on("tty")
    assert options.many("env") == ["A=1", "B=2", "C=3", "D=4"]
    assert options.number("memory") == 64 << 20
    assert (options.text("name"), rest) == ("x", ["img"])


def test_switches_take_values_only_with_equals() -> None:
    options, rest = parse(FLAGS, ["--proxy=false", "--tty", "false", "-i=0"])
    assert not options.on("proxy")
    assert options.on("tty")
    assert not options.on("interactive")
    assert options.given("interactive")
    assert rest == ["false"]


def test_defaults_and_what_was_given() -> None:
    options, _ = parse(FLAGS, ["--net", "a", "--network", "b"])
    assert options.many("network") == ["a", "b"]
    assert (options.number("count"), options.text("name"), options.on("proxy")) == (-1, "none", True)
    assert not options.given("name")


def test_comma_separated_values() -> None:
    options, _ = parse(FLAGS, ["--subnet", "a,b", "--subnet", 'c,"d,e"'])
    assert options.many("subnet") == ["a", "b", "c", "d,e"]


def test_where_arguments_begin() -> None:
    assert parse(FLAGS, ["a", "-i", "--", "-t"])[1] == ["a", "-t"]
    options, rest = parse(FLAGS, ["-i", "img", "-t", "--", "x"], interspersed=False)
    assert (options.on("tty"), rest) == (False, ["img", "-t", "--", "x"])
    assert parse(FLAGS, ["-"])[1] == ["-"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-tZ"], "unknown shorthand flag: 'Z' in -tZ"),
        (["--name"], "flag needs an argument: --name"),
        (["-ie"], "flag needs an argument: 'e' in -ie"),
        (["---x"], "bad flag syntax: ---x"),
        (["-m", "x"], 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
        (["--tty=maybe"], 'invalid argument "maybe" for "-t, --tty" flag: strconv.ParseBool:'),
    ],
)
def test_refusals(words: list[str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(FLAGS, words)
    assert caught.value.message.startswith(told)


def test_a_near_miss_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        parse(FLAGS, ["--interactiv"])
    assert caught.value.hint == "did you mean --interactive?"


def test_help() -> None:
    for word in ("--help", "-h"):
        with pytest.raises(HelpAsked):
            parse(FLAGS, [word])
