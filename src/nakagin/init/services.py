"""What a program needs beside it: databases, caches and queues, by its dependencies and its settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from nakagin.init.model import Service

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Recipe

_SETTINGS = (
    ".env", ".env.example", ".env.sample", "config/database.yml", "config/settings.yml", "alembic.ini",
    "src/main/resources/application.properties", "src/main/resources/application.yml",
    "src/main/resources/application.yaml", "appsettings.json",
)  # fmt: skip
_SOURCES = (".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".rs", ".java", ".kt", ".php", ".rb", ".cs")


class _Product(NamedTuple):
    """A service as compose.yaml has it. `packages` match a dependency whole, `scheme` an address in the settings."""

    service: str
    name: str
    packages: str
    scheme: str
    image: str
    environment: dict[str, str]
    check: str
    volume: str
    url: str
    port: int


_PASSWORD = "${DB_PASSWORD:-change-me}"  # noqa: S105
PRODUCTS = (
    _Product(
        "db", "PostgreSQL",
        r"psycopg2?(-binary|\[.*\])?|asyncpg|pg8000|pg|pg-promise|postgres|github\.com/(lib/pq|jackc/pgx(/.*)?)|tokio-postgres"
        r"|postgresql|sqlx-postgres|ext-(pdo_)?pgsql|Npgsql(\..*)?|gorm\.io/driver/postgres",
        r"postgres(?:ql)?(?:\+\w+)?://|jdbc:postgresql:|^\s*adapter:\s*postgresql",
        "postgres:17-bookworm",
        {"POSTGRES_USER": "app", "POSTGRES_PASSWORD": _PASSWORD, "POSTGRES_DB": "app"},
        '["CMD-SHELL", "pg_isready -U app -d app"]', "/var/lib/postgresql/data",
        "postgresql://app:" + _PASSWORD + "@db:5432/app", 5432,
    ),
    _Product(
        "db", "MySQL",
        r"mysqlclient|pymysql|aiomysql|mysql-connector(-python|-j|-java)?|mysql2?|mariadb|github\.com/go-sql-driver/mysql"
        r"|sqlx-mysql|ext-pdo_mysql|ext-mysqli|MySqlConnector|Pomelo\.EntityFrameworkCore\.MySql|gorm\.io/driver/mysql",
        r"mysql(?:\+\w+)?://|jdbc:mysql:|^\s*adapter:\s*mysql2?",
        "mysql:8.4",
        {
            "MYSQL_USER": "app", "MYSQL_PASSWORD": _PASSWORD, "MYSQL_DATABASE": "app",
            "MYSQL_RANDOM_ROOT_PASSWORD": '"yes"',
        },
        '["CMD-SHELL", "mysqladmin ping -h 127.0.0.1 -u app -p$$MYSQL_PASSWORD --silent"]', "/var/lib/mysql",
        "mysql://app:" + _PASSWORD + "@db:3306/app", 3306,
    ),
    _Product(
        "mongo", "MongoDB",
        r"pymongo|motor|mongoengine|beanie|mongoose|mongodb|go\.mongodb\.org/mongo-driver|mongoid|MongoDB\.Driver"
        r"|spring-boot-starter-data-mongodb|mongodb/(mongodb|laravel-mongodb)",
        r"mongodb(?:\+srv)?://",
        "mongo:8.0", {}, '["CMD", "mongosh", "--quiet", "--eval", "db.adminCommand(\'ping\').ok"]', "/data/db",
        "mongodb://mongo:27017/app", 27017,
    ),
    _Product(
        "redis", "Redis",
        r"redis|aioredis|django-redis|flask-redis|ioredis|bullmq|rq|celery\[redis\]|github\.com/(go-redis/redis|redis/go-redis).*"
        r"|predis/predis|sidekiq|StackExchange\.Redis|spring-boot-starter-data-redis|jedis",
        r"rediss?://",
        "redis:7.4-bookworm", {}, '["CMD", "redis-cli", "ping"]', "/data", "redis://redis:6379/0", 6379,
    ),
    _Product(
        "rabbitmq", "RabbitMQ",
        r"pika|aio-pika|kombu|amqp|amqplib|amqp-connection-manager|github\.com/(streadway/amqp|rabbitmq/amqp091-go)|lapin|bunny"
        r"|RabbitMQ\.Client|MassTransit\.RabbitMQ|spring-boot-starter-amqp|php-amqplib/php-amqplib",
        r"amqps?://",
        "rabbitmq:4.1", {"RABBITMQ_DEFAULT_USER": "app", "RABBITMQ_DEFAULT_PASS": _PASSWORD},
        '["CMD", "rabbitmq-diagnostics", "-q", "ping"]', "/var/lib/rabbitmq",
        "amqp://app:" + _PASSWORD + "@rabbitmq:5672/", 5672,
    ),
)  # fmt: skip
# a program's own names for the parts of an address: what follows the service's word → the part
_PARTS = {
    r"(?:HOST|HOSTNAME|SERVER)": "host", "PORT": "port", r"(?:USER|USERNAME)": "user", r"(?:PASSWORD|PASS)": "password",
    r"(?:NAME|DATABASE|DB)": "name",
    r"(?:URL|URI|DSN)": "url",
}  # fmt: skip
_WORDS = {
    "PostgreSQL": r"(?:DB|DATABASE|POSTGRES|POSTGRESQL|PG|SQLALCHEMY_DATABASE)",
    "MySQL": r"(?:DB|DATABASE|MYSQL|MARIADB|SQLALCHEMY_DATABASE)",
    "MongoDB": r"(?:MONGO|MONGODB)",
    "Redis": r"(?:REDIS|CELERY_BROKER|CACHE)",
    "RabbitMQ": r"(?:RABBITMQ|RABBIT|AMQP|BROKER|CELERY_BROKER)",
}


def services(folder: Folder, recipe: Recipe) -> tuple[Service, ...]:
    """What the project needs, one of a kind: the first database found is `db`."""
    found: dict[str, Service] = {}
    settings = [
        path for path in (*_SETTINGS, *folder.ending("settings.py", "config.py")) if folder.text(path)
    ]
    for product in PRODUCTS:
        source = _source(folder, recipe, product, settings)
        if source and product.service not in found:
            found[product.service] = _service(folder, recipe, product, source, settings)
    return tuple(found.values())


def _source(folder: Folder, recipe: Recipe, product: _Product, settings: list[str]) -> str:
    pattern = re.compile(product.packages, re.IGNORECASE)
    for name, source in recipe.dependencies.items():
        if pattern.fullmatch(name):
            return f"{name} in {source}"
    hit = folder.first(product.scheme, settings)
    return f"an address in {hit.place}" if hit else ""


def _service(folder: Folder, recipe: Recipe, product: _Product, source: str, settings: list[str]) -> Service:
    volume = f"{product.service}-data"
    lines = [f"image: {product.image}", "restart: unless-stopped"]
    if product.environment:
        lines += ["environment:", *(f"  {name}: {value}" for name, value in product.environment.items())]
    lines += [
        "volumes:",
        f"  - {volume}:{product.volume}",
        "healthcheck:",
        f"  test: {product.check}",
        "  interval: 5s",
        "  timeout: 5s",
        "  retries: 10",
        "  start_period: 30s",
    ]
    return Service(
        product.service,
        product.name,
        "\n".join(lines),
        _variables(folder, recipe, product, settings),
        volume,
        source,
    )


def _variables(folder: Folder, recipe: Recipe, product: _Product, settings: list[str]) -> dict[str, str]:
    """The variables by which the program reads where the service is; the usual one where it names none."""
    values = {
        "url": product.url, "host": product.service, "port": f'"{product.port}"', "user": "app",
        "password": _PASSWORD, "name": "app",
    }  # fmt: skip
    if not product.environment:
        values = {each: values[each] for each in ("url", "host", "port")}
    if recipe.framework == "Spring Boot" and product.service == "db":
        kind = "postgresql" if product.name == "PostgreSQL" else "mysql"
        return {
            "SPRING_DATASOURCE_URL": f"jdbc:{kind}://db:{product.port}/app",
            "SPRING_DATASOURCE_USERNAME": "app",
            "SPRING_DATASOURCE_PASSWORD": _PASSWORD,
        }
    found: dict[str, str] = {}
    for words, part in _PARTS.items():
        if part not in values:
            continue
        pattern = rf"(?<![A-Z0-9_])({_WORDS[product.name]}_?{words})(?![A-Z0-9_])"
        for hit in folder.search(pattern, (*settings, *folder.ending(*_SOURCES))):
            value = values[part]
            # SQLAlchemy and other clients name their driver in the scheme: what stands there stays.
            found.setdefault(hit.match[1], value)
    usual = {"db": "DATABASE_URL", "mongo": "MONGODB_URL", "redis": "REDIS_URL", "rabbitmq": "AMQP_URL"}
    return found or {usual[product.service]: product.url}
