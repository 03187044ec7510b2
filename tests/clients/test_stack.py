"""A real application: nginx, a Python service in two replicas, PostgreSQL and Redis, from images made here."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.healing import Trouble, wait_for_answer
from tests.compose.test_clients import Stack
from tests.engine_fixture import ScratchEngine

pytestmark = [pytest.mark.root, pytest.mark.alone]

ROUNDS = 12
COMPOSE = """
x-quick: &quick {interval: 1s, retries: 60}
services:
  web:
    image: ${NAME}-base
    command: [nginx, -g, daemon off; error_log stderr;]
    build: {context: base}
    configs: [{source: nginx, target: /etc/nginx/nginx.conf, mode: 0444}]
    ports: ["127.0.0.1::80"]
    networks: [front]
    depends_on: {app: {condition: service_healthy}}
    x-nakagin-ready: {http: 80/visits}
  app:
    build: {context: app, additional_contexts: {base: "service:web"}}
    environment: {DATABASE: db, CACHE: cache, PGUSER: shop}
    secrets: [password]
    networks: [front, back]
    scale: 2
    stop_grace_period: 2s
    depends_on:
      db: {condition: service_healthy, restart: true}
      cache: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
    healthcheck: {test: [CMD, python3, /app.py, check], <<: *quick}
    deploy: {resources: {limits: {memory: 256m, pids: 100}}, update_config: {order: start-first}}
  migrate:
    image: postgres:15
    command: sh -c 'PGPASSWORD=$$(cat /run/secrets/password) psql -h db -U shop shop -c "$$(cat /schema.sql)"'
    configs: [{source: schema, target: /schema.sql}]
    secrets: [password]
    networks: [back]
    depends_on: {db: {condition: service_healthy}}
    x-nakagin-job: once
  db:
    image: postgres:15
    command: sh -c 'POSTGRES_PASSWORD=$$(cat /run/secrets/password) exec postgres-entry'
    environment: {POSTGRES_USER: shop, POSTGRES_DB: shop}
    secrets: [password]
    volumes: ["rows:/var/lib/postgresql/data"]
    networks: [back]
    shm_size: 64m
    healthcheck: {test: pg_isready -h 127.0.0.1 -U shop -d shop, <<: *quick}
  cache:
    image: redis:7
    networks: [back]
    healthcheck: {test: "redis-cli ping | grep -q PONG", <<: *quick}
  psql:
    image: postgres:15
    profiles: [tools]
    entrypoint: [sh, -c, 'PGPASSWORD=$$(cat /run/secrets/password) exec psql -h db -U shop -At shop "$$@"', psql]
    secrets: [password]
    networks: [back]
    depends_on: {db: {condition: service_healthy}}
networks: {front: , back: {internal: true}}
volumes: {rows: }
secrets: {password: {file: ./password}}
configs:
  schema: {content: "create table if not exists visits (n serial primary key, host text not null)"}
  nginx:
    content: |
      events {}
      http {
        access_log off;
        resolver 127.0.0.11 valid=1s;
        server {
          listen 80;
          location / { set $$app app; proxy_connect_timeout 2s; proxy_pass http://$$app:8000; }
        }
      }
"""
APP = """
import json, os, socket, sys, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import psycopg2, redis

PASSWORD = open("/run/secrets/password").read().strip()
cache = redis.Redis(os.environ["CACHE"], socket_timeout=5)

def visits():
    with psycopg2.connect(host=os.environ["DATABASE"], dbname="shop", password=PASSWORD, connect_timeout=5) as rows:
        cursor = rows.cursor()
        cursor.execute("insert into visits (host) values (%s)", (socket.gethostname(),))
        cursor.execute("select count(*) from visits")
        return cursor.fetchone()[0]

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            answer = {"cache": cache.ping()}
        else:
            answer = {"visits": visits(), "cached": cache.incr("visits"), "host": socket.gethostname()}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

if sys.argv[1:] == ["check"]:
    urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=5)
else:
    print("listening", flush=True)
    ThreadingHTTPServer(("0.0.0.0", 8000), Page).serve_forever()
"""


@pytest.fixture
def stack(servers: ScratchEngine, tmp_path: Path) -> Iterator[Stack]:
    home = tmp_path / f"shop{secrets.token_hex(3)}"
    home.mkdir()
    made = Stack(servers, home)
    for name, text in {
        "compose.yaml": COMPOSE, ".env": f"NAME={made.name}\n", "password": "s3cr3t word",
        "base/Dockerfile": "FROM servers\nRUN id www-data\n", "app/app.py": APP,
        "app/Dockerfile": 'FROM base\nCOPY app.py /app.py\nUSER www-data\nCMD ["python3", "/app.py"]\n',
    }.items():  # fmt: skip
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    yield made
    made.ours("down", "-v", "-t", "0", "--remove-orphans", "--rmi", "local", check=False)
    servers.docker("rmi", "-f", f"{made.name}-base", check=None)


def page(stack: Stack) -> Any:
    """What a visitor sees. Raises OSError while nobody answers."""
    port = stack.ours("port", "web", "80").strip().rpartition(":")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/visits", timeout=10) as answer:
        return json.load(answer)


def test_it_lives_heals_and_leaves_nothing(stack: Stack) -> None:
    stack.ours("up", "-d", "--build", "--wait")
    before = stack.states()
    assert before == {
        "web-1": "running", "app-1": "running", "app-2": "running", "db-1": "running", "cache-1": "running",
        "migrate-1": "exited",
    }  # fmt: skip
    seen = [page(stack) for _ in range(30)]
    assert len({each["host"] for each in seen}) == 2, "both replicas are asked"
    assert [each["visits"] for each in seen] == sorted(each["visits"] for each in seen)
    count = seen[-1]["visits"]
    assert stack.ours("run", "--rm", "-q", "-T", "psql", "-c", "select count(*) from visits").strip() == str(
        count
    )
    log = stack.ours("logs", "db").lower().splitlines()
    # A check that asks early is told so; on a busy machine one does.
    assert [
        line for line in log if "fatal" in line and "the database system is starting up" not in line
    ] == []
    # who is on the front alone does not see the database
    told = stack.ours(
        "exec",
        "-T",
        "web",
        "python3",
        "-c",
        "import socket; socket.create_connection(('db', 5432), 2)",
        code=1,
    )
    assert "Name or service not known" in told
    seed = secrets.randbelow(1 << 30)
    trouble = Trouble(stack, seed)
    story = [f"seed {seed}"]
    for _ in range(ROUNDS):
        story.append(trouble.happens())
        stack.ours("up", "-d", "--wait")
        assert {**before, "migrate-1": ""} == {**stack.states(), "migrate-1": ""}, story
        found = wait_for_answer(lambda: page(stack))
        assert found["visits"] > count, story
        count = found["visits"]
    stack.ours("up", "-d", "--wait", "--scale", "app=3")
    assert len([name for name in stack.states() if name.startswith("app-")]) == 3
    stack.ours("down", "-v", "-t", "2")
    assert not stack.left()
