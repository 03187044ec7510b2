"""Where the two engines may differ, and why. An exception that nothing needs any more fails the test, too."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.differential.compare import Difference


class Exemption(NamedTuple):
    """Differences of these calls at these paths (regular expressions over the whole text), and the reason."""

    calls: str
    paths: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Whether this is one of them."""
        return bool(re.fullmatch(self.calls, difference.call) and re.fullmatch(self.paths, difference.path))


NEWER = "Docker has it so since a version after 20.10"
NAMES = "another engine has another name, version and place"
DOCKERD_STARTED_SO = "the scratch dockerd is started with a bridge and without firewall"

EXEMPT = [
    # Refusals: what 20.10 called an internal error (500), or did not notice, is the client's mistake in 23 and later.
    Exemption("events-filter", "status", "a filter that nobody knows must not silently select nothing"),
    Exemption(
        "(events|life-logs|image-tag|life-rename|exec-keys|list-limit|list-exited|list-before|list-expose"
        "|network-subnet)-bad|refused-(bind-target|wrong-type|empty|json)|list-filter-json",
        "status",
        "bad input is 400 (or 404), not 500: " + NEWER,
    ),
    Exemption("refused-(blkio|port|ipc|pid)", "status", "20.10 fails at the start, or never; " + NEWER),
    Exemption("refused-(blkio|port|ipc|pid)-left", "status", "20.10 made these containers"),
    Exemption("life-wait-bad", "status", "a condition that nobody knows: " + NEWER),
    Exemption("life-top-bad", "status", "ps refuses what the client asked for: the client's mistake"),
    Exemption("life-unpause-again", "status", "409 as every other wrong state; " + NEWER),
    Exemption("life-resize", "status", "there is no terminal, and 20.10 says nothing"),
    Exemption("exec-start-again", "status", "20.10 writes its 409 into a hijacked stream"),
    Exemption("network-disconnect-again", "status", "403 as every other wrong state of a network"),
    # The engines themselves.
    Exemption("version", r"\.(ApiVersion|BuildTime|GitCommit|GoVersion|MinAPIVersion|Version|Platform\.Name)", NAMES),
    Exemption("version", r"\.Components.*", NAMES),
    Exemption("info", r"\.(ServerVersion|ID|DefaultRuntime|Runtimes\..*|RuncCommit\..*)", NAMES),
    Exemption("info", r"\.(ContainerdCommit|InitCommit)\..*", "there is no containerd, and no commit of it"),
    Exemption("info", r"\.DriverStatus.*", "the backing filesystem by the kernel's name"),
    Exemption("info", r"\.Plugins\.(Log|Network).*", "the drivers that there are"),
    Exemption("info", r"\.LiveRestoreEnabled", "containers live on by default"),
    Exemption("info", r"\.RegistryConfig\..*", "::1 is local, too; non-distributable artifacts are no more: " + NEWER),
    Exemption("info", r"\.(CDISpecDirs|FirewallBackend|SecurityOptions\[0\])", NEWER),
    Exemption("info", r"\.KernelMemory(TCP)?", "no kernel of today has these limits; " + NEWER),
    Exemption("info", r"\.Warnings", "a missing capability is told"),
    # Containers.
    Exemption(".*", r".*\.(GwPriority|DNSNames)", NEWER),
    Exemption("created-.*", r"\.NetworkSettings\.Networks\.\w+\.NetworkID", "known before the first start"),
    Exemption("created-.*", r"\.LogPath", "known before the first start"),
    Exemption(".*", r"\.HostConfig\.KernelMemory(TCP)?", "no kernel of today has these limits; " + NEWER),
    Exemption(".*", r"\.HostConfig\.MaskedPaths.*", "the newer, longer list: " + NEWER),
    Exemption(".*", r"\.HostConfig\.(NetworkMode|RestartPolicy\.Name|Runtime)", "defaults are written in: " + NEWER),
    Exemption("created-namespaces", r"\.Config\.Hostname", "the name that it will really have"),
    Exemption("created-(privileged|namespaces)", r"\.HostConfig\.SecurityOpt", "no SELinux is there to disable"),
    Exemption("created-mounts", r"\.HostConfig\.Mounts\[1\]\.BindOptions", "what old clients mean: " + NEWER),
    Exemption(".*", r"\.GraphDriver\.Data\..*", "overlays are mounted inside containers, and lie elsewhere"),
    Exemption("(life|failing).*", r"\.(HostnamePath|HostsPath|ResolvConfPath)", "these files live as long as a run"),
    Exemption("(life|failing).*", r"\.NetworkSettings\.Networks\.none\..*", "it has no interface, so no endpoint"),
    Exemption("failing", r"\.State\.Error", "our words for what runc says in more"),
    Exemption(".*wait", r"\.Error", "omitted where there is none: " + NEWER),
    Exemption("life-stats", r"\.memory_stats\.(failcnt|stats\..*)", "as the kernel says; 20.10 leaves zeros out"),
    Exemption("list-size", r"\[\d\]\.SizeRw", "0 is shown"),
    Exemption("df", r"\.Containers\[\d\]\.SizeRw", "what is on disk, with logs and settings, as du(1) counts"),
    # Images.
    Exemption("image|images.*|df.*|committed", r".*VirtualSize", "what the layers take on this disk"),
    Exemption("image|committed", r"\.(Container|ContainerConfig(\..*)?)", "that container is not kept: " + NEWER),
    Exemption("committed", r"\.Config\.(Hostname|Image)", "what belongs to the container, not to the image: " + NEWER),
    # Networks.
    Exemption("network.*", r".*\.EnableIPv4", NEWER),
    Exemption("network.*", r".*\.(Gateway|Subnet|IPAddress|IPPrefixLen)", DOCKERD_STARTED_SO),
    Exemption("network.*", r".*\.Options\.com\.docker\.network\.bridge\.enable_ip_masquerade", DOCKERD_STARTED_SO),
    # Events.
    Exemption("events-type", r"\.length|\[\d\]\..*", "20.10 tells of a volume that is created again, though it is not"),
    Exemption("events", r"\[\d\]\.Actor\.Attributes\.(execDuration|imageRef)", NEWER),
]  # fmt: skip
