"""Building with `nakagin build`, on a folder with a Dockerfile."""

from __future__ import annotations

from pathlib import Path

from tests.engine_fixture import ScratchEngine


def build(engine: ScratchEngine, folder: Path, dockerfile: str, *options: str, check: int | None = 0) -> str:
    """Write the Dockerfile and build; everything that was said, in lines."""
    (folder / "Dockerfile").write_text(dockerfile)
    done = engine.nakagin("build", "--progress=plain", *options, str(folder), check=check)
    return done.stdout + done.stderr


def output(engine: ScratchEngine, folder: Path, dockerfile: str, *options: str, path: str = "/r") -> str:
    """What the steps of the Dockerfile have put into the file `path`."""
    target = folder.parent / "out"
    build(engine, folder, f"{dockerfile}\nFROM scratch\nCOPY --from=0 {path} /", "-o", str(target), *options)
    return (target / Path(path).name).read_text()
