"""What the registry is asked to be: one value, from a TOML file and the command line. Pure but for reading the file."""

from __future__ import annotations

import os
import tomllib
from typing import Any, TypeVar

import msgspec

from nakagin.errors import Invalid
from nakagin.registry.model import LARGEST_MANIFEST
from nakagin.spec.duration import parse_duration
from nakagin.spec.size import parse_size

DEFAULT_LISTEN = "127.0.0.1:5000"
ACTIONS = ("pull", "push", "delete")
ANONYMOUS = "anonymous"

Document = TypeVar("Document")


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class TLS(_Section, frozen=True):
    """PEM files; with `client_ca`, only clients with a certificate of these authorities are served."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""


class Tokens(_Section, frozen=True):
    """Bearer tokens (JWT): `keys` are PEM files that verify them; with `signing_key` the registry issues them too."""

    realm: str = ""
    service: str = "nakagin-registry"
    issuer: str = "nakagin-registry"
    keys: tuple[str, ...] = ()
    signing_key: str = ""
    lifetime: str = "5m"
    refresh_lifetime: str = "720h"


class Auth(_Section, frozen=True):
    """Who may come in: an htpasswd file (bcrypt) and/or tokens. Neither: everybody."""

    htpasswd: str = ""
    realm: str = "Nakagin registry"
    token: Tokens = Tokens()


class Rule(_Section, frozen=True):
    """These users may do these actions in these repositories (shell patterns; "*" is every user who has logged
    in, "anonymous" anybody else)."""

    users: tuple[str, ...] = ("*",)
    repositories: tuple[str, ...] = ("*",)
    actions: tuple[str, ...] = ACTIONS


class Quota(_Section, frozen=True):
    """Most bytes of all blobs together, and of each repository by the first pattern that fits; "" is no bound."""

    total: str = ""
    repositories: dict[str, str] = {}


class Retention(_Section, frozen=True):
    """In these repositories, of the tags that match: keep the newest `keep`, and all younger than `older_than`."""

    repositories: tuple[str, ...] = ("*",)
    tags: tuple[str, ...] = ("*",)
    except_tags: tuple[str, ...] = ()
    keep: int = 0
    older_than: str = ""


class Collection(_Section, frozen=True):
    """Garbage collection: how often it runs by itself ("" never), what is too young for it, and when manifests
    without a tag ("" never) and unfinished uploads go."""

    interval: str = "1h"
    grace: str = "1h"
    untagged: str = ""
    uploads: str = "24h"


class Upstream(_Section, frozen=True):
    """A registry to pull through: its address, and how long a tag is trusted before it is asked for again.

    `name` is what clients call it by `?ns=`; the first upstream is asked when they do not.
    """

    url: str
    name: str = ""
    username: str = ""
    password_file: str = ""
    ca: str = ""
    fresh: str = "1m"


class Settings(_Section, frozen=True):
    """Everything that a configuration file may say. Sizes as "10g", durations as "1h30m"."""

    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    root: str = ""
    read_only: bool = False
    delete: bool = True
    sparse_indexes: bool = False
    immutable_tags: tuple[str, ...] = ()
    metrics: bool = False
    access_log: bool = False
    log_level: str = "info"
    stop_timeout: str = "30s"
    manifest_limit: str = str(LARGEST_MANIFEST)
    chunk_min_length: str = ""
    requests_per_minute: int = 0
    page: int = 1000
    tls: TLS = TLS()
    auth: Auth = Auth()
    access: tuple[Rule, ...] = ()
    quota: Quota = Quota()
    retention: tuple[Retention, ...] = ()
    gc: Collection = Collection()
    upstream: tuple[Upstream, ...] = ()


def default_root() -> str:
    """Where the registry's content lies unless told otherwise."""
    if os.geteuid() == 0:
        return "/var/lib/nakagin-registry"
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(home, "nakagin", "registry")


def load(path: str) -> dict[str, Any]:
    """The configuration file as a document. Raises Invalid."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise Invalid(f"cannot read the configuration file: {error.strerror}", where=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"not TOML: {error}", where=path) from None


def settings_of(document: dict[str, Any], where: str = "settings") -> Settings:
    """The checked settings of a document. Raises Invalid, which says at which key."""
    try:
        settings = msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), where=where) from None
    _check(settings, where)
    return settings if settings.root else msgspec.structs.replace(settings, root=default_root())


def _check(settings: Settings, where: str) -> None:
    _check_who(settings, where)
    if not settings.listen:
        raise Invalid("nothing to listen at", where=where, hint='listen = ["127.0.0.1:5000"]')
    for address in settings.listen:
        address_of(address)
    for text in (settings.quota.total, *settings.quota.repositories.values(), settings.chunk_min_length):
        size_of(text)
    for text in (
        settings.gc.interval, settings.gc.grace, settings.gc.untagged, settings.gc.uploads,
        settings.stop_timeout, settings.auth.token.lifetime,
        *(each.older_than for each in settings.retention), *(each.fresh for each in settings.upstream),
    ):  # fmt: skip
        seconds_of(text)
    if settings.requests_per_minute < 0 or settings.page < 1:
        raise Invalid("requests_per_minute and page must be positive", where=where)
    if not 0 < size_of(settings.manifest_limit) <= LARGEST_MANIFEST:
        raise Invalid(f"manifest_limit is at most {LARGEST_MANIFEST}", where=where)
    for each in settings.retention:
        if each.keep <= 0 and not each.older_than:
            raise Invalid("a retention rule needs keep or older_than", where=where)


def _check_who(settings: Settings, where: str) -> None:
    """What says who may come in."""
    if bool(settings.tls.certificate) != bool(settings.tls.key):
        raise Invalid("tls needs both certificate and key", where=where)
    if settings.tls.client_ca and not settings.tls.certificate:
        raise Invalid("tls.client_ca needs certificate and key", where=where)
    for rule in settings.access:
        if unknown := set(rule.actions) - set(ACTIONS):
            raise Invalid(
                f"unknown action {min(unknown)!r}", where=where, hint=f"known: {', '.join(ACTIONS)}"
            )
    if settings.access and not (settings.auth.htpasswd or settings.auth.token.signing_key):
        raise Invalid("access rules need auth.htpasswd", where=where, hint="tokens carry their own scopes")
    if settings.auth.token.signing_key and not settings.auth.htpasswd:
        raise Invalid("auth.token.signing_key needs auth.htpasswd", where=where)


def address_of(text: str) -> tuple[str, int]:
    """ "127.0.0.1:5000", "[::1]:5000", ":5000" as (host, port); no host is every address. Raises Invalid."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise Invalid(f"not an address to listen at: {text!r}", hint="write HOST:PORT")
    return host.strip("[]"), int(port)


def seconds_of(text: str) -> float:
    """A duration ("90s", "1h30m", "7d") in seconds; "" is 0. Raises Invalid."""
    if not text:
        return 0.0
    if text.endswith("d") and text[:-1].isdigit():
        return int(text[:-1]) * 86400.0
    return parse_duration(text) / 1e9


def size_of(text: str) -> int:
    """A size ("10g", "4m", "1024") in bytes; "" is 0. Raises Invalid."""
    return parse_size(text) if text else 0
