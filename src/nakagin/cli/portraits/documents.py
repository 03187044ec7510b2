"""A create request -> a Compose file, a Kubernetes manifest, or a program for the SDK."""

from __future__ import annotations

import pprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

# HostConfig key -> key of a Compose service, for what has the same form in both.
_SAME = {
    "Privileged": "privileged", "ReadonlyRootfs": "read_only", "Init": "init", "CapAdd": "cap_add",
    "CapDrop": "cap_drop", "Dns": "dns", "DnsOptions": "dns_opt", "DnsSearch": "dns_search", "GroupAdd": "group_add",
    "ExtraHosts": "extra_hosts", "SecurityOpt": "security_opt", "Sysctls": "sysctls", "IpcMode": "ipc",
    "PidMode": "pid", "UTSMode": "uts", "UsernsMode": "userns_mode", "CgroupnsMode": "cgroup",
    "CgroupParent": "cgroup_parent", "Memory": "mem_limit", "MemoryReservation": "mem_reservation",
    "MemorySwap": "memswap_limit", "PidsLimit": "pids_limit", "CpuShares": "cpu_shares", "CpuQuota": "cpu_quota",
    "CpuPeriod": "cpu_period", "CpusetCpus": "cpuset", "ShmSize": "shm_size", "OomScoreAdj": "oom_score_adj",
    "Runtime": "runtime", "DeviceCgroupRules": "device_cgroup_rules", "Annotations": "annotations",
}  # fmt: skip
_CONFIG = {
    "Hostname": "hostname", "Domainname": "domainname", "User": "user", "WorkingDir": "working_dir",
    "StopSignal": "stop_signal", "Env": "environment", "Labels": "labels", "Entrypoint": "entrypoint",
    "Cmd": "command", "Tty": "tty", "OpenStdin": "stdin_open",
}  # fmt: skip


def compose(name: str, body: Document) -> str:
    """A Compose file with this one service; what exists outside of it (volumes, networks) is external."""
    return as_yaml(compose_document(name, body))


def compose_document(name: str, body: Document) -> Document:
    """The same as a document."""
    host, volumes, networks = body["HostConfig"], {}, {}
    service: Document = {"image": body["Image"], "container_name": name}
    service |= {word: _doubled(body[key]) for key, word in _CONFIG.items() if body.get(key)}
    service |= {word: host[key] for key, word in _SAME.items() if key in host}
    if "NanoCpus" in host:
        service["cpus"] = host["NanoCpus"] / 1e9
    if "StopTimeout" in body:
        service["stop_grace_period"] = f"{body['StopTimeout']}s"
    if policy := host.get("RestartPolicy"):
        count = policy.get("MaximumRetryCount")
        service["restart"] = policy["Name"] + (f":{count}" if count else "")
    if log := host.get("LogConfig"):
        service["logging"] = {"driver": log["Type"], "options": log.get("Config") or {}}
    service |= {"ports": ports} if (ports := _ports(host)) else {}
    exposed = sorted(body.get("ExposedPorts", {}).keys() - host.get("PortBindings", {}).keys())
    service |= {"expose": exposed} if exposed else {}
    service |= {"healthcheck": check} if (check := _health(body.get("Healthcheck") or {})) else {}
    if "Ulimits" in host:
        service["ulimits"] = {
            each["Name"]: {"soft": each["Soft"], "hard": each["Hard"]} for each in host["Ulimits"]
        }
    if "Devices" in host:
        parts = ("PathOnHost", "PathInContainer", "CgroupPermissions")
        service["devices"] = [":".join(each[part] for part in parts) for each in host["Devices"]]
    if "Tmpfs" in host:
        service["tmpfs"] = [f"{path}:{words}" if words else path for path, words in host["Tmpfs"].items()]
    mounted = [
        *host.get("Binds", ()),
        *(_mount(each) for each in host.get("Mounts", ())),
        *body.get("Volumes", ()),
    ]
    if mounted:
        service["volumes"] = mounted
    for each in mounted:
        source = each.split(":")[0] if isinstance(each, str) and ":" in each else ""
        source = each.get("source", "") if isinstance(each, dict) and each["type"] == "volume" else source
        if source and not source.startswith("/"):
            volumes[source] = {"external": True}
    mode = host.get("NetworkMode", "bridge")
    endpoints = body.get("NetworkingConfig", {}).get("EndpointsConfig", {})
    if mode in ("host", "none", "bridge") or mode.startswith(("container:", "ns:")) or not endpoints:
        service["network_mode"] = mode
    else:
        service["networks"] = {each: _endpoint(wanted) for each, wanted in endpoints.items()}
        networks = {each: {"external": True} for each in endpoints}
    document: Document = {"services": {name: service}}
    document |= {"volumes": volumes} if volumes else {}
    document |= {"networks": networks} if networks else {}
    return document


