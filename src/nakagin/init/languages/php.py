"""PHP: Composer, Laravel, Symfony or plain pages, under Apache as an ordinary user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.init import debian, health, versions
from nakagin.init.model import Fact, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

KNOWN = ("8.1", "8.2", "8.3", "8.4")
USUAL = "8.3"
FRAMEWORKS = {"laravel/framework": "Laravel", "symfony/framework-bundle": "Symfony", "slim/slim": "Slim"}
# what composer.json asks for → what the image compiles, and Debian's packages for it
EXTENSIONS = {
    "ext-pdo_pgsql": ("pdo_pgsql", "libpq-dev"),
    "ext-pgsql": ("pgsql", "libpq-dev"),
    "ext-pdo_mysql": ("pdo_mysql", ""),
    "ext-mysqli": ("mysqli", ""),
    "ext-intl": ("intl", "libicu-dev"),
    "ext-gd": ("gd", "libpng-dev"),
    "ext-zip": ("zip", "libzip-dev"),
    "ext-bcmath": ("bcmath", ""),
}


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a PHP project needs, None where this is none."""
    composer = folder.has("composer.json")
    pages = folder.has("index.php", "public/index.php")
    if not composer and not pages:
        return None
    manifest = folder.json("composer.json")
    wanted = manifest.get("require", {})
    constraint = str(wanted.get("php", ""))
    version = answers.version or versions.newest(KNOWN, constraint, USUAL)
    usual = f"composer.json ({constraint})" if constraint else "the usual one"
    source = "you" if answers.version else usual
    framework = next((FRAMEWORKS[each] for each in FRAMEWORKS if each in wanted), "")
    root = "/var/www/html/public" if folder.has("public/index.php") else "/var/www/html"
    port = answers.port if answers.port > 0 else 8080
    chosen = [EXTENSIONS[each] for each in wanted if each in EXTENSIONS]
    packages = " ".join(dict.fromkeys(package for _, package in chosen if package))
    install = debian.install(packages) + "\n" if packages else ""
    compiled = f"RUN docker-php-ext-install {' '.join(name for name, _ in chosen)}\n" if chosen else ""
    turned = (
        f"sed -ri 's!/var/www/html!{root}!' /etc/apache2/sites-available/*.conf \\\n    && "
        if root != "/var/www/html"
        else ""
    )
    vendor = (
        "FROM composer:2 AS vendor\n"
        "WORKDIR /app\n"
        f"COPY composer.json{' composer.lock' if folder.has('composer.lock') else ''} ./\n"
        "RUN --mount=type=cache,target=/tmp/cache \\\n"
        "    composer install --no-dev --no-interaction --no-scripts --prefer-dist --ignore-platform-reqs\n\n"
        if composer
        else ""
    )
    return Recipe(
        "PHP",
        f"ARG PHP_VERSION={version}\n\n{vendor}"
        "FROM php:${PHP_VERSION}-apache-bookworm\n"
        f"{install}{compiled}"
        f"RUN {turned}sed -ri 's/^Listen 80$/Listen {port}/; s/:80>/:{port}>/' \\\n"
        "       /etc/apache2/ports.conf /etc/apache2/sites-available/*.conf \\\n"
        "    && a2enmod rewrite\n"
        "WORKDIR /var/www/html\n"
        "COPY --chown=www-data . .\n"
        + ("COPY --from=vendor --chown=www-data /app/vendor ./vendor\n" if composer else "")
        + "USER www-data\n"
        f"EXPOSE {port}\n"
        f"{health.connection(port)}\n",
        port,
        framework=framework,
        tool="Composer" if composer else "",
        facts=(
            Fact("version", version, source),
            Fact("pages", root, pages or composer),
            *((Fact("framework", framework, "composer.json"),) if framework else ()),
            Fact("port", str(port), "where Apache listens"),
        ),
        ignore=("vendor", "var/cache", "var/log", "storage/logs/*", "node_modules"),
        dependencies=dict.fromkeys(wanted, "composer.json"),
    )
