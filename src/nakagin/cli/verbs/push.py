"""`nakagin push`."""

from __future__ import annotations

import sys

from nakagin.cli.command import Call, Command, say
from nakagin.cli.flags import Flag, UsageError
from nakagin.cli.progress import show_progress
from nakagin.cli.verbs.copy import is_remote, push_to
from nakagin.cli.verbs.pull import full_name
from nakagin.errors import Invalid

FLAGS = (
    Flag("all-tags", "a", "bool", "Push all tags of an image to the repository"),
    Flag("disable-content-trust", "", "bool", "Skip image signing", True),
    Flag(
        "platform",
        "",
        "string",
        "Push a platform-specific manifest as a single-platform image to the registry",
    ),
    Flag("quiet", "q", "bool", "Suppress verbose output"),
)


def push(call: Call) -> int:
    """Upload an image to a registry."""
    if is_remote(call.arguments[0]):
        return push_to(call)
    if len(call.arguments) > 1:
        raise UsageError("nakagin: 'nakagin push' requires 1 argument, or ssh://[USER@]HOST/ and images")
    (reference,) = call.arguments
    options = call.options
    all_tags, quiet = options.on("all-tags"), options.on("quiet")
    if all_tags and full_name(reference) == reference:
        raise Invalid("tag can't be used with --all-tags/-a")
    if not all_tags and full_name(reference) != reference and not quiet:
        say("Using default tag: latest")
    messages = call.client.images.push(
        reference, platform=options.text("platform") or None, all_tags=all_tags
    )
    show_progress(messages, sys.stdout, quiet=quiet)
    if quiet:
        say(reference if all_tags else full_name(reference))
    return 0


PUSH = Command(push, "[OPTIONS] NAME[:TAG] | ssh://[USER@]HOST/ IMAGE...", FLAGS, least=1, most=None)
