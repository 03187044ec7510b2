"""Manifest lists: /nakagin/manifests, since Docker's API has nothing for them (its command line makes them alone)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.api.answers import Answer, answer, no_content
from nakagin.api.registries import credentials_of
from nakagin.errors import Invalid
from nakagin.registry.model import PlatformOf
from nakagin.spec.docker import Document, Strings

if TYPE_CHECKING:
    from aiohttp import web

    from nakagin.api.call import Call


class CreateRequest(Document, frozen=True, kw_only=True):
    """The images of a new list."""

    manifests: Strings = ()


class AnnotateRequest(Document, frozen=True, kw_only=True):
    """What platform an image is for."""

    manifest: str = ""
    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: Strings = ()


def _name(call: Call) -> str:
    if not (name := call.text("name")):
        raise Invalid("the query parameter name is missing")
    return name


async def create(call: Call) -> web.StreamResponse:
    """POST /nakagin/manifests?name=…&amend=1"""
    body = await call.body(CreateRequest)
    lists = call.engine.manifest_lists
    made = await lists.create(_name(call), body.manifests, credentials_of(call), amend=call.flag("amend"))
    return answer({"Name": made}, 201)


async def annotate(call: Call) -> web.StreamResponse:
    """POST /nakagin/manifests/annotate?name=…"""
    body = await call.body(AnnotateRequest)
    platform = PlatformOf(body.architecture, body.os, body.os_version, tuple(body.os_features), body.variant)
    call.engine.manifest_lists.annotate(_name(call), body.manifest, platform)
    return no_content()


async def inspect(call: Call) -> web.StreamResponse:
    """GET /nakagin/manifests?name=…: the bytes of a list of ours, or of what is at the registry."""
    content = await call.engine.manifest_lists.inspect(_name(call), credentials_of(call))
    descriptor = content.descriptor
    headers = {"Docker-Content-Digest": descriptor.digest}
    return Answer(200, content.data, kind=descriptor.media_type, headers=headers)


async def push(call: Call) -> web.StreamResponse:
    """POST /nakagin/manifests/push?name=…&purge=1"""
    digest = await call.engine.manifest_lists.push(
        _name(call), credentials_of(call), purge=call.flag("purge")
    )
    return answer({"Digest": digest})


async def remove(call: Call) -> web.StreamResponse:
    """DELETE /nakagin/manifests?name=…"""
    call.engine.manifest_lists.remove(_name(call))
    return no_content()


DEEDS = {
    "POST /nakagin/manifests": create,
    "POST /nakagin/manifests/annotate": annotate,
    "POST /nakagin/manifests/push": push,
    "DELETE /nakagin/manifests": remove,
}
READS = {"GET /nakagin/manifests": inspect}
