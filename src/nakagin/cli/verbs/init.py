"""`nakagin init`: a Dockerfile, compose.yaml, .dockerignore and a short README for a project's folder."""

from __future__ import annotations

import difflib
import json
import os
import sys
import tempfile

from nakagin.cli.command import Call, Command, complain, say
from nakagin.cli.flags import Flag
from nakagin.cli.terminal import is_terminal
from nakagin.errors import Conflict, Damaged, Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tarfile import TarFile
    from typing import IO

    from nakagin.cli.flags import Options
    from nakagin.client.containers import Container
    from nakagin.init.backwards import Source
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers, Planned, Question
    from nakagin.init.plan import Plan


def init(call: Call) -> int:
    """Look, ask what cannot be seen, show what is there already, write. Exit code 1 where files were left alone."""
    options = call.options
    form = options.text("format")
    if form not in {"text", "json"}:
        raise Invalid(f'invalid format "{form}"', hint="text or json")
    if options.text("from-image") or options.text("from-container"):
        return _backwards(call)
    from nakagin.init.folder import Folder
    from nakagin.init.plan import plan

    folder = Folder(next(iter(call.arguments), "."))
    answers = _answers(options)
    found = plan(folder, answers)
    if found.recipe.questions:
        found = _asked(folder, answers, found, talk=not options.on("yes"))
    if form == "json":
        say(json.dumps(_document(found), indent=4))
    else:
        _tell(folder, found)
    if options.on("dry-run"):
        if form == "text":
            for file in found.files:
                say(f"\n--- {file.path} ({file.state}) ---\n{file.text}")
        return 0
    if form == "text":
        say("")
    code = _write(folder, found.files, options, quiet=form == "json")
    if form == "text" and not code:
        say("\nNext: nakagin compose up --build")
    return code


def _answers(options: Options) -> Answers:
    from nakagin.init.model import Answers

    port = options.number("port") if options.given("port") else -1
    return Answers(options.text("language"), options.text("version"), port, options.text("command"))


def _asked(folder: Folder, answers: Answers, found: Plan, *, talk: bool) -> Plan:
    """The plan with every question answered: by the user, or by what is usual where nobody is to be asked."""
    from dataclasses import replace

    from nakagin.init.plan import plan

    for question in found.recipe.questions:
        asks = talk and is_terminal(0)
        text = _ask(question) if asks else question.fallback
        if not text:
            raise Invalid(f"{question.text} The folder does not tell", hint=f"say it with --{question.topic}")
        if not asks:
            continue  # the recipe has taken it already
        if question.topic == "port" and not text.isdecimal():
            raise Invalid(f'invalid port "{text}"', hint="a number from 1 to 65535, or 0 for none")
        answers = (
            replace(answers, port=int(text)) if question.topic == "port" else replace(answers, command=text)
        )
    return plan(folder, answers)


def _ask(question: Question) -> str:
    usual = f" [{question.fallback}]" if question.fallback else ""
    return input(f"{question.text}{usual} ").strip() or question.fallback


def _tell(folder: Folder, found: Plan) -> None:
    from nakagin.cli.listing import columns

    say(f"{folder.name}: {found.recipe.title}\n")
    rows = [(f"  {fact.what}", fact.value, fact.source) for fact in found.recipe.facts]
    rows += [("  needs", each.product, each.source) for each in found.services]
    sys.stdout.write(columns(rows))
    for note in found.recipe.notes:
        say(f"\nNote: {note}")


def _document(found: Plan) -> dict[str, object]:
    recipe = found.recipe
    return {
        "Language": recipe.language,
        "Framework": recipe.framework,
        "Tool": recipe.tool,
        "Port": recipe.port,
        "Facts": [{"What": what, "Value": value, "Source": source} for what, value, source in recipe.facts],
        "Services": [
            {"Name": each.name, "Product": each.product, "Source": each.source} for each in found.services
        ],
        "Notes": list(recipe.notes),
        "Files": [{"Path": each.path, "State": each.state, "Text": each.text} for each in found.files],
    }


def _write(
    folder: Folder,
    files: tuple[Planned, ...],
    options: Options,
    *,
    quiet: bool,
) -> int:
    kept = []
    for file in files:
        if file.state == "same":
            continue
        if file.state == "differs" and not _consent(file, options, quiet=quiet):
            kept.append(file.path)
            continue
        _replace(os.path.join(folder.root, file.path), file.text)
        if not quiet:
            say(f"{'Wrote' if file.old is None else 'Replaced'} {file.path}")
    if kept:
        complain(f"Left as they are: {', '.join(kept)} (--overwrite replaces them)")
        return 1
    return 0


def _consent(file: Planned, options: Options, *, quiet: bool) -> bool:
    """Whether a file that is there may be replaced; the user sees what would change."""
    if not quiet:
        before, after = (file.old or "").splitlines(), file.text.splitlines()
        say("")
        for line in difflib.unified_diff(before, after, file.path, f"{file.path} (init)", lineterm=""):
            say(line)
    if options.on("overwrite"):
        return True
    if options.on("yes") or not is_terminal(0):
        return False
    return input(f"Replace {file.path}? [y/N] ").strip().lower() in {"y", "yes"}


