"""What goes on in the engine while containers run: the tasks behind `Networks.watch`, until cancelled."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from nakagin.errors import NakaginError
from nakagin.kernel import nftables

if TYPE_CHECKING:
    from collections.abc import Callable

_EXPIRING = 15.0  # seconds

_log = logging.getLogger(__name__)


async def keep_firewall(table: str, restore: Callable[[], None]) -> None:
    """Call `restore` whenever another process changed our table, and once at the start."""
    changed = asyncio.Event()
    changed.set()  # what happened before we listened
    loop = asyncio.get_running_loop()
    with nftables.Watch(table) as watch:

        def on_readable() -> None:
            if watch.foreign_change():
                changed.set()

        loop.add_reader(watch.fileno(), on_readable)
        try:
            while await changed.wait():
                changed.clear()
                try:
                    restore()
                except NakaginError as error:
                    _log.warning("cannot restore the firewall: %s", error)
        finally:
            loop.remove_reader(watch.fileno())


async def forget_flows(deeds: asyncio.Queue[Callable[[], None]]) -> None:
    """Drop the tracked flows to what went.

    In a thread: the kernel walks its whole table (10 ms).
    """
    while True:
        deed = await deeds.get()
        try:
            await asyncio.to_thread(deed)
        except OSError as error:
            _log.warning("%s", error)


async def expire_answers(expire: Callable[[], None]) -> None:
    """Now and then take back what DNS answers had opened."""
    while True:
        await asyncio.sleep(_EXPIRING)
        try:
            expire()
        except NakaginError as error:
            _log.warning("cannot close what egress had opened: %s", error)
