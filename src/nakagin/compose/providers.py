"""Services that programs of the user provide instead of containers, and language models, in Compose's protocol.

A provider is docker's plugin `docker-TYPE` or a program TYPE. It is called as `TYPE compose --project-name=NAME up|down
--option=value … SERVICE` and writes JSON lines: {"type": "info" | "debug" | "error" | "setenv", "message": …}. What it
sets ("URL=…") services that depend on it see with its name before it: DATABASE_URL.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from nakagin.compose.model import Project, Service
from nakagin.errors import CommandFailed, Invalid, NotFound

Document = dict[str, Any]
#: service → variables that it shall have besides its own
Provided = dict[str, dict[str, str]]
Teller = Callable[[str], None]

_PLUGINS = tuple(
    f"{folder}/docker/cli-plugins"
    for folder in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
)


def find_program(kind: str, environment: Mapping[str, str]) -> str:
    """The provider of a type. Raises NotFound, Invalid."""
    if not kind or "/" in kind or kind == "compose":
        raise Invalid(f"{kind!r} is not a valid type of provider")
    config = environment.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    for folder in (os.path.join(config, "cli-plugins"), *_PLUGINS):
        path = os.path.join(folder, f"docker-{kind}")
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(kind, path=environment.get("PATH"))
    if found is None:
        raise NotFound(
            f"no provider of type {kind!r} is installed",
            hint=f"neither a plugin docker-{kind} of docker's command line nor a program {kind} in PATH",
        )
    return found


def run_provider(project: Project, name: str, verb: str, tell: Teller) -> Provided:
    """Let a service be provided ("up") or taken away ("down"): what its users see of it.

    Raises CommandFailed with the provider's own words, NotFound, Invalid.
    """
    service = project.services[name]
    assert service.provider is not None
    kind = service.provider.type
    program = find_program(kind, project.environment)
    known = _parameters(program, verb, project.environment)
    words = [program, "compose", f"--project-name={project.name}", verb]
    for key, values in service.provider.options.items():
        if known is None or key in known:
            words += [f"--{key}={value}" for value in values]
    for key, needed in (known or {}).items():
        if needed and key not in service.provider.options:
            raise Invalid(
                f"service {name}: the provider {kind} needs the option {key!r}", hint="write it below options"
            )
    variables: dict[str, str] = {}
    for message in _conversation([*words, name], kind, project.environment):
        text = str(message.get("message", ""))
        match message.get("type"):
            case "error":
                raise CommandFailed(f"provider {kind}", text)
            case "setenv":
                key, given, value = text.partition("=")
                if not given:
                    raise CommandFailed(f"provider {kind}", f"it sets {text!r}, which is no NAME=VALUE")
                variables[f"{name.upper()}_{key}"] = value
            case "info":
                tell(text)
    users = [key for key, each in project.services.items() if name in each.depends_on]
    return {key: dict(variables) for key in users}


def _parameters(program: str, verb: str, environment: Mapping[str, str]) -> dict[str, bool] | None:
    """The options that the provider's own description knows, and whether it needs them; None where it has none."""
    done = subprocess.run(
        [program, "compose", "metadata"], env=dict(environment), capture_output=True, check=False, timeout=30
    )
    try:
        told = json.loads(done.stdout)
        parameters = {each["name"]: bool(each.get("required")) for each in told[verb]["parameters"]}
    except (ValueError, TypeError, KeyError):
        return None
    return parameters if done.returncode == 0 else None


def _conversation(words: list[str], kind: str, environment: Mapping[str, str]) -> Iterator[Document]:
    with subprocess.Popen(
        words, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.strip():
                continue
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                process.kill()
                said = line[:200].decode("utf-8", "replace").strip()
                raise CommandFailed(f"provider {kind}", f"it said {said!r}, which is no JSON message")
            yield message
    if process.returncode:
        raise CommandFailed(f"provider {kind}", f"it exited with code {process.returncode}")


def run_models(project: Project, tell: Teller) -> Provided:
    """Let docker's plugin `model` fetch the models that services use; under which variables they find them.

    Raises NotFound, CommandFailed.
    """
    try:
        program = find_program("model", project.environment)
    except NotFound:
        raise NotFound("'models' support requires Docker Model plugin", hint="install docker-model") from None

    def ask(*words: str) -> str:
        done = subprocess.run(
            [program, *words], env=project.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CommandFailed(f"docker model {words[0]}", (done.stderr or done.stdout).strip()[-300:])
        return done.stdout

    try:
        here = {tag for each in json.loads(ask("ls", "--json")) for tag in each.get("tags") or ()}
        endpoint = str(json.loads(ask("status", "--json"))["endpoint"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed("docker model", f"an answer that is not understood: {error}") from None
    for model in project.models.values():
        if model.model not in here:
            tell(f"pulling {model.model}")
            ask("pull", model.model)
        size = ["--context-size", str(model.context_size)] if model.context_size else []
        flags = ["--", *model.runtime_flags] if model.runtime_flags else []
        ask("configure", *size, model.model, *flags)
    return {name: _model_variables(project, each, endpoint) for name, each in project.services.items()}


def _model_variables(project: Project, service: Service, endpoint: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, binding in service.models.items():
        prefix = key.upper().replace("-", "_")
        found[(binding and binding.model_var) or f"{prefix}_MODEL"] = project.models[key].model
        found[(binding and binding.endpoint_var) or f"{prefix}_URL"] = endpoint
    return found


def with_provided(project: Project, provided: Provided) -> Project:
    """The project whose services have these variables."""
    if not any(provided.values()):
        return project
    services = {
        name: replace(each, environment={**each.environment, **provided.get(name, {})})
        for name, each in project.services.items()
    }
    return replace(project, services=services)
