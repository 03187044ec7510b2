"""Making a container from flags: the request, the image that may have to be fetched, the cidfile, the warnings."""

from __future__ import annotations

import os
import sys

from nakagin.cli.command import complain
from nakagin.cli.flags import UsageError
from nakagin.cli.platforms import default_platform
from nakagin.cli.request.body import create_body
from nakagin.cli.verbs.pull import check_policy, full_name, pull_image
from nakagin.errors import Conflict, Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nakagin.cli.command import Call
    from nakagin.client.containers import Container

# How engines say that the image, or the image of that platform, has to be fetched.
_IMAGE_IS_MISSING = ("no such image", "image with reference")


def request_body(call: Call) -> dict[str, Any]:
    """The create request of a call. With --rootfs there is no image and all arguments are the command."""
    arguments = call.arguments
    if call.options.text("rootfs"):
        image, command = "", arguments
    elif not arguments:
        raise UsageError(f"nakagin: 'nakagin {call.name}' requires at least 1 argument")
    else:
        image, command = arguments[0], arguments[1:]
    check_policy(call.options.text("pull"))
    body = create_body(call.options, image, command, os.environ)
    if call.options.on("use-api-socket"):
        from nakagin.cli.request import api_socket

        api_socket.mount(body, call.client.session.endpoint)
    return body


def create_container(call: Call, body: dict[str, Any]) -> Container:
    """Create it on the engine; a missing image is pulled once as --pull says. Warnings go to standard error."""
    options = call.options
    cidfile = _reserve_cidfile(options.text("cidfile"))
    known = _known_registries(body) if options.on("use-api-socket") else {}
    try:
        container, warnings = _create(call, body)
        if known:
            _hand_over(container, known)
    except BaseException:
        if cidfile is not None:
            os.close(cidfile)
            os.unlink(options.text("cidfile"))
        raise
    for warning in warnings:
        complain(f"WARNING: {warning}")
    if cidfile is not None:
        os.write(cidfile, container.reference.encode())
        os.close(cidfile)
    return container


def _known_registries(body: dict[str, Any]) -> dict[str, Any]:
    """What the user is logged in to; the request tells the container where that will be."""
    from nakagin.cli.request import api_socket

    if known := api_socket.credentials(os.environ):
        api_socket.tell(body)
    return known


def _hand_over(container: Container, known: dict[str, Any]) -> None:
    from nakagin.cli.request import api_socket

    try:
        container.put_archive("/", api_socket.archive(known))
    except BaseException:
        container.remove()
        raise


def _create(call: Call, body: dict[str, Any]) -> tuple[Container, list[str]]:
    options, image = call.options, str(body["Image"])
    name, platform = options.text("name") or None, options.text("platform") or default_platform()
    policy = options.text("pull") or "missing"
    containers = call.client.containers
    if policy == "always" and image:
        _pull(call, image, platform)
    try:
        return containers.create_from(body, name=name, platform=platform or None)
    except NotFound as error:
        lacks_image = any(words in error.message.lower() for words in _IMAGE_IS_MISSING)
        if policy != "missing" or not image or not lacks_image:
            raise
        _, _, near = error.message.partition("(did you mean ")
    if not options.on("quiet"):
        guess = f" (did you mean {near}" if near else ""
        complain(f"Unable to find image '{full_name(image)}' locally{guess}")
    _pull(call, image, platform)
    return containers.create_from(body, name=name, platform=platform or None)


def _pull(call: Call, image: str, platform: str) -> None:
    quiet = call.options.on("quiet")
    pull_image(call.client, image, platform=platform, quiet=quiet, output=sys.stderr)


def _reserve_cidfile(path: str) -> int | None:
    """Claim the file before the container exists, so that two runs cannot write one file."""
    if not path:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        words = "make sure the other container isn't running or delete"
        raise Conflict(f"container ID file found, {words} {path}") from None
    except OSError as error:
        raise Invalid(f"failed to create the container ID file: open {path}: {error.strerror}") from None
