"""The flags of `nakagin engine`: dockerd's, and a few of our own. Each fills one key of daemon.json.

What becomes of a key, and what it may hold: `nakagin.settings`.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from nakagin.errors import Invalid
from nakagin.settings import CONFIG_FILE, DATA_ROOT, EXEC_ROOT, GROUP, REGISTRIES_FILE
from nakagin.spec.size import parse_size

SWITCH = "true|false"
NUMBER = "N"


class Flag(NamedTuple):
    """One flag: its name, what it takes (SWITCH, NUMBER, or the placeholder of a text), and what it does.

    `key` is its key of daemon.json where that has another name; a flag with a `key` may be given several times.
    """

    name: str
    takes: str
    help: str
    key: str = ""
    short: str = ""


FLAGS: dict[str, tuple[Flag, ...]] = {
    "The engine": (
        Flag("host", "ADDRESS", "listen here: unix://PATH, tcp://HOST:PORT or fd://", "hosts", "-H"),
        Flag("data-root", "FOLDER", f"images, containers and volumes (default {DATA_ROOT})"),
        Flag("exec-root", "FOLDER", f"what a reboot may take away (default {EXEC_ROOT})"),
        Flag("pidfile", "FILE", "the engine's process id (default nakagin.pid in the exec root)", short="-p"),
        Flag("config-file", "FILE", f"more settings, as JSON (default {CONFIG_FILE})"),
        Flag("instance", "NAME", "sets bridge, firewall table and cgroup apart from other engines of this machine"),
        Flag("group", "GROUP", f"who may use the unix socket beside root (default {GROUP})", short="-G"),
        Flag("label", "KEY=VALUE", "a label of the engine, shown by `info`", "labels"),
        Flag("live-restore", SWITCH, "containers run on while the engine is down (default true)"),
        Flag("shutdown-timeout", NUMBER, "seconds for containers to stop, without live-restore (default 15)"),
        Flag("debug", SWITCH, "log everything", short="-D"),
        Flag("log-level", "LEVEL", "debug, info, warn, error or fatal (default info)", short="-l"),
        Flag("log-format", "FORMAT", "of the engine's own log: text or json (default text)"),
        Flag("metrics-addr", "HOST:PORT", "serve metrics for Prometheus here"),
        Flag("tls", SWITCH, "TLS on tcp:// addresses; implied by --tlsverify"),
        Flag("tlsverify", SWITCH, "TLS, and only clients with a certificate of --tlscacert"),
        Flag("tlscacert", "FILE", "the certificate authority that clients are checked against"),
        Flag("tlscert", "FILE", "the engine's certificate"),
        Flag("tlskey", "FILE", "the engine's key"),
    ),
    "Containers": (
        Flag("add-runtime", "NAME=PATH", "a further OCI runtime, for `run --runtime NAME`", "runtimes"),
        Flag("default-runtime", "NAME", "the runtime of containers that name none (default nakagin)"),
        Flag("cgroup-parent", "CGROUP", "the parent of all containers' cgroups"),
        Flag("exec-opt", "KEY=VALUE", "native.cgroupdriver=cgroupfs or =systemd", "exec-opts"),
        Flag("default-cgroupns-mode", "MODE", "private or host; by default private on cgroup v2, host on v1"),
        Flag("default-ipc-mode", "MODE", "private or shareable (default private)"),
        Flag("default-shm-size", "BYTES", "the size of /dev/shm (default 64m)"),
        Flag("default-ulimit", "NAME=SOFT[:HARD]", "a resource limit of containers that set none", "default-ulimits"),
        Flag("init", SWITCH, "an init in every container that reaps processes and passes signals on"),
        Flag("init-path", "FILE", "the program of --init (default tini)"),
        Flag("log-driver", "NAME", "json-file, local, journald, syslog or none (default json-file)"),
        Flag("log-opt", "KEY=VALUE", "an option of the log driver, such as max-size=10m", "log-opts"),
        Flag("no-new-privileges", SWITCH, "no container gains privileges by setuid programs"),
        Flag("seccomp-profile", "FILE", "instead of the built-in profile; `unconfined` for none"),
        Flag("cdi-spec-dir", "FOLDER", "descriptions of CDI devices (default /etc/cdi, /var/run/cdi)", "cdi-spec-dirs"),
        Flag("storage-driver", "NAME", "overlay2 is the one there is", short="-s"),
        Flag("storage-opt", "KEY=VALUE", "an option of the storage", "storage-opts"),
    ),
    "Networks": (
        Flag("bip", "ADDRESS/BITS", "address and subnet of the default bridge"),
        Flag("bip6", "ADDRESS/BITS", "the same for IPv6"),
        Flag("bridge", "NAME", "use this bridge, which is there; `none` for no default network", short="-b"),
        Flag("fixed-cidr", "SUBNET", "the part of the default subnet that containers get addresses of"),
        Flag("fixed-cidr-v6", "SUBNET", "the same for IPv6"),
        Flag("default-gateway", "ADDRESS", "the way out of the default bridge"),
        Flag("default-gateway-v6", "ADDRESS", "the same for IPv6"),
        Flag(
            "default-address-pool", "base=SUBNET,size=BITS", "where subnets of new networks are cut from",
            "default-address-pools",
        ),
        Flag(
            "default-network-opt", "DRIVER=KEY=VALUE", "an option of each new network of a driver",
            "default-network-opts",
        ),
        Flag("dns", "ADDRESS", "the name server of containers that set none", "dns"),
        Flag("dns-opt", "OPTION", "a resolver option of containers that set none", "dns-opts"),
        Flag("dns-search", "DOMAIN", "a search domain of containers that set none", "dns-search"),
        Flag("host-gateway-ip", "ADDRESS", "what `--add-host NAME:host-gateway` means (default the default bridge's)"),
        Flag("icc", SWITCH, "containers of the default bridge reach one another (default true)"),
        Flag("ip", "ADDRESS", "where ports without an address are published (default 0.0.0.0)"),
        Flag("ip-forward", SWITCH, "set net.ipv4.ip_forward (default true)"),
        Flag("ip-masq", SWITCH, "containers go out with this host's address (default true)"),
        Flag("iptables", SWITCH, "keep a table in the firewall, by nftables (default true)"),
        Flag("ip6tables", SWITCH, "the same for IPv6 (default true)"),
        Flag("ipv6", SWITCH, "IPv6 on the default bridge"),
        Flag("allow-direct-routing", SWITCH, "other hosts may reach containers by their own addresses"),
        Flag("mtu", NUMBER, "the largest packet of the default bridge (default 1500)"),
        Flag("userland-proxy", SWITCH, "answer on loopback where the kernel can not forward it (default true)"),
    ),
    "Registries": (
        Flag("registries-file", "FILE", f"mirrors, certificates and more of each (default {REGISTRIES_FILE})"),
        Flag("registry-mirror", "URL", "ask here before Docker Hub", "registry-mirrors"),
        Flag("insecure-registry", "HOST[:PORT]|SUBNET", "may be spoken to without TLS", "insecure-registries"),
        Flag("max-concurrent-downloads", NUMBER, "layers of one pull at a time (default 3)"),
        Flag("max-concurrent-uploads", NUMBER, "layers of one push at a time (default 5)"),
        Flag("max-download-attempts", NUMBER, "tries for one layer (default 5)"),
        Flag("http-proxy", "URL", "the proxy for http://"),
        Flag("https-proxy", "URL", "the proxy for https://"),
        Flag("no-proxy", "HOSTS", "what is reached without a proxy"),
    ),
    "Of other engines: taken, and without effect here": (
        Flag("containerd", "SOCKET", "there is no containerd"),
        Flag("containerd-namespace", "NAME", "there is no containerd"),
        Flag("containerd-plugins-namespace", "NAME", "there is no containerd"),
        Flag("cpu-rt-period", NUMBER, "of real-time group scheduling"),
        Flag("cpu-rt-runtime", NUMBER, "of real-time group scheduling"),
        Flag("experimental", SWITCH, "nothing is hidden behind it"),
        Flag("feature", "NAME=true|false", "nothing is hidden behind one", "features"),
        Flag("ip-forward-no-drop", SWITCH, "the policy of forwarding is never changed"),
        Flag("network-control-plane-mtu", NUMBER, "of swarm"),
        Flag("node-generic-resource", "KEY=VALUE", "of swarm", "node-generic-resources"),
        Flag("raw-logs", SWITCH, "the log has no colours"),
        Flag("swarm-default-advertise-addr", "ADDRESS", "of swarm"),
        Flag("userland-proxy-path", "FILE", "the proxy is part of the engine"),
    ),
    "Refused, with the reason": (
        Flag("authorization-plugin", "NAME", "a scoped socket narrows what its users may do", "authorization-plugins"),
        Flag("cri-containerd", SWITCH, "there is no containerd"),
        Flag("rootless", SWITCH, "the engine needs root"),
        Flag("selinux-enabled", SWITCH, "no labels of SELinux are set"),
        Flag("userns-remap", "USER", "user namespaces are a container's own: `run --userns`"),
    ),
}  # fmt: skip
_BY_NAME = {flag.name: flag for section in FLAGS.values() for flag in section}
_PROXIES = {"http-proxy", "https-proxy", "no-proxy"}
_NO_KEY = {"config-file", "validate", "version"}


class _Help(argparse.HelpFormatter):
    """Says what a flag takes once, not behind each of its spellings."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        takes = f" {self._format_args(action, '')}" if action.nargs != 0 else ""
        return ", ".join(action.option_strings) + takes


