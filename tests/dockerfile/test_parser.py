from __future__ import annotations

import pytest

from nakagin.dockerfile.directives import Check, parse_directives
from nakagin.dockerfile.fault import DockerfileError, excerpt
from nakagin.dockerfile.nodes import Node
from nakagin.dockerfile.parser import parse


def nodes(text: str) -> tuple[Node, ...]:
    return parse(text).nodes


def values(text: str) -> list[tuple[str, ...]]:
    return [node.values for node in nodes(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("from a\nRuN b", [("a",), ("b",)], id="DF.syntax.case"),
        pytest.param("  # c\nFROM a", [("a",)], id="DF.syntax.comment"),
        pytest.param("RUN a \\\n # c\n b", [("a  b",)], id="DF.syntax.comment-in-continuation"),
        pytest.param("RUN a # b", [("a # b",)], id="DF.syntax.comment-not-midline"),
        pytest.param("   RUN a   b", [("a   b",)], id="DF.syntax.leading-space"),
        pytest.param("RUN a \\\nb\\\nc", [("a bc",)], id="DF.syntax.continuation"),
        pytest.param("RUN a \\\n\n b", [("a  b",)], id="DF.syntax.empty-continuation"),
        pytest.param("FROM a\r\nRUN b \\\r\n c\r\n", [("a",), ("b  c",)], id="DF.syntax.crlf"),
        pytest.param("\ufeffFROM a", [("a",)], id="DF.syntax.bom"),
        pytest.param("# escape=`\nRUN a `\n b\\\n", [("a  b\\",)], id="DF.directive.escape-backtick"),
        pytest.param("# escape=\\\nRUN a \\\n b", [("a  b",)], id="DF.directive.escape-backslash"),
        pytest.param("# c\n# escape=`\nRUN a `\nRUN b", [("a `",), ("b",)], id="DF.directive.after-comment"),
        pytest.param("CMD ['a', 'b']", [("['a', 'b']",)], id="DF.form.exec-single-quotes"),
        pytest.param('CMD ["a", "b"', [('["a", "b"',)], id="DF.form.exec-invalid-json"),
        pytest.param('CMD ["a", "$B"]', [("a", "$B")], id="DF.form.exec-no-expand"),
        pytest.param("ENV a=b c='d e' f=g\\ h", [("a", "b", "c", "'d e'", "f", "g\\ h")], id="DF.env.quote"),
        pytest.param("ENV a b c", [("a", "b c")], id="DF.env.legacy"),
        pytest.param("LABEL a=b \\\n c=d", [("a", "b", "c", "d")], id="DF.label.quote"),
        pytest.param('COPY ["a b", "c"]', [("a b", "c")], id="DF.copy.json"),
    ],
)
def test_values(text: str, expected: list[tuple[str, ...]]) -> None:
    assert values(text) == expected


def test_lines_and_originals() -> None:
    first, second = nodes("# about\nFROM a\n\nRUN b \\\n\n  c\n")
    assert (first.start, first.end, first.comments) == (2, 2, ("about",))
    assert (second.start, second.end, second.original, second.gaps) == (4, 6, "RUN b   c", (5,))


@pytest.mark.parametrize(
    ("text", "name", "content", "expand", "body"),
    [
        pytest.param("RUN <<EOF\na\nb\nEOF", "EOF", "a\nb\n", True, "a\nb\n", id="DF.heredoc.run-shell"),
        pytest.param("RUN <<EOF python3\np\nEOF", "EOF", "p\n", True, "p\n", id="DF.heredoc.run-interp"),
        pytest.param("COPY <<'E' /x\n$a\nE", "E", "$a\n", False, "$a\n", id="DF.heredoc.noexpand"),
        pytest.param('COPY <<"E" /x\n$a\nE', "E", "$a\n", False, "$a\n", id="DF.heredoc.noexpand-double"),
        pytest.param("ADD <<-E /x\n\t\ta\n\tE", "E", "\t\ta\n", True, "a\n", id="DF.heredoc.striptabs"),
    ],
)
def test_a_heredoc(text: str, name: str, content: str, expand: bool, body: str) -> None:
    (heredoc,) = nodes(text)[0].heredocs
    assert (heredoc.name, heredoc.content, heredoc.expand, heredoc.body) == (name, content, expand, body)


