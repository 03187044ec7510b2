"""Names become numbers by the container's own files, in every form that Docker takes."""

from __future__ import annotations

import pytest

from nakagin.containers.users import Identity, resolve_user
from nakagin.errors import Invalid

PASSWD = "root:x:0:0:root:/root:/bin/sh\n# note\nweb:x:33:33::/var/www:/bin/false\nbroken\nodd:x:y:z::/:\n"
GROUP = "root:x:0:\nwheel:x:10:root,web\nweb:x:33:\nlog:x:4:web\n"


@pytest.mark.parametrize(
    ("user", "added", "expected"),
    [
        ("", (), Identity(0, 0, (10,), "/root")),
        ("root", (), Identity(0, 0, (10,), "/root")),
        ("web", (), Identity(33, 33, (10, 4), "/var/www")),
        ("33", (), Identity(33, 33, (10, 4), "/var/www")),
        ("web:log", (), Identity(33, 4, (), "/var/www")),
        ("web:7", ("wheel", "99"), Identity(33, 7, (10, 99), "/var/www")),
        ("1234", (), Identity(1234, 0, (), "/")),
        ("1234:5678", ("5",), Identity(1234, 5678, (5,), "/")),
    ],
)
def test_user_forms(user: str, added: tuple[str, ...], expected: Identity) -> None:
    assert resolve_user(user, added, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "added", "words"),
    [
        ("nobody", (), "unable to find user nobody: no matching entries in passwd file"),
        ("root:staff", (), "unable to find group staff: no matching entries in group file"),
        ("root", ("staff",), "unable to find group staff"),
        ("4294967295", (), "must be in range"),
    ],
)
def test_unknown_ones_are_named(user: str, added: tuple[str, ...], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        resolve_user(user, added, PASSWD, GROUP)


def test_no_files_at_all() -> None:
    assert resolve_user("", (), "", "") == Identity()
