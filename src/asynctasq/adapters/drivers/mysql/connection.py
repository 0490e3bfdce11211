"""One server, and how it is asked: conversations of few packets, bounded in time, with the port's errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asynctasq.adapters.drivers.mysql.address import Address
from asynctasq.adapters.drivers.mysql.faults import THEIRS, is_answer, is_contended, translated
from asynctasq.adapters.drivers.mysql.statements import statement
from asynctasq.adapters.drivers.mysql.wire import Reply, Wire

PATIENCE = 4.5
"""Seconds for one conversation, connecting and further tries included: the port allows a verb five."""

RETRIES = 3
"""How often a conversation is tried again that others got in the way of."""

QUIET = 10
"""Seconds after which the server hangs up on us, and gives up our locks: a client in the middle of a transaction may stand still,
or have lost its machine. A connection that had nothing to do for half of it is not used again."""

T = TypeVar("T")


class Server:
    """A connected server, on one event loop.

    Args:
        address: where it is.
        size: how many connections there may be; further conversations wait for one.
    """

    def __init__(self, address: Address, size: int) -> None:
        self.location = address.location
        self._address = address
        self._session = statement("session", "")(quiet=QUIET)
        self._free = asyncio.Semaphore(size)
        self._idle: list[Wire] = []
        self._is_closed = False

    async def ask(self, packet: str, *, applies: bool = True) -> list[Reply]:
        """What the statements of one packet answer.

        Args:
            packet: statements, with semicolons between them.
            applies: whether any of them changes something.

        Raises:
            DriverUnavailable: nothing was carried out.
            Indeterminate: it may have been.
            ConfigurationError: the server will always refuse.
        """
        return await self.converse(lambda wire: wire.exchange(packet, applies=applies))

    async def converse(self, talk: Callable[[Wire], Awaitable[T]]) -> T:
        """What a conversation on one connection comes to. It leaves no transaction open. Raises as `ask`."""
        applied = False
        tries = 0
        try:
            async with asyncio.timeout(PATIENCE), self._free:
                while True:
                    wire = await self._open()
                    wire.applied = False
                    try:
                        return await self._held(wire, talk)
                    except THEIRS as error:
                        tries += 1
                        if not is_contended(error) or tries > RETRIES:
                            raise
                    finally:
                        applied = wire.applied
                    await asyncio.sleep(random.uniform(0.0, 0.05))
        except THEIRS as error:
            if not is_answer(error):
                self._forget_idle()
            raise translated(error, self.location, applied=applied) from error

    def _forget_idle(self) -> None:
        """Where one has fallen silent, those that lie idle are as old or older, and each would cost a verb all its time."""
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.abort()

    async def close(self) -> None:
        """Close every connection; those at work, when they are done."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(wire.close() for wire in idle))

    async def _held(self, wire: Wire, talk: Callable[[Wire], Awaitable[T]]) -> T:
        try:
            try:
                said = await talk(wire)
            except THEIRS as error:
                if is_answer(error):
                    # A lock that was waited for in vain ends its statement only, and not the transaction.
                    await wire.exchange("ROLLBACK", applies=False)
                raise
        except BaseException as error:
            if is_answer(error):
                self._put_back(wire)
            else:
                wire.abort()
            raise
        self._put_back(wire)
        return said

    def _put_back(self, wire: Wire) -> None:
        if self._is_closed:
            wire.abort()
        else:
            wire.last_used = asyncio.get_running_loop().time()
            self._idle.append(wire)

    async def _open(self) -> Wire:
        """The connection that was last used, as the fewer are in use the fewer need to be kept warm; else a new one."""
        stale = asyncio.get_running_loop().time() - QUIET / 2
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open() and wire.last_used > stale:
                return wire
            wire.abort()
        wire = self._address.wire()
        await wire.open()
        try:
            await wire.exchange(self._session, applies=False)
        except BaseException:
            wire.abort()
            raise
        return wire
