from __future__ import annotations

import pytest

from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.fault import DockerfileError

ENVIRONMENT = {
    "A": "one",
    "EMPTY": "",
    "PATHS": "/usr/local/bin",
    "TWO": "b  c",
    "F": "a.tar.gz",
    "STAR": "a*b",
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param("x$A-y", "xone-y", id="DF.var.simple"),
        pytest.param("x${A}y", "xoney", id="DF.var.brace"),
        pytest.param("${EMPTY:-d}${NO:-e}${A:-f}", "deone", id="DF.var.default-colon"),
        pytest.param("[${EMPTY-d}]${NO-e}", "[]e", id="DF.var.default"),
        pytest.param("[${EMPTY:+d}${NO:+e}${A:+f}]", "[f]", id="DF.var.alt-colon"),
        pytest.param("[${EMPTY+d}${NO+e}]", "[d]", id="DF.var.alt"),
        pytest.param("${A:?m}${EMPTY?m}", "one", id="DF.var.error"),
        pytest.param("${PATHS#*/}", "usr/local/bin", id="DF.var.prefix-short"),
        pytest.param("${PATHS##*/}", "bin", id="DF.var.prefix-long"),
        pytest.param("${F%.*}", "a.tar", id="DF.var.suffix-short"),
        pytest.param("${F%%.*}", "a", id="DF.var.suffix-long"),
        pytest.param("${PATHS/l/L}", "/usr/Local/bin", id="DF.var.replace-first"),
        pytest.param("${PATHS//l/L}", "/usr/LocaL/bin", id="DF.var.replace-all"),
        pytest.param("${PATHS/?sr/X}${STAR#a\\*}", "/X/local/binb", id="DF.var.pattern-glob"),
        pytest.param("${NO:-${A:+${F}}}", "a.tar.gz", id="DF.var.nested"),
        pytest.param("\\$A \\${A}", "$A ${A}", id="DF.var.escape"),
        pytest.param("'$A' \"$A\"", "$A one", id="DF.var.single-quote"),
        pytest.param("[$NO]", "[]", id="DF.var.undefined"),
        ("$", "$"),
        ("$$ $. a$", " $. a$"),
        ('"a\\"b\\n"', 'a"b\\n'),
        ("a\\ b\\\\", "a b\\"),
        ("${PATHS//\\//_}", "_usr_local_bin"),
        ("${EMPTY:-'a b'}", "a b"),
        ("$1$@", ""),
        ("${A}${B_2:-x}", "onex"),
    ],
)
def test_words_are_expanded(text: str, result: str) -> None:
    assert Lexer(ENVIRONMENT).word(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("a $TWO d", ["a", "b", "c", "d"]),
        ('a "$TWO" d', ["a", "b  c", "d"]),
        ("a\\ b ''", ["a b", ""]),
        ("$NO", []),
        ('x"y z"w', ["xy zw"]),
    ],
)
def test_words_are_cut_at_blanks_outside_of_quotes(text: str, result: list[str]) -> None:
    assert Lexer(ENVIRONMENT).words(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a", "single-quote"),
        ('"a', "double-quote"),
        ("${A", "missing '}'"),
        ("${A:-b", "missing '}'"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${A!x}", "unsupported modifier (!)"),
        ("${A:#x}", "unsupported modifier (:#)"),
        pytest.param("${NO:?give it}", "NO: give it", id="DF.var.error-colon"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${NO?}", "NO: is not allowed to be unset"),
        ("${A#\\x}", "invalid escape"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        Lexer(ENVIRONMENT).word(text)
    assert message in caught.value.message


def test_names_without_a_value_are_gathered() -> None:
    lexer = Lexer(ENVIRONMENT)
    lexer.word("$A $B ${C} ${D:-x} ${E#y}")
    assert lexer.unset == {"B", "C", "E"}


def test_another_escape_character() -> None:
    assert Lexer(ENVIRONMENT, "`").word("c:\\$A`$A") == "c:\\one$A"


def test_heredocs_keep_their_quotes() -> None:
    assert Lexer(ENVIRONMENT).text("'$A' \"\\$A\" \\n it's") == "'one' \"$A\" \\n it's"


def test_raw_words_keep_quotes_escapes_and_unset_names() -> None:
    lexer = Lexer({}, raw_quotes=True, raw_escapes=True, keep_unset=True)
    assert lexer.words("cat \"a b\" 'c' d\\ e $F ${G:-h}") == [
        "cat",
        '"a b"',
        "'c'",
        "d\\ e",
        "$F",
        "${G:-h}",
    ]
