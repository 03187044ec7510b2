"""The same file read by the official parser and by ours: same instructions, values, flags, lines and heredocs.

Known differences, on purpose: flags are read as Unicode and not byte by byte; a continuation that joins nothing but
blanks makes no instruction; the package does not show the flags and heredocs of ONBUILD's inner instruction.
"""

from __future__ import annotations

import random

import pytest

import dockerfile as official
from nakagin.dockerfile.fault import DockerfileError
from nakagin.dockerfile.parser import parse

STARTS = [
    "FROM a",
    "FROM  b  AS c",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "LABEL ",
    "ONBUILD RUN ",
    "ONBUILD COPY ",
    "HEALTHCHECK CMD ",
    "HEALTHCHECK --interval=3s CMD ",
    "ARG ",
    "VOLUME ",
    "EXPOSE ",
    "CMD ",
    "ENTRYPOINT ",
    "USER ",
    "WORKDIR ",
    "# comment",
    "# escape=`",
    "  # x",
    "MAINTAINER ",
    "SHELL ",
    "STOPSIGNAL ",
    "run ",
    "Copy ",
]
PIECES = [
    *(
        "a",
        "b=c",
        " ",
        "  ",
        '"',
        "'",
        "\\",
        "\\\\",
        "`",
        "\\ ",
        "\\\n",
        "\\  \n",
        "`\n",
        "\n",
        "\n\n",
        "\t",
        "=",
    ),
    *(
        '["a","b"]',
        '["a", 1]',
        "[",
        "[]",
        "--x=y",
        '--x="a b"',
        "--",
        "--mount=type=bind",
        "<<EOF",
        "<<-E",
        '<<"Q"',
    ),
    *(
        "\nEOF\n",
        "\nE\n",
        "\n\tE\n",
        "\nQ\n",
        "$x",
        "${y:-z}",
        "é",
        'k="v w"',
        "#",
        "\n# c\n",
        "\n  # c\n",
        "\r\n",
    ),
    *("3<<F", "\nF\n", '\\"', "&&"),
]

HAND_WRITTEN = [
    'FROM debian\nRUN apt-get update && \\\n    # the list\n    apt-get install -y a \\\n\n  b\nCMD ["a", "b"]\n',
    '\ufeffFROM scratch\r\nCOPY a b /c/\r\nENV A=1 B="2 3" C=4\\ 5\r\n',
    "# escape=`\nFROM x\nRUN dir `\n  c:\\\\\nCOPY a `\n b\n",
    "FROM x\nRUN <<EOF\necho a\n  # not a comment\n\necho b\nEOF\nRUN cat <<A <<-B\n1\nA\n\t2\n\tB\n",
    "FROM x\nCOPY --chown=a:b --link <<'E' /x\n$HOME\nE\nHEALTHCHECK --interval=5s CMD curl -f / || exit 1\n",
    'FROM x\nLABEL a=b "c d"=\'e f\' g=h\\\n i=j\nLABEL k l m\nEXPOSE 80/tcp  443\nVOLUME ["/a b", "/c"]\nUSER a b\n',
]

Row = tuple[object, ...]


def ours(text: str) -> list[Row]:
    rows: list[Row] = []
    for node in parse(text).nodes:
        inner = node.trigger or node
        original = node.original.partition("\n")[0] if node.trigger else node.original
        rows.append((
            node.spelling.upper(),
            node.trigger.spelling.upper() if node.trigger else None,
            inner.json,
            original,
            node.start,
            node.end,
            () if node.trigger else tuple(flag.encode().decode("latin-1") for flag in node.flags),
            inner.values or ("",),
            tuple((each.name, each.descriptor, each.content) for each in node.heredocs),
        ))  # fmt: skip
    return rows


def theirs(text: str) -> list[Row]:
    return [
        (
            each.cmd.upper(),
            each.sub_cmd.upper() if each.sub_cmd else None,
            each.json,
            each.original,
            each.start_line,
            each.end_line,
            each.flags,
            each.value or ("",),
            tuple((doc.name, doc.file_descriptor, doc.content) for doc in each.heredocs),
        )
        for each in official.parse_string(text)
        if each.cmd
    ]


def compare(text: str) -> None:
    try:
        expected = theirs(text)
    except official.GoParseError:
        with pytest.raises(DockerfileError):
            parse(text)
        return
    if expected:
        assert ours(text) == expected, text


@pytest.mark.parametrize("text", HAND_WRITTEN)
def test_hand_written_files(text: str) -> None:
    assert ours(text) == theirs(text)


@pytest.mark.parametrize("seed", range(4))
def test_generated_files(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(2500):
        lines = []
        for _ in range(chance.randint(1, 5)):
            pieces = "".join(chance.choice(PIECES) for _ in range(chance.randint(0, 8)))
            lines.append(chance.choice(STARTS) + pieces + "\n")
        compare("".join(lines))
