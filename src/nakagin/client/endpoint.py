"""Where the engine is: DOCKER_HOST-like addresses, contexts and TLS material, as plain data. Opens no socket.

Precedence: an explicit host or context, NAKAGIN_HOST, DOCKER_HOST, DOCKER_CONTEXT, the default socket.
A `currentContext` of Docker's configuration is not followed: it says where *docker* shall go.
"""

from __future__ import annotations

import os

from nakagin.errors import Invalid, NotFound, Unsupported
from nakagin.spec.document import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SOCKET = "/run/nakagin/nakagin.sock"


class TLS:
    """Paths of PEM files and whether the server's certificate is verified."""

    __slots__ = ("ca", "certificate", "key", "verify")

    def __init__(self, *, ca: str | None, certificate: str | None, key: str | None, verify: bool) -> None:
        self.ca = ca
        self.certificate = certificate
        self.key = key
        self.verify = verify


class Endpoint:
    """A socket address: `path` for a unix socket, else `host` and `port`; `prefix` is a path before all URLs.

    `default` is true where nobody named an address: then the command line may start an engine.
    """

    __slots__ = ("default", "host", "path", "port", "prefix", "tls", "url")

    def __init__(self, url: str, *, tls: TLS | None = None, default: bool = False) -> None:
        self.url = url
        self.tls = tls
        self.default = default
        self.path: str | None = None
        self.host, self.port, self.prefix = "", 0, ""
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise Invalid(
                f"unable to parse docker host `{url}`", hint="write unix:///path or tcp://host:port"
            )
        if scheme == "unix":
            self.path = rest or DEFAULT_SOCKET
        elif scheme in ("tcp", "http", "https"):
            self._network_address(rest, scheme)
        else:
            raise Unsupported(
                f"the scheme {scheme}:// of {url} is not supported", hint="use unix:// or tcp://"
            )

    def _network_address(self, rest: str, scheme: str) -> None:
        address, slash, prefix = rest.partition("/")
        self.prefix = (slash + prefix).rstrip("/")
        if scheme == "https" and self.tls is None:
            self.tls = TLS(ca=None, certificate=None, key=None, verify=True)
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            host, port = address, "2376" if self.tls else "2375"
        self.host = host.strip("[]") or "127.0.0.1"
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise Invalid(f"not a port in {self.url}: {port!r}")
        self.port = int(port)

    @property
    def host_header(self) -> str:
        """What the Host header says; Docker's own clients say a fixed name on a unix socket."""
        if self.path is not None:
            return "docker"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"


def resolve(
    environment: Mapping[str, str],
    *,
    host: str | None = None,
    context: str | None = None,
    config: str | None = None,
    tls: TLS | None = None,
) -> Endpoint:
    """The endpoint that is meant; NotFound for an unknown context, Invalid for a bad address."""
    folder = (
        config or environment.get("DOCKER_CONFIG") or os.path.join(environment.get("HOME", "/"), ".docker")
    )
    if not host and not context:
        host = environment.get("NAKAGIN_HOST") or environment.get("DOCKER_HOST")
        context = None if host else environment.get("DOCKER_CONTEXT")
    if host:
        return Endpoint(complete(host), tls=tls or _environment_tls(environment, folder))
    if context and context != "default":
        return _from_context(context, folder)
    return Endpoint(f"unix://{DEFAULT_SOCKET}", default=True)


def complete(host: str) -> str:
    """An address as people write it, with its scheme: "/x.sock" → "unix:///x.sock", "box:2375" → "tcp://box:2375"."""
    if "://" in host:
        return host
    return f"unix://{host}" if host.startswith("/") else f"tcp://{host}"


def _environment_tls(environment: Mapping[str, str], folder: str) -> TLS | None:
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    if not verify and not environment.get("DOCKER_TLS"):
        return None
    return material(environment.get("DOCKER_CERT_PATH") or folder, verify=verify)


def material(folder: str, *, verify: bool) -> TLS:
    """The TLS files of a folder under Docker's names; those that do not exist are left out."""
    paths = {name: os.path.join(folder, f"{name}.pem") for name in ("ca", "cert", "key")}
    found = {name: path if os.path.exists(path) else None for name, path in paths.items()}
    return TLS(ca=found["ca"], certificate=found["cert"], key=found["key"], verify=verify)


def _from_context(name: str, folder: str) -> Endpoint:
    """Docker keeps a context under the SHA-256 of its name (docs.docker.com, "Manage contexts")."""
    import hashlib

    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        with open(os.path.join(folder, "contexts", "meta", digest, "meta.json"), "rb") as file:
            document = parse(file.read(), f"context {name}")
    except FileNotFoundError:
        raise NotFound(
            f'context "{name}": context not found', hint=f"contexts are kept in {folder}/contexts"
        ) from None
    docker = document.get("Endpoints", {}).get("docker", {})
    certificates = os.path.join(folder, "contexts", "tls", digest, "docker")
    tls = (
        material(certificates, verify=not docker.get("SkipTLSVerify"))
        if os.path.isdir(certificates)
        else None
    )
    return Endpoint(complete(docker.get("Host") or DEFAULT_SOCKET), tls=tls)
