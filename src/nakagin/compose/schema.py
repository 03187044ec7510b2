"""What a Compose file may say: the Compose specification as shapes. Pure data, and `check`."""

from __future__ import annotations

from nakagin.compose.shapes import Either, Fields, ListOf, MapOf, Plain
from nakagin.compose.tree import Mapping, wrong

_NAME = r"[a-zA-Z0-9._-]+"

STRING = Plain("string")
BOOLEAN = Plain("boolean string")
INTEGER = Plain("integer string")
NUMBER = Plain("number string")
TEXT = Plain("string number")
STRINGS = ListOf(STRING, unique=True)
WORDS = Either(STRING, STRINGS)
PAIRS = Either(MapOf(Plain("string number boolean null")), STRINGS)
OPTIONS = MapOf(TEXT)
COMMAND = Either(Plain("null string"), ListOf(STRING))
HOSTS = Either(MapOf(Either(STRING, ListOf(STRING))), STRINGS)
EXTERNAL = Either(BOOLEAN, Fields({"name": STRING}))
ULIMITS = MapOf(
    Either(INTEGER, Fields({"soft": INTEGER, "hard": INTEGER}, required=("soft", "hard"))), keys="[a-z]+"
)
REFERENCES = ListOf(
    Either(
        STRING,
        Fields({"source": STRING, "target": STRING, "uid": STRING, "gid": STRING, "mode": NUMBER}),
    )
)
HOOK = Fields(
    {"command": COMMAND, "user": STRING, "privileged": BOOLEAN, "working_dir": STRING, "environment": PAIRS},
    required=("command",),
)
_DEVICE = {
    "capabilities": STRINGS,
    "count": INTEGER,
    "device_ids": STRINGS,
    "driver": STRING,
    "options": PAIRS,
}
_RATES = ListOf(Fields({"path": STRING, "rate": INTEGER}, extensible=False))
_UPDATE = Fields(
    {
        "parallelism": INTEGER,
        "delay": STRING,
        "failure_action": STRING,
        "monitor": STRING,
        "max_failure_ratio": NUMBER,
        "order": Plain("string", choices=("start-first", "stop-first")),
    }
)

