"""From global flags to a connected client; starts an engine on this machine when none is named and none answers."""

from __future__ import annotations

import _socket
import os

from nakagin.client.client import Client
from nakagin.client.endpoint import TLS, docker_folder, material, resolve
from nakagin.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.cli.flags import Options
    from nakagin.client.endpoint import Endpoint


def connect(settings: Options) -> Client:
    """A client for what -H, -c, --tls… and the environment say."""
    hosts = settings.many("host")
    if len(hosts) > 1:
        raise Invalid("specify only one -H")
    endpoint = resolve(
        os.environ,
        host=hosts[0] if hosts else None,
        context=settings.text("context") or None,
        config=settings.text("config") or None,
        tls=_tls(settings),
    )
    if endpoint.default and not answers(endpoint):
        from nakagin.cli.autostart import start_engine

        start_engine(endpoint)
    # The engine takes its time for some requests (stop, pull, prune): like docker, the command line waits.
    return Client(endpoint, timeout=None, version=os.environ.get("DOCKER_API_VERSION") or None)


def answers(endpoint: Endpoint) -> bool:
    """Somebody listens on the endpoint's unix socket (or forbids us to ask, which is another error)."""
    assert endpoint.path is not None
    probe = _socket.socket(_socket.AF_UNIX)
    try:
        probe.connect(endpoint.path)
    except PermissionError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return True


def _tls(settings: Options) -> TLS | None:
    verify = settings.on("tlsverify")
    if not (verify or settings.on("tls")):
        return None
    folder = os.environ.get("DOCKER_CERT_PATH") or settings.text("config") or docker_folder(os.environ)
    usual = material(folder, verify=verify)
    return TLS(
        ca=settings.text("tlscacert") or usual.ca,
        certificate=settings.text("tlscert") or usual.certificate,
        key=settings.text("tlskey") or usual.key,
        verify=verify,
    )
