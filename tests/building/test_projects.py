"""Real projects, built with their real tools on Debian, and used. `tests/building/projects.py` makes the base."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.building.projects import ARCHIVE, NAME
from tests.engine_fixture import ScratchEngine, await_until
from tests.free_port import free_port

pytestmark = [
    pytest.mark.root,
    pytest.mark.alone,
    pytest.mark.timeout(600),
]


CERTIFICATES = ("--secret", "id=ca,src=/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def base(request: pytest.FixtureRequest) -> Iterator[ScratchEngine]:
    if not request.config.getoption("--projects"):
        pytest.skip("takes minutes: --projects")
    if not ARCHIVE.exists():
        pytest.skip("no base image: python -m tests.building.projects makes it")
    engine: ScratchEngine = request.getfixturevalue("engine")
    engine.nakagin("load", "-q", "-i", str(ARCHIVE), timeout=300)
    yield engine
    engine.remove_containers()
    built = engine.nakagin("images", "-q", "--filter", "reference=projects/*").stdout.split()
    engine.nakagin("rmi", "-f", *built)


def build(engine: ScratchEngine, folder: Path, name: str, *flags: str) -> str:
    """Build a project; everything that was said."""
    done = engine.nakagin("build", "-t", f"projects/{name}", *flags, str(folder), timeout=600, check=None)
    assert done.returncode == 0, done.stderr
    return done.stderr


def network() -> list[str]:
    """The machine's own way to the package indexes: its network, and what its tools are told by variables."""
    names = (
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_TRUSTED_HOST",
    )
    given = [word for name in names if name in os.environ for word in ("--build-arg", name)]
    return ["--network", "host", *given]


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def fetched(engine: ScratchEngine, name: str, inside: int, path: str = "/") -> str:
    """What the project answers over HTTP."""
    port = free_port()
    engine.nakagin("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:{inside}", f"projects/{name}")
    found: list[str] = []

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                found.append(answer.read().decode())
        except OSError:
            return False
        return True

    await_until(answers, f"{name} to answer", 60)
    return found[0]


def test_a_program_in_c_ends_on_scratch(base: ScratchEngine, tmp_path: Path) -> None:
    written(
        tmp_path,
        hello_dot_c='#include <stdio.h>\nint main(int n, char **v) { printf("hello %s\\n", v[1]); return 0; }\n',
        Makefile="hello: hello.c\n\tcc -static -O2 -o $@ $<\n",
        Dockerfile=f"FROM {NAME} AS build\nWORKDIR /src\nCOPY . .\nRUN make\n"
        'FROM scratch\nCOPY --from=build /src/hello /hello\nENTRYPOINT ["/hello"]\n',
    )
    build(base, tmp_path, "c")
    assert base.nakagin("run", "--rm", "projects/c", "world").stdout == "hello world\n"
    layers = base.nakagin("image", "inspect", "-f", "{{len .RootFS.Layers}}", "projects/c").stdout
    assert layers == "1\n"


def test_nginx_with_a_site(base: ScratchEngine, tmp_path: Path) -> None:
    written(
        tmp_path,
        site__index_dot_html="<h1>a site</h1>\n",
        Dockerfile=f"FROM {NAME}\nCOPY site /var/www/html\n"
        'EXPOSE 80\nSTOPSIGNAL SIGQUIT\nCMD ["nginx", "-g", "daemon off;"]\n',
    )
    build(base, tmp_path, "nginx")
    assert fetched(base, "nginx", 80) == "<h1>a site</h1>\n"


def test_a_database(base: ScratchEngine, tmp_path: Path) -> None:
    """PostgreSQL; its cluster is made while it is built."""
    written(
        tmp_path,
        init_dot_sql="CREATE TABLE t (n int);\nINSERT INTO t VALUES (41);\n",
        Dockerfile=f"""FROM {NAME}
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/data
RUN install -d -o postgres -g postgres /data /run/postgresql
USER postgres
RUN --mount=source=init.sql,target=/init.sql <<EOF
set -e
initdb --auth=trust > /dev/null
pg_ctl -w start > /dev/null
psql -q postgres < /init.sql
pg_ctl -w stop > /dev/null
EOF
HEALTHCHECK --interval=1s CMD pg_isready -q
CMD ["postgres"]
""",
    )
    build(base, tmp_path, "postgres")
    base.nakagin("run", "-d", "--name", "postgres", "--shm-size", "64m", "projects/postgres")
    asked = ("exec", "postgres", "psql", "-tA", "postgres", "-c", "UPDATE t SET n = n + 1 RETURNING n")
    await_until(
        lambda: base.nakagin("exec", "postgres", "pg_isready", "-q", check=None).returncode == 0,
        "postgres",
        60,
    )
    assert base.nakagin(*asked).stdout.splitlines()[0] == "42"


