"""testcontainers (PyPI): PostgreSQL and Redis as its users start them, without its reaper, which would be pulled."""

from __future__ import annotations

import pytest

from tests.engine_fixture import ScratchEngine

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("redis")
pytest.importorskip("testcontainers")

pytestmark = pytest.mark.root


@pytest.fixture
def here(servers: ScratchEngine, monkeypatch: pytest.MonkeyPatch) -> ScratchEngine:
    """The environment of its user."""
    from testcontainers.core.config import testcontainers_config

    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    for key, value in (("DOCKER_HOST", servers.host), ("DOCKER_CONFIG", str(servers.root / "config"))):
        monkeypatch.setenv(key, value)
    return servers


def test_postgres(here: ScratchEngine) -> None:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer("postgres:15", driver=None) as postgres:
        url = postgres.get_connection_url()
        with psycopg.connect(url) as connection:
            connection.execute("create table t (n int)")
            connection.execute("insert into t select * from generate_series(1, 1000)")
            assert connection.execute("select sum(n) from t").fetchone() == (500500,)


def test_redis(here: ScratchEngine) -> None:
    from testcontainers.community.redis import RedisContainer

    with RedisContainer("redis:7") as container:
        client = container.get_client()
        client.set("key", "value")
        assert client.get("key") == b"value"
        client.close()
