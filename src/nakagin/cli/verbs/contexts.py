"""`nakagin context create|export|import|inspect|ls|rm|show|update|use`: which engine is meant, by name."""

from __future__ import annotations

import io
import json
import os
import sys

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.listing import show
from nakagin.cli.verbs.inspect import show_documents
from nakagin.client.contexts import DEFAULT, Contexts, check_name, config_folder, current
from nakagin.client.endpoint import DEFAULT_SOCKET, Endpoint, complete
from nakagin.errors import Conflict, Invalid, NakaginError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

_HEADERS = {
    "Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR",
    "Current": "CURRENT", "ContextType": "TYPE",
}  # fmt: skip
_KEYS = ("ca", "cert", "from", "host", "key", "skip-tls-verify")
_LARGEST_IMPORT = 10 << 20


def _store(call: Call) -> Contexts:
    return Contexts(config_folder(os.environ, call.settings.text("config") if call.settings else None))


def _chosen(call: Call, store: Contexts) -> str:
    """The context that commands use now, but for an address in the environment."""
    given = call.settings.text("context") if call.settings else ""
    named = given or os.environ.get("DOCKER_CONTEXT")
    overridden = os.environ.get("NAKAGIN_HOST") or os.environ.get("DOCKER_HOST")
    return given or (DEFAULT if overridden else named or current(store.folder))


def create(call: Call) -> int:
    """Make a context."""
    store, name = _store(call), call.arguments[0]
    check_name(name)
    document: Document = {"Name": name, "Metadata": {}, "Endpoints": {}}
    tls: dict[str, bytes] = {}
    if source := call.options.text("from"):
        old = _document(store, source)
        document = {**old, "Name": name}
        tls = store.tls_files(source)
    _change(call, store, document, tls)
    if "docker" not in document["Endpoints"]:
        raise Invalid("docker endpoint configuration is required", hint='--docker "host=ssh://user@machine"')
    store.put(document, tls, new=True)
    say(name)
    complain(f'Successfully created context "{name}"')
    return 0


def update(call: Call) -> int:
    """Change a context."""
    store, name = _store(call), call.arguments[0]
    check_name(name)
    document, tls = store.get(name), store.tls_files(name)
    _change(call, store, document, tls)
    store.put(document, tls, new=False)
    say(name)
    complain(f'Successfully updated context "{name}"')
    return 0


def _change(call: Call, store: Contexts, document: Document, tls: dict[str, bytes]) -> None:
    """Apply --description and --docker to a context."""
    if call.options.given("description"):
        document["Metadata"] = {
            **document.get("Metadata", {}),
            "Description": call.options.text("description"),
        }
    words = [part for value in call.options.many("docker") for part in value.split(",")]
    settings = dict(word.partition("=")[::2] for word in words)
    for key in settings:
        if key not in _KEYS:
            raise Invalid(f"unrecognized config key: {key}", hint=", ".join(_KEYS))
    if not settings:
        return
    if source := settings.get("from"):
        document["Endpoints"] = {
            **document["Endpoints"],
            "docker": _document(store, source)["Endpoints"]["docker"],
        }
        tls.clear()
        tls.update(store.tls_files(source))
        return
    address = complete(settings.get("host") or f"unix://{DEFAULT_SOCKET}")
    Endpoint(address)  # raises Invalid for none
    skip = settings.get("skip-tls-verify", "false")
    if skip not in {"true", "false", "1", "0"}:
        raise Invalid(f"invalid docker endpoint options: skip-tls-verify: {skip!r}", hint="true or false")
    document["Endpoints"] = {
        **document["Endpoints"], "docker": {"Host": address, "SkipTLSVerify": skip in {"true", "1"}},
    }  # fmt: skip
    tls.clear()
    for key in ("ca", "cert", "key"):
        if path := settings.get(key):
            try:
                with open(path, "rb") as file:
                    tls[f"{key}.pem"] = file.read()
            except OSError as error:
                raise Invalid(f"unable to read {key} {path}: {error.strerror}") from None