def test_several_heredocs() -> None:
    node, after = nodes("RUN cat <<A 3<<B\n1\nA\n2\nB\nUSER x\n")
    assert [(each.name, each.content, each.descriptor) for each in node.heredocs] == [
        ("A", "1\n", 0),
        ("B", "2\n", 3),
    ]
    assert (node.end, after.values) == (5, ("x",))


@pytest.mark.parametrize(
    "text", ['RUN ["cat", "<<EOF"]\nEOF', 'RUN echo "<<EOF"\nEOF', "ENV a=<<EOF\nEOF", "RUN a << EOF\nEOF"]
)
def test_what_is_no_heredoc(text: str) -> None:
    assert [node.heredocs for node in nodes(text)] == [(), ()]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "file with no instructions"),
        ("# only\n\n", 0, "file with no instructions"),
        ("FROM a\nCOPY [1, 2]", 2, "arrays must be comprised of strings only"),
        ("FROM a\n\nENV x", 3, "ENV must have two arguments"),
        ("FROM a\nLABEL a=b c", 2, "can't find = in 'c'"),
        ("FROM a\nRUN <<EOF\nx\n", 2, "unterminated heredoc"),
        ("# escape=x\nFROM a", 1, "invalid ESCAPE"),
        pytest.param("# escape=`\n# escape=`\nFROM a", 2, "only one escape", id="DF.directive.duplicate"),
    ],
)
def test_mistakes_have_their_line(text: str, line: int, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert (caught.value.start, message in caught.value.message) == (line, True), caught.value.message


@pytest.mark.parametrize(
    ("text", "syntax", "escape", "check"),
    [
        pytest.param(
            "# syntax=docker/dockerfile:1\n", "docker/dockerfile:1", "\\", Check(), id="DF.directive.syntax"
        ),
        pytest.param("#SYNTAX = a\n# Escape = `\n", "a", "`", Check(), id="DF.directive.case-space"),
        pytest.param("# check=skip=A, B\n", "", "\\", Check(frozenset("AB")), id="DF.directive.check-skip"),
        pytest.param("# check=error=true\n", "", "\\", Check(error=True), id="DF.directive.check-error"),
        pytest.param(
            "# check=skip=all;error=true\n",
            "",
            "\\",
            Check(frozenset({"all"}), True),
            id="DF.directive.check-both",
        ),
        pytest.param("\n# escape=`\n", "", "\\", Check(), id="DF.directive.position"),
        pytest.param("# foo=bar\n# escape=`\n", "", "\\", Check(), id="DF.directive.unknown"),
        pytest.param("# escape=\\\n`\n", "", "\\", Check(), id="DF.directive.no-continuation"),
        pytest.param("// syntax=a/b\n", "a/b", "\\", Check(), id="DF.directive.json-or-slash"),
        pytest.param('{"syntax": "a/b"}', "a/b", "\\", Check(), id="DF.directive.json-or-slash-json"),
    ],
)
def test_directives(text: str, syntax: str, escape: str, check: Check) -> None:
    found = parse_directives(text)
    assert (found.syntax, found.escape, found.check) == (syntax, escape, check)


def test_an_excerpt_points_at_the_word() -> None:
    rule = "-" * 20
    shown = excerpt("FROM a\nRUNN b\n", 2, 2, needle="RUNN")
    assert shown == f"Dockerfile:2\n{rule}\n   1 |     FROM a\n   2 | >>> RUNN b\n     |     ^^^^\n{rule}"
