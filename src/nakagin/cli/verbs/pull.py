"""`nakagin pull`, and the pulling that `run` and `create` do when an image is missing."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag
from nakagin.cli.platforms import default_platform
from nakagin.cli.progress import show_progress
from nakagin.cli.verbs.copy import is_remote, pull_from
from nakagin.errors import Invalid
from nakagin.spec.domain import is_plain, split_domain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from nakagin.client import Client

FLAGS = (
    Flag("all-tags", "a", "bool", "Download all tagged images in the repository"),
    Flag("disable-content-trust", "", "bool", "Skip image verification", True),
    Flag("platform", "", "string", "Set platform if server is multi-platform capable"),
    Flag("quiet", "q", "bool", "Suppress verbose output"),
)
POLICIES = ("always", "missing", "never")


def check_policy(policy: str) -> None:
    """Invalid unless it is one of POLICIES (or empty, which is "missing")."""
    if policy and policy not in POLICIES:
        raise Invalid(f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"')


def full_name(reference: str) -> str:
    """ "busybox" → "busybox:latest"; tagged and digested names stay."""
    tagged = ":" in reference.rpartition("/")[2] or "@" in reference
    return reference if tagged else f"{reference}:latest"


def pull_image(
    client: Client, reference: str, *, platform: str, quiet: bool, output: TextIO, all_tags: bool = False
) -> None:
    """Fetch an image and show progress on `output`."""
    messages = client.images.pull(reference, platform=platform or None, all_tags=all_tags)
    show_progress(messages, output, quiet=quiet)


def pull(call: Call) -> int:
    """Download an image from a registry."""
    if is_remote(call.arguments[0]):
        return pull_from(call)
    (reference,) = call.arguments
    quiet, all_tags = call.options.on("quiet"), call.options.on("all-tags")
    if all_tags and full_name(reference) == reference:
        raise Invalid("tag can't be used with --all-tags/-a")
    if not is_plain(reference):
        from nakagin.spec.reference import Reference

        Reference.parse(reference)
    if not all_tags and full_name(reference) != reference and not quiet:
        say("Using default tag: latest")
    platform = call.options.text("platform") or default_platform()
    pull_image(call.client, reference, platform=platform, quiet=quiet, output=sys.stdout, all_tags=all_tags)
    domain, path = split_domain(reference if all_tags else full_name(reference))
    say(f"{domain}/{path}")
    return 0


PULL = Command(pull, "[OPTIONS] NAME[:TAG|@DIGEST] | ssh://[USER@]HOST/NAME", FLAGS, least=1, most=1)