def make_parser() -> argparse.ArgumentParser:
    """Its namespace has flags by name, as given: texts, numbers, lists of texts."""
    parser = argparse.ArgumentParser(
        prog="nakagin engine", allow_abbrev=False, argument_default=argparse.SUPPRESS,
        usage="nakagin engine [OPTIONS]",
        description="Run the Nakagin engine. Flags may also be keys of the configuration file.",
        formatter_class=_Help,
    )  # fmt: skip
    parser.add_argument("--validate", action="store_true", help="check the configuration and exit")
    parser.add_argument("-v", "--version", action="store_true", help="print the version and exit")
    for title, flags in FLAGS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)
    return parser


def _add(group: argparse._ArgumentGroup, flag: Flag) -> None:
    words = [*([flag.short] if flag.short else []), f"--{flag.name}"]
    if flag.takes == SWITCH:
        group.add_argument(*words, dest=flag.name, help=flag.help, nargs="?", const="true", metavar=SWITCH)
    elif flag.takes == NUMBER:
        group.add_argument(*words, dest=flag.name, help=flag.help, type=int, metavar=NUMBER)
    elif flag.key:
        group.add_argument(*words, dest=flag.name, help=flag.help, action="append", metavar=flag.takes)
    else:
        group.add_argument(*words, dest=flag.name, help=flag.help, metavar=flag.takes)


