"""The corpus: projects written for these tests, several in one file.

=== name: arguments        a case; the arguments stand before the verb
--- path                   a file of it, up to the next line of this kind
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
#: What every client of the corpus sees, ours and Docker's.
SURROUNDINGS = {
    "HOME": "/home/someone",
    "PATH": "/usr/bin:/bin",
    "SHELL_VAR": "shell",
    "EMPTY_VAR": "",
    "BOOL_VAR": "true",
    "NUMBER_VAR": "5",
}


@dataclass
class Case:
    """One project."""

    name: str
    arguments: list[str]
    files: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Its files below `folder`, in a folder that gives the project its name."""
        home = folder / self.name
        for path, text in self.files.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text)
        return home


@cache
def cases(folder: Path = FOLDER, topic: str = "*") -> list[Case]:
    """Every case of the files of a topic."""
    found: list[Case] = []
    for path in sorted(folder.glob(f"{topic}.cases")):
        name = ""
        for line in path.read_text().splitlines(keepends=True):
            if line.startswith("=== "):
                title, _, arguments = line[4:].strip().partition(": ")
                found.append(Case(f"{path.stem}-{title}", shlex.split(arguments)))
            elif line.startswith("--- "):
                name = line[4:].strip()
                found[-1].files[name] = ""
            else:
                found[-1].files[name] += line
    return found


def binary() -> str:
    """Docker Compose v2."""
    places = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    found = shutil.which("docker-compose", path=places)
    assert found, "no Compose binary: make setup-test installs one"
    # the package's wrapper costs a start of Python; the program lies in the package
    package = find_spec("compose")
    inner = [
        Path(place) / "docker-compose"
        for place in (package.submodule_search_locations if package else None) or ()
    ]
    return next((str(path) for path in inner if path.exists()), found)


def theirs(home: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """What the binary says."""
    return subprocess.run(
        [binary(), *arguments],
        cwd=home, env={**SURROUNDINGS, "PWD": str(home)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
