"""The flags of `build`, and the parameters of POST /build that they become."""

from __future__ import annotations

import json
import os

from nakagin.cli.flags import Flag, Options
from nakagin.cli.platforms import default_platform
from nakagin.cli.request.devices import ulimit
from nakagin.cli.request.environment import mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_NUMBERS = {
    "cpu-period": "cpuperiod",
    "cpu-quota": "cpuquota",
    "cpu-shares": "cpushares",
    "memory": "memory",
    "memory-swap": "memswap",
    "shm-size": "shmsize",
}


def query(options: Options) -> dict[str, Any]:
    """The parameters of POST /build that flags alone decide."""
    return {
        "t": options.many("tag"),
        "buildargs": json.dumps(_arguments(options.many("build-arg"))),
        "labels": json.dumps(mapping(options.many("label"))),
        "annotations": as_json(options.many("annotation")),
        "target": options.text("target") or None,
        "platform": ",".join(options.many("platform")) or default_platform() or None,
        "networkmode": options.text("network") or None,
        "extrahosts": options.many("add-host"),
        "nocache": options.on("no-cache") or None,
        "nocachefilter": as_json(options.many("no-cache-filter")),
        "pull": options.on("pull") or None,
        "squash": options.on("squash") or None,
        "allow": as_json(options.many("allow")),
        "explain": options.on("explain") or None,
        "onerror": options.text("on-error") or None,
        "call": _what(options) or None,
        "cgroupparent": options.text("cgroup-parent") or None,
        "cpusetcpus": options.text("cpuset-cpus") or None,
        "cpusetmems": options.text("cpuset-mems") or None,
        "ulimits": json.dumps(options.values("ulimit")) if options.given("ulimit") else None,
        **{name: options.number(flag) or None for flag, name in _NUMBERS.items()},
    }


def _what(options: Options) -> str:
    """What is asked of the Dockerfile instead of a build; "" is a build."""
    call = "check" if options.on("check") else options.text("call")
    return "" if call == "build" else call.partition(",")[0]


def _arguments(given: Iterable[str]) -> dict[str, str | None]:
    """`NAME=value`, or `NAME` for the value that the client's environment has."""
    found: dict[str, str | None] = {}
    for text in given:
        name, equals, value = text.partition("=")
        found[name] = value if equals else os.environ.get(name)
    return found


def as_json(value: object) -> str | None:
    """Text for a parameter; None (it is left out) for what is empty."""
    return json.dumps(value) if value else None


FLAGS = (
    Flag("add-host", "", "list", 'Add a custom host-to-IP mapping ("host:ip")'),
    Flag(
        "allow",
        "",
        "strings",
        'Allow extra privileged entitlement ("network.host", "security.insecure", "device")',
    ),
    Flag("annotation", "", "list", "Add annotation to the image"),
    Flag("attest", "", "list", 'Attestation parameters (format: "type=sbom", "type=provenance,mode=max")'),
    Flag("build-arg", "", "list", "Set build-time variables"),
    Flag("build-context", "", "list", "Additional build contexts (e.g., name=path)"),
    Flag("builder", "", "string", "The builder to use (the engine is the builder: has no effect)"),
    Flag(
        "cache-from",
        "",
        "list",
        'External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")',
    ),
    Flag(
        "cache-to",
        "",
        "list",
        'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")',
    ),
    Flag("call", "", "string", 'Set method for evaluating build ("check", "outline", "targets")'),
    Flag("cgroup-parent", "", "string", "Set the parent cgroup for the steps of the build"),
    Flag("check", "", "bool", 'Shorthand for "--call=check"'),
    Flag("compress", "", "bool", "Compress the build context (the engine is near: has no effect)"),
    Flag("cpu-period", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    Flag("cpu-quota", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    Flag("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    Flag("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("disable-content-trust", "", "bool", "Skip image verification (has no effect)"),
    Flag(
        "explain",
        "",
        "bool",
        "Say of each step why it was or was not cached, and show the graph of stages",
    ),
    Flag("file", "f", "string", 'Name of the Dockerfile (default: "PATH/Dockerfile")'),
    Flag("force-rm", "", "bool", "Always remove intermediate containers (it is always so)"),
    Flag("iidfile", "", "string", "Write the image ID to a file"),
    Flag("isolation", "", "string", "Container isolation technology (has no effect)"),
    Flag("label", "", "list", "Set metadata for an image"),
    Flag("load", "", "bool", "Put the image into the engine's library as well (it is so without --output)"),
    Flag("memory", "m", "bytes", "Memory limit of each step"),
    Flag("memory-swap", "", "swap", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    Flag("metadata-file", "", "string", "Write build result metadata to a file"),
    Flag("network", "", "string", 'Set the networking mode for the "RUN" instructions during build'),
    Flag("no-cache", "", "bool", "Do not use cache when building the image"),
    Flag("no-cache-filter", "", "strings", "Do not cache specified stages"),
    Flag(
        "on-error",
        "",
        "string",
        'What to do when a step fails ("shell": a shell in the state that it has left)',
    ),
    Flag("output", "o", "list", 'Output destination (format: "type=local,dest=path")'),
    Flag("platform", "", "strings", "Set target platform for build"),
    Flag(
        "progress",
        "",
        "string",
        'Type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty")',
    ),
    Flag(
        "provenance", "", "string", 'Shorthand for "--attest=type=provenance" ("true", "mode=max,version=v1")'
    ),
    Flag("pull", "", "bool", "Always attempt to pull all referenced images"),
    Flag("push", "", "bool", 'Shorthand for "--output=type=registry"'),
    Flag("quiet", "q", "bool", "Suppress the build output and print image ID on success"),
    Flag("rm", "", "bool", "Remove intermediate containers after a successful build (it is always so)"),
    Flag("sbom", "", "string", 'Shorthand for "--attest=type=sbom"'),
    Flag("secret", "", "list", 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")'),
    Flag("security-opt", "", "strings", "Security options"),
    Flag("shm-size", "", "bytes", "Shared memory size for steps of the build"),
    Flag("squash", "", "bool", "Squash newly built layers into a single new layer"),
    Flag(
        "ssh",
        "",
        "list",
        'SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>]")',
    ),
    Flag("tag", "t", "list", 'Name and optionally a tag in the "name:tag" format'),
    Flag("target", "", "string", "Set the target build stage to build"),
    Flag("ulimit", "", "ulimit", "Ulimit options", check=ulimit),
)
