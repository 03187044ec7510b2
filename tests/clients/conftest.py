"""Clients of others, unmodified, on servers from Debian packages.

The image takes minutes to make, so it is kept on this machine, and only `make clients` runs what needs it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nakagin.client import Client
from tests.engine_fixture import ScratchEngine

_PACKAGES = "postgresql,redis-server,nginx-light,python3-psycopg2,python3-redis"
KEPT = Path(f"/var/tmp/nakagin-test-images/servers-{hashlib.sha256(_PACKAGES.encode()).hexdigest()[:8]}.tar")
_ENTRY = b"""#!/bin/sh
# As much of the official image's entry point as its users count on.
set -e
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    mkdir -p $data; chown postgres $data
    exec setpriv --reuid postgres --regid postgres --init-groups "$0"
fi
if [ ! -s $data/PG_VERSION ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D $data -U "$POSTGRES_USER" --pwfile=/tmp/password -A md5 > /dev/null
    echo "host all all all md5" >> $data/pg_hba.conf
    pg_ctl -D $data -w -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start > /dev/null
    PGPASSWORD=$POSTGRES_PASSWORD createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -D $data -w stop > /dev/null
fi
exec postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


def load_servers(engine: ScratchEngine) -> None:
    """The images `postgres:15` and `redis:7` in this engine; skips where they were never made."""
    if not os.environ.get("NAKAGIN_CLIENTS"):
        pytest.skip("servers from Debian packages take their time: `make clients` runs these")
    if not KEPT.exists():
        make_servers(engine)
    engine.docker("load", "-q", "-i", str(KEPT), timeout=600)
    with Client(engine.host) as client:
        made = client.containers.create("servers", ["true"])
        made.put_bytes(_ENTRY, "/usr/local/bin/postgres-entry", mode=0o755)
    path = "PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    changes = [f"ENV {path}", 'CMD ["postgres-entry"]', "EXPOSE 5432", "VOLUME /var/lib/postgresql/data"]
    flags = [word for change in changes for word in ("-c", change)]
    engine.docker("commit", *flags, made.reference, "postgres:15")
    redis = 'CMD ["redis-server", "--bind", "*", "--protected-mode", "no", "--save", ""]'
    engine.docker("commit", "-c", redis, "-c", "EXPOSE 6379", made.reference, "redis:7")
    engine.docker("rm", "-v", made.reference)


def make_servers(engine: ScratchEngine) -> None:
    """Make the image and keep it."""
    engine.nakagin("image", "bootstrap", "debian", "--include", _PACKAGES, "-t", "servers", timeout=1800)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    new = KEPT.with_suffix(".new")
    engine.docker("save", "-o", str(new), "servers", timeout=600)
    shutil.move(new, KEPT)


@pytest.fixture(scope="session")
def servers(engine: ScratchEngine) -> Iterator[ScratchEngine]:
    """The worker's engine with the images."""
    load_servers(engine)
    yield engine
    engine.docker("rmi", "-f", "postgres:15", "redis:7", "servers")
