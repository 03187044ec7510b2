"""The bodies of the Docker Engine API about networks."""

from __future__ import annotations

from msgspec import field

from nakagin.spec.docker import Document, EndpointSettings, fields


class IPAMConfig(Document, frozen=True, kw_only=True):
    omit_empty = fields("subnet ip_range gateway auxiliary_addresses")

    subnet: str = ""
    ip_range: str = field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = field(default_factory=dict, name="AuxiliaryAddresses")


class IPAM(Document, frozen=True, kw_only=True):
    null_empty = fields("options")

    driver: str = ""
    options: dict[str, str] = {}
    config: tuple[IPAMConfig, ...] = ()


class ConfigReference(Document, frozen=True, kw_only=True):
    network: str = ""


class NetworkCreate(Document, frozen=True, kw_only=True):
    """The body of POST /networks/create; `enable_ipv4` None is the engine's default (on)."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    check_duplicate: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    ipam: IPAM | None = field(default=None, name="IPAM")
    enable_ipv4: bool | None = field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = field(default=None, name="EnableIPv6")
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class NetworkConnect(Document, frozen=True, kw_only=True):
    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Document, frozen=True, kw_only=True):
    container: str = ""
    force: bool = False
