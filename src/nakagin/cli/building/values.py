"""The values of `build`'s flags that have a grammar of their own: outputs, secrets, agents, named contexts. Pure."""

from __future__ import annotations

import csv
import os

from nakagin.cli.building.contexts import is_remote
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OUTPUTS = ("local", "tar", "oci", "docker", "image", "registry", "cacheonly")
_TRUE, _FALSE = ("true", "1"), ("false", "0", "none")
_LOCAL = frozenset({"local", "tar", "oci"})


class Output:
    """One -o: its type and attributes; `target` is a path here, "-" standard output, "" nothing of ours."""

    __slots__ = ("attributes", "target", "type")

    def __init__(self, type: str, attributes: dict[str, str], target: str) -> None:
        self.type = type
        self.attributes = attributes
        self.target = target

    @property
    def is_folder(self) -> bool:
        """Whether what comes is unpacked."""
        return self.type == "local" or self.attributes.get("tar", "").lower() in ("false", "0")

    def document(self) -> dict[str, object]:
        """As the API has it."""
        return {"Type": self.type, "Attrs": self.attributes}


def output(text: str) -> Output:
    """`type=…,dest=…`, or the short forms `DIR` and `-`. Raises Invalid."""
    if "=" not in text:
        return Output("tar", {"dest": "-"}, "-") if text == "-" else Output("local", {"dest": text}, text)
    fields = pairs(text, "output")
    kind = fields.pop("type", "")
    if not kind:
        raise Invalid(f"type is required for output {text!r}", hint=f"known are {', '.join(_OUTPUTS)}")
    target = fields.get("dest", "")
    if kind in ("tar", "oci") and not target:
        target = fields["dest"] = "-"
    if kind == "local" and target in ("", "-"):
        raise Invalid("dest is required for output type=local", hint="type=local,dest=FOLDER")
    return Output(kind, fields, target if kind in _LOCAL or kind == "docker" else "")


def pairs(text: str, what: str) -> dict[str, str]:
    """`a=b,c=d`; a quoted part may hold commas. Raises Invalid."""
    found = {}
    for field in next(csv.reader([text]), []):
        name, equals, value = field.partition("=")
        if not equals:
            raise Invalid(f"invalid {what} field {field!r} must be a key=value pair")
        found[name.strip().lower() if what != "output" else name.strip()] = value
    return found


def secret(text: str, environment: Mapping[str, str]) -> tuple[str, str, str]:
    """`id=ID[,src=PATH][,env=NAME][,type=file|env]` as (id, path, variable), of which one is "". Raises Invalid."""
    fields = pairs(text, "secret")
    id = fields.get("id", "")
    kind = fields.get("type", "")
    path = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env", "")
    for name in fields:
        if name not in ("id", "src", "source", "env", "type"):
            raise Invalid(
                f"unexpected key {name!r} in secret {text!r}", hint="known are id, src, env and type"
            )
    if kind not in ("", "file", "env"):
        raise Invalid(f"unsupported secret type {kind!r}", hint="known are file and env")
    id = id or os.path.basename(path) or variable
    if not id:
        raise Invalid(f"the secret {text!r} has no id", hint="id=NAME,src=FILE")
    if kind == "env" and path and not variable:
        path, variable = "", path
    if not path and not variable:
        variable, path = (id, "") if kind == "env" or (kind == "" and id in environment) else ("", id)
    return id, path, variable


def agent(text: str, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """`default` or `ID[=PATH[,PATH…]]` as (id, paths): a socket of an agent, or files of keys. Raises Invalid."""
    id, _, paths = text.partition("=")
    found = [path for path in paths.split(",") if path]
    if not found:
        known = environment.get("SSH_AUTH_SOCK", "")
        if not known:
            raise Invalid(
                f"invalid --ssh {text}: there is no ssh agent here (SSH_AUTH_SOCK is not set)",
                hint="start one (eval $(ssh-agent)), or name a key: --ssh default=PATH",
            )
        found = [known]
    return id or "default", found


_KNOWN_HERE: dict[str, dict[str, tuple[str, ...]]] = {
    "gha": {"url_v2": ("ACTIONS_RESULTS_URL",), "token": ("ACTIONS_RUNTIME_TOKEN",)},
    "s3": {
        "access_key_id": ("AWS_ACCESS_KEY_ID",), "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
        "session_token": ("AWS_SESSION_TOKEN",), "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "bucket": ("AWS_BUCKET",),
    },
    "azblob": {
        "account_url": ("BUILDKIT_AZURE_STORAGE_ACCOUNT_URL",), "container": ("BUILDKIT_AZURE_STORAGE_CONTAINER",),
        "secret_access_key": ("BUILDKIT_AZURE_STORAGE_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY"),
    },
}  # fmt: skip
"""What the environment of a client says of caches elsewhere, where the flag does not."""


def _completed(fields: Mapping[str, str], environment: Mapping[str, str]) -> str:
    known = _KNOWN_HERE[fields["type"]]
    found = dict(fields)
    for name, variables in known.items():
        value = next((environment[each] for each in variables if environment.get(each)), "")
        if value and not found.get(name):
            found[name] = value
    return ",".join(f"{name}={value}" for name, value in found.items())


def caches(
    given: Iterable[str], side: str, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """--cache-from or --cache-to (`side` "from" or "to") as the engine is told, and the folders here by number."""
    told: list[str] = []
    here: dict[str, str] = {}
    for text in given:
        fields = pairs(text, "cache") if "=" in text else {}
        if fields.get("type") == "local":
            path = fields.get("src" if side == "from" else "dest", "")
            if not path:
                wanted = "src" if side == "from" else "dest"
                raise Invalid(f"the cache {text!r} says not where", hint=f"type=local,{wanted}=FOLDER")
            here[f"cache-{side} {len(told)}"] = path
        told.append(_completed(fields, environment) if fields.get("type") in _KNOWN_HERE else text)
    return told, here


def attestations(given: Iterable[str], bill: str, provenance: str) -> dict[str, dict[str, str]]:
    """--attest, and its short forms --sbom and --provenance, as attributes by kind. Raises Invalid."""
    found: dict[str, dict[str, str]] = {}
    for text in given:
        fields = pairs(text, "attest")
        kind = fields.pop("type", "")
        if not kind:
            raise Invalid(f"the attestation {text!r} has no type", hint="type=sbom or type=provenance")
        found[kind] = fields
    for kind, text in (("sbom", bill), ("provenance", provenance)):
        if text.lower() in _FALSE:
            found.pop(kind, None)
        elif text:
            found[kind] = {} if text.lower() in _TRUE else pairs(text, kind)
    return found


def contexts(given: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`NAME=WHERE` as what the engine is told (folders as "local:"), and the folders and layouts here by name."""
    told: dict[str, str] = {}
    here: dict[str, str] = {}
    for text in given:
        name, equals, where = text.partition("=")
        if not equals or not name or not where:
            raise Invalid(
                f"invalid context value {text!r}",
                hint="write NAME=PATH, NAME=URL or NAME=docker-image://IMAGE",
            )
        name = name.lower()
        if where.startswith("oci-layout://"):
            path = where.removeprefix("oci-layout://").partition("@")[0]
            if not os.path.isdir(path) and ":" in path:
                path = path.rpartition(":")[0]
            here[name] = path
            told[name] = where
        elif is_remote(where):
            told[name] = where
        else:
            here[name], told[name] = where, "local:"
    return told, here
