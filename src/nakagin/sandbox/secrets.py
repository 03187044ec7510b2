"""Which files of this machine a sandbox does not get to see. Reads the accounts and looks at names, opens nothing."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# of the machine
SYSTEM = (
    "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d",
    "/etc/ssl/private", "/etc/ssh", "/etc/krb5.keytab", "/etc/wireguard",
    "/etc/NetworkManager/system-connections", "/etc/docker/key.json", "/var/spool/cron",
    "/var/lib/nakagin", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet",
)  # fmt: skip
# of the user who calls
PERSONAL = (
    ".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".config/gh", ".config/hub", ".config/containers",
    ".config/sops", ".kube", ".docker", ".nakagin", ".netrc", ".git-credentials", ".npmrc", ".pypirc",
    ".cargo/credentials.toml", ".pgpass", ".my.cnf", ".bash_history", ".zsh_history", ".python_history",
    ".psql_history", ".local/share/keyrings", ".local/share/fish/fish_history", ".password-store", ".mozilla",
    ".thunderbird", ".config/chromium", ".config/google-chrome", ".vault-token", ".terraform.d",
)  # fmt: skip


def hidden(
    accounts: Iterable[tuple[int, str]], uid: int, needed: Sequence[str], shown: Sequence[str]
) -> list[str]:
    """The paths to mask, sorted: secrets of the machine and of `uid`, the whole homes of all others.

    `accounts` are (uid, home) of everybody, `needed` folders that must stay visible with all above them, `shown` what
    the user wants to be visible.
    """
    homes = {os.path.normpath(home): owner for owner, home in accounts if _is_home(home)}
    found = set(SYSTEM)
    for home, owner in homes.items():
        if owner != uid and not any(inside(each, home) for each in needed):
            found.add(home)
        else:
            found.update(f"{home}/{name}" for name in PERSONAL)
    kept = [path for path in found if not any(inside(each, path) for each in (*needed, *shown))]
    return sorted(path for path in kept if os.path.lexists(path) and not os.path.islink(path))


def _is_home(path: str) -> bool:
    """A folder of a person; many accounts of services live in / or in a folder of the system."""
    return path.startswith(("/home/", "/root", "/srv/home/", "/export/home/"))


def inside(path: str, folder: str) -> bool:
    """A path is a folder or below it, by its text."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def accounts() -> Iterator[tuple[int, str]]:
    """(uid, home) of every account, and of every folder in /home: a network's accounts are not listed."""
    import pwd

    for each in pwd.getpwall():
        yield each.pw_uid, each.pw_dir
    try:
        with os.scandir("/home") as homes:
            for home in homes:
                if home.is_dir(follow_symlinks=False):
                    yield home.stat(follow_symlinks=False).st_uid, home.path
    except OSError:
        return
