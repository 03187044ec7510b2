"""What both engines are asked, call by call, in the order of the list: one life of containers, volumes, networks.

`{word}` in a path or body is what an earlier call saved; every call has a name of its own, by which `exceptions.py`
speaks of it. API 1.41 is the newest that Debian's dockerd 20.10 speaks.
Names of drivers that do not exist are not among it: dockerd looks for their plugins for 15 seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

Body = dict[str, Any] | list[Any] | str | None


class Call(NamedTuple):
    """One request; `save` maps words to keys of the answer, `lines` means a stream of JSON documents."""

    name: str
    method: str
    path: str
    body: Body = None
    save: Mapping[str, str] = MappingProxyType({})
    lines: bool = False
    headers: Mapping[str, str] = MappingProxyType({})
    version: str = "/v1.41"
    sort_by: str = ""


def filters(**wanted: list[str]) -> str:
    """The query value of `filters`; "_" stands for "-"."""
    return "filters=" + quote(json.dumps({key.replace("_", "-"): values for key, values in wanted.items()}))


#: Options of containers that are created, inspected and removed: what the record keeps must be the same.
CREATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "env": {"Env": ["A=1", "B=", "PATH=/bin"], "Hostname": "h", "Domainname": "d.example", "User": "root"},
    "entrypoint": {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["true"]},
    "entrypoint-text": {"Entrypoint": "/bin/sh", "Cmd": "true"},
    "labels": {"Labels": {"a": "b", "empty": ""}},
    "stdin": {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True},
    "terminal": {"Tty": True, "HostConfig": {"ConsoleSize": [24, 80]}},
    "workdir": {"WorkingDir": "/tmp/../tmp"},
    "ports": {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}},
    "bindings": {"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}}},
    "volumes": {"HostConfig": {"Binds": ["dv1:/v", "dv1:/w:ro"]}},
    "binds": {"HostConfig": {"Binds": ["/usr:/u:ro"]}},
    "mounts": {
        "HostConfig": {
            "Mounts": [
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 448}},
                {"Type": "bind", "Source": "/usr", "Target": "/u", "ReadOnly": True},
                {"Type": "volume", "Source": "dv1", "Target": "/v", "VolumeOptions": {"NoCopy": True}},
            ]
        }
    },
    "tmpfs": {"HostConfig": {"Tmpfs": {"/run": "rw,size=1m"}}},
    "memory": {"HostConfig": {"Memory": 64 << 20}},
    "memory-swap": {"HostConfig": {"Memory": 64 << 20, "MemorySwap": -1, "MemoryReservation": 32 << 20}},
    "cpus": {"HostConfig": {"NanoCpus": 500000000}},
    "cpu-quota": {"HostConfig": {"CpuPeriod": 100000, "CpuQuota": 50000, "CpuShares": 512}},
    "cpuset": {"HostConfig": {"CpusetCpus": "0", "CpusetMems": "0"}},
    "pids": {"HostConfig": {"PidsLimit": 20}},
    "ulimits": {"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}]}},
    "capabilities": {"HostConfig": {"CapAdd": ["NET_ADMIN"], "CapDrop": ["CHOWN"]}},
    "privileged": {"HostConfig": {"Privileged": True}},
    "read-only": {"HostConfig": {"ReadonlyRootfs": True}},
    "devices": {
        "HostConfig": {
            "Devices": [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/n", "CgroupPermissions": "rwm"}
            ],
            "DeviceCgroupRules": ["c 42:* rmw"],
        }
    },
    "namespaces": {"HostConfig": {"PidMode": "host", "UTSMode": "host", "IpcMode": "host"}},
    "shareable": {"HostConfig": {"IpcMode": "shareable", "ShmSize": 1 << 20}},
    "no-network": {"HostConfig": {"NetworkMode": "none"}},
    "host-network": {"HostConfig": {"NetworkMode": "host"}},
    "network-disabled": {"NetworkDisabled": True},
    "hosts": {"HostConfig": {"ExtraHosts": ["a:1.2.3.4"], "Dns": ["1.1.1.1"], "DnsSearch": ["x"]}},
    "sysctls": {"HostConfig": {"Sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"}}},
    "groups": {"HostConfig": {"GroupAdd": ["audio", "1000"], "OomScoreAdj": 100}},
    "security": {"HostConfig": {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}},
    "paths": {"HostConfig": {"MaskedPaths": [], "ReadonlyPaths": []}},
    "restart": {"HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}},
    "auto-remove": {"HostConfig": {"AutoRemove": True}},
    "init": {"HostConfig": {"Init": True}},
    "logs": {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}}},
    "no-logs": {"HostConfig": {"LogConfig": {"Type": "none"}}},
    "health": {
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 10**9, "Timeout": 10**9, "Retries": 2,
                        "StartPeriod": 10**9}
    },
    "no-health": {"Healthcheck": {"Test": ["NONE"]}},
    "stop": {"StopSignal": "SIGINT", "StopTimeout": 3},
    "networking": {
        "HostConfig": {"NetworkMode": "dn1"},
        "NetworkingConfig": {
            "EndpointsConfig": {"dn1": {"Aliases": ["al"], "IPAMConfig": {"IPv4Address": "10.231.7.9"}}}
        },
    },
}  # fmt: skip

#: Bodies of POST /containers/create that are refused.
REFUSED: dict[str, Any] = {
    "no-image": {"Image": "no-such-image:1"},
    "bad-image": {"Image": "UPPER:case:twice"},
    "no-command": {"Image": "{image}", "Cmd": [], "Entrypoint": [""]},
    "memory-small": {"HostConfig": {"Memory": 1024}},
    "memory-swap-less": {"HostConfig": {"Memory": 64 << 20, "MemorySwap": 32 << 20}},
    "swap-alone": {"HostConfig": {"MemorySwap": 64 << 20}},
    "swappiness": {"HostConfig": {"MemorySwappiness": 200}},
    "cpus-many": {"HostConfig": {"NanoCpus": 10**15}},
    "cpus-twice": {"HostConfig": {"NanoCpus": 10**9, "CpuPeriod": 100000}},
    "cpuset": {"HostConfig": {"CpusetCpus": "1000"}},
    "cpuset-text": {"HostConfig": {"CpusetCpus": "x"}},
    "blkio": {"HostConfig": {"BlkioWeight": 5}},
    "capability": {"HostConfig": {"CapAdd": ["NO_SUCH"]}},
    "restart": {"HostConfig": {"RestartPolicy": {"Name": "sometimes"}}},
    "restart-retries": {"HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}},
    "restart-remove": {"HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}},
    "log-option": {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"x": "y"}}}},
    "port": {"ExposedPorts": {"x/tcp": {}}},
    "host-port": {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "70000"}]}}},
    "bind": {"HostConfig": {"Binds": ["relative/path:/x"]}},
    "bind-target": {"HostConfig": {"Binds": ["/usr:relative"]}},
    "mount-type": {"HostConfig": {"Mounts": [{"Type": "magic", "Target": "/x"}]}},
    "mount-target": {"HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": ""}]}},
    "mount-source": {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/x"}]}},
    "workdir": {"WorkingDir": "relative"},
    "env": {"Env": ["=x"]},
    "oom": {"HostConfig": {"OomScoreAdj": 5000}},
    "shm": {"HostConfig": {"ShmSize": -1}},
    "ipc": {"HostConfig": {"IpcMode": "nonsense"}},
    "pid": {"HostConfig": {"PidMode": "nonsense"}},
    "health": {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 1}},
    "volumes-from": {"HostConfig": {"VolumesFrom": ["no-such-container"]}},
    "runtime": {"HostConfig": {"Runtime": "no-such-runtime"}},
    "signal": {"StopSignal": "SIGNONSENSE"},
    "hosts": {"HostConfig": {"ExtraHosts": ["nonsense"]}},
    "wrong-type": {"HostConfig": {"Memory": "much"}},
}

#: What needs a swarm that is not there: (method, path, body).
ELSEWHERE: list[tuple[str, str, Any]] = [
    ("GET", "/swarm", None), ("GET", "/swarm/unlockkey", None), ("POST", "/swarm/leave", None),
    ("POST", "/swarm/update?version=1", {}), ("POST", "/swarm/unlock", {}),
    ("GET", "/nodes", None), ("GET", "/nodes/x", None), ("DELETE", "/nodes/x", None),
    ("POST", "/nodes/x/update?version=1", {}),
    ("GET", "/services", None), ("POST", "/services/create", {}), ("GET", "/services/x", None),
    ("DELETE", "/services/x", None), ("POST", "/services/x/update?version=1", {}),
    ("GET", "/services/x/logs?stdout=1", None),
    ("GET", "/tasks", None), ("GET", "/tasks/x", None), ("GET", "/tasks/x/logs?stdout=1", None),
    ("GET", "/secrets", None), ("POST", "/secrets/create", {}), ("GET", "/secrets/x", None),
    ("DELETE", "/secrets/x", None), ("POST", "/secrets/x/update?version=1", {}),
    ("GET", "/configs", None), ("POST", "/configs/create", {}), ("GET", "/configs/x", None),
    ("DELETE", "/configs/x", None), ("POST", "/configs/x/update?version=1", {}),
    ("GET", "/plugins", None), ("GET", "/plugins/x/json", None), ("DELETE", "/plugins/x", None),
    ("POST", "/plugins/x/enable?timeout=0", None), ("POST", "/plugins/x/disable", None),
    ("POST", "/plugins/x/set", ["a=b"]), ("POST", "/plugins/x/push", None),
    ("GET", "/no/such/route", None), ("POST", "/containers", None), ("DELETE", "/info", None),
    ("PATCH", "/containers/x", None),
]  # fmt: skip

#: What is asked of a container that does not exist: (method, rest of the path, body).
OF_NOBODY: list[tuple[str, str, Any]] = [
    ("GET", "/json", None), ("POST", "/start", None), ("POST", "/stop", None), ("POST", "/kill", None),
    ("POST", "/restart", None), ("POST", "/pause", None), ("POST", "/unpause", None), ("POST", "/wait", None),
    ("POST", "/rename?name=x", None), ("POST", "/update", {}), ("POST", "/resize?h=1&w=1", None),
    ("GET", "/logs?stdout=1", None), ("GET", "/top", None), ("GET", "/changes", None),
    ("GET", "/stats?stream=0", None), ("GET", "/export", None), ("POST", "/attach?stream=1", None),
    ("POST", "/exec", {"Cmd": ["true"]}), ("DELETE", "", None),
]  # fmt: skip


def script() -> Iterator[Call]:
    """All of it."""
    yield from _engine()
    yield from _things()
    yield from _creations()
    yield from _life()
    yield from _lists()
    yield from _ends()


def _engine() -> Iterator[Call]:
    yield Call("ping", "GET", "/_ping")
    yield Call("ping-head", "HEAD", "/_ping")
    yield Call("version", "GET", "/version")
    yield Call("info", "GET", "/info")
    yield Call("df-empty", "GET", "/system/df")
    yield Call("events-none", "GET", "/events?since=1&until=2", lines=True)
    yield Call("events-filter", "GET", f"/events?since=1&until=2&{filters(nonsense=['x'])}", lines=True)
    yield Call("events-bad", "GET", "/events?since=x&until=2", lines=True)
    yield Call("too-old", "GET", "/info", version="/v1.10")
    yield Call("too-new", "GET", "/info", version="/v9.99")
    for number, (method, path, body) in enumerate(ELSEWHERE):
        yield Call(f"elsewhere-{method} {path.partition('?')[0]}-{number}", method, path, body)
    for method, rest, body in OF_NOBODY:
        yield Call(f"nobody-{method} {rest.partition('?')[0]}", method, f"/containers/nobody{rest}", body)
    yield Call("exec-nobody", "GET", "/exec/nobody/json")
    yield Call("exec-nobody-start", "POST", "/exec/nobody/start", {"Detach": True})
    yield Call("exec-nobody-resize", "POST", "/exec/nobody/resize?h=1&w=1")


def _things() -> Iterator[Call]:
    yield Call("images", "GET", "/images/json")
    yield Call("image", "GET", "/images/{image}/json")
    yield Call("image-history", "GET", "/images/{image}/history")
    yield Call("image-nobody", "GET", "/images/no-such-image/json")
    yield Call("image-tag", "POST", "/images/{image}/tag?repo=differs&tag=1")
    yield Call("image-tag-bad", "POST", "/images/{image}/tag?repo=BAD")
    yield Call("images-reference", "GET", f"/images/json?{filters(reference=['differs'])}")
    yield Call("images-dangling", "GET", f"/images/json?{filters(dangling=['true'])}")
    yield Call("images-filter-bad", "GET", f"/images/json?{filters(nonsense=['true'])}")
    yield Call("image-remove-tag", "DELETE", "/images/differs:1")
    yield Call("image-remove-nobody", "DELETE", "/images/no-such-image")
    yield Call("images-prune", "POST", f"/images/prune?{filters(dangling=['true'])}")
    yield Call("volume-create", "POST", "/volumes/create", {"Name": "dv1", "Labels": {"l": "1"}})
    yield Call("volume-again", "POST", "/volumes/create", {"Name": "dv1"})
    yield Call("volume-create-bad", "POST", "/volumes/create", {"Name": "b/d"})
    yield Call("volume", "GET", "/volumes/dv1")
    yield Call("volume-nobody", "GET", "/volumes/nobody")
    yield Call("volumes", "GET", "/volumes")
    yield Call("volumes-filter", "GET", f"/volumes?{filters(label=['l=1'], name=['dv'])}")
    yield Call("volumes-filter-bad", "GET", f"/volumes?{filters(nonsense=['x'])}")
    subnet = {"Config": [{"Subnet": "10.231.7.0/24", "Gateway": "10.231.7.1"}]}
    yield Call(
        "network-create", "POST", "/networks/create",
        {"Name": "dn1", "CheckDuplicate": True, "IPAM": subnet, "Labels": {"l": "1"}}, save={"network": "Id"},
    )  # fmt: skip
    yield Call("network-again", "POST", "/networks/create", {"Name": "dn1", "CheckDuplicate": True})
    yield Call(
        "network-subnet-bad",
        "POST",
        "/networks/create",
        {"Name": "dn9", "IPAM": {"Config": [{"Subnet": "x"}]}},
    )
    yield Call("network", "GET", "/networks/dn1")
    yield Call("network-bridge", "GET", "/networks/bridge")
    yield Call("network-none", "GET", "/networks/none")
    yield Call("network-host", "GET", "/networks/host")
    yield Call("network-nobody", "GET", "/networks/nobody")
    yield Call("networks", "GET", "/networks", sort_by="Name")
    yield Call("networks-filter", "GET", f"/networks?{filters(driver=['bridge'], label=['l'])}")
    yield Call("networks-custom", "GET", f"/networks?{filters(type=['builtin'])}", sort_by="Name")
    yield Call("networks-filter-bad", "GET", f"/networks?{filters(nonsense=['x'])}")
    yield Call("network-remove-bridge", "DELETE", "/networks/bridge")


def _creations() -> Iterator[Call]:
    for name, body in CREATIONS.items():
        whole = {"Image": "{image}", "Cmd": ["true"], **body}
        yield Call(f"create-{name}", "POST", f"/containers/create?name=d-{name}", whole)
        yield Call(f"created-{name}", "GET", f"/containers/d-{name}/json")
        yield Call(f"create-{name}-removed", "DELETE", f"/containers/d-{name}?v=1")
    for name, body in REFUSED.items():
        whole = {"Image": "{image}", "Cmd": ["true"], **body}
        yield Call(f"refused-{name}", "POST", f"/containers/create?name=d-refused-{name}", whole)
    yield Call(
        "refused-name", "POST", "/containers/create?name=bad/name", {"Image": "{image}", "Cmd": ["true"]}
    )
    place = "/containers/create?name=d-refused-platform&platform=linux/s390x"
    yield Call("refused-platform", "POST", place, {"Image": "{image}"})
    yield Call("refused-empty", "POST", "/containers/create", headers={"Content-Type": "application/json"})
    yield Call(
        "refused-json", "POST", "/containers/create", "{", headers={"Content-Type": "application/json"}
    )
    yield Call("refused-type", "POST", "/containers/create", "{}", headers={"Content-Type": "text/plain"})
    # A refusal of one engine may be taken by the other.
    for name in REFUSED:
        yield Call(f"refused-{name}-left", "DELETE", f"/containers/d-refused-{name}?v=1")


def _life() -> Iterator[Call]:
    # One process, so that `top` has one line: reading a pipe that nobody writes to, until a signal comes.
    program = "mkfifo /pipe; trap 'exit 7' TERM; echo one; echo out; : >/new; read x <>/pipe"
    command = ["sh", "-c", program]
    body = {
        "Image": "{image}",
        "Cmd": command,
        "Labels": {"who": "life"},
        "HostConfig": {"NetworkMode": "none"},
    }
    yield Call("life-create", "POST", "/containers/create?name=life", body, save={"life": "Id"})
    yield Call("life-create-again", "POST", "/containers/create?name=life", body)
    yield Call("life-stop-created", "POST", "/containers/life/stop?t=1")
    yield Call("life-kill-created", "POST", "/containers/life/kill")
    yield Call("life-pause-created", "POST", "/containers/life/pause")
    yield Call("life-top-created", "GET", "/containers/life/top")
    yield Call("life-stats-created", "GET", "/containers/life/stats?stream=0&one-shot=1")
    yield Call("life-exec-created", "POST", "/containers/life/exec", {"Cmd": ["true"]})
    yield Call("life-wait-bad", "POST", "/containers/life/wait?condition=nonsense")
    yield Call("life-start", "POST", "/containers/life/start")
    yield Call("life-start-again", "POST", "/containers/life/start")
    # The exec ends when the marker is there: from here on, the program's output is in the log.
    wait = {"Cmd": ["sh", "-c", "until test -e /new; do sleep 0.05; done"], "AttachStdout": True}
    yield Call("life-marker", "POST", "/containers/life/exec", wait, save={"marker": "Id"})
    yield Call("life-marker-start", "POST", "/exec/{marker}/start", {})
    yield Call("life", "GET", "/containers/life/json")
    yield Call("life-slash", "GET", "/containers/{life}/json?size=1")
    yield Call("life-logs", "GET", "/containers/life/logs?stdout=1&stderr=1&tail=2")
    yield Call("life-logs-tail", "GET", "/containers/life/logs?stdout=1&tail=1")
    yield Call("life-logs-none", "GET", "/containers/life/logs")
    yield Call("life-logs-since", "GET", "/containers/life/logs?stdout=1&since=4000000000")
    yield Call("life-logs-until", "GET", "/containers/life/logs?stdout=1&until=1")
    yield Call("life-logs-bad", "GET", "/containers/life/logs?stdout=1&since=nonsense")
    yield Call("life-top", "GET", "/containers/life/top")
    yield Call("life-top-args", "GET", "/containers/life/top?ps_args=-o%20pid,comm")
    yield Call("life-top-bad", "GET", "/containers/life/top?ps_args=--nonsense")
    yield Call("life-changes", "GET", "/containers/life/changes", sort_by="Path")
    yield Call("life-stats", "GET", "/containers/life/stats?stream=0&one-shot=1")
    yield Call("life-stats-twice", "GET", "/containers/life/stats?stream=1&one-shot=1")
    yield Call("life-pause", "POST", "/containers/life/pause")
    yield Call("life-paused", "GET", "/containers/life/json")
    yield Call("life-pause-again", "POST", "/containers/life/pause")
    yield Call("life-exec-paused", "POST", "/containers/life/exec", {"Cmd": ["true"]})
    yield Call("life-start-paused", "POST", "/containers/life/start")
    yield Call("life-remove-paused", "DELETE", "/containers/life")
    yield Call("life-unpause", "POST", "/containers/life/unpause")
    yield Call("life-unpause-again", "POST", "/containers/life/unpause")
    yield Call(
        "life-update", "POST", "/containers/life/update", {"Memory": 64 << 20, "MemorySwap": 128 << 20}
    )
    yield Call(
        "life-update-restart", "POST", "/containers/life/update", {"RestartPolicy": {"Name": "on-failure"}}
    )
    yield Call("life-update-bad", "POST", "/containers/life/update", {"Memory": 1})
    yield Call("life-update-policy-bad", "POST", "/containers/life/update", {"RestartPolicy": {"Name": "x"}})
    yield Call("life-updated", "GET", "/containers/life/json")
    yield Call("life-update-back", "POST", "/containers/life/update", {"RestartPolicy": {"Name": "no"}})
    yield Call("life-rename", "POST", "/containers/life/rename?name=life2")
    yield Call("life-rename-same", "POST", "/containers/life2/rename?name=life2")
    yield Call("life-rename-bad", "POST", "/containers/life2/rename?name=b/d")
    yield Call("life-rename-none", "POST", "/containers/life2/rename?name=")
    yield Call("life-rename-back", "POST", "/containers/life2/rename?name=life")
    yield Call("life-resize", "POST", "/containers/life/resize?h=24&w=80")
    yield Call("life-resize-bad", "POST", "/containers/life/resize?h=x&w=80")
    yield from _execs()
    yield Call("life-kill-bad", "POST", "/containers/life/kill?signal=SIGNONSENSE")
    yield Call("life-kill-cont", "POST", "/containers/life/kill?signal=CONT")
    yield Call("life-remove-running", "DELETE", "/containers/life")
    yield Call("life-stop", "POST", "/containers/life/stop?t=20")
    yield Call("life-wait", "POST", "/containers/life/wait")
    yield Call("life-stopped", "GET", "/containers/life/json")
    yield Call("life-stop-again", "POST", "/containers/life/stop")
    yield Call("life-logs-stopped", "GET", "/containers/life/logs?stdout=1&stderr=1&follow=1")
    yield Call("life-restart", "POST", "/containers/life/restart?t=0")
    yield Call("life-kill", "POST", "/containers/life/kill")
    yield Call("life-killed-wait", "POST", "/containers/life/wait?condition=not-running")
    yield Call("life-killed", "GET", "/containers/life/json")
    failing = {"Image": "{image}", "Cmd": ["/no/such/program"], "HostConfig": {"NetworkMode": "none"}}
    yield Call("failing-create", "POST", "/containers/create?name=failing", failing)
    yield Call("failing-start", "POST", "/containers/failing/start")
    yield Call("failing", "GET", "/containers/failing/json")
    yield Call("failing-remove", "DELETE", "/containers/failing")


def _execs() -> Iterator[Call]:
    yield Call("exec-none", "POST", "/containers/life/exec", {"Cmd": []})
    body = {"Cmd": ["sh", "-c", "echo hi; exit 3"], "AttachStdout": True, "AttachStderr": True, "Env": ["A=b"],
            "User": "root", "WorkingDir": "/tmp"}  # fmt: skip
    yield Call("exec-create", "POST", "/containers/life/exec", body, save={"exec": "Id"})
    yield Call("exec-created", "GET", "/exec/{exec}/json")
    yield Call("exec-start", "POST", "/exec/{exec}/start", {})
    yield Call("exec-start-again", "POST", "/exec/{exec}/start", {})
    yield Call("exec-tty", "POST", "/containers/life/exec", {**body, "Tty": True}, save={"exec2": "Id"})
    yield Call("exec-tty-start", "POST", "/exec/{exec2}/start", {"Tty": True})
    yield Call("exec-detached", "POST", "/containers/life/exec", {"Cmd": ["true"]}, save={"exec3": "Id"})
    yield Call("exec-detached-start", "POST", "/exec/{exec3}/start", {"Detach": True})
    yield Call("exec-keys-bad", "POST", "/containers/life/exec", {"Cmd": ["true"], "DetachKeys": "nonsense"})


def _lists() -> Iterator[Call]:
    ended = {
        "Image": "{image}",
        "Cmd": ["sh", "-c", "echo err >&2; exit 5"],
        "Labels": {"who": "ended"},
        "HostConfig": {"NetworkMode": "none"},
    }
    yield Call("ended-create", "POST", "/containers/create?name=ended", ended)
    yield Call("ended-start", "POST", "/containers/ended/start")
    yield Call("ended-wait", "POST", "/containers/ended/wait")
    yield Call("ended-logs", "GET", "/containers/ended/logs?stdout=1&stderr=1")
    yield Call("ended-logs-stdout", "GET", "/containers/ended/logs?stdout=1")
    on_network = {
        "Image": "{image}",
        "Cmd": ["sleep", "1000"],
        "HostConfig": {"NetworkMode": "dn1", "Binds": ["dv1:/v"]},
    }
    yield Call("on-network-create", "POST", "/containers/create?name=onnet", on_network)
    yield Call("on-network-start", "POST", "/containers/onnet/start")
    yield Call("on-network", "GET", "/containers/onnet/json")
    yield Call("network-used", "GET", "/networks/dn1")
    yield Call("network-remove-used", "DELETE", "/networks/dn1")
    yield Call("volume-remove-used", "DELETE", "/volumes/dv1")
    yield Call("list", "GET", "/containers/json")
    yield Call("list-all", "GET", "/containers/json?all=1")
    yield Call("list-size", "GET", "/containers/json?all=1&size=1")
    yield Call("list-limit", "GET", "/containers/json?limit=1")
    yield Call("list-limit-bad", "GET", "/containers/json?limit=x")
    wanted: dict[str, dict[str, list[str]]] = {
        "status": {"status": ["exited"]}, "exited": {"exited": ["5"]}, "name": {"name": ["end"]},
        "id": {"id": ["{life}"]},
        "label": {"label": ["who=life"]}, "label-key": {"label": ["who"]}, "network": {"network": ["dn1"]},
        "volume": {"volume": ["dv1"]}, "ancestor": {"ancestor": ["{image}"]}, "before": {"before": ["onnet"]},
        "since": {"since": ["life"]}, "health": {"health": ["none"]}, "expose": {"expose": ["80"]},
        "publish": {"publish": ["80"]}, "is-task": {"is-task": ["false"]}, "isolation": {"isolation": ["default"]},
        "status-bad": {"status": ["nonsense"]}, "exited-bad": {"exited": ["x"]}, "bad": {"nonsense": ["x"]},
        "before-bad": {"before": ["nobody"]}, "health-bad": {"health": ["nonsense"]}, "is-task-bad": {"is-task": ["x"]},
        "expose-bad": {"expose": ["x"]},
    }  # fmt: skip
    for name, one in wanted.items():
        query = filters(**one).replace("%7B", "{").replace("%7D", "}")  # saved words, and JSON's own braces
        yield Call(f"list-{name}", "GET", f"/containers/json?all=1&{query}")
    yield Call("list-filter-json", "GET", "/containers/json?filters=nonsense")
    yield Call("network-connect", "POST", "/networks/bridge/connect", {"Container": "onnet"})
    yield Call("network-connect-again", "POST", "/networks/bridge/connect", {"Container": "onnet"})
    yield Call("network-connected", "GET", "/containers/onnet/json")
    yield Call("network-disconnect", "POST", "/networks/bridge/disconnect", {"Container": "onnet"})
    yield Call("network-disconnect-again", "POST", "/networks/bridge/disconnect", {"Container": "onnet"})
    yield Call("df", "GET", "/system/df")
    yield Call(
        "commit",
        "POST",
        "/commit?container=ended&repo=committed&comment=c&author=a",
        {},
        save={"commit": "Id"},
    )
    yield Call("committed", "GET", "/images/committed/json")
    yield Call("committed-remove", "DELETE", "/images/committed")
    yield Call("image-remove-used", "DELETE", "/images/{image}")
    yield Call("events", "GET", f"/events?since=1&until={{now}}&{filters(container=['ended'])}", lines=True)
    yield Call("events-type", "GET", f"/events?since=1&until={{now}}&{filters(type=['volume'])}", lines=True)
    made = filters(type=["network"], event=["create"])
    yield Call("events-networks", "GET", f"/events?since=1&until={{now}}&{made}", lines=True)


def _ends() -> Iterator[Call]:
    yield Call("remove-force", "DELETE", "/containers/onnet?force=1")
    yield Call("remove", "DELETE", "/containers/life?v=1")
    yield Call("removed", "GET", "/containers/life/json")
    yield Call("prune-bad", "POST", f"/containers/prune?{filters(nonsense=['x'])}")
    yield Call("prune", "POST", "/containers/prune")
    yield Call("prune-again", "POST", "/containers/prune")
    yield Call("network-remove", "DELETE", "/networks/dn1")
    yield Call("network-removed", "DELETE", "/networks/dn1")
    yield Call("networks-prune", "POST", "/networks/prune")
    yield Call("volumes-prune-bad", "POST", f"/volumes/prune?{filters(nonsense=['x'])}")
    yield Call("volume-remove", "DELETE", "/volumes/dv1")
    yield Call("volume-removed", "DELETE", "/volumes/dv1")
    yield Call("volumes-prune", "POST", "/volumes/prune")
    yield Call("list-end", "GET", "/containers/json?all=1")
