"""The other end, on the host that gets a project: `nakagin replicate --there list|receive|run PROJECT …`, over ssh.

list     ─► standard output: the marks of what was sent before, as JSON
receive  ◄─ standard input: a line of JSON {"gone": [path…], "all": [path…]}, then a tar of what is new
run      nakagin WORD… in the project's folder
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

from nakagin.cli.replicating.listing import RECORD, marks
from nakagin.compose.environment import check_name
from nakagin.errors import Damaged, Invalid

_PIECE = 1 << 20


def serve(deed: str, words: list[str]) -> int:
    """Do it; the exit code. Raises Invalid, Damaged."""
    project, *rest = words or [""]
    check_name(project)
    folder = _folder(project)
    if deed == "list":
        sys.stdout.write(json.dumps(marks(folder, _record(folder))) + "\n")
        return 0
    if deed == "receive":
        _receive(folder)
        return 0
    if deed == "run":
        from nakagin.cli.main import run

        os.chdir(folder)
        return run(rest)
    raise Invalid(f"--there {deed} is not known", hint="both ends need the same version of nakagin")


def _folder(project: str) -> str:
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "nakagin", "replicas", project)


def _record(folder: str) -> list[str]:
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            return [path for path in json.load(file) if isinstance(path, str) and _is_inside(path)]
    except FileNotFoundError:
        return []
    except ValueError:
        return []  # cut off in the middle: all is sent once more


def _is_inside(path: str) -> bool:
    return not os.path.isabs(path) and ".." not in path.split("/")


def _receive(folder: str) -> None:
    from nakagin.client.copying.unpack import unpack

    source = sys.stdin.buffer
    try:
        order = json.loads(source.readline())
        gone, every = list(order["gone"]), list(order["all"])
    except (ValueError, KeyError, TypeError):
        raise Damaged("what arrived is no replica") from None
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o700)  # secrets are among the files
    # Who dies in the middle leaves a record of all that may be there.
    _write_record(folder, sorted({*_record(folder), *every}))
    for path in gone:
        if _is_inside(path):
            _remove(os.path.join(folder, path))
    unpack(_pieces(), folder, "", whole=True)
    _write_record(folder, every)


def _pieces() -> Iterator[bytes]:
    while piece := sys.stdin.buffer.read(_PIECE):
        yield piece


def _remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        if not os.path.isdir(path):
            raise  # a folder in which the host has something of its own stays


def _write_record(folder: str, paths: list[str]) -> None:
    path = os.path.join(folder, RECORD)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(paths, file)
    os.replace(f"{path}.new", path)
