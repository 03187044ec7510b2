"""Names that Docker takes, and names that we think up."""

from __future__ import annotations

import pytest

from nakagin.containers.names import check_name, invent_name
from nakagin.errors import Invalid


@pytest.mark.parametrize("name", ["web", "/web", "a1", "A.b_c-d", "0x"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["a", "-web", "we b", "web/1", "ä1", "", "//web", "web\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(Invalid, match="are allowed"):
        check_name(name)


def test_invented_names_are_good_and_get_numbers_at_last() -> None:
    for attempt in range(6):
        name = invent_name(attempt)
        assert check_name(name) == name
        assert name[-1].isdigit() == (attempt >= 2)