BUILD = Fields(
    {
        "context": STRING,
        "dockerfile": STRING,
        "dockerfile_inline": STRING,
        "entitlements": ListOf(STRING),
        "args": PAIRS,
        "ssh": PAIRS,
        "labels": PAIRS,
        "cache_from": ListOf(STRING),
        "cache_to": ListOf(STRING),
        "no_cache": BOOLEAN,
        "additional_contexts": PAIRS,
        "network": STRING,
        "provenance": BOOLEAN,
        "sbom": BOOLEAN,
        "pull": BOOLEAN,
        "target": STRING,
        "shm_size": INTEGER,
        "extra_hosts": HOSTS,
        "isolation": STRING,
        "privileged": BOOLEAN,
        "secrets": REFERENCES,
        "tags": ListOf(STRING),
        "ulimits": ULIMITS,
        "platforms": ListOf(STRING),
    }
)
DEPLOY = Fields(
    {
        "mode": STRING,
        "endpoint_mode": STRING,
        "replicas": INTEGER,
        "labels": PAIRS,
        "rollback_config": _UPDATE,
        "update_config": _UPDATE,
        "resources": Fields(
            {
                "limits": Fields({"cpus": NUMBER, "memory": STRING, "pids": INTEGER}),
                "reservations": Fields(
                    {
                        "cpus": NUMBER,
                        "memory": STRING,
                        "generic_resources": ListOf(
                            Fields({"discrete_resource_spec": Fields({"kind": STRING, "value": NUMBER})})
                        ),
                        "devices": ListOf(Fields(_DEVICE, required=("capabilities",))),
                    }
                ),
            }
        ),
        "restart_policy": Fields(
            {"condition": STRING, "delay": STRING, "max_attempts": INTEGER, "window": STRING}
        ),
        "placement": Fields(
            {
                "constraints": ListOf(STRING),
                "preferences": ListOf(Fields({"spread": STRING})),
                "max_replicas_per_node": INTEGER,
            }
        ),
    },
    nullable=True,
)
DEVELOP = Fields(
    {
        "watch": ListOf(
            Fields(
                {
                    "ignore": WORDS,
                    "include": WORDS,
                    "path": STRING,
                    "action": Plain(
                        "string", choices=("rebuild", "sync", "restart", "sync+restart", "sync+exec")
                    ),
                    "target": STRING,
                    "exec": HOOK,
                    "initial_sync": Plain("boolean"),
                },
                required=("path", "action"),
            )
        )
    },
    nullable=True,
)
MOUNT = Fields(
    {
        "type": Plain("string", choices=("bind", "volume", "tmpfs", "cluster", "npipe", "image")),
        "source": STRING,
        "target": STRING,
        "read_only": BOOLEAN,
        "consistency": STRING,
        "bind": Fields(
            {
                "propagation": STRING,
                "create_host_path": BOOLEAN,
                "recursive": Plain("string", choices=("enabled", "disabled", "writable", "readonly")),
                "selinux": Plain("string", choices=("z", "Z")),
            }
        ),
        "volume": Fields({"labels": PAIRS, "nocopy": BOOLEAN, "subpath": STRING}),
        "tmpfs": Fields({"size": Plain("integer string", least=0), "mode": NUMBER}),
        "image": Fields({"subpath": STRING}),
    },
    required=("type",),
)
SERVICE_NETWORK = Fields(
    {
        "aliases": STRINGS,
        "interface_name": STRING,
        "ipv4_address": STRING,
        "ipv6_address": STRING,
        "link_local_ips": STRINGS,
        "mac_address": STRING,
        "driver_opts": OPTIONS,
        "priority": Plain("number"),
        "gw_priority": Plain("number"),
    },
    nullable=True,
)
SERVICE = Fields(
    {
        "develop": DEVELOP,
        "deploy": DEPLOY,
        "annotations": PAIRS,
        "attach": BOOLEAN,
        "build": Either(STRING, BUILD),
        "blkio_config": Fields(
            {
                "device_read_bps": _RATES,
                "device_read_iops": _RATES,
                "device_write_bps": _RATES,
                "device_write_iops": _RATES,
                "weight": INTEGER,
                "weight_device": ListOf(Fields({"path": STRING, "weight": INTEGER}, extensible=False)),
            },
            extensible=False,
        ),
        "cap_add": STRINGS,
        "cap_drop": STRINGS,
        "cgroup": Plain("string", choices=("host", "private")),
        "cgroup_parent": STRING,
        "command": COMMAND,
        "configs": REFERENCES,
        "container_name": Plain("string", pattern="[a-zA-Z0-9][a-zA-Z0-9_.-]+"),
        "cpu_count": Plain("integer string", least=0),
        "cpu_percent": Plain("integer string", least=0, most=100),
        "cpu_shares": NUMBER,
        "cpu_quota": NUMBER,
        "cpu_period": NUMBER,
        "cpu_rt_period": NUMBER,
        "cpu_rt_runtime": NUMBER,
        "cpus": NUMBER,
        "cpuset": STRING,
        "credential_spec": Fields({"config": STRING, "file": STRING, "registry": STRING}),
        "depends_on": Either(
            STRINGS,
            MapOf(
                Fields(
                    {
                        "restart": BOOLEAN,
                        "required": Plain("boolean"),
                        "condition": Plain(
                            "string",
                            choices=(
                                "service_started",
                                "service_healthy",
                                "service_completed_successfully",
                            ),
                        ),
                    },
                    required=("condition",),
                ),
                keys=_NAME,
            ),
        ),
        "device_cgroup_rules": STRINGS,
        "devices": ListOf(
            Either(
                STRING,
                Fields({"source": STRING, "target": STRING, "permissions": STRING}, required=("source",)),
            )
        ),
        "dns": WORDS,
        "dns_opt": STRINGS,
        "dns_search": WORDS,
        "domainname": STRING,
        "entrypoint": COMMAND,
        "env_file": Either(
            STRING,
            ListOf(
                Either(
                    STRING,
                    Fields(
                        {"path": STRING, "format": STRING, "required": BOOLEAN},
                        required=("path",),
                        extensible=False,
                    ),
                )
            ),
        ),
        "label_file": Either(STRING, ListOf(STRING)),
        "environment": PAIRS,
        "expose": ListOf(TEXT, unique=True),
        "extends": Either(
            STRING, Fields({"service": STRING, "file": STRING}, required=("service",), extensible=False)
        ),
        "provider": Fields(
            {
                "type": STRING,
                "options": MapOf(
                    Either(Plain("string number boolean"), ListOf(Plain("string number boolean")))
                ),
            },
            required=("type",),
        ),
        "external_links": STRINGS,
        "extra_hosts": HOSTS,
        "gpus": Either(Plain("string", choices=("all",)), ListOf(Fields(_DEVICE, loose=True))),
        "group_add": ListOf(TEXT, unique=True),
        "healthcheck": Fields(
            {
                "disable": BOOLEAN,
                "interval": STRING,
                "retries": NUMBER,
                "test": Either(STRING, ListOf(STRING)),
                "timeout": STRING,
                "start_period": STRING,
                "start_interval": STRING,
            }
        ),
        "hostname": STRING,
        "image": STRING,
        "init": BOOLEAN,
        "ipc": STRING,
        "isolation": STRING,
        "labels": PAIRS,
        "links": STRINGS,
        "logging": Fields({"driver": STRING, "options": MapOf(Plain("string number null"))}),
        "mac_address": STRING,
        "mem_limit": NUMBER,
        "mem_reservation": INTEGER,
        "mem_swappiness": INTEGER,
        "memswap_limit": NUMBER,
        "network_mode": STRING,
        "models": Either(
            STRINGS,
            MapOf(Fields({"endpoint_var": STRING, "model_var": STRING}, nullable=True), keys=_NAME),
        ),
        "networks": Either(STRINGS, MapOf(SERVICE_NETWORK, keys=_NAME)),
        "oom_kill_disable": BOOLEAN,
        "oom_score_adj": Plain("integer string", least=-1000, most=1000),
        "pid": Plain("string null"),
        "pids_limit": NUMBER,
        "platform": STRING,
        "ports": ListOf(
            Either(
                TEXT,
                Fields(
                    {
                        "name": STRING,
                        "mode": STRING,
                        "host_ip": STRING,
                        "target": INTEGER,
                        "published": INTEGER,
                        "protocol": STRING,
                        "app_protocol": STRING,
                    }
                ),
            ),
            unique=True,
        ),
        "post_start": ListOf(HOOK),
        "pre_stop": ListOf(HOOK),
        "privileged": BOOLEAN,
        "profiles": STRINGS,
        "pull_policy": Plain(
            "string",
            pattern="always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+",
        ),
        "pull_refresh_after": STRING,
        "read_only": BOOLEAN,
        "restart": STRING,
        "runtime": STRING,
        "scale": INTEGER,
        "security_opt": STRINGS,
        "shm_size": NUMBER,
        "secrets": REFERENCES,
        "sysctls": PAIRS,
        "stdin_open": BOOLEAN,
        "stop_grace_period": STRING,
        "stop_signal": STRING,
        "storage_opt": MapOf(None),
        "tmpfs": WORDS,
        "tty": BOOLEAN,
        "ulimits": ULIMITS,
        "use_api_socket": Plain("boolean"),
        "user": STRING,
        "uts": STRING,
        "userns_mode": STRING,
        "volumes": ListOf(Either(STRING, MOUNT), unique=True),
        "volumes_from": STRINGS,
        "working_dir": STRING,
    }
)
NETWORK = Fields(
    {
        "name": STRING,
        "driver": STRING,
        "driver_opts": OPTIONS,
        "ipam": Fields(
            {
                "driver": STRING,
                "config": ListOf(
                    Fields(
                        {
                            "subnet": STRING,
                            "ip_range": STRING,
                            "gateway": STRING,
                            "aux_addresses": MapOf(STRING),
                        }
                    )
                ),
                "options": MapOf(STRING),
            }
        ),
        "external": EXTERNAL,
        "internal": BOOLEAN,
        "enable_ipv4": BOOLEAN,
        "enable_ipv6": BOOLEAN,
        "attachable": BOOLEAN,
        "labels": PAIRS,
    },
    nullable=True,
)
VOLUME = Fields(
    {"name": STRING, "driver": STRING, "driver_opts": OPTIONS, "external": EXTERNAL, "labels": PAIRS},
    nullable=True,
)
_OBJECT = {
    "name": STRING,
    "environment": STRING,
    "file": STRING,
    "external": EXTERNAL,
    "labels": PAIRS,
    "template_driver": STRING,
}
SECRET = Fields({**_OBJECT, "driver": STRING, "driver_opts": OPTIONS})
CONFIG = Fields({**_OBJECT, "content": STRING})
MODEL = Fields(
    {"name": STRING, "model": STRING, "context_size": Plain("integer"), "runtime_flags": ListOf(STRING)},
    required=("model",),
)
PROJECT = Fields(
    {
        "version": STRING,
        "name": STRING,
        "include": ListOf(
            Either(
                STRING,
                Fields({"path": WORDS, "env_file": WORDS, "project_directory": STRING}, extensible=False),
            )
        ),
        "services": MapOf(SERVICE, keys=_NAME),
        "models": MapOf(MODEL, keys=_NAME),
        "networks": MapOf(NETWORK, keys=_NAME),
        "volumes": MapOf(VOLUME, keys=_NAME),
        "secrets": MapOf(SECRET, keys=_NAME),
        "configs": MapOf(CONFIG, keys=_NAME),
    }
)


def check(root: Mapping) -> None:
    """Raise Invalid for the first thing in `root` that the specification does not allow."""
    for problem in PROJECT.check(root, ()):
        raise wrong(root, problem.path, problem.message, problem.hint)
