"""A site of plain files, served by nginx as an ordinary user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.init import health
from nakagin.init.model import Fact, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

ARGUMENT = "ARG NGINX_VERSION=1.28\n"
_CONFIGURATION = """\
COPY <<'EOF' /etc/nginx/nginx.conf
worker_processes auto;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events {{}}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    sendfile on;
    gzip on;
    gzip_types text/css application/javascript application/json image/svg+xml;
    client_body_temp_path /tmp/client; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server {{
        listen {port};
        root /usr/share/nginx/html;
        location / {{ try_files $uri $uri/ {fallback}; }}
    }}
}}
EOF
"""


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a folder of pages needs, None where it has no start page."""
    page = folder.has(
        "index.html", "public/index.html", "www/index.html", "site/index.html", "html/index.html"
    )
    if not page:
        return None
    root = page.rpartition("/")[0] or "."
    port = answers.port if answers.port > 0 else 8080
    return Recipe(
        "Static site",
        f"{ARGUMENT}\n{serve(port, root, fallback=False)}",
        port,
        framework="nginx",
        facts=(Fact("start page", page, page), Fact("port", str(port), "where nginx listens")),
    )


def serve(port: int, source: str, *, fallback: bool) -> str:
    """The stage that serves files; with `fallback`, unknown paths are the start page's (single-page programs)."""
    return (
        "FROM nginx:${NGINX_VERSION}-bookworm\n"
        + _CONFIGURATION.format(port=port, fallback="/index.html" if fallback else "=404")
        + f"COPY {source} /usr/share/nginx/html\n"
        f"USER www-data\n"
        f"EXPOSE {port}\n"
        f"{health.connection(port)}\n"
        'CMD ["nginx", "-g", "daemon off;"]\n'
    )