def _replace(path: str, text: str) -> None:
    """The file whole or not at all; a link is replaced, not followed."""
    mode = os.stat(path).st_mode & 0o7777 if os.path.isfile(path) else 0o644
    fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".init-")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _backwards(call: Call) -> int:
    """A Dockerfile on standard output, or in a folder that is named, with the files that no instruction tells of."""
    from nakagin.init import backwards

    options = call.options
    container, image = options.text("from-container"), options.text("from-image")
    if container and image:
        raise Invalid("--from-image and --from-container exclude each other")
    living = call.client.containers.get(container) if container else None
    if living:
        image = living.attributes["Image"]
    source = _source(call, image, living)
    if not call.arguments or options.on("dry-run"):
        sys.stdout.write(backwards.dockerfile(source, {}))
        if living:
            sys.stdout.write(backwards.told(container, living.changes()))
        return 0
    from nakagin.init.folder import Folder
    from nakagin.init.model import Planned

    folder = Folder(call.arguments[0])
    wanted = backwards.copied(source)
    names = [backwards.archive(number) for number in wanted] + [backwards.CHANGES] * bool(living)
    there = [name for name in names if folder.has(name)]
    if there and not options.on("overwrite"):
        raise Conflict(
            f"{', '.join(there)} exist in {folder.root}", hint="take another folder, or --overwrite"
        )
    with tempfile.TemporaryDirectory(dir=folder.root, prefix=".init-") as place:
        archives = _layers(call, source, wanted, place)
        deleted = _changes(living, place) if living else None
        old = folder.text("Dockerfile") if folder.has("Dockerfile") else None
        file = Planned("Dockerfile", backwards.dockerfile(source, archives, deleted), old)
        if code := _write(folder, (file,), options, quiet=False):
            return code
        for name in names:
            os.replace(os.path.join(place, name), os.path.join(folder.root, name))
            say(f"Wrote {name}")
    say(f"\nNext: nakagin build {call.arguments[0]}")
    return 0


def _source(call: Call, image: str, living: Container | None) -> Source:
    from nakagin.init.backwards import Source, base_of

    images = call.client.images
    facts, found = images.explain(image), images.get(image)
    others = {
        names[0]: images.get(each["Id"])
        for each in images.list()
        if each["Id"] != found["Id"] and (names := each.get("RepoTags"))
    }
    layers = {name: each["RootFS"].get("Layers") or [] for name, each in others.items()}
    base, count = base_of(found["RootFS"].get("Layers") or [], layers)
    config = living.attributes["Config"] if living else found["Config"]
    below = others[base]["Config"] if base in others else {}
    name = living.attributes["Name"].lstrip("/") if living else image
    return Source(name, facts["Steps"], config or {}, found["Id"], base, count, below or {})


def _layers(call: Call, source: Source, wanted: list[int], place: str) -> dict[int, list[str]]:
    """The wanted layers as archives in a folder; what each deletes."""
    if not wanted:
        return {}
    import tarfile

    from nakagin.init.backwards import archive
    from nakagin.init.layers import keep

    with tempfile.TemporaryFile(dir=place) as saved:
        for piece in call.client.images.save([source.image]):
            saved.write(piece)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as whole:
            manifest = json.loads(_member(whole, "manifest.json").read())[0]
            return {
                number: keep(_member(whole, manifest["Layers"][number]), os.path.join(place, archive(number)))
                for number in wanted
            }


def _member(archive: TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise Damaged(f"the saved image has no file {name}")
    return found


def _changes(living: Container, place: str) -> list[str]:
    """What a container changed as an archive in a folder; what it deleted."""
    from nakagin.init.backwards import CHANGES
    from nakagin.init.layers import keep

    with tempfile.TemporaryFile(dir=place) as layer:
        for piece in living.layer():
            layer.write(piece)
        layer.seek(0)
        return keep(layer, os.path.join(place, CHANGES))


INIT = Command(
    init,
    "[OPTIONS] [FOLDER]",
    (
        Flag(
            "command",
            "",
            "string",
            "The command that starts the program (Go, C, Rust, .NET: the program to build)",
        ),
        Flag("dry-run", "", "bool", "Show the files, write nothing"),
        Flag("format", "", "string", "Output as text or json", "text"),
        Flag("from-container", "", "string", "Write a Dockerfile back from a container"),
        Flag("from-image", "", "string", "Write a Dockerfile back from an image's history"),
        Flag("language", "", "string", "Take the folder for a project of this language"),
        Flag("overwrite", "", "bool", "Replace files that are there, after showing what changes"),
        Flag("port", "p", "uint16", "The port the program listens on (0: none)"),
        Flag("version", "", "string", "The language's version"),
        Flag("yes", "y", "bool", "Ask nothing: take what is usual, and leave files that are there"),
    ),
    most=1,
)
