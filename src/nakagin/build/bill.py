"""A software bill of materials: what is in an image, as an SPDX 2.3 document. Pure."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

import nakagin
from nakagin.build.attestations import Predicate
from nakagin.images.model import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.build.inventory import Package, System

_TYPE = "https://spdx.dev/Document"
_UNKNOWN = "NOASSERTION"
FILE = "sbom.spdx.json"


def predicate(
    name: str, digest: str, system: System, packages: Sequence[Package], seconds: float
) -> Predicate:
    """The document for an image of this name whose files are told by `digest`, made at `seconds` since the epoch."""
    root = "SPDXRef-DocumentRoot-Image"
    described = [_package(each) for each in packages]
    contains = [_relation(root, "CONTAINS", str(each["SPDXID"])) for each in described]
    top: dict[str, object] = {
        "SPDXID": root,
        "name": name,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
    }
    if system.name:
        top["comment"] = f"based on {system.name}"
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/nakagin-{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "creationInfo": {
            "created": timestamp(int(seconds)),
            "creators": [f"Tool: nakagin-{nakagin.__version__}"],
        },
        "packages": [top, *described],
        "relationships": [_relation("SPDXRef-DOCUMENT", "DESCRIBES", root), *contains],
    }
    return Predicate(_TYPE, document, FILE)


def _package(package: Package) -> dict[str, object]:
    kind = package.purl.removeprefix("pkg:").partition("/")[0]
    found: dict[str, object] = {
        "SPDXID": f"SPDXRef-Package-{kind}-{hashlib.sha256(package.purl.encode()).hexdigest()[:16]}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        "sourceInfo": f"from {package.found}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }
    if package.supplier:
        found["supplier"] = f"Person: {package.supplier.replace('<', '(').replace('>', ')')}"
    if package.license:
        # What authors write there is seldom an expression of SPDX's.
        found["licenseComments"] = f"declared as {package.license}"
    return found


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
