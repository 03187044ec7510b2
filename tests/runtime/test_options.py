"""Mount options: words to bits."""

from __future__ import annotations

import pytest

from nakagin.kernel import abi
from nakagin.kernel.mount import legacy_flags
from nakagin.runtime.options import known_options, parse_options


def test_words_of_all_kinds() -> None:
    parsed = parse_options(["rbind", "ro", "nosuid", "rslave", "size=1m", "sync", "tmpcopyup", "defaults"])
    assert parsed.bind
    assert parsed.recursive
    assert parsed.add == abi.MOUNT_ATTR_RDONLY | abi.MOUNT_ATTR_NOSUID
    assert (parsed.propagation, parsed.propagation_recursive) == (abi.MS_SLAVE, True)
    assert parsed.data == ["size=1m", "sync"]
    assert parsed.copy_up


def test_a_later_word_overrides_an_earlier_one() -> None:
    parsed = parse_options(["ro", "rw", "exec", "noexec"])
    assert parsed.add == abi.MOUNT_ATTR_NOEXEC
    assert parsed.clear == abi.MOUNT_ATTR_RDONLY


@pytest.mark.parametrize("word", ["noatime", "strictatime", "relatime"])
def test_access_times_clear_the_whole_field(word: str) -> None:
    parsed = parse_options([word])
    assert parsed.clear & abi.MOUNT_ATTR__ATIME == abi.MOUNT_ATTR__ATIME


def test_recursive_words_are_kept_apart() -> None:
    parsed = parse_options(["rro", "rnosuid", "rexec"])
    assert parsed.add == 0
    assert parsed.tree_add == abi.MOUNT_ATTR_RDONLY | abi.MOUNT_ATTR_NOSUID
    assert parsed.tree_clear == abi.MOUNT_ATTR_NOEXEC


def test_idmap_words() -> None:
    assert parse_options(["idmap"]).idmap
    assert not parse_options(["idmap"]).idmap_recursive
    assert parse_options(["ridmap"]).idmap_recursive


def test_legacy_flags() -> None:
    assert legacy_flags(abi.MOUNT_ATTR_RDONLY | abi.MOUNT_ATTR_NODEV) == abi.MS_RDONLY | abi.MS_NODEV


def test_known_options_are_sorted_and_unique() -> None:
    known = known_options()
    assert known == sorted(set(known))