def test_redis(base: ScratchEngine, tmp_path: Path) -> None:
    written(
        tmp_path,
        Dockerfile=f"FROM {NAME}\nUSER redis\nWORKDIR /tmp\n"
        'CMD ["redis-server", "--save", "", "--loglevel", "warning"]\n',
    )
    build(base, tmp_path, "redis")
    base.nakagin("run", "-d", "--name", "redis", "projects/redis")
    await_until(
        lambda: "PONG" in base.nakagin("exec", "redis", "redis-cli", "ping", check=None).stdout, "redis", 60
    )
    base.nakagin("exec", "redis", "redis-cli", "set", "k", "v")
    assert base.nakagin("exec", "redis", "redis-cli", "get", "k").stdout.strip() == "v"


def test_a_python_app(base: ScratchEngine, tmp_path: Path) -> None:
    """pip from the package index, with a cache of its own that the second build uses."""
    written(
        tmp_path,
        requirements_dot_txt="bottle\n",
        app_dot_py='import bottle\n\n\n@bottle.get("/")\ndef index():\n    return "python says hello"\n\n\n'
        'bottle.run(host="0.0.0.0", port=8000)\n',
        Dockerfile=f"""FROM {NAME}
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONPATH=/app/lib
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=secret,id=ca,target=/ca.crt,mode=0444 --mount=type=cache,target=/root/.cache/pip \\
    PIP_CERT=/ca.crt python3 -m pip install --quiet --target=lib -r requirements.txt && ls lib
COPY . .
USER nobody
CMD ["python3", "app.py"]
""",
    )
    said = build(base, tmp_path, "python", *network(), *CERTIFICATES)
    assert "bottle.py" in said
    assert fetched(base, "python", 8000) == "python says hello"


def test_a_node_app(base: ScratchEngine, tmp_path: Path) -> None:
    written(
        tmp_path,
        package_dot_json='{"name": "app", "version": "1.0.0", "dependencies": {"is-odd": "3.0.1"}}\n',
        server_dot_js="const odd = require('is-odd');\n"
        "require('http').createServer((q, r) => r.end(`3 is odd: ${odd(3)}`)).listen(3000);\n",
        _dot_dockerignore="node_modules\n",
        Dockerfile=f"""FROM {NAME} AS modules
WORKDIR /app
COPY package.json .
RUN --mount=type=secret,id=ca,target=/ca.crt,mode=0444 --mount=type=cache,target=/root/.npm \\
    NODE_EXTRA_CA_CERTS=/ca.crt npm install --no-audit --no-fund --loglevel=error
FROM {NAME}
WORKDIR /app
COPY --from=modules /app/node_modules node_modules
COPY . .
USER nobody
CMD ["node", "server.js"]
""",
    )
    build(base, tmp_path, "node", *network(), *CERTIFICATES)
    assert fetched(base, "node", 3000) == "3 is odd: true"


def test_caches_for_apt(base: ScratchEngine, tmp_path: Path) -> None:
    """What apt fetched stays in its caches, and nothing of it in the image."""
    sources = [path for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d") if os.path.exists(path)]
    for path in sources:
        subprocess.run(["cp", "-r", path, str(tmp_path)], check=True)
    copies = "\n".join(f"COPY {os.path.basename(path)} {path}" for path in sources)
    dockerfile = """FROM {name}
{copies}
RUN echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\
    apt-get update -qq && apt-get install -qq -y --no-install-recommends {package} && ls /var/cache/apt/archives
"""
    (tmp_path / "Dockerfile").write_text(dockerfile.format(name=NAME, copies=copies, package="cowsay"))
    said = build(base, tmp_path, "apt", *network())
    assert "cowsay_" in said
    assert "moo" in base.nakagin("run", "--rm", "projects/apt", "/usr/games/cowsay", "moo").stdout
    left = base.nakagin("run", "--rm", "projects/apt", "find", "/var/cache", "/var/lib/apt")
    assert ".deb" not in left.stdout
    assert "Packages" not in left.stdout
    (tmp_path / "Dockerfile").write_text(dockerfile.format(name=NAME, copies=copies, package="figlet"))
    assert "cowsay_" in build(base, tmp_path, "apt", *network()), "the cache has what was fetched before"
