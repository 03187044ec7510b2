"""A Debian root file system by mmdebstrap, reproducible to the byte: planned as data, run as one process."""

from __future__ import annotations

import email.utils
import glob
import os
import re
import shutil
import subprocess
import tempfile
import threading
from typing import IO, TYPE_CHECKING, NamedTuple

from nakagin.errors import Invalid, StepFailed, Unavailable
from nakagin.images import aptsources
from nakagin.images.aptsources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.storage.compression import Readable

_VARIANTS = (
    "extract",
    "custom",
    "essential",
    "apt",
    "required",
    "minbase",
    "buildd",
    "important",
    "standard",
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?(?:[=/][A-Za-z0-9.+~:-]+)?")
_SUITE = re.compile(r"[a-z][a-z0-9-]*")
_MIRROR = re.compile(r"(?:https?|file|copy)://?[^\s\[\]]+")
_DEFAULT_SUITE = "bookworm"
_APT_HELPER = "/usr/lib/apt/apt-helper"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_INHERITED = ("PATH", "http_proxy", "https_proxy", "no_proxy")

# Left out of the file system: what nobody reads inside a container. Licences stay.
_EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/doc/*")
_KEPT = "/usr/share/doc/*/copyright"

# What differs from run to run, or belongs to one machine.
_CLEAN_UP = """\
set -eu
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old
rm -f "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/dbus/machine-id
rm -f "$1"/etc/passwd- "$1"/etc/group- "$1"/etc/shadow- "$1"/etc/gshadow- "$1"/var/lib/systemd/random-seed
find "$1"/var/log -type f -delete
find "$1"/run "$1"/tmp -mindepth 1 -delete
if [ -e "$1"/etc/machine-id ]; then : > "$1"/etc/machine-id; fi
"""


class Recipe(NamedTuple):
    """Everything that decides what comes out. `epoch` is in seconds."""

    suite: str
    variant: str
    packages: tuple[str, ...]
    sources: tuple[Source, ...]
    epoch: int


def recipe(packages: Sequence[str], suite: str, variant: str, epoch: int | None, mirror: str = "") -> Recipe:
    """The recipe from a request and this machine's apt sources, or `mirror`. Raises Invalid or Unavailable."""
    suite = suite or _own_suite()
    if not _SUITE.fullmatch(suite):
        raise Invalid(f"invalid suite {suite!r}", hint="e.g. bookworm")
    if variant not in _VARIANTS:
        raise Invalid(f"invalid variant {variant!r}", hint=f"possible are {', '.join(_VARIANTS)}")
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise Invalid(f"invalid package name {package!r}")
    if mirror and not _MIRROR.fullmatch(mirror):
        raise Invalid(f"invalid mirror {mirror!r}", hint="e.g. http://HOST/debian")
    if mirror:
        sources = [Source(mirror, suite, ("main",), _KEYRING if os.path.exists(_KEYRING) else "")]
    else:
        sources = aptsources.of_suite(aptsources.read(), suite)
    if not sources:
        raise Unavailable(
            f"this machine's apt sources do not have {suite}",
            hint="name an archive that has it: --mirror http://HOST/debian",
        )
    date = _release_date(sources, suite) if epoch is None else epoch
    return Recipe(suite, variant, tuple(sorted(set(packages))), tuple(sources), date)


def defaults(recipe: Recipe) -> list[str]:
    """The instructions that a Debian image begins with."""
    return [
        'CMD ["bash"]',
        f"LABEL org.opencontainers.image.title=debian org.opencontainers.image.version={recipe.suite}",
    ]


def command(recipe: Recipe, hook: str) -> list[str]:
    """The command line that writes the file system as a tar to its standard output."""
    mode = "root" if os.geteuid() == 0 else "unshare"
    words = ["mmdebstrap", f"--mode={mode}", f"--variant={recipe.variant}", "--format=tar"]
    if recipe.packages:
        words.append(f"--include={','.join(recipe.packages)}")
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    words.append(f"--dpkgopt=path-include={_KEPT}")
    words += ['--aptopt=APT::Install-Recommends "false"', f"--customize-hook={hook}"]
    return [*words, recipe.suite, "-", *(source.line() for source in recipe.sources)]


class Build:
    """One run of mmdebstrap. As a context it gives the tar; leaving it checks how the run ended."""

    def __init__(self, recipe: Recipe, tell: Callable[[str], None]) -> None:
        if shutil.which("mmdebstrap") is None:
            raise Unavailable("mmdebstrap is not installed", hint="apt-get install mmdebstrap")
        self._recipe = recipe
        self._tell = tell
        self._said: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="nakagin-")

    def __enter__(self) -> Readable:
        hook = os.path.join(self._folder.name, "clean-up")
        with open(hook, "w") as stream:
            stream.write(f"#!/bin/sh\n{_CLEAN_UP}")
        os.chmod(hook, 0o700)
        os.chmod(self._folder.name, 0o755)  # noqa: S103 - apt downloads as a user of its own
        environment = {
            **{key: os.environ[key] for key in _INHERITED if key in os.environ},
            "SOURCE_DATE_EPOCH": str(self._recipe.epoch),
            "LC_ALL": "C.UTF-8",
            "TMPDIR": self._folder.name,
        }
        self._process = subprocess.Popen(
            command(self._recipe, hook),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert self._process.stdout
        assert self._process.stderr
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        return _Whole(self._process.stdout, self._end)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        self._folder.cleanup()

    def _listen(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            self._tell(text)

    def _end(self) -> None:
        """At the end of the tar: it is good only if mmdebstrap says so."""
        code = self._process.wait()
        self._listener.join()
        if code == 0:
            return
        text = "\n".join(self._said)
        errors = (
            [line for line in self._said if line.startswith("E:")] or self._said[-1:] or ["no reason given"]
        )
        hint = None
        if re.search(r"Could not resolve|Failed to fetch|Could not connect|Temporary failure", text):
            hint = "the package archive is out of reach: check the network and /etc/apt/sources.list"
        elif "Unable to locate package" in text:
            hint = f"{self._recipe.suite} has no such package"
        raise StepFailed(f"mmdebstrap (exit code {code})", errors[0].removeprefix("E: "), hint=hint)


class _Whole:
    """A process's output whose end counts only if the process ended well."""

    def __init__(self, stream: IO[bytes], end: Callable[[], None]) -> None:
        self._stream = stream
        self._end = end

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        if not data and size:
            self._end()
        return data


def _own_suite() -> str:
    """This machine's release where it is a Debian."""
    try:
        with open("/etc/os-release") as stream:
            fields = dict(line.strip().partition("=")[::2] for line in stream)
    except OSError:
        return _DEFAULT_SUITE
    name = fields.get("VERSION_CODENAME", "").strip('"')
    return name if fields.get("ID", "").strip('"') == "debian" and name else _DEFAULT_SUITE


def _release_date(sources: Sequence[Source], suite: str) -> int:
    """When the suite was last released: from what apt has here, else from the archive. Seconds."""
    for path in glob.glob(f"/var/lib/apt/lists/*_dists_{suite}_InRelease"):
        with open(path, encoding="utf-8", errors="replace") as stream:
            if date := date_of_release(stream.read()):
                return date
    source = next(each for each in sources if each.suite == suite)
    with tempfile.TemporaryDirectory(prefix="nakagin-") as folder:
        path = os.path.join(folder, "InRelease")
        address = f"{source.uri.rstrip('/')}/dists/{suite}/InRelease"
        subprocess.run(
            [_APT_HELPER, "-o", "APT::Sandbox::User=root", "download-file", address, path],
            capture_output=True, check=False,
        )  # fmt: skip
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                date = date_of_release(stream.read())
        except FileNotFoundError:
            date = 0
    if not date:
        raise Unavailable(
            f"cannot read the release date of {suite} from {address}",
            hint="is the network in reach? Or give a date: SOURCE_DATE_EPOCH",
        )
    return date


def date_of_release(text: str) -> int:
    """The Date field of a Release file in seconds since the epoch; 0 where there is none."""
    match = re.search(r"^Date: (.+)$", text, re.MULTILINE)
    return int(email.utils.parsedate_to_datetime(match[1]).timestamp()) if match else 0
