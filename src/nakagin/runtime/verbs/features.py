"""features: what this runtime can do (OCI features-linux.md)."""

from __future__ import annotations

from nakagin import __version__
from nakagin.kernel import identity, seccomp
from nakagin.kernel.namespaces import KINDS
from nakagin.runtime.options import known_options
from nakagin.runtime.plan import HOOKS
from nakagin.spec import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nakagin.runtime.command import Call
    from nakagin.spec.runtime import Features


def features_(_: Call) -> int:
    """Print the document; no container is touched."""
    features: Features = {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.3.0",
        "hooks": list(HOOKS),
        "mountOptions": known_options(),
        "linux": {
            "namespaces": sorted(KINDS),
            "capabilities": list(identity.CAPABILITIES),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.supported_flags()),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"org.nakagin.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [],
    }
    print(document.render(features, indent=2))
    return 0
