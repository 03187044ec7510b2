"""Real projects, made with their own tools: how each is made, what is then asked for, and what must answer.

`python -m tests.building.projects` makes the base image that they are built on, and this module's tools.
"""

# ruff: noqa: E501 -- a file a line reads better than a wrapped one

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

TOOLS = Path("/var/tmp/nakagin-test-projects/tools")
"""Where uv, poetry, pipenv and django-admin are."""

_PACKAGES = ("uv", "poetry", "pipenv", "django")


class Real(NamedTuple):
    """`make` are commands of the project's folder, `files` are written after them; `answer` is in what / answers."""

    make: tuple[str, ...]
    files: dict[str, str]
    title: str
    port: int
    answer: str
    flags: tuple[str, ...] = ()


def tools() -> None:
    """Install the tools that are not on this machine."""
    if not (TOOLS / "bin/django-admin").exists():
        subprocess.run(["python3", "-m", "venv", str(TOOLS)], check=True)
        subprocess.run([str(TOOLS / "bin/pip"), "install", "-q", *_PACKAGES], check=True)
        subprocess.run(
            ["npm", "install", "--silent", "--global", "--prefix", str(TOOLS), "yarn@1"], check=True
        )


def make(folder: Path, project: Real) -> None:
    """Make the project in a folder."""
    environment = {
        **os.environ,
        "PATH": f"{TOOLS}/bin:{os.environ['PATH']}",
        "CI": "1",
        "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
        "NEXT_TELEMETRY_DISABLED": "1",
        "npm_config_yes": "true",
        "npm_config_fund": "false",
        "npm_config_audit": "false",
    }
    environment.pop("VIRTUAL_ENV", None)
    folder.mkdir(parents=True, exist_ok=True)
    for command in project.make:
        done = subprocess.run(
            ["bash", "-ec", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for name, text in project.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


FROZEN = "python3 -m venv .venv && .venv/bin/pip install -q {} && .venv/bin/pip freeze --all | grep -v pip > requirements.txt"
# uv asks for a backend as new as itself, which the package index may not have yet.
BACKEND = "sed -i 's/uv_build>=[0-9.]*/uv_build>=0.8/' pyproject.toml"
FLASK = "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/')\ndef index():\n    return 'flask says hello'\n"
FACTORY = (
    "from flask import Flask\n\n\ndef create_app():\n    app = Flask(__name__)\n"
    "    app.add_url_rule('/', view_func=lambda: 'a factory says hello')\n    return app\n"
)
FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get('/')\ndef index() -> str:\n    return 'fastapi says hello'\n"
STARLETTE = (
    "from starlette.applications import Starlette\nfrom starlette.responses import PlainTextResponse\n"
    "from starlette.routing import Route\n\n\nasync def index(request):\n    return PlainTextResponse('starlette says hello')\n\n\n"
    "app = Starlette(routes=[Route('/', index)])\n"
)
BOTTLE = (
    "import bottle\n\n\n@bottle.get('/')\ndef index():\n    return 'bottle says hello'\n\n\n"
    "if __name__ == '__main__':\n    bottle.run(host='0.0.0.0', port=8081)\n"
)
SERVER = (
    "from http.server import BaseHTTPRequestHandler, HTTPServer\n\n\nclass Hello(BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'{} says hello')\n\n\n"
    "def main():\n    HTTPServer(('0.0.0.0', 9000), Hello).serve_forever()\n\n\nif __name__ == '__main__':\n    main()\n"
)
FASTIFY = (
    "import fastify from 'fastify'\n\nconst server = fastify()\nserver.get('/', async () => 'fastify says hello')\n"
    "server.listen({ port: 3333, host: '0.0.0.0' })\n"
)
KOA = (
    "const Koa = require('koa')\nconst app = new Koa()\napp.use(context => { context.body = 'koa says hello' })\n"
    "app.listen(process.env.PORT || 3100)\n"
)
HONO = (
    "import { serve } from '@hono/node-server'\nimport { Hono } from 'hono'\n\nconst app = new Hono()\n"
    "app.get('/', context => context.text('hono says hello'))\nserve({ fetch: app.fetch, port: 3200 })\n"
)
TSCONFIG = '{"compilerOptions": {"target": "es2022", "module": "commonjs", "outDir": "dist", "esModuleInterop": true}}'
C_SERVER = """#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#define PORT 7000

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int yes = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(s, (struct sockaddr *)&here, sizeof here) || listen(s, 5)) return 1;
    const char *answer = "HTTP/1.0 200 OK\\r\\nContent-Length: 13\\r\\n\\r\\nC says hello\\n";
    for (;;) {
        char asked[4096];
        int c = accept(s, 0, 0);
        if (read(c, asked, sizeof asked) > 0) write(c, answer, strlen(answer));
        close(c);
    }
}
"""
MICROHTTPD = """#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

static enum MHD_Result answer(void *c, struct MHD_Connection *to, const char *u, const char *m, const char *v,
                              const char *d, size_t *n, void **s) {
    static char text[] = "microhttpd says hello";
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result done = MHD_queue_response(to, 200, r);
    MHD_destroy_response(r);
    return done;
}

int main(void) {
    const unsigned short port = 7100;
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, port, 0, 0, &answer, 0, MHD_OPTION_END);
    if (!d) return 1;
    for (;;) pause();
}
"""
CPP_SERVER = C_SERVER.replace("C says hello\\n", "C++ says hey\\n").replace(
    "struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};",
    "sockaddr_in here{}; here.sin_family = AF_INET; here.sin_port = htons(PORT);",
)

OLD_NODE = ("--version", "18")  # what Debian 12 has
OLD_PYTHON = ("--version", "3.11")

PROJECTS = {
    "flask-pip": Real(
        (FROZEN.format("flask gunicorn"),), {"app.py": FLASK}, "Python (Flask, pip)", 5000, "flask says hello", OLD_PYTHON
    ),
    "flask-factory-pyproject": Real(
        (),
        {
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask", "gunicorn"]\n'
            '[tool.setuptools]\npackages = ["shop"]\n',
            "shop/__init__.py": FACTORY,
        },
        "Python (Flask, pip)", 5000, "a factory says hello", OLD_PYTHON,
    ),
    "fastapi-uv": Real(
        ("uv init -q --app --python python3.11 .", BACKEND, "uv add -q --python python3.11 fastapi uvicorn", "rm -rf .venv"),
        {"main.py": FASTAPI}, "Python (FastAPI, uv)", 8000, "fastapi says hello", OLD_PYTHON,
    ),
    "package-uv": Real(
        ("uv init -q --package --name tool --python python3.11 .", BACKEND, "uv lock -q --python python3.11"),
        {"src/tool/__init__.py": SERVER.replace("{}", "a package")},
        "Python (uv)", 9000, "a package says hello", OLD_PYTHON,
    ),
    "django-poetry": Real(
        (
            "django-admin startproject site1 .",
            "poetry init -q -n --name site1 --python '>=3.11,<4' --dependency django@^5 --dependency gunicorn", "poetry lock -q",
        ),
        {}, "Python (Django, poetry)", 8000, "The install worked successfully", OLD_PYTHON,
    ),
    "django-pip": Real(
        ("django-admin startproject site2 .", FROZEN.format("'django<6'")), {},
        "Python (Django, pip)", 8000, "The install worked successfully", OLD_PYTHON,
    ),
    "bottle-pipenv": Real(
        ("PIPENV_IGNORE_VIRTUALENVS=1 WORKON_HOME=$PWD/.venvs pipenv install -q --python /usr/bin/python3 bottle", "rm -rf .venvs"),
        {"app.py": BOTTLE}, "Python (pipenv)", 8081, "bottle says hello",
    ),
    "starlette-pip": Real(
        (FROZEN.format("starlette uvicorn"),), {"web/main.py": STARLETTE, "web/__init__.py": ""},
        "Python (Starlette, pip)", 8000, "starlette says hello", OLD_PYTHON,
    ),
    "script": Real((), {"main.py": SERVER.replace("{}", "a script")}, "Python (pip)", 9000, "a script says hello", OLD_PYTHON),
    "express-generator-npm": Real(
        ("npx express-generator@4 --no-view -f .", "npm install"), {}, "Node.js (Express, npm)", 3000, "Welcome to Express",
        OLD_NODE,
    ),
    "fastify-pnpm-typescript": Real(
        (
            "npm init -y", "npx pnpm@9 add fastify@4", "npx pnpm@9 add -D typescript@5 @types/node@18",
            "npm pkg set scripts.build=tsc scripts.start='node dist/main.js'", "rm -rf node_modules",
        ),
        {"src/main.ts": FASTIFY, "tsconfig.json": TSCONFIG}, "Node.js (Fastify, pnpm)", 3333, "fastify says hello",
        OLD_NODE,
    ),
    "koa-yarn": Real(
        ("npm init -y", "npx yarn@1 add koa@2", "rm -rf node_modules"), {"index.js": KOA},
        "Node.js (Koa, yarn)", 3100, "koa says hello", OLD_NODE,
    ),
    "hono-npm": Real(
        ("npm init -y", "npm pkg set type=module scripts.start='node index.js'", "npm install hono@4 @hono/node-server@1"),
        {"index.js": HONO}, "Node.js (Hono, npm)", 3200, "hono says hello", OLD_NODE,
    ),
    "next-yarn": Real(
        (
            "npx create-next-app@14 made --js --no-eslint --no-tailwind --no-src-dir --app --import-alias '@/*' --use-yarn",
            "mv made/* . && rm -rf made node_modules .next",
        ),
        {}, "Node.js (Next.js, yarn)", 3000, "Get started by editing", OLD_NODE,
    ),
    "vite-react-npm": Real(
        ("npm create vite@5 app -- --template react", "mv app/* . && rm -r app", "npm install --package-lock-only"), {},
        "Node.js (Vite, static, npm)", 8080, "<title>Vite + React</title>", OLD_NODE,
    ),
    "vite-vue-pnpm": Real(
        ("npm create vite@5 app -- --template vue", "mv app/* . && rm -r app", "npx pnpm@9 install --lockfile-only"), {},
        "Node.js (Vite, static, pnpm)", 8080, "<title>Vite + Vue</title>", OLD_NODE,
    ),
    "c-make": Real(
        (), {"main.c": C_SERVER, "Makefile": "CFLAGS = -O2\nTARGET = served\nall: $(TARGET)\n$(TARGET): main.c\n\t$(CC) $(CFLAGS) -o $@ $<\n"},
        "C (make)", 7000, "C says hello",
    ),
    "c-cmake-microhttpd": Real(
        (), {
            "main.c": MICROHTTPD,
            "CMakeLists.txt": "cmake_minimum_required(VERSION 3.13)\nproject(small C)\nadd_executable(small main.c)\n"
            "target_link_libraries(small microhttpd)\n",
        },
        "C (CMake)", 7100, "microhttpd says hello",
    ),
    "cpp-cmake": Real(
        (), {
            "main.cpp": CPP_SERVER,
            "CMakeLists.txt": "cmake_minimum_required(VERSION 3.13)\nproject(web CXX)\nset(CMAKE_CXX_STANDARD 17)\n"
            "add_executable(web main.cpp)\n",
        },
        "C++ (CMake)", 7000, "C++ says hey",
    ),
    "static": Real((), {"public/index.html": "<h1>a site</h1>\n"}, "Static site (nginx)", 8080, "<h1>a site</h1>"),
    "static-root": Real(
        (), {"index.html": "<h1>another</h1>\n", "css/a.css": "a{}\n"}, "Static site (nginx)", 8080, "<h1>another</h1>"
    ),
}  # fmt: skip
