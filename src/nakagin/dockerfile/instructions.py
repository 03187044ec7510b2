"""The instructions as typed values: what each means, before variables are filled in.

Every one carries its `node` for positions and texts. Strings may still hold variables where the language allows
them; `expand` fills those in when the stage's environment is known.
"""

from __future__ import annotations

import msgspec

from nakagin.dockerfile.nodes import Heredoc, Node


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """What all have in common."""

    node: Node

    @property
    def keyword(self) -> str:
        return self.node.keyword


class Command(msgspec.Struct, frozen=True):
    """What RUN, CMD, ENTRYPOINT or a health check executes: one text for the shell, or words (exec form)."""

    words: tuple[str, ...]
    shell: bool

    def argv(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        """The words to execute, with the image's shell before a text; none where nothing was written."""
        return (*shell, *self.words) if self.shell and self.words else self.words


class From(Instruction, frozen=True, kw_only=True):
    image: str
    platform: str = ""
    name: str = ""


class Arg(Instruction, frozen=True, kw_only=True):
    """Each name with its default; None: it has none."""

    arguments: tuple[tuple[str, str | None], ...]


class Env(Instruction, frozen=True, kw_only=True):
    pairs: tuple[tuple[str, str], ...]


class Label(Instruction, frozen=True, kw_only=True):
    pairs: tuple[tuple[str, str], ...]


class Transfer(Instruction, frozen=True, kw_only=True):
    """COPY and ADD: files into the image. Inline documents come beside the sources."""

    sources: tuple[str, ...]
    destination: str
    documents: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


class Copy(Transfer, frozen=True, kw_only=True):
    origin: str = ""
    """`--from`: a stage, an image or a named context; empty is the build context."""
    parents: bool = False


class Add(Transfer, frozen=True, kw_only=True):
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One `--mount` of RUN. `mode` in octal digits; None: the type's own default."""

    kind: str = "bind"
    target: str = ""
    source: str = ""
    origin: str = ""
    read_only: bool | None = None
    id: str = ""
    sharing: str = "shared"
    required: bool = False
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes, of a tmpfs; 0 is no limit."""
    variable: str = ""
    """`env` of a secret: the environment variable that holds it."""


class DeviceWish(msgspec.Struct, frozen=True):
    """A `--device`: a CDI name or the path of a node. One that is not there fails the step only if `required`."""

    name: str
    required: bool = False


class Run(Instruction, frozen=True, kw_only=True):
    command: Command
    mounts: tuple[str, ...] = ()
    """As written: variables in them are filled in later; `mounts.parse_mount` reads them then."""
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[DeviceWish, ...] = ()
    documents: tuple[Heredoc, ...] = ()


class Cmd(Instruction, frozen=True, kw_only=True):
    command: Command


class Entrypoint(Instruction, frozen=True, kw_only=True):
    command: Command


class Expose(Instruction, frozen=True, kw_only=True):
    ports: tuple[str, ...]


class Volume(Instruction, frozen=True, kw_only=True):
    paths: tuple[str, ...]


class User(Instruction, frozen=True, kw_only=True):
    user: str


class Workdir(Instruction, frozen=True, kw_only=True):
    path: str


class Onbuild(Instruction, frozen=True, kw_only=True):
    """`text` is kept in the image; it has been checked to be an instruction."""

    text: str


class Stopsignal(Instruction, frozen=True, kw_only=True):
    signal: str


class Healthcheck(Instruction, frozen=True, kw_only=True):
    """`test` is Docker's: ("NONE",), ("CMD", word...) or ("CMD-SHELL", text). Times in nanoseconds, 0: inherited."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Shell(Instruction, frozen=True, kw_only=True):
    words: tuple[str, ...]


class Maintainer(Instruction, frozen=True, kw_only=True):
    name: str
