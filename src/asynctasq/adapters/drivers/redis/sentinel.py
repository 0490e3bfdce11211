"""A server that moves: each new connection asks the sentinels where it is, and so does, now and then, who has some already.

A primary that was replaced while it lived does not know it for ten seconds, and acknowledges what nobody will keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence
from typing import Any

from redis import exceptions as theirs

from asynctasq.adapters.drivers.redis.address import Address
from asynctasq.adapters.drivers.redis.connection import Command, Server
from asynctasq.adapters.drivers.redis.node import Node, hang_up

ASKED_FOR = 1.0
"""Seconds for one sentinel: the next one may answer within the time that a verb has."""


LOOKED_UP_EVERY = 0.5
"""Seconds between two looks whether the primary is still the same, while it is being asked anything."""


class UnknownServiceError(theirs.RedisError):
    """The sentinels do not know the service."""


class MovingServer(Server):
    """The primary of a service, wherever it is at the moment.

    Args:
        address: names the sentinels and the service.
        size: how many connections there may be.
    """

    def __init__(self, address: Address, size: int) -> None:
        self._watched = Watched(address)
        super().__init__(self._watched, size)
        self._looked_at = -math.inf
        self._looking: asyncio.Task[None] | None = None

    async def exchange(self, commands: Sequence[Command], until: float) -> list[Any]:
        """As `Server.exchange`. Nobody waits for the look that it may begin."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= LOOKED_UP_EVERY and (self._looking is None or self._looking.done()):
            self._looked_at = now
            self._looking = asyncio.create_task(self._look())
        return await super().exchange(commands, until)

    async def close(self) -> None:
        """Close every connection."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await super().close()

    async def _look(self) -> None:
        with contextlib.suppress(theirs.RedisError, OSError):  # without sentinels nothing is to be learnt
            if await self._watched.has_moved():
                await self.move()


class Watched:
    """The primary of a service, wherever it is at the moment. As `Node`.

    Args:
        address: names the sentinels and the service.
    """

    def __init__(self, address: Address) -> None:
        self.location = address.location
        self._address = address
        self._places = list(address.places)
        self._primary_was = ""

    async def has_moved(self) -> bool:
        """Whether the primary is another one than that of the last connection."""
        was = self._primary_was
        return (await self._primary()).location != was

    async def connect(self) -> Any:
        """A new connection to the primary. Raises the client's errors."""
        primary = await self._primary()
        connection = await primary.connect()
        self._primary_was = primary.location
        try:
            await connection.send_command("ROLE")
            role = await connection.read_response()
            if role[0] != b"master":
                # It was until a moment ago, and the sentinels have not agreed on another.
                raise theirs.ReadOnlyError("no primary at present")  # noqa: TRY301 -- as whatever else is wrong with it
        except BaseException:
            await hang_up(connection)
            raise
        return connection

    async def listener(self) -> Any:
        """A new connection to the primary, to listen on; whether the others have to move does not follow from it."""
        return await (await self._primary()).connect()

    async def _primary(self) -> Node:
        unknown, problem = False, theirs.ConnectionError("no sentinel answers")
        for place in list(self._places):
            try:
                async with asyncio.timeout(ASKED_FOR):
                    told = await _ask(self._address.sentinel(*place), self._address.service)
            except theirs.AuthenticationError:
                raise
            except (theirs.RedisError, OSError, TimeoutError) as error:
                problem = theirs.ConnectionError(f"no sentinel answers: {error or type(error).__name__}")
                continue
            if told is None:
                unknown = True
                continue
            # Whoever knew it is asked first the next time.
            self._places.remove(place)
            self._places.insert(0, place)
            return self._address.node(told[0].decode(), int(told[1]))
        if unknown:
            raise UnknownServiceError(f"the sentinels know no service {self._address.service!r}")
        raise problem


async def _ask(sentinel: Node, service: str) -> Any:
    connection = await sentinel.connect()
    try:
        await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        return await connection.read_response()
    finally:
        await hang_up(connection)