def _document(store: Contexts, name: str) -> Document:
    """A context's document; "default" is what the environment says."""
    if name != DEFAULT:
        return store.get(name)
    host = os.environ.get("NAKAGIN_HOST") or os.environ.get("DOCKER_HOST")
    endpoint = {"Host": complete(host) if host else f"unix://{DEFAULT_SOCKET}", "SkipTLSVerify": False}
    return {"Name": DEFAULT, "Metadata": {}, "Endpoints": {"docker": endpoint}}


def ls(call: Call) -> int:
    """List contexts; the one in use is marked."""
    store = _store(call)
    chosen = _chosen(call, store)
    names = sorted({DEFAULT, *store.names()})
    if call.options.on("quiet"):
        for name in names:
            say(name)
        return 0
    marks = call.options.text("format") in ("", "table")
    rows = [_row(store, name, chosen, marks=marks) for name in names]
    if chosen not in names:
        missing = {"Error": "context not found", "Description": "", "DockerEndpoint": "", "ContextType": ""}
        rows.append({**missing, "Name": f"{chosen} *" if marks else chosen, "Current": True})
    show(rows, call.options.text("format"), ("Name", "Description", "DockerEndpoint", "Error"), _HEADERS)
    return 0


def _row(store: Contexts, name: str, chosen: str, *, marks: bool) -> Document:
    row: Document = {
        "Name": f"{name} *" if marks and name == chosen else name, "Current": name == chosen, "Error": "",
        "Description": "", "DockerEndpoint": "", "ContextType": "",
    }  # fmt: skip
    try:
        document = _document(store, name)
    except NakaginError as error:
        return {**row, "Error": error.message}
    row["Description"] = document.get("Metadata", {}).get("Description", "")
    if name == DEFAULT:
        row["Description"] = "Current DOCKER_HOST based configuration"
    row["DockerEndpoint"] = document.get("Endpoints", {}).get("docker", {}).get("Host", "")
    return row


def inspect(call: Call) -> int:
    """Show contexts; without names the one in use."""
    store = _store(call)

    def find(name: str) -> Document:
        document = _document(store, name)
        places = store.places(name) if name != DEFAULT else ("<IN MEMORY>", "<IN MEMORY>")
        files = sorted(store.tls_files(name)) if name != DEFAULT else []
        return {
            **document,
            "TLSMaterial": {"docker": files} if files else {},
            "Storage": {"MetadataPath": places[0], "TLSPath": places[1]},
        }

    call.arguments = call.arguments or [_chosen(call, store)]
    return show_documents(call, find)


def rm(call: Call) -> int:
    """Remove contexts."""
    store = _store(call)
    return call.each(lambda name: store.remove(name, force=call.options.on("force")))


def show_current(call: Call) -> int:
    """Print the name of the context in use."""
    say(_chosen(call, _store(call)))
    return 0


def use(call: Call) -> int:
    """Choose a context for the commands to come."""
    store, name = _store(call), call.arguments[0]
    store.use(name)
    say(name)
    complain(f'Current context is now "{name}"')
    for variable in ("NAKAGIN_HOST", "DOCKER_HOST"):
        if os.environ.get(variable) and name != DEFAULT:
            complain(
                f"Warning: {variable} environment variable overrides the active context. To use "
                f'"{name}", either set the global --context flag, or unset {variable} environment variable.'
            )
            break
    return 0


def export(call: Call) -> int:
    """Write a context to a tar archive."""
    import tarfile

    store, name = _store(call), call.arguments[0]
    document = _document(store, name)
    files = {"meta.json": json.dumps(document, separators=(",", ":")).encode()}
    if name != DEFAULT:
        files |= {f"tls/docker/{each}": content for each, content in store.tls_files(name).items()}
    target = call.arguments[1] if len(call.arguments) > 1 else f"{name}.dockercontext"
    if target == "-" and sys.stdout.isatty():
        raise Invalid("cowardly refusing to export to a terminal, specify a file path")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = 0o600, len(content)
            archive.addfile(entry, io.BytesIO(content))
    if target == "-":
        sys.stdout.buffer.write(stream.getvalue())
        return 0
    try:
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(stream.getvalue())
    except FileExistsError:
        raise Conflict(f"open {target}: file exists", hint="name another file, or remove that one") from None
    except OSError as error:
        raise NotFound(f"open {target}: {(error.strerror or '').lower()}") from None
    complain(f'Written file "{target}"')
    return 0


