"""Small projects as people have them: the files that matter, and what init must see in each."""

# ruff: noqa: E501 -- a file a line reads better than a wrapped one

from __future__ import annotations

import json
from typing import NamedTuple


class Project(NamedTuple):
    """`says` are texts that the Dockerfile must have, `services` the products in compose.yaml."""

    files: dict[str, str]
    title: str
    port: int
    says: tuple[str, ...]
    services: tuple[str, ...] = ()
    compose: tuple[str, ...] = ()


def package(**fields: object) -> str:
    return json.dumps({"name": "shop", "version": "1.0.0", **fields})


FLASK = """import os
from flask import Flask
app = Flask(__name__)
DATABASE = os.environ["DATABASE_URL"]

@app.get("/healthz")
def health():
    return "ok"

if __name__ == "__main__":
    app.run(port=8001)
"""
FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n"
SPRING = """<project><parent><artifactId>spring-boot-starter-parent</artifactId></parent>
<properties><java.version>17</java.version></properties><dependencies>
<dependency><artifactId>spring-boot-starter-web</artifactId></dependency>
<dependency><artifactId>postgresql</artifactId></dependency></dependencies></project>
"""
DJANGO = (
    "import os\nDATABASES = {'default': {'HOST': os.environ['DB_HOST'], 'USER': os.environ['DB_USER']}}\n"
)