def _doubled(value: Any) -> Any:
    """Compose reads a dollar as the beginning of a variable."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_doubled(each) for each in value]
    return {key: _doubled(each) for key, each in value.items()} if isinstance(value, dict) else value


def _ports(host: Document) -> list[str]:
    found = []
    for port, several in host.get("PortBindings", {}).items():
        for each in several or [{}]:
            address = f"{each['HostIp']}:" if each.get("HostIp") else ""
            number = f"{each['HostPort']}:" if each.get("HostPort") else ":" if address else ""
            found.append(f"{address}{number}{port}")
    return found


def _health(check: Document) -> Document:
    if check.get("Test", [])[:1] == ["NONE"]:
        return {"disable": True}
    found: Document = {"test": _doubled(check["Test"])} if check.get("Test") else {}
    for key, word in (
        ("Interval", "interval"), ("Timeout", "timeout"), ("StartPeriod", "start_period"),
        ("StartInterval", "start_interval"),
    ):  # fmt: skip
        if check.get(key):
            found[word] = f"{check[key]}ns"
    return found | ({"retries": check["Retries"]} if check.get("Retries") else {})


def _mount(given: Document) -> Document:
    found: Document = {"type": given["Type"], "target": given["Target"]}
    found |= {"source": given["Source"]} if given.get("Source") else {}
    found |= {"read_only": True} if given.get("ReadOnly") else {}
    bind, volume, tmpfs = (given.get(f"{kind}Options") or {} for kind in ("Bind", "Volume", "Tmpfs"))
    found |= {"bind": {"propagation": bind["Propagation"]}} if bind.get("Propagation") else {}
    part = {"nocopy": volume.get("NoCopy"), "subpath": volume.get("Subpath")}
    found |= {"volume": kept} if (kept := {key: value for key, value in part.items() if value}) else {}
    memory = {"size": tmpfs.get("SizeBytes"), "mode": tmpfs.get("Mode")}
    return found | (
        {"tmpfs": kept} if (kept := {key: value for key, value in memory.items() if value}) else {}
    )


def _endpoint(wanted: Document) -> Document:
    address = wanted.get("IPAMConfig") or {}
    found = {
        "aliases": wanted.get("Aliases"), "ipv4_address": address.get("IPv4Address"),
        "ipv6_address": address.get("IPv6Address"), "driver_opts": wanted.get("DriverOpts"),
    }  # fmt: skip
    return {key: value for key, value in found.items() if value}


def kube(name: str, body: Document) -> str:
    """A Pod: what Kubernetes has a word for."""
    host = body["HostConfig"]
    container: Document = {"name": name.replace("_", "-").replace(".", "-").lower(), "image": body["Image"]}
    container |= {"imagePullPolicy": "IfNotPresent"}
    if body.get("Entrypoint"):
        container["command"] = body["Entrypoint"]
    if body.get("Cmd"):
        container["args"] = body["Cmd"]
    for key, word in (("WorkingDir", "workingDir"), ("Tty", "tty"), ("OpenStdin", "stdin")):
        if body.get(key):
            container[word] = body[key]
    if "Env" in body:
        pairs = (each.partition("=") for each in body["Env"])
        container["env"] = [{"name": key, "value": value} for key, _, value in pairs]
    if ports := _pod_ports(body):
        container["ports"] = ports
    limits = {}
    if "Memory" in host:
        limits["memory"] = str(host["Memory"])
    if "NanoCpus" in host:
        limits["cpu"] = f"{host['NanoCpus'] // 1_000_000}m"
    if limits:
        container["resources"] = {"limits": limits}
    if security := _pod_security(body):
        container["securityContext"] = security
    mounts, volumes = _pod_volumes(body)
    if mounts:
        container["volumeMounts"] = mounts
    policies = {"always": "Always", "unless-stopped": "Always", "on-failure": "OnFailure"}
    spec: Document = {"containers": [container]}
    spec["restartPolicy"] = policies.get(host.get("RestartPolicy", {}).get("Name", ""), "Never")
    spec |= {"hostname": body["Hostname"]} if "Hostname" in body else {}
    spec |= {"hostNetwork": True} if host.get("NetworkMode") == "host" else {}
    spec |= {"hostPID": True} if host.get("PidMode") == "host" else {}
    spec |= {"volumes": volumes} if volumes else {}
    metadata: Document = {"name": container["name"]}
    metadata |= {"annotations": body["Labels"]} if "Labels" in body else {}  # labels may hold less there
    return as_yaml({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def _pod_ports(body: Document) -> list[Document]:
    found = []
    for port, several in body["HostConfig"].get("PortBindings", {}).items():
        number, _, protocol = port.partition("/")
        for each in several or [{}]:
            entry: Document = {"containerPort": int(number), "protocol": (protocol or "tcp").upper()}
            entry |= {"hostPort": int(each["HostPort"])} if each.get("HostPort", "").isdigit() else {}
            entry |= {"hostIP": each["HostIp"]} if each.get("HostIp") else {}
            found.append(entry)
    return found


def _pod_security(body: Document) -> Document:
    host = body["HostConfig"]
    found: Document = {}
    user, _, group = body.get("User", "").partition(":")
    found |= {"runAsUser": int(user)} if user.isdigit() else {}
    found |= {"runAsGroup": int(group)} if group.isdigit() else {}
    found |= {"privileged": True} if host.get("Privileged") else {}
    found |= {"readOnlyRootFilesystem": True} if host.get("ReadonlyRootfs") else {}
    if any(each.startswith("no-new-privileges") for each in host.get("SecurityOpt", ())):
        found["allowPrivilegeEscalation"] = False
    kept = {"add": host.get("CapAdd"), "drop": host.get("CapDrop")}
    capabilities = {
        key: [each.removeprefix("CAP_") for each in value] for key, value in kept.items() if value
    }
    return found | ({"capabilities": capabilities} if capabilities else {})


def _pod_volumes(body: Document) -> tuple[list[Document], list[Document]]:
    host = body["HostConfig"]
    wanted: list[tuple[str, bool, Document]] = []
    for bind in host.get("Binds", ()):
        source, target, mode = (*bind.split(":"), "")[:3]
        wanted.append((target, "ro" in mode.split(","), _pod_source(source)))
    for each in host.get("Mounts", ()):
        memory: Document = {"emptyDir": {"medium": "Memory"}}
        source = memory if each["Type"] == "tmpfs" else _pod_source(each.get("Source", ""))
        wanted.append((each["Target"], bool(each.get("ReadOnly")), source))
    wanted += [(path, False, {"emptyDir": {"medium": "Memory"}}) for path in host.get("Tmpfs", {})]
    wanted += [(path, False, {"emptyDir": {}}) for path in body.get("Volumes", {})]
    mounts, volumes = [], []
    for number, (target, read_only, source) in enumerate(wanted):
        mounts.append({"name": f"v{number}", "mountPath": target} | ({"readOnly": True} if read_only else {}))
        volumes.append({"name": f"v{number}", **source})
    return mounts, volumes


def _pod_source(source: str) -> Document:
    if source.startswith("/"):
        return {"hostPath": {"path": source}}
    return {"persistentVolumeClaim": {"claimName": source}} if source else {"emptyDir": {}}


def python(name: str, body: Document) -> str:
    """A program for the SDK that makes and starts it."""
    text = pprint.pformat(body, width=100, sort_dicts=False)
    return "\n".join(
        [
            "from nakagin.client import Client",
            "",
            f"body = {text}",
            "",
            "with Client.from_env() as engine:",
            f"    container, warnings = engine.containers.create_from(body, name={name!r})",
            "    container.start()",
        ]
    )


def as_yaml(document: Document) -> str:
    """Text in the order of the document."""
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, width=110)
    return text.rstrip("\n")
