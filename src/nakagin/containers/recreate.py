"""A container made anew under its old name: with other mounts, environment or image, and with what it had.

The new one is made beside the old one, so that whatever is wrong with the request is found while the old one runs.
Then the old one stops, hands over its name, its log and its addresses, and goes when the new one runs. If that fails
everything is put back, and the old one runs again. What is under way is written down first: after a crash of the engine
the next one ends it, forwards where the new one runs already, else back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

import msgspec

from nakagin.containers import secrets as container_secrets
from nakagin.errors import Conflict, NakaginError, NotModified
from nakagin.spec.docker import EndpointIPAMConfig
from nakagin.spec.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nakagin.containers.lifecycle import Containers
    from nakagin.containers.model import Container
    from nakagin.containers.shelf import Capsule, Shelf
    from nakagin.containers.surroundings import Surroundings
    from nakagin.containers.watch import Watch
    from nakagin.spec.docker import ContainerCreate


KIND = "recreation"
_GRACE = 1.0


class _Intent(msgspec.Struct, frozen=True):
    """One that is under way: `name` is the old one's, `aside` the new one's until they change, `new` its id once it is
    there. `addresses` (by network) are wanted again if the old one `ran`; they are `lent` to ids, on some networks."""

    old: str
    name: str
    aside: str
    ran: bool
    addresses: dict[str, tuple[str, str]]
    new: str = ""
    lent: dict[str, tuple[str, ...]] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Intent).decode


class Recreation:
    """Recreates the containers of one engine."""

    def __init__(self, containers: Containers, shelf: Shelf, around: Surroundings, watch: Watch) -> None:
        self._watch = watch
        self._containers = containers
        self._shelf = shelf
        self._around = around
        self._unfinished: list[_Intent] = []
        self._busy: set[str] = set()

    async def recreate(self, reference: str, body: ContainerCreate) -> tuple[str, list[str]]:
        """Replace it by what `body` asks for; (the new id, warnings). Raises what create, stop and start raise.

        Secrets and the rest of Nakagin's own that `body` does not name stay as they are. Conflict where it is being
        recreated already.
        """
        old = self._shelf.find(reference)
        if old.id in self._busy:
            raise Conflict(f"container {old.record.name} is being recreated already", hint="wait for its end")
        name = old.record.name
        intent = _Intent(
            old=old.id, name=name, aside=f"{name}-{secrets.token_hex(4)}", addresses=self._addresses(old.record),
            ran=old.record.running or old.record.facts.restarting,
        )  # fmt: skip
        self._note(intent)
        self._busy.add(old.id)
        try:
            return await self._recreate(old, intent, _with_own(body, old.record))
        finally:
            self._around.records.delete(KIND, old.id)
            self._busy.discard(old.id)

    async def _recreate(self, old: Capsule, intent: _Intent, body: ContainerCreate) -> tuple[str, list[str]]:
        asked = old.record.asked_platform
        platform = Platform.parse(asked) if asked else None
        id, warnings = await self._containers.create(intent.aside, body, platform=platform)
        intent = msgspec.structs.replace(intent, new=id)
        self._note(intent)
        new = self._shelf.find(id)
        self._busy.add(id)  # it has the name before all is done
        old.held_for_restart = True  # one with --rm must not go by itself: it may be needed again
        try:
            self._take_secrets(old, new, body)
            with contextlib.suppress(NotModified):
                await self._containers.stop(old.id)
            await self._exchange_names(old, new)
            self._take_log(old, new)
            if intent.ran:
                await self._start(new, intent)
                await _see_it_live(new)
        except BaseException:
            await self._undo(old, new, intent)
            await self._start_again(old, intent)
            raise
        finally:
            old.held_for_restart = False
            self._busy.discard(id)
        # Its anonymous volumes are the new one's now; what the new one does not have stays, unused.
        await self._containers.remove(old.id, force=True)
        assert self._shelf.find(intent.name) is new
        return id, warnings

    def _note(self, intent: _Intent) -> None:
        self._around.records.put(KIND, intent.old, _encode(intent))

    # -- after a crash -----------------------------------------------------------------------------

    def look_back(self) -> None:
        """Read what an earlier engine did not end, before anything is done about containers that have ended."""
        self._unfinished = [_decode(data) for _, data in self._around.records.all(KIND)]
        for intent in self._unfinished:
            if (old := self._shelf.get(intent.old)) is not None:
                old.held_for_restart = True

    async def recover(self) -> None:
        """End it, or put it back. What has to be started for that is, by `resume`."""
        for intent in self._unfinished:
            old, new = self._shelf.get(intent.old), self._shelf.get(intent.new)
            if new is None and not self._shelf.name_is_free(intent.aside):
                new = self._shelf.find(intent.aside)
            for id, networks in intent.lent.items():
                if (capsule := self._shelf.get(id)) is not None:
                    self._take_back(capsule, networks)
            with contextlib.suppress(NakaginError):
                if old is not None and new is not None and new.record.running:
                    await self._containers.remove(old.id, force=True)
                elif old is not None:
                    await self._undo(old, new, intent)

    async def resume(self) -> None:
        """Start the old ones again that ran before, and forget all of it."""
        for intent in self._unfinished:
            if (old := self._shelf.get(intent.old)) is not None:
                await self._start_again(old, intent)
                old.held_for_restart = False
            self._around.records.delete(KIND, intent.old)
        self._unfinished.clear()

    # -- its parts ---------------------------------------------------------------------------------

    async def _start(self, capsule: Capsule, intent: _Intent) -> None:
        """Start it at the old one's addresses, where it was made without any of its own."""
        endpoints = dict(capsule.record.endpoints)
        for name, settings in endpoints.items():
            four, six = intent.addresses.get(name, ("", ""))
            if settings.ipam_config is None and (four or six):
                wanted = EndpointIPAMConfig(ipv4_address=four, ipv6_address=six)
                endpoints[name] = msgspec.structs.replace(settings, ipam_config=wanted)
        lent = tuple(name for name in endpoints if endpoints[name] != capsule.record.endpoints[name])
        self._note(msgspec.structs.replace(intent, lent={capsule.id: lent}))
        self._shelf.save(capsule, msgspec.structs.replace(capsule.record, endpoints=endpoints))
        try:
            await self._containers.start(capsule.id)
        finally:
            self._take_back(capsule, lent)

    def _take_back(self, capsule: Capsule, lent: Sequence[str]) -> None:
        """The addresses were asked for this time only."""
        endpoints = dict(capsule.record.endpoints)
        for name in lent:
            if name in endpoints:
                endpoints[name] = msgspec.structs.replace(endpoints[name], ipam_config=None)
        self._shelf.save(capsule, msgspec.structs.replace(capsule.record, endpoints=endpoints))

    async def _undo(self, old: Capsule, new: Capsule | None, intent: _Intent) -> None:
        """Give the old one its name, and take the new one away."""
        if new is None:
            return
        if new.record.name == intent.name:
            await self._exchange_names(new, old)
        with contextlib.suppress(NakaginError):
            await self._containers.remove(new.id, force=True)

    async def _start_again(self, old: Capsule, intent: _Intent) -> None:
        if intent.ran and not old.record.running:
            with contextlib.suppress(NakaginError):
                await self._start(old, intent)

    async def _exchange_names(self, one: Capsule, other: Capsule) -> None:
        def also() -> None:
            for capsule, name in ((one, other_name), (other, one_name)):
                self._around.networks.rename(capsule.id, name)

        async with one.lock, other.lock:
            one_name, other_name = one.record.name, other.record.name
            self._shelf.exchange_names(one, other, also)
            for capsule, name in ((one, one_name), (other, other_name)):
                self._watch.publish(capsule, "rename", oldName=f"/{name}")

    def _addresses(self, record: Container) -> dict[str, tuple[str, str]]:
        """Network name -> its addresses there (IPv4, IPv6), as far as it has any now."""
        shown = self._around.networks.settings_document(record.id, record.endpoints, ())["Networks"]
        return {
            name: (each.get("IPAddress") or "", each.get("GlobalIPv6Address") or "")
            for name, each in shown.items()
        }

    def _take_log(self, old: Capsule, new: Capsule) -> None:
        """The log goes on where it was; the old one keeps its own until it goes."""
        folder, stem = self._around.data_dir(old.id), os.path.basename(self._around.log_path(old.id))
        target = self._around.log_path(new.id)
        for name in os.listdir(folder):
            if name.startswith(stem):
                shutil.copy2(os.path.join(folder, name), target + name[len(stem) :])

    def _take_secrets(self, old: Capsule, new: Capsule, body: ContainerCreate) -> None:
        if old.record.extension.secrets and not any(each.data for each in body.nakagin.secrets):
            container_secrets.hand_over(self._around, old.id, new.id)


async def _see_it_live(new: Capsule) -> None:
    """Raise Conflict if it ends at once with an error."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await new.ended.wait()
        if code := new.record.facts.exit_code:
            raise Conflict(
                f"the new container ended at once with exit code {code}: everything is as it was",
                hint="try the change with a container of another name",
            )


def _with_own(body: ContainerCreate, record: Container) -> ContainerCreate:
    """Nakagin's own of the old one, where the request says nothing of it."""
    own, kept = body.nakagin, record.extension
    return msgspec.structs.replace(
        body,
        nakagin=msgspec.structs.replace(
            own,
            rootfs=own.rootfs or kept.rootfs,
            timezone=own.timezone or kept.timezone,
            secrets=own.secrets or kept.secrets,
        ),
    )
