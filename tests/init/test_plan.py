"""What init sees in a project, and the files that follow from it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.init.projects import FASTAPI, PROJECTS, package

from nakagin.dockerfile.lint import lint
from nakagin.dockerfile.stages import read
from nakagin.errors import Invalid, NotFound
from nakagin.init import versions
from nakagin.init.folder import Folder
from nakagin.init.model import Answers
from nakagin.init.plan import Plan, plan


def make(root: Path, files: dict[str, str]) -> Folder:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Folder(str(root))


def text(found: Plan, name: str) -> str:
    return next(file.text for file in found.files if file.path == name)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_project_is_recognized(name: str, tmp_path: Path) -> None:
    project = PROJECTS[name]
    found = plan(make(tmp_path / "shop", project.files), Answers())
    assert found.recipe.title == project.title
    assert found.recipe.port == project.port
    dockerfile = text(found, "Dockerfile")
    for each in project.says:
        assert each in dockerfile
    assert [service.product for service in found.services] == list(project.services)
    for each in project.compose:
        assert each in text(found, "compose.yaml")


@pytest.mark.parametrize("name", PROJECTS)
def test_its_files_are_sound(name: str, tmp_path: Path) -> None:
    """The Dockerfile has no lint warning and ends as an ordinary user, the Compose file is YAML that hangs together."""
    found = plan(make(tmp_path / "shop", PROJECTS[name].files), Answers())
    dockerfile = read(text(found, "Dockerfile"))
    assert lint(dockerfile) == []
    keywords = [instruction.node.keyword for instruction in dockerfile.stages[-1].instructions]
    assert "USER" in keywords
    assert ("HEALTHCHECK" in keywords) == bool(found.recipe.port)
    compose: dict[str, Any] = yaml.safe_load(text(found, "compose.yaml"))
    services = compose["services"]
    assert set(services["app"].get("depends_on", {})) == set(services) - {"app"}
    named = {each["volumes"][0].split(":")[0] for name, each in services.items() if name != "app"}
    assert set(compose.get("volumes", {})) == named
    assert ".env" in text(found, ".dockerignore").splitlines()


@pytest.mark.parametrize("name", PROJECTS)
def test_the_rules_are_kept(name: str, tmp_path: Path) -> None:
    """Every base has its version, what is installed is cached, what compiles does it in a stage of its own."""
    folder = make(tmp_path / "shop", PROJECTS[name].files)
    dockerfile = text(plan(folder, Answers()), "Dockerfile")
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    stages = re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.MULTILINE)
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.MULTILINE))
    for base in bases:
        if base in stages:
            continue
        tag = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], base).partition(":")[2]
        assert re.search(r"\d|bookworm", tag), f"{base} has no version"
    for line in re.findall(r"^RUN (?:[^\n]|\\\n)*", dockerfile, re.MULTILINE):
        if re.search(
            r"\b(?:pip|npm|pnpm|yarn|uv|poetry|mvn|gradle|cargo|composer|go mod|apt-get|bundle) ", line
        ):
            installs = re.search(r"install|sync|download|package|assemble|build --release", line)
            global_tool = "npm install --global" in line
            assert not installs or global_tool or "--mount=type=cache" in line, line
    if name not in {"php-plain", "static"}:
        assert len(bases) > 1
    last = dockerfile[dockerfile.rindex("FROM ") :]
    assert not re.search(r"build-essential|-dev\b", last) or name.startswith("php"), (
        "compilers stay in the image"
    )
    assert re.search(r"^USER (?!root|0)\S+", last, re.MULTILINE)


def test_a_language_has_several_names(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        {"main.py": "print(1)\n", "index.html": "<p>", "package.json": package(main="x.js"), "x.js": ""},
    )
    for word, language in (
        ("PYTHON", "Python"),
        ("Node.js", "Node.js"),
        ("TypeScript", "Node.js"),
        ("HTML", "Static site"),
    ):
        assert plan(folder, Answers(language=word)).recipe.language == language
    with pytest.raises(Invalid, match="did you mean python"):
        plan(folder, Answers(language="Pyhton"))


@pytest.mark.parametrize(
    ("stated", "lock", "chosen"),
    [
        ("pnpm@9.1.2", "lockfileVersion: '9.0'\n", "pnpm@9.1.2"), ("", "lockfileVersion: '9.0'\n", "pnpm@10"),
        ("", "lockfileVersion: 5.4\n", "pnpm@7"), ("pnpm@10.0.0+sha512.abc", "", "pnpm@10.0.0"),
    ],
)  # fmt: skip
def test_the_pnpm_that_reads_the_lock_file(stated: str, lock: str, chosen: str, tmp_path: Path) -> None:
    manifest = package(main="x.js", **({"packageManager": stated} if stated else {}))
    folder = make(tmp_path, {"package.json": manifest, "x.js": "", "pnpm-lock.yaml": lock})
    assert f"npm install --global {chosen}\n" in text(plan(folder, Answers(port=0)), "Dockerfile")


def test_the_user_knows_better(tmp_path: Path) -> None:
    folder = make(tmp_path, PROJECTS["express-npm"].files)
    found = plan(folder, Answers(version="24", port=5000, command="node --watch server.js"))
    assert found.recipe.port == 5000
    assert "ARG NODE_VERSION=24" in text(found, "Dockerfile")
    assert 'CMD ["node", "--watch", "server.js"]' in text(found, "Dockerfile")


def test_what_cannot_be_seen_is_asked(tmp_path: Path) -> None:
    questions = plan(make(tmp_path, {"requirements.txt": "requests\n"}), Answers()).recipe.questions
    assert [each.topic for each in questions] == ["command", "port"]
    assert plan(Folder(str(tmp_path)), Answers(command="python x.py", port=0)).recipe.questions == ()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not look like a project"):
        plan(Folder(str(tmp_path)), Answers())
    with pytest.raises(Invalid, match='unknown language "cobol"'):
        plan(Folder(str(tmp_path)), Answers(language="cobol"))
    with pytest.raises(NotFound, match="no such folder"):
        Folder(str(tmp_path / "none"))
    broken = make(tmp_path / "broken", {"pyproject.toml": "[project\n", "main.py": "1\n"})
    with pytest.raises(Invalid, match=r"pyproject.toml is no TOML: .*line 1"):
        plan(broken, Answers())
    for text, reason in (
        ("{,}", "package.json is no JSON: .*line 1"),
        ("[]", "package.json holds no object"),
    ):
        with pytest.raises(Invalid, match=reason):
            plan(make(tmp_path / "node", {"package.json": text}), Answers())


@pytest.mark.parametrize(
    ("files", "installs"),
    [
        (
            {"requirements/base.txt": "flask\n", "requirements/prod.txt": "-r base.txt\ngunicorn\n",
             "requirements/dev.txt": "-r base.txt\npytest\n"},
            "COPY requirements/prod.txt requirements/base.txt ./requirements/\nRUN --mount=type=cache,",
        ),
        (
            {"requirements.txt": "-r reqs/web.txt\n", "reqs/web.txt": "flask\ngunicorn\n-c ../limits.txt\n",
             "limits.txt": "flask<4\n", "requirements-dev.txt": "pytest\n"},
            "COPY requirements.txt limits.txt ./\nCOPY reqs/web.txt ./reqs/\n",
        ),
        ({"requirements.txt": "flask\ngunicorn\n-e .\n", "setup.py": ""}, "COPY . .\nRUN --mount"),
        ({}, "pip install flask pillow gunicorn\n"),
    ],
)  # fmt: skip
def test_what_pip_installs(files: dict[str, str], installs: str, tmp_path: Path) -> None:
    """Also files that include others, lie in a folder, or are not there at all."""
    source = "import os, json\nfrom flask import Flask\nfrom PIL import Image\nimport local\napp = Flask(__name__)\n"
    found = plan(make(tmp_path, {"app.py": source, "local.py": "", **files}), Answers())
    assert found.recipe.framework == "Flask"
    assert installs in text(found, "Dockerfile")
    assert bool(found.recipe.notes) == (not files)


def test_a_list_that_powershell_wrote(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes("flask==3\r\ngunicorn\r\n".encode("utf-16"))
    (tmp_path / "package.json").write_bytes(b"\xef\xbb\xbf{}")
    folder = make(tmp_path, {"app.py": "from flask import Flask\nweb = Flask(__name__)\n"})
    assert plan(folder, Answers()).recipe.notes == ()
    assert folder.json("package.json") == {}


def test_several_programs(tmp_path: Path) -> None:
    """The one that serves is taken, else the first; and who is asked hears of the others."""
    main = "package main\n"
    folder = make(
        tmp_path / "go",
        {
            "go.mod": "module x\n",
            "cmd/a/main.go": main,
            "cmd/web/main.go": f'{main}http.ListenAndServe(":9090", x)\n',
        },
    )
    found = plan(folder, Answers())
    assert "./cmd/web" in text(found, "Dockerfile")
    assert found.recipe.questions[0].fallback == "cmd/web"
    folder = make(
        tmp_path / "py", {f"{each}.py": "if __name__ == '__main__': pass\n" for each in ("send", "get")}
    )
    found = plan(folder, Answers(port=0))
    assert 'CMD ["python", "get.py"]' in text(found, "Dockerfile")
    assert "send.py" in found.recipe.questions[0].text
    assert "send.py" in found.recipe.notes[0]


def test_a_cargo_workspace(tmp_path: Path) -> None:
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["crates/*", "server"]\n',
        "crates/tool/Cargo.toml": '[package]\nname = "tool"\n', "crates/tool/src/main.rs": "",
        "crates/lib/Cargo.toml": '[package]\nname = "lib"\n', "crates/lib/src/lib.rs": "",
        "server/Cargo.toml": '[package]\nname = "server"\n[dependencies]\naxum = "0.8"\n'
        'sqlx = {version = "0.8", features = ["postgres"]}\n',
        "server/src/bin/web.rs": 'bind("0.0.0.0:3001")',
    }  # fmt: skip
    found = plan(make(tmp_path / "shop", files), Answers())
    assert "--bin web " in text(found, "Dockerfile")
    assert (found.recipe.framework, found.recipe.port) == ("axum", 3001)
    assert [each.product for each in found.services] == ["PostgreSQL"]
    assert [each.text for each in found.recipe.questions] == ["Which is the program? There are web, tool."]
    library = {
        "Cargo.toml": '[package]\nname = "fast"\n',
        "src/lib.rs": "",
        "pyproject.toml": "",
        "fast/__main__.py": "",
    }
    assert plan(make(tmp_path / "fast", library), Answers(port=0)).recipe.language == "Python"


def test_a_folder_of_projects(tmp_path: Path) -> None:
    """Nobody gets a Dockerfile that installs nothing: each of them is one by itself."""
    files = {
        "backend/requirements.txt": "fastapi\n",
        "backend/main.py": FASTAPI,
        "web/package.json": package(),
    }
    with pytest.raises(NotFound, match="is no project itself, but holds backend, web") as failure:
        plan(make(tmp_path / "both", files), Answers())
    assert failure.value.hint == f"nakagin init {os.path.relpath(tmp_path / 'both/backend')}"
    workspace = {
        "package.json": package(workspaces=["packages/*"]),
        "packages/api/package.json": package(main="x.js"),
    }
    with pytest.raises(NotFound, match="but holds packages/api"):
        plan(make(tmp_path / "workspace", workspace), Answers())
    with pytest.raises(NotFound, match=r"has \.go files, but no go\.mod"):
        plan(make(tmp_path / "bare", {"main.go": "package main\n"}), Answers())


@pytest.mark.parametrize(
    ("said", "version"), [("lts/iron", "20"), ("lts/*", "22"), ("v18.2.0", "18"), ("node", "22")]
)
def test_a_node_version_by_its_name(said: str, version: str, tmp_path: Path) -> None:
    folder = make(tmp_path, {"package.json": package(main="x.js"), "x.js": "", ".nvmrc": f"{said}\n"})
    assert f"ARG NODE_VERSION={version}\n" in text(plan(folder, Answers(port=0)), "Dockerfile")


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("flask\n")
    folder = make(tmp_path / "project", {"main.py": "print(1)\n"})
    (tmp_path / "project" / "requirements.txt").symlink_to(tmp_path / "secret")
    assert folder.text("requirements.txt") == ""


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", "22"), ("latest", "22"), (">=18", "22"), ("^18 || ^20", "20"), (">=18 <21", "20"), ("16.x", "16"),
        ("~20.3", "20"), ("<=20", "20"), (">22", "24"), ("99", "22"), ("18 || 22", "22"),
    ],
)  # fmt: skip
def test_version_ranges(wanted: str, chosen: str) -> None:
    assert versions.newest(("16", "18", "20", "22", "24"), wanted, "22") == chosen


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (">=3.9,<3.13", "3.12"),
        ("~=3.10", "3.13"),
        ("^3.11", "3.13"),
        ("==3.11.*", "3.11"),
        (">=3.9.2,!=3.13.*", "3.14"),
    ],
)
def test_python_ranges(wanted: str, chosen: str) -> None:
    assert versions.newest(("3.9", "3.10", "3.11", "3.12", "3.13", "3.14"), wanted, "3.13") == chosen
