from __future__ import annotations

import pytest

from nakagin.dockerfile.ignore import Patterns, read_ignore
from nakagin.errors import Invalid


@pytest.mark.parametrize(
    ("patterns", "excluded", "kept"),
    [
        pytest.param(["*.md"], ["a.md", "a.md/b"], ["d/a.md", "md"], id="DF.ignore.glob"),
        pytest.param(["**/*.o", "a/**/z"], ["x.o", "a/b/x.o", "a/z/q"], ["x.c", "b/z"], id="DF.ignore.doublestar"),
        pytest.param(["*.md", "!README.md"], ["a.md"], ["README.md"], id="DF.ignore.negate"),
        pytest.param(["!a", "a"], ["a"], [], id="DF.ignore.last-wins"),
        pytest.param(["/foo", "bar/"], ["foo", "foo/x", "bar/x"], ["x/foo"], id="DF.ignore.leading-slash"),
        pytest.param(["dir/"], ["dir", "dir/x"], ["dirx"], id="DF.ignore.trailing-slash"),
        pytest.param(["d", "!d/keep"], ["d", "d/x"], ["d/keep", "d/keep/y"], id="DF.ignore.parent-excluded"),
        pytest.param([".", "!src"], ["a", "a/src"], ["src", "src/x"], id="DF.ignore.dot"),
        (["a[b-d]", "e[^f]", "g\\*", "h?"], ["ab", "eg", "g*", "hi"], ["ae", "ef", "gx", "h/"]),
        (["a/../b", "./c"], ["b", "c"], ["a"]),
    ],
)  # fmt: skip
def test_what_is_left_out(patterns: list[str], excluded: list[str], kept: list[str]) -> None:
    asked = Patterns(patterns)
    assert [path for path in excluded + kept if asked.excludes(path)] == excluded


@pytest.mark.parametrize(
    ("patterns", "folder", "pruned"),
    [
        (["a"], "a", True),
        (["a", "!a/b/c"], "a", False),
        (["a", "!a/b/c"], "a/b", False),
        (["a", "!a/b/c"], "a/x", True),
        (["**", "!**/x"], "a/b", False),
        (["*", "!s*"], "src", False),
        (["*", "!s*"], "lib", True),
        (["a"], "b", False),
    ],
)
def test_folders_that_need_no_look(patterns: list[str], folder: str, pruned: bool) -> None:
    assert Patterns(patterns).prunes(folder) == pruned


def test_comments_and_blank_lines() -> None:
    """DF.ignore.comment"""
    assert read_ignore("\ufeff# c\n\n a \n #b\n!c\r\n") == ["a", "#b", "!c"]


@pytest.mark.parametrize("pattern", ["a[", "a\\", "!", "[]"])
def test_malformed_patterns(pattern: str) -> None:
    with pytest.raises(Invalid):
        Patterns([pattern])
