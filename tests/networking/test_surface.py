"""The lists of what Docker has, as far as they are about networks: which test shows a row, or why none does.

That every test named here exists is always checked; that no row is missing, where the lists lie beside the
repository.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTS = (ROOT.parent / "shared/surface", ROOT.parents[1] / "shared/surface")

# What of the command line and of the API is a matter of networks.
_RUN = (
    "add-host|dns|dns-opt|dns-option|dns-search|domainname|expose|hostname|ip|ip6|link|link-local-ip|mac-address|"
    "net|net-alias|network|network-alias|publish|publish-all"
)
CLI = re.compile(rf"CLI\.(network(_\w+)?(\..+)?|(container_)?port|(container_)?(run|create)\.({_RUN}))")
API = re.compile(
    r"API\.(Network\w+(\..+)?|ContainerList\.filters\.(expose|network|publish)|SystemEvents\.filters\.network|"
    r"ContainerDelete\.link|"
    r"def\.(EndpointSettings|EndpointIPAMConfig|NetworkingConfig|IPAM|IPAMConfig|Network|NetworkSettings|PortSummary|"
    r"ConfigReference)\..+|"
    r"def\.ContainerConfig\.(Hostname|Domainname|ExposedPorts|NetworkDisabled)|"
    r"def\.HostConfig\.(NetworkMode|PortBindings|Dns|DnsOptions|DnsSearch|ExtraHosts|Links|PublishAllPorts)|"
    r"def\.ContainerSummary\.(Ports|HostConfig\.NetworkMode|NetworkSettings.*)|"
    r"def\.ContainerInspectResponse\.(HostnamePath|HostsPath|NetworkSettings)|"
    r"def\.ContainerStatsResponse\.networks|def\.SystemInfo\.IPv4Forwarding)"
)
DAEMON = re.compile(
    r"DAEMON\.(flag\.)?(allow-direct-routing|bip6?|bridge|default-address-pools?|default-gateway(-v6)?|"
    r"default-network-opts?|dns(-opts?|-search)?|fixed-cidr(-v6)?|host-gateway-ip|icc|ip|ip-forward(-no-drop)?|"
    r"ip-masq|ip6?tables|ipv6|mtu|network-control-plane-mtu|userland-proxy(-path)?)"
)

DEFINED, CHANGED, PASSED, ROWS, POOLS, PARENTS = (
    f"networking/test_{file}::" for file in ("definitions", "changes", "traffic", "rows", "pools", "parents")
)
NAMES, PORTS, LINKS, DEFAULT = (f"spine/test_{file}::" for file in ("names", "ports", "links", "network"))

SHOWN = {
    # --- the command line ------------------------------------------------------------------------------
    "CLI.network": DEFINED + "test_filters_and_columns",
    "CLI.network_connect": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_connect.alias": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_connect.driver-opt": ROWS + "test_disconnecting_by_force",
    "CLI.network_connect.gw-priority": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_connect.ip": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_connect.ip6": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_connect.link": ROWS + "test_disconnecting_by_force",
    "CLI.network_connect.link-local-ip": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_create": DEFINED + "test_inspect_is_dockers_document",
    "CLI.network_create.attachable": DEFINED + "test_inspect_is_dockers_document",
    "CLI.network_create.aux-address": PASSED + "test_addresses_as_asked_for",
    "CLI.network_create.config-from": DEFINED + "test_configurations_of_networks",
    "CLI.network_create.config-only": DEFINED + "test_configurations_of_networks",
    "CLI.network_create.driver": PARENTS + "test_a_container_is_a_machine_of_the_lan",
    "CLI.network_create.gateway": PASSED + "test_addresses_as_asked_for",
    "CLI.network_create.internal": PASSED + "test_internal_networks_lead_nowhere",
    "CLI.network_create.ip-range": PASSED + "test_addresses_as_asked_for",
    "CLI.network_create.ipam-driver": DEFINED + "test_refused",
    "CLI.network_create.ipam-opt": DEFINED + "test_inspect_is_dockers_document",
    "CLI.network_create.ipv4": PASSED + "test_ipv6_alone",
    "CLI.network_create.ipv6": PASSED + "test_neighbours_and_outside_by_every_protocol",
    "CLI.network_create.label": DEFINED + "test_filters_and_columns",
    "CLI.network_create.opt": PASSED + "test_names_mtu_and_prefix_of_interfaces",
    "CLI.network_create.scope": DEFINED + "test_refused",
    "CLI.network_create.subnet": PASSED + "test_several_pools_of_a_family",
    "CLI.network_disconnect": CHANGED + "test_connect_and_disconnect_while_it_runs",
    "CLI.network_disconnect.force": ROWS + "test_disconnecting_by_force",
    "CLI.network_inspect": DEFINED + "test_inspect_is_dockers_document",
    "CLI.network_inspect.format": ROWS + "test_lists_in_every_shape",
    "CLI.network_inspect.verbose": DEFINED + "test_inspect_is_dockers_document",
    "CLI.network_ls": DEFINED + "test_filters_and_columns",
    "CLI.network_ls.filter": DEFINED + "test_filters_and_columns",
    "CLI.network_ls.format": ROWS + "test_lists_in_every_shape",
    "CLI.network_ls.no-trunc": ROWS + "test_lists_in_every_shape",
    "CLI.network_ls.quiet": DEFINED + "test_filters_and_columns",
    "CLI.network_prune": DEFINED + "test_prune_takes_what_nobody_uses",
    "CLI.network_prune.filter": DEFINED + "test_prune_takes_what_nobody_uses",
    "CLI.network_prune.force": DEFINED + "test_prune_takes_what_nobody_uses",
    "CLI.network_rm": DEFINED + "test_removing",
    "CLI.network_rm.force": DEFINED + "test_removing",
    "CLI.port": DEFAULT + "test_published_on_loopback",
    "CLI.run.add-host": NAMES + "test_the_resolver_file",
    "CLI.run.dns": NAMES + "test_outside_names",
    "CLI.run.dns-opt": ROWS + "test_old_spellings",
    "CLI.run.dns-option": NAMES + "test_the_resolver_file",
    "CLI.run.dns-search": NAMES + "test_the_resolver_file",
    "CLI.run.domainname": NAMES + "test_the_resolver_file",
    "CLI.run.expose": PORTS + "test_ranges_and_random_ports",
    "CLI.run.hostname": NAMES + "test_what_a_container_is_called",
    "CLI.run.ip": PASSED + "test_addresses_as_asked_for",
    "CLI.run.ip6": PASSED + "test_addresses_as_asked_for",
    "CLI.run.link": LINKS + "test_a_link_is_a_name_and_variables",
    "CLI.run.link-local-ip": PASSED + "test_link_local_addresses_beside_the_others",
    "CLI.run.mac-address": PASSED + "test_addresses_as_asked_for",
    "CLI.run.net": ROWS + "test_old_spellings",
    "CLI.run.net-alias": ROWS + "test_old_spellings",
    "CLI.run.network": CHANGED + "test_several_networks_at_create_time",
    "CLI.run.network-alias": NAMES + "test_what_a_container_is_called",
    "CLI.run.publish": PORTS + "test_a_port_on_every_address",
    "CLI.run.publish-all": PORTS + "test_ranges_and_random_ports",
    # --- the API ---------------------------------------------------------------------------------------
    "API.NetworkList": DEFINED + "test_filters_and_columns",
    "API.NetworkInspect": DEFINED + "test_inspect_is_dockers_document",
    "API.NetworkInspect.verbose": ROWS + "test_statuses",
    "API.NetworkInspect.scope": ROWS + "test_statuses",
    "API.NetworkDelete": ROWS + "test_statuses",
    "API.NetworkCreate": ROWS + "test_statuses",
    "API.NetworkConnect": ROWS + "test_statuses",
    "API.NetworkDisconnect": ROWS + "test_statuses",
    "API.NetworkPrune": DEFINED + "test_prune_takes_what_nobody_uses",
    "API.ContainerList.filters": ROWS + "test_containers_are_found_by_network_and_port",
    "API.SystemEvents.filters.network": DEFINED + "test_events",
    "API.ContainerDelete.link": LINKS + "test_a_link_is_removed",
    "API.def.ContainerConfig.Hostname": NAMES + "test_what_a_container_is_called",
    "API.def.ContainerConfig.Domainname": NAMES + "test_the_resolver_file",
    "API.def.ContainerConfig.ExposedPorts": PORTS + "test_ranges_and_random_ports",
    "API.def.ContainerConfig.NetworkDisabled": ROWS + "test_a_container_without_any_network",
    "API.def.HostConfig.NetworkMode": PASSED + "test_shared_and_missing_networks",
    "API.def.HostConfig.PortBindings": PORTS + "test_ports_on_chosen_addresses",
    "API.def.HostConfig.Dns": NAMES + "test_outside_names",
    "API.def.HostConfig.DnsOptions": NAMES + "test_the_resolver_file",
    "API.def.HostConfig.DnsSearch": NAMES + "test_the_resolver_file",
    "API.def.HostConfig.ExtraHosts": NAMES + "test_the_resolver_file",
    "API.def.HostConfig.Links": LINKS + "test_a_link_is_a_name_and_variables",
    "API.def.HostConfig.PublishAllPorts": PORTS + "test_ranges_and_random_ports",
    "API.def.EndpointSettings": ROWS + "test_what_a_container_shows_of_its_networks",
    "API.def.EndpointIPAMConfig.LinkLocalIPs": PASSED + "test_link_local_addresses_beside_the_others",
    "API.def.EndpointIPAMConfig": PASSED + "test_addresses_as_asked_for",
    "API.def.NetworkingConfig": NAMES + "test_docker_py",
    "API.def.IPAM": DEFINED + "test_inspect_is_dockers_document",
    "API.def.IPAMConfig": DEFINED + "test_inspect_is_dockers_document",
    "API.def.Network": DEFINED + "test_inspect_is_dockers_document",
    "API.def.ConfigReference": DEFINED + "test_configurations_of_networks",
    "API.def.NetworkSettings": ROWS + "test_what_a_container_shows_of_its_networks",
    "API.def.PortSummary": ROWS + "test_what_a_container_shows_of_its_networks",
    "API.def.ContainerSummary": ROWS + "test_what_a_container_shows_of_its_networks",
    "API.def.ContainerInspectResponse": ROWS + "test_what_a_container_shows_of_its_networks",
    "API.def.ContainerStatsResponse.networks": ROWS + "test_traffic_is_counted_by_interface",
    "API.def.SystemInfo.IPv4Forwarding": ROWS + "test_what_info_says",
    # --- the engine ------------------------------------------------------------------------------------
    "DAEMON.allow-direct-routing": POOLS + "test_ports_at_the_containers_own_address_and_ipv6_left_alone",
    "DAEMON.bip": POOLS + "test_a_default_bridge_with_both_families",
    "DAEMON.bip6": POOLS + "test_a_default_bridge_with_both_families",
    "DAEMON.bridge": POOLS + "test_a_bridge_of_the_users_for_the_default_network",
    "DAEMON.default-address-pool": POOLS + "test_pools_avoid_what_is_routed_and_say_who_has_them",
    "DAEMON.default-gateway": POOLS + "test_a_closed_default_bridge_with_another_router",
    "DAEMON.default-gateway-v6": POOLS + "test_without_any_rules_and_without_forwarding",
    "DAEMON.default-network-opt": POOLS + "test_a_default_bridge_with_both_families",
    "DAEMON.dns": NAMES + "test_what_the_engine_is_told",
    "DAEMON.dns-opt": NAMES + "test_what_the_engine_is_told",
    "DAEMON.dns-search": NAMES + "test_what_the_engine_is_told",
    "DAEMON.fixed-cidr": POOLS + "test_a_default_bridge_with_both_families",
    "DAEMON.fixed-cidr-v6": POOLS + "test_ports_at_the_containers_own_address_and_ipv6_left_alone",
    "DAEMON.host-gateway-ip": NAMES + "test_what_the_engine_is_told",
    "DAEMON.icc": POOLS + "test_a_closed_default_bridge_with_another_router",
    "DAEMON.ip": NAMES + "test_what_the_engine_is_told",
    "DAEMON.ip-forward": POOLS + "test_without_any_rules_and_without_forwarding",
    "DAEMON.ip-masq": POOLS + "test_a_closed_default_bridge_with_another_router",
    "DAEMON.iptables": POOLS + "test_without_any_rules_and_without_forwarding",
    "DAEMON.ip6tables": POOLS + "test_ports_at_the_containers_own_address_and_ipv6_left_alone",
    "DAEMON.ipv6": POOLS + "test_a_default_bridge_with_both_families",
    "DAEMON.mtu": POOLS + "test_a_default_bridge_with_both_families",
    "DAEMON.userland-proxy": NAMES + "test_what_the_engine_is_told",
}  # fmt: skip

# Taken, and without an effect; docs/differences-from-docker.md says so too.
WITHOUT_EFFECT = {
    "CLI.network_create.ingress": "swarm: refused",
    "API.def.Network.Peers": "swarm: no other hosts",
    "DAEMON.ip-forward-no-drop": "no policy of another table is ever changed",
    "DAEMON.network-control-plane-mtu": "swarm",
    "DAEMON.userland-proxy-path": "the monitor is the proxy",
}


@cache
def rows() -> list[str]:
    """The ids of all rows about networks, as they are known here."""
    found = []
    for folder in LISTS:
        for name, wanted in (("cli.tsv", CLI), ("api.tsv", API), ("daemon.tsv", DAEMON)):
            if (folder / name).exists():
                ids = (line.partition("\t")[0] for line in (folder / name).read_text().splitlines())
                found += [_plain(each) for each in ids if wanted.fullmatch(each)]
        if found:
            return found
    return found


def _plain(row: str) -> str:
    """One row for what the lists have under several names: `container run` is `run`, and `create` parses alike."""
    row = re.sub(r"^CLI\.(container_)?(run|create)\.", "CLI.run.", row)
    row = row.replace("CLI.container_port", "CLI.port").replace("DAEMON.flag.", "DAEMON.")
    return re.sub(r"^(DAEMON\.(default-address-pool|default-network-opt|dns-opt))s$", r"\1", row)


def _covering(row: str) -> str:
    """What is said of a row, or of what it belongs to: "API.NetworkList.filters.id" of "API.NetworkList"."""
    while row:
        if row in SHOWN or row in WITHOUT_EFFECT:
            return row
        row = row.rpartition(".")[0] if row.startswith("API.") else ""
    return ""


def test_every_row_is_shown_or_has_its_reason() -> None:
    if not rows():
        pytest.skip("the lists are not beside this repository")
    assert len(rows()) > 200
    assert [row for row in rows() if not _covering(row)] == []


def test_nothing_is_said_of_rows_that_are_not_there() -> None:
    if not rows():
        pytest.skip("the lists are not beside this repository")
    known = {prefix for row in rows() for prefix in (row, *(_covering(row),))}
    assert sorted({*SHOWN, *WITHOUT_EFFECT} - known) == []


def test_every_named_test_exists() -> None:
    missing = []
    for where in set(SHOWN.values()):
        file, _, name = where.partition("::")
        text = (ROOT / "tests" / f"{file}.py").read_text()
        if f"def {name}(" not in text:
            missing.append(where)
    assert not missing


def test_what_has_no_effect_is_documented() -> None:
    text = (ROOT / "docs/differences-from-docker.md").read_text()
    missing = [
        row for row in WITHOUT_EFFECT if row.startswith("DAEMON.") and row.partition(".")[2] not in text
    ]
    assert not missing