def keys_of(given: dict[str, Any]) -> dict[str, Any]:
    """Flags as keys of daemon.json. Raises Invalid."""
    keys: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NO_KEY:
            continue
        if name in _PROXIES:
            keys.setdefault("proxies", {})[name] = value
        else:
            flag = _BY_NAME[name]
            keys[flag.key or name] = _value(flag, value)
    return keys


def _value(flag: Flag, value: Any) -> Any:
    if flag.takes == SWITCH:
        return _boolean(flag.name, value)
    match flag.name:
        case "add-runtime":
            return {key: {"path": path} for key, path in (_pair(flag.name, text) for text in value)}
        case "default-address-pool":
            return [_address_pool(text) for text in value]
        case "default-network-opt":
            return _network_options(value)
        case "default-shm-size":
            return parse_size(value)
        case "default-ulimit":
            return dict(_ulimit(text) for text in value)
        case "feature" | "log-opt":
            return dict(_pair(flag.name, text) for text in value)
    return value


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "t", "f"}:
        raise Invalid(f'invalid boolean value "{text}" for --{name}')
    return text.lower() in {"true", "1", "t"}


def _pair(name: str, text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise Invalid(f'invalid argument "{text}" for --{name}', hint="NAME=VALUE")
    return key, value


def _network_options(values: list[str]) -> dict[str, dict[str, str]]:
    """{driver: {option: value}} of "bridge=com.docker.network.driver.mtu=1400"."""
    found: dict[str, dict[str, str]] = {}
    for text in values:
        driver, rest = _pair("default-network-opt", text)
        option, value = _pair("default-network-opt", rest)
        found.setdefault(driver, {})[option] = value
    return found


def _address_pool(text: str) -> dict[str, Any]:
    parts = dict(_pair("default-address-pool", part) for part in text.split(","))
    if set(parts) != {"base", "size"} or not parts["size"].isdecimal():
        raise Invalid(
            f'invalid argument "{text}" for --default-address-pool', hint="base=10.10.0.0/16,size=24"
        )
    return {"base": parts["base"], "size": int(parts["size"])}


def _ulimit(text: str) -> tuple[str, dict[str, Any]]:
    name, values = _pair("default-ulimit", text)
    soft, _, hard = values.partition(":")
    try:
        return name, {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise Invalid(f'invalid argument "{text}" for --default-ulimit', hint="NAME=SOFT[:HARD]") from None
