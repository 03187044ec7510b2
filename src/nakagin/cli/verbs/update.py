"""`nakagin update`."""

from __future__ import annotations

from nakagin.cli.command import Call, Command, complain
from nakagin.cli.flags import Flag
from nakagin.cli.request.body import limits, restart_policy
from nakagin.cli.request.tables import LIMITS
from nakagin.errors import Invalid

FLAGS = (*LIMITS, Flag("restart", "", "string", "Restart policy to apply when a container exits"))


def update(call: Call) -> int:
    """Change limits and restart policy of containers."""
    if not any(call.options.given(flag.name) for flag in FLAGS):
        raise Invalid("you must provide one or more flags when using this command")
    restart = call.options.text("restart")
    policy = restart_policy(restart) if restart else {"Name": "", "MaximumRetryCount": 0}
    # A zero means "leave it"; only what was given is sent.
    changes = {key: value for key, value in limits(call.options).items() if value}
    changes["RestartPolicy"] = policy

    def change(name: str) -> None:
        for warning in call.client.containers.refer(name).update(changes):
            complain(warning)

    return call.each(change)


UPDATE = Command(update, "[OPTIONS] CONTAINER [CONTAINER...]", FLAGS, least=1, most=None)