PROJECTS = {
    "flask-pip": Project(
        {"requirements.txt": "flask>=3\npsycopg2-binary\nredis>=5\n", "app.py": FLASK},
        "Python (Flask, pip)", 8001,
        ('CMD ["gunicorn", "app:app", "--bind", "0.0.0.0:8001"]', "pip install gunicorn", "/healthz", "USER app"),
        ("PostgreSQL", "Redis"), ("DATABASE_URL: postgresql://app:", "REDIS_URL: redis://redis:6379/0"),
    ),
    "fastapi-uv": Project(
        {
            "pyproject.toml": '[project]\nname = "api"\nversion = "1"\nrequires-python = ">=3.11,<3.13"\n'
            'dependencies = ["fastapi[standard]", "motor"]\n',
            "uv.lock": "version = 1\n", "src/api/main.py": FASTAPI,
        },
        "Python (FastAPI, uv)", 8000,
        ("ARG PYTHON_VERSION=3.12", "uv sync --frozen", '"uvicorn", "api.main:app"', "PYTHONPATH=/app/src:/app"),
        ("MongoDB",), ("MONGODB_URL: mongodb://mongo:27017/app",),
    ),
    "django-poetry": Project(
        {
            "pyproject.toml": '[tool.poetry]\nname = "site"\n[tool.poetry.dependencies]\npython = "^3.11"\ndjango = "^5"\n'
            'gunicorn = "*"\nmysqlclient = "*"\ncelery = {extras = ["redis"], version = "*"}\n',
            "poetry.lock": "", "manage.py": "", "shop/settings.py": DJANGO, "shop/wsgi.py": "", "shop/asgi.py": "",
        },
        "Python (Django, poetry)", 8000,
        ("poetry install --only main", '"gunicorn", "shop.wsgi:application"', "default-libmysqlclient-dev", "libmariadb3"),
        ("MySQL", "Redis"), ("DB_HOST: db", "DB_USER: app", "mysql:8.4"),
    ),
    "plain-pipenv": Project(
        {
            "Pipfile": '[packages]\npika = "*"\n[requires]\npython_version = "3.10"\n', "Pipfile.lock": "{}",
            "worker/__init__.py": "", "worker/__main__.py": "print('hello')\n",
        },
        "Python (pipenv)", 0,
        ("ARG PYTHON_VERSION=3.10", "pipenv install --deploy", 'CMD ["python", "-m", "worker"]'),
        ("RabbitMQ",), ("AMQP_URL: amqp://app:",),
    ),
    "plain-script": Project(
        {"main.py": "from http.server import HTTPServer, SimpleHTTPRequestHandler as H\nHTTPServer(('', 9000), H).serve_forever()\n"},
        "Python (pip)", 9000, ('CMD ["python", "main.py"]', "EXPOSE 9000"),
    ),
    "python-command": Project(
        {"pyproject.toml": '[project]\nname = "tool"\nversion = "1"\n[project.scripts]\ntool = "tool.cli:main"\n', "tool/cli.py": ""},
        "Python (pip)", 0, ("pip install .", 'CMD ["tool"]'),
    ),
    "streamlit": Project(
        {"requirements.txt": "streamlit\n", "page.py": "import streamlit as st\nst.title('x')\n", ".python-version": "3.11.4\n"},
        "Python (Streamlit, pip)", 8501, ("ARG PYTHON_VERSION=3.11", '"streamlit", "run", "page.py"'),
    ),
    "express-npm": Project(
        {
            "package.json": package(
                scripts={"start": "node server.js"}, dependencies={"express": "^4", "pg": "^8"}, engines={"node": ">=18 <21"}
            ),
            "package-lock.json": "{}", "server.js": "app.listen(process.env.PORT || 4000)\nprocess.env.PGHOST\n",
        },
        "Node.js (Express, npm)", 4000,
        ("ARG NODE_VERSION=20", "npm ci --omit=dev", 'CMD ["node", "server.js"]', "USER node"),
        ("PostgreSQL",), ("PGHOST: db", 'PORT: "4000"'),
    ),
    "fastify-pnpm-typescript": Project(
        {
            "package.json": package(
                scripts={"build": "tsc", "start": "node dist/main.js"}, dependencies={"fastify": "^5", "ioredis": "^5"},
                devDependencies={"typescript": "^5"},
            ),
            "pnpm-lock.yaml": "lockfileVersion: '6.0'\n", ".nvmrc": "v22.1.0\n", "src/main.ts": "server.listen({ port: 3333 })\n",
        },
        "Node.js (Fastify, pnpm)", 3333,
        ("npm install --global pnpm@8\n", "pnpm install --frozen-lockfile --prod", "pnpm run build", 'CMD ["node", "dist/main.js"]'),
        ("Redis",),
    ),
    "next-yarn": Project(
        {
            "package.json": package(scripts={"build": "next build", "start": "next start"}, dependencies={"next": "15"}),
            "yarn.lock": "",
        },
        "Node.js (Next.js, yarn)", 3000,
        ("cache/yarn,sharing=locked", "yarn install --frozen-lockfile", "yarn run build", "node_modules/.bin/next"),
    ),
    "vite-static": Project(
        {
            "package.json": package(scripts={"build": "vite build"}, devDependencies={"vite": "^6"}), "index.html": "<html>",
            "package-lock.json": "{}", "vite.config.js": "export default { build: { outDir: 'public_html' } }\n",
        },
        "Node.js (Vite, static, npm)", 8080,
        ("npm run build", "COPY --from=build /app/public_html /usr/share/nginx/html", "try_files $uri $uri/ /index.html"),
    ),
    "go": Project(
        {
            "go.mod": "module example.org/api\n\ngo 1.22\n\nrequire github.com/gin-gonic/gin v1.9.1\n", "go.sum": "",
            "cmd/api/main.go": 'package main\nfunc main() { r.Run(":9090") }\n',
        },
        "Go (Gin, go modules)", 9090, ("ARG GO_VERSION=1.22", "go build -trimpath", "./cmd/api", "USER app"),
    ),
    "rust": Project(
        {
            "Cargo.toml": '[package]\nname = "hello"\nversion = "1.0.0"\n[dependencies]\naxum = "0.8"\n', "Cargo.lock": "",
            "src/main.rs": 'let listener = TcpListener::bind("0.0.0.0:3000").await?;\n',
        },
        "Rust (axum, cargo)", 3000, ("cargo build --release --locked --bin hello", 'CMD ["hello"]'),
    ),
    "java-maven": Project(
        {"pom.xml": SPRING, "src/main/resources/application.properties": "server.port=8085\n"},
        "Java (Spring Boot, Maven)", 8085,
        ("ARG JAVA_VERSION=17", "mvn --batch-mode", "java", "-jar"),
        ("PostgreSQL",), ("SPRING_DATASOURCE_URL: jdbc:postgresql://db:5432/app",),
    ),
    "java-gradle": Project(
        {"build.gradle.kts": "plugins { java }\nkotlin { jvmToolchain(21) }\n", "gradlew": "", "src/main/java/A.java": "new ServerSocket(7070)"},
        "Java (Gradle)", 0, ("ARG JAVA_VERSION=21", "sh ./gradlew --no-daemon assemble"),
    ),
    "php-laravel": Project(
        {
            "composer.json": json.dumps({"require": {"php": "^8.2", "laravel/framework": "^11", "ext-pdo_mysql": "*"}}),
            "composer.lock": "{}", "public/index.php": "<?php\n", ".env.example": "DB_HOST=127.0.0.1\nDB_DATABASE=x\n",
        },
        "PHP (Laravel, Composer)", 8080,
        ("ARG PHP_VERSION=8.3", "docker-php-ext-install pdo_mysql", "/var/www/html/public", "USER www-data"),
        ("MySQL",), ("DB_HOST: db", "DB_DATABASE: app"),
    ),
    "php-plain": Project({"index.php": "<?php phpinfo();\n"}, "PHP", 8080, ("php:${PHP_VERSION}-apache-bookworm",)),
    "ruby-rails": Project(
        {"Gemfile": 'ruby "~> 3.2"\ngem "rails", "~> 7.1"\ngem "pg"\n', "Gemfile.lock": "", "config/puma.rb": 'port ENV.fetch("PORT") { 3100 }\n'},
        "Ruby (Rails, Bundler)", 3100, ('"rails", "server"', "libpq5", "RAILS_ENV=production"),
        ("PostgreSQL",), ("SECRET_KEY_BASE: ${SECRET_KEY_BASE:?",),
    ),
    "ruby-sinatra": Project(
        {"Gemfile": 'gem "sinatra"\ngem "puma"\n', "config.ru": "run App\n", ".ruby-version": "3.4.1\n"},
        "Ruby (Sinatra, Bundler)", 9292, ("ARG RUBY_VERSION=3.4", '"puma", "-b", "tcp://0.0.0.0:9292"'),
    ),
    "dotnet-web": Project(
        {"Api/Api.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"><TargetFramework>net9.0</TargetFramework>'
                           '<PackageReference Include="Npgsql" /></Project>'},
        ".NET (ASP.NET Core)", 8080, ("ARG DOTNET_VERSION=9.0", "dotnet publish Api/Api.csproj", 'ENTRYPOINT ["dotnet", "Api.dll"]'),
        ("PostgreSQL",),
    ),
    "c-make": Project(
        {
            "Makefile": "CC = gcc\nTARGET = served\nall: $(TARGET)\n$(TARGET): main.c\n\t$(CC) -o $@ $<\n",
            "main.c": "#include <sys/socket.h>\nint main(){ a.sin_port = htons(7000); listen(s, 5); }\n",
        },
        "C (make)", 7000, ("install -D served /out/served", 'CMD ["served"]', "/dev/tcp/127.0.0.1/7000"),
    ),
    "cpp-cmake": Project(
        {"CMakeLists.txt": "project(calc)\nadd_executable(calc main.cpp)\n", "main.cpp": "#include <curl/curl.h>\nint main(){}\n"},
        "C++ (CMake)", 0, ("cmake --build build", "libcurl4-openssl-dev", "libcurl4", "libstdc++6"),
    ),
    "static": Project(
        {"public/index.html": "<h1>hello</h1>\n"}, "Static site (nginx)", 8080,
        ("COPY public /usr/share/nginx/html", "try_files $uri $uri/ =404", "USER www-data"),
    ),
}  # fmt: skip