def import_(call: Call) -> int:
    """Make a context from an archive of `context export`, as tar or zip."""
    store, (name, source) = _store(call), call.arguments
    check_name(name)
    try:
        if source == "-":
            data = sys.stdin.buffer.read(_LARGEST_IMPORT + 1)
        else:
            with open(source, "rb") as file:
                data = file.read(_LARGEST_IMPORT + 1)
    except OSError as error:
        raise NotFound(f"open {source}: {(error.strerror or '').lower()}") from None
    if len(data) > _LARGEST_IMPORT:
        raise Invalid(f"{source} is too large for a context", hint="at most 10 MB")
    files = _unpacked(data, source)
    try:
        document = json.loads(files["meta.json"])
        endpoints = document["Endpoints"]
    except (KeyError, TypeError, ValueError):
        raise Invalid(f"{source} is no exported context: meta.json is missing or broken") from None
    tls = {
        path.rpartition("/")[2]: content for path, content in files.items() if path.startswith("tls/docker/")
    }
    store.put(
        {"Name": name, "Metadata": document.get("Metadata") or {}, "Endpoints": endpoints}, tls, new=True
    )
    say(name)
    complain(f'Successfully imported context "{name}"')
    return 0


def _unpacked(data: bytes, source: str) -> dict[str, bytes]:
    """The wanted files of an archive by path; all others are refused."""
    import tarfile
    import zipfile

    files: dict[str, bytes] = {}
    try:
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files = {each: archive.read(each) for each in archive.namelist() if not each.endswith("/")}
        else:
            # Docker leaves the padding and the end of its archives out.
            with tarfile.open(fileobj=io.BytesIO(data + bytes(1536))) as tar:
                for member in tar:
                    if member.isfile() and (stream := tar.extractfile(member)) is not None:
                        files[member.name] = stream.read()
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise Invalid(f"{source} is neither tar nor zip: {error}") from None
    allowed = {"meta.json", "tls/docker/ca.pem", "tls/docker/cert.pem", "tls/docker/key.pem"}
    if strange := set(files) - allowed:
        raise Invalid(f"{source}: {min(strange)!r} does not belong into a context")
    return files


_DOCKER = Flag(
    "docker", "", "list", 'Where the engine is: "host=…[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=true]"'
)
_DESCRIPTION = Flag("description", "", "string", "Description of the context")
_FORMAT = "Format output using a Go template, or 'json'"
CREATE = Command(
    create,
    "[OPTIONS] CONTEXT",
    (_DESCRIPTION, _DOCKER, Flag("from", "", "string", "Create context from a named context")),
    least=1,
    most=1,
)
EXPORT = Command(export, "CONTEXT [FILE|-]", least=1, most=2)
IMPORT = Command(import_, "CONTEXT FILE|-", least=2, most=2)
INSPECT = Command(inspect, "[OPTIONS] [CONTEXT...]", (Flag("format", "f", "string", _FORMAT),), most=None)
LS = Command(
    ls,
    "[OPTIONS]",
    (Flag("format", "", "string", _FORMAT), Flag("quiet", "q", "bool", "Only show context names")),
)
RM = Command(
    rm,
    "CONTEXT [CONTEXT...]",
    (Flag("force", "f", "bool", "Force the removal of a context in use"),),
    least=1,
    most=None,
)
SHOW = Command(show_current, "")
UPDATE = Command(update, "[OPTIONS] CONTEXT", (_DESCRIPTION, _DOCKER), least=1, most=1)
USE = Command(use, "CONTEXT", least=1, most=1)
