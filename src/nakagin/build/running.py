"""RUN: the container of a step, planned as data, and what makes its cache key."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nakagin.build.history import run_text
from nakagin.containers.model import MountSpec
from nakagin.containers.steps import StepSpec
from nakagin.dockerfile.expand import Lexer
from nakagin.dockerfile.mounts import parse_mount
from nakagin.spec.docker import ContainerConfig, DeviceMapping, DeviceRequest, LogConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nakagin.build.remembering import Parts
    from nakagin.build.request import BuildRequest
    from nakagin.build.state import State
    from nakagin.containers.shelf import Handed
    from nakagin.dockerfile.instructions import Mount, Run
    from nakagin.dockerfile.scope import Scope

_DOCUMENTS = "/dev/pipes"


class Script(NamedTuple):
    """A heredoc that is a program of its own: RUN with nothing but `<<EOF`, and `#!` in its first line."""

    path: str
    body: str


class RunPlan(NamedTuple):
    """`argv` is what is executed, `text` the line of history, `seen` the build arguments in the environment."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    text: str
    mounts: tuple[Mount, ...]
    script: Script | None


def plan_run(it: Run, state: State, scope: Scope, escape: str) -> RunPlan:
    """What a RUN will do. Raises DockerfileError for bad mounts."""
    seen = {name: value for name, value in scope.arguments.items() if value is not None}
    seen = {name: value for name, value in seen.items() if name not in scope.environment}
    environment = {**scope.proxies(), **seen, **scope.environment}
    script, argv = _command(it, state.editor.shell)
    lexer = Lexer(scope.variables, escape)
    mounts = tuple(parse_mount(text, lexer.word) for text in it.mounts)
    return RunPlan(argv, environment, run_text(argv, seen), mounts, script)


def _command(it: Run, shell: tuple[str, ...]) -> tuple[Script | None, tuple[str, ...]]:
    if not it.documents or not it.command.shell:
        return None, it.command.argv(shell)
    text = it.command.words[0] if it.command.words else ""
    if (
        len(it.documents) == 1
        and text.split()[:1] == text.split()
        and text.lstrip("0123456789").startswith("<<")
    ):
        body = it.documents[0].body
        if body.startswith("#!"):
            script = Script(f"{_DOCUMENTS}/{it.documents[0].name}", body)
            return script, (*shell, script.path)
        return None, (*shell, body)
    documents = "".join(f"{each.content}{each.name}\n" for each in it.documents)
    return None, (*shell, f"{text}\n{documents}")


def step_spec(
    plan: RunPlan,
    it: Run,
    state: State,
    request: BuildRequest,
    mounts: Sequence[MountSpec],
    handed: Handed,
    cdi: Sequence[str] = (),
) -> StepSpec:
    """The container of a step; `cdi` are the full names of the devices that it gets."""
    host = request.host
    config = ContainerConfig(
        hostname=request.given.get("BUILDKIT_SANDBOX_HOSTNAME", ""),
        cmd=plan.argv,
        env=tuple(f"{name}={value}" for name, value in plan.environment.items()),
        user=state.editor.config.get("User", ""),
        working_dir=state.editor.config.get("WorkingDir") or "/",
    )
    # What a step says is told as it comes; nothing of it goes to the disk.
    changes: dict[str, object] = {"log_config": LogConfig(type="none")}
    if it.network != "default":
        changes["network_mode"] = it.network
    if it.security == "insecure":
        changes["privileged"] = True
    if it.devices:
        nodes = [each.name for each in it.devices if each.name.startswith("/")]
        changes["devices"] = (*host.devices, *map(_node, nodes))
    if cdi:
        changes["device_requests"] = (
            *host.device_requests,
            DeviceRequest(driver="cdi", device_ids=tuple(cdi)),
        )
    return StepSpec(
        chain=state.chain, config=config, host=msgspec.structs.replace(host, **changes), mounts=tuple(mounts),
        handed=handed,
    )  # fmt: skip


def _node(path: str) -> DeviceMapping:
    return DeviceMapping(path_on_host=path, path_in_container=path, cgroup_permissions="rwm")


def key_parts(
    plan: RunPlan, it: Run, state: State, hidden: Mapping[str, str], origins: Sequence[str]
) -> Parts:
    """What the result of a RUN depends on; `hidden` are proxies, `origins` digests of what its mounts show."""
    config = state.editor.config
    return {
        "kind": "RUN",
        "below": state.chain,
        "command": list(plan.argv),
        "script": plan.script.body if plan.script else "",
        "variable": {name: value for name, value in plan.environment.items() if name not in hidden},
        "user": config.get("User", ""),
        "folder": config.get("WorkingDir", ""),
        "network": it.network,
        "security": it.security,
        "devices": [msgspec.to_builtins(device) for device in it.devices],
        "mounts": [msgspec.to_builtins(mount) for mount in plan.mounts],
        "files": list(origins),
    }


def target_of(mount: Mount, workdir: str) -> str:
    """The absolute place of a mount inside; `/run/secrets/ID` and the agent's socket by default."""
    target = mount.target
    if not target and mount.kind == "secret":
        target = f"/run/secrets/{mount.id}"
    if not target and mount.kind == "ssh":
        target = "/run/buildkit/ssh_agent.0"
    return posixpath.normpath(posixpath.join("/", workdir or "/", target))


def script_mount(script: Script, folder: str) -> MountSpec:
    """The script as a file that can be executed, at its place. Written below `folder`."""
    path = os.path.join(folder, os.path.basename(script.path))
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o755)) as file:
        file.write(script.body)
    return MountSpec(type="bind", target=script.path, source=path, read_only=True)
