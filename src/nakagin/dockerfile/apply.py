"""What an instruction changes in an image's config: for builds, and for the `--change` of commit and import."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, cast

from nakagin.dockerfile import instructions as i
from nakagin.dockerfile.fault import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nakagin.spec import image

DEFAULT_SHELL = ("/bin/sh", "-c")
_PORT = re.compile(r"(?:.*:)?(\d{1,5})(?:-(\d{1,5}))?(?:/(\w+))?")
_PROTOCOLS = ("tcp", "udp", "sctp")


class ConfigEditor:
    """The config of an image in the making; `config` is its own copy."""

    def __init__(self, config: image.ContainerDefaults) -> None:
        self.config = cast("image.ContainerDefaults", {key: _copy(value) for key, value in config.items()})
        self.author = ""
        self._command_is_ours = False

    @property
    def shell(self) -> tuple[str, ...]:
        """What the shell forms run in."""
        return tuple(self.config.get("Shell") or DEFAULT_SHELL)

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config.get("Env") or ())

    def apply(self, instruction: i.Instruction) -> bool:
        """Changes the config by an instruction whose variables are filled in; False: it changes none."""
        edit = _EDITS.get(type(instruction))
        if edit is None:
            return False
        try:
            edit(self, instruction)
        except DockerfileError as error:
            raise error.at(instruction.node.start, instruction.node.end) from None
        return True

    # --- One method an instruction

    def env(self, it: i.Env) -> None:
        self.config["Env"] = [
            f"{name}={value}" for name, value in {**self.environment, **dict(it.pairs)}.items()
        ]

    def label(self, it: i.Label) -> None:
        self.config["Labels"] = {**(self.config.get("Labels") or {}), **dict(it.pairs)}

    def cmd(self, it: i.Cmd) -> None:
        self.config["Cmd"] = list(it.command.argv(self.shell))
        self._command_is_ours = True

    def entrypoint(self, it: i.Entrypoint) -> None:
        """A CMD of the base image was meant for its own entry point, so it goes."""
        words = list(it.command.argv(self.shell))
        if words:
            self.config["Entrypoint"] = words
        else:
            self.config.pop("Entrypoint", None)
        if not self._command_is_ours:
            self.config.pop("Cmd", None)

    def expose(self, it: i.Expose) -> None:
        ports = dict(self.config.get("ExposedPorts") or {})
        for text in it.ports:
            ports.update({key: {} for key in exposed(text)})
        self.config["ExposedPorts"] = ports

    def volume(self, it: i.Volume) -> None:
        self.config["Volumes"] = {**(self.config.get("Volumes") or {}), **{path: {} for path in it.paths}}

    def user(self, it: i.User) -> None:
        self.config["User"] = it.user

    def workdir(self, it: i.Workdir) -> None:
        if not it.path:
            raise DockerfileError("WORKDIR requires a path")
        path = posixpath.normpath(posixpath.join("/", self.config.get("WorkingDir") or "/", it.path))
        self.config["WorkingDir"] = "/" + path.lstrip("/")

    def stopsignal(self, it: i.Stopsignal) -> None:
        self.config["StopSignal"] = it.signal

    def healthcheck(self, it: i.Healthcheck) -> None:
        check: image.Healthcheck = {"Test": list(it.test)}
        if it.interval:
            check["Interval"] = it.interval
        if it.timeout:
            check["Timeout"] = it.timeout
        if it.start_period:
            check["StartPeriod"] = it.start_period
        if it.start_interval:
            check["StartInterval"] = it.start_interval
        if it.retries:
            check["Retries"] = it.retries
        self.config["Healthcheck"] = check

    def set_shell(self, it: i.Shell) -> None:
        self.config["Shell"] = list(it.words)

    def onbuild(self, it: i.Onbuild) -> None:
        self.config["OnBuild"] = [*(self.config.get("OnBuild") or ()), it.text]

    def maintainer(self, it: i.Maintainer) -> None:
        self.author = it.name


def _copy(value: object) -> object:
    return list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


def exposed(text: str) -> list[str]:
    """The `port/protocol` keys of one argument of EXPOSE: `80`, `80/udp`, `8000-8010`. Raises DockerfileError."""
    match = _PORT.fullmatch(text)
    if match is None:
        raise DockerfileError(
            f"invalid containerPort: {text}", hint="write 80, 80/udp or 8000-8010/tcp", needle=text
        )
    low, high = int(match[1]), int(match[2] or match[1])
    protocol = (match[3] or "tcp").lower()
    if not 0 < low <= high <= 65535:
        raise DockerfileError(
            f"invalid range format for --expose: {text}", hint="ports are 1 to 65535", needle=text
        )
    if protocol not in _PROTOCOLS:
        raise DockerfileError(
            f"invalid proto: {protocol}", hint=f"known are {', '.join(_PROTOCOLS)}", needle=protocol
        )
    return [f"{port}/{protocol}" for port in range(low, high + 1)]


_EDITS: dict[type[i.Instruction], Callable[..., None]] = {
    i.Cmd: ConfigEditor.cmd,
    i.Entrypoint: ConfigEditor.entrypoint,
    i.Env: ConfigEditor.env,
    i.Expose: ConfigEditor.expose,
    i.Healthcheck: ConfigEditor.healthcheck,
    i.Label: ConfigEditor.label,
    i.Maintainer: ConfigEditor.maintainer,
    i.Onbuild: ConfigEditor.onbuild,
    i.Shell: ConfigEditor.set_shell,
    i.Stopsignal: ConfigEditor.stopsignal,
    i.User: ConfigEditor.user,
    i.Volume: ConfigEditor.volume,
    i.Workdir: ConfigEditor.workdir,
}
