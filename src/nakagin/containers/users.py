"""Who the program runs as: "user:group" against the container's own /etc/passwd and /etc/group. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nakagin.errors import Invalid

_LARGEST_ID = (1 << 32) - 2


class Identity(NamedTuple):
    """Numbers for the kernel and the home directory for the environment."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve_user(user: str, group_add: Sequence[str], passwd: str, group: str) -> Identity:
    """The identity that `user` ("", "name", "uid", "name:group", "uid:gid" …) means, as Docker reads it.

    A number needs no entry; a name does. With an explicit group the supplementary groups are left out.
    Raises Invalid ("unable to find user x: no matching entries in passwd file").
    """
    name, separator, group_name = user.partition(":")
    entry = _find_user(name or "0", passwd)
    if entry is None:
        if name and not name.isdecimal():
            raise Invalid(
                f"unable to find user {name}: no matching entries in passwd file",
                hint="give its number, or add it to the image's /etc/passwd",
            )
        login, uid, gid, home = "", int(name or 0), 0, "/"
    else:
        login, uid, gid, home = entry
    groups: tuple[int, ...]
    if separator and group_name:
        gid, groups = _group_id(group_name, group), ()
    else:
        groups = tuple(number for _, number, members in _groups(group) if login and login in members)
    added = tuple(_group_id(each, group) for each in group_add)
    _check_range(uid, "uid")
    _check_range(gid, "gid")
    return Identity(uid, gid, tuple(dict.fromkeys(groups + added)), home or "/")


def _find_user(name: str, passwd: str) -> tuple[str, int, int, str] | None:
    """The entry of that name or, for a number, of that uid: (login, uid, gid, home)."""
    by_number = None
    for fields in _lines(passwd, 6):
        if not (fields[2].isdecimal() and fields[3].isdecimal()):
            continue
        entry = (fields[0], int(fields[2]), int(fields[3]), fields[5])
        if fields[0] == name:
            return entry
        if by_number is None and name.isdecimal() and int(fields[2]) == int(name):
            by_number = entry
    return by_number


def _group_id(name: str, group: str) -> int:
    for found, number, _ in _groups(group):
        if found == name:
            return number
    if not name.isdecimal():
        raise Invalid(f"unable to find group {name}: no matching entries in group file")
    _check_range(int(name), "gid")
    return int(name)


def _groups(group: str) -> Iterator[tuple[str, int, list[str]]]:
    for fields in _lines(group, 3):
        if fields[2].isdecimal():
            yield fields[0], int(fields[2]), fields[3].split(",") if len(fields) > 3 else []


def _lines(text: str, least: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and not fields[0].startswith("#"):
            yield fields


def _check_range(number: int, what: str) -> None:
    if number > _LARGEST_ID:
        raise Invalid(f"{what}s must be in range 0-{_LARGEST_ID}, not {number}")
