"""From a path to what it names. Pure; the paths are those of the specification's table "Endpoints"."""

from __future__ import annotations

import re
from typing import NamedTuple

from nakagin.registry.server.names import check_name
from nakagin.registry.server.refusals import unsupported

BASE = "base"
CATALOG = "catalog"
TAGS = "tags"
MANIFEST = "manifest"
BLOB = "blob"
UPLOADS = "uploads"
UPLOAD = "upload"
REFERRERS = "referrers"
METRICS = "metrics"
TOKEN = "token"  # noqa: S105 -- the name of a route

# The name is greedy: a repository may itself be called "a/blobs/uploads".
_NAMED = (
    (UPLOADS, re.compile(r"(.+)/blobs/uploads/?")),
    (UPLOAD, re.compile(r"(.+)/blobs/uploads/([^/]+)")),
    (BLOB, re.compile(r"(.+)/blobs/([^/]+)")),
    (MANIFEST, re.compile(r"(.+)/manifests/([^/]+)")),
    (TAGS, re.compile(r"(.+)/tags/list")),
    (REFERRERS, re.compile(r"(.+)/referrers/([^/]+)")),
)
_PLAIN = {
    "/v2": BASE,
    "/v2/": BASE,
    "/v2/_catalog": CATALOG,
    "/metrics": METRICS,
    "/token": TOKEN,
}


class Target(NamedTuple):
    """What a request is about: the kind of thing, the repository, and a tag, digest or upload's id, unchecked."""

    kind: str
    name: str = ""
    reference: str = ""


def target_of(path: str) -> Target:
    """The target of a decoded path. Raises Refusal: NAME_INVALID, or 404 for a path that names nothing."""
    if plain := _PLAIN.get(path):
        return Target(plain)
    if path.startswith("/v2/"):
        for kind, pattern in _NAMED:
            if found := pattern.fullmatch(path, 4):
                reference = found[2] if found.re.groups > 1 else ""
                return Target(kind, check_name(found[1]), reference)
    raise unsupported("there is nothing at this path", status=404)
