"""The administrator's word on registries: the engine's flags, a registries file, and folders of certificates.

The file is TOML, read again when it changes:

    certificates = ["/etc/nakagin/certs.d"]     # folders HOST[:PORT]/{*.crt, *.cert, *.key}

    [registry."docker.io"]                      # or "*", for those without an entry
    mirrors = ["https://mirror.example", { url = "10.1.2.3:5000", insecure = true }]
    insecure = false                            # TLS may be unverified, or missing
    blocked = false
    location = "hub.example/proxy"              # ask there instead
    ca = ["/etc/ssl/own-ca.pem"]
    client-cert = "/etc/ssl/me.cert"
    client-key = "/etc/ssl/me.key"
    stall-timeout = 30.0                        # seconds without a byte
"""

from __future__ import annotations

import glob
import os
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from nakagin.errors import Invalid
from nakagin.registry.endpoints import Endpoint, Files, Mirror, Policy, Rule, check_mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

CERTIFICATES = ("/etc/nakagin/certs.d", "/etc/docker/certs.d")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    certificates: tuple[str, ...] = CERTIFICATES
    registry: dict[str, Rule] = {}


class PolicySource:
    """Gives the policy as it is now."""

    def __init__(self, mirrors: Sequence[str], insecure: Sequence[str], path: str = "") -> None:
        """`mirrors` (of docker.io) and `insecure` are the engine's flags; `path` the registries file, or "".

        Raises Invalid for mirrors that are none.
        """
        for url in mirrors:
            check_mirror(url)
        self._mirrors = tuple(mirrors)
        self._insecure = tuple(insecure)
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._folders: tuple[str, ...] = CERTIFICATES
        self._policy = Policy(self._mirrors, self._insecure)

    def current(self) -> Policy:
        """The policy; the file is read again if it changed. Raises Invalid for one that cannot be understood."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            file = parse_file(self._read(), self._path) if stamp else _File()
            self._folders = file.certificates
            self._policy = Policy(self._mirrors, self._insecure, file.registry)
            self._stamp = stamp
        return self._policy

    def certified(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with what the certificate folders have for its address (as dockerd's certs.d)."""
        files = [files_in(os.path.join(folder, endpoint.address)) for folder in self._folders]
        return msgspec.structs.replace(
            endpoint,
            files=Files(
                tuple(name for each in (*files, endpoint.files) for name in each.authorities),
                tuple(pair for each in (*files, endpoint.files) for pair in each.pairs),
            ),
        )

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path) if self._path else None
        except FileNotFoundError:
            return None
        return (status.st_mtime_ns, status.st_size) if status else None

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                return file.read()
        except OSError as error:
            raise Invalid(f"the registries file cannot be read: {error.strerror}", where=self._path) from None


def parse_file(data: bytes, path: str) -> _File:
    """What a registries file says. Raises Invalid, naming the place."""
    try:
        document: dict[str, Any] = tomllib.loads(data.decode())
        file = msgspec.convert(document, _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise Invalid(f"the registries file is not as it should be: {error}", where=path) from None
    for name, rule in file.registry.items():
        for each in rule.mirrors:
            if not (each.url if isinstance(each, Mirror) else each):
                raise Invalid(f"an empty mirror of {name}", where=path)
        if rule.client_key and not rule.client_cert:
            raise Invalid(f"{name}: client-key needs client-cert", where=path)
    return file


def files_in(folder: str) -> Files:
    """*.crt are authorities, *.cert and *.key of one name a client's pair (docs.docker.com, certificates).

    Raises Invalid where one half of a pair is missing.
    """
    authorities = tuple(sorted(glob.glob(os.path.join(glob.escape(folder), "*.crt"))))
    pairs = []
    for certificate in sorted(glob.glob(os.path.join(glob.escape(folder), "*.cert"))):
        key = certificate.removesuffix(".cert") + ".key"
        if not os.path.exists(key):
            raise Invalid(f"missing key {os.path.basename(key)} for client certificate", where=certificate)
        pairs.append((certificate, key))
    return Files(authorities, tuple(pairs))
