"""The registry's command line: serve, gc, check. Flags win over the configuration file."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from nakagin.errors import Conflict, Invalid, NakaginError
from nakagin.registry.server.collect import Collector, Report
from nakagin.registry.server.control import Request, ask
from nakagin.registry.server.metrics import Metrics
from nakagin.registry.server.registry import Registry
from nakagin.registry.server.service import lock_root, report, serve
from nakagin.registry.server.settings import DEFAULT_LISTEN, Settings, default_root, load, settings_of

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = _settings(parsed)
        _log(settings)
        deed = {"serve": _serve, "gc": _collect, "check": _check}[parsed.verb]
        return deed(settings, parsed)
    except NakaginError as error:
        sys.stderr.write(report(error) + "\n")
        return 2 if isinstance(error, Invalid) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nakagin registry", description="A registry of container images (OCI distribution 1.1)."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help="configuration file (TOML)")
    common.add_argument("--root", metavar="DIR", help=f"folder of the content (default {default_root()})")
    common.add_argument("--log-level", choices=sorted(_LEVELS))
    server = verbs.add_parser("serve", parents=[common], help="serve until told to stop")
    _add_serve(server)
    collect = verbs.add_parser(
        "gc", parents=[common], help="free what nothing leads to, also while it is served"
    )
    collect.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    verbs.add_parser("check", parents=[common], help="read the configuration and say whether it is right")
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--listen", action="append", metavar="HOST:PORT", help=f"where to listen (default {DEFAULT_LISTEN})")
    add("--htpasswd", metavar="FILE", help="users and bcrypt hashes; nobody else may come in")
    add("--tls-cert", metavar="FILE", help="certificate chain (PEM)")
    add("--tls-key", metavar="FILE", help="its key (PEM)")
    add("--tls-client-ca", metavar="FILE", help="serve only clients with a certificate of this authority")
    add("--read-only", action="store_true", default=None, help="take no pushes and deletions")
    add("--no-delete", action="store_true", default=None, help="take no deletions")
    add("--upstream", action="append", metavar="URL", help="pull through this registry what is not here")
    add("--quota", metavar="SIZE", help="most bytes of everything together, such as 100g")
    add("--metrics", action="store_true", default=None, help="Prometheus' text at /metrics")
    add("--access-log", action="store_true", default=None, help="a line for every request")


def _settings(parsed: argparse.Namespace) -> Settings:
    document = load(parsed.config) if parsed.config else {}
    for path, value in _given(parsed):
        place = document
        for key in path[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise Invalid(f"{key} is no table", where=parsed.config)
        place[path[-1]] = value
    return settings_of(document, parsed.config or "command line")


def _given(parsed: argparse.Namespace) -> list[tuple[tuple[str, ...], Any]]:
    """(place in the configuration, value) of each flag that was given."""
    get = vars(parsed).get
    deletes = None if get("no_delete") is None else False
    upstream = [{"url": url} for url in get("upstream") or []] or None
    found: list[tuple[tuple[str, ...], Any]] = [
        (("root",), os.path.abspath(parsed.root) if parsed.root else None),
        (("log_level",), parsed.log_level),
        (("listen",), get("listen")),
        (("auth", "htpasswd"), get("htpasswd")),
        (("tls", "certificate"), get("tls_cert")),
        (("tls", "key"), get("tls_key")),
        (("tls", "client_ca"), get("tls_client_ca")),
        (("read_only",), get("read_only")),
        (("delete",), deletes),
        (("upstream",), upstream),
        (("quota", "total"), get("quota")),
        (("metrics",), get("metrics")),
        (("access_log",), get("access_log")),
    ]
    return [(path, value) for path, value in found if value is not None]


def _log(settings: Settings) -> None:
    if settings.log_level not in _LEVELS:
        raise Invalid(f"unknown log level {settings.log_level!r}", hint=f"known: {', '.join(_LEVELS)}")
    logging.basicConfig(
        level=_LEVELS[settings.log_level], stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )


def _serve(settings: Settings, _: argparse.Namespace) -> int:
    asyncio.run(serve(settings))
    return 0


def _collect(settings: Settings, parsed: argparse.Namespace) -> int:
    try:
        lock = lock_root(settings.root)
    except Conflict:
        _tell(ask(settings.root, Request(dry_run=parsed.dry_run)))
        return 0
    try:
        collector = Collector(Registry(settings), Metrics())
        _tell(asyncio.run(collector.run(dry_run=parsed.dry_run)))
    finally:
        os.close(lock)
    return 0


def _tell(done: Report) -> None:
    would = "would delete" if done.dry_run else "deleted"
    for tag in done.tags:
        sys.stdout.write(f"{would} {tag}\n")
    for manifest in done.manifests:
        sys.stdout.write(f"{would} {manifest}\n")
    sys.stdout.write(
        f"{would} {len(done.tags)} tags, {len(done.manifests)} manifests, {done.blobs} blobs "
        f"({done.bytes} bytes) and {done.uploads} abandoned uploads in {done.seconds:.3f} s\n"
    )


def _check(settings: Settings, _: argparse.Namespace) -> int:
    sys.stdout.write(f"the configuration is right; the content lies in {settings.root}\n")
    return 0
