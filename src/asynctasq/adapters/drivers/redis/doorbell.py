"""Being told that there is work: a subscription on a connection of its own.

What it says is a hint: whoever waits looks again, and looks by itself after a while if nothing is said. While the connection
is down nothing is heard, so when it is back everybody is told to look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from redis import exceptions as theirs

from asynctasq.adapters.drivers.redis.connection import Asked
from asynctasq.adapters.drivers.redis.node import PATIENCE, hang_up

logger = logging.getLogger("asynctasq.redis")

HEARTBEAT = 25.0
"""Seconds of silence after which the connection is tested: one whose other end has vanished is silent for ever."""

PAUSES = (0.05, 2.0)
"""Seconds between the first, and between any, two attempts to reconnect."""

FORBIDDEN_PAUSE = 60.0
"""Seconds until a server that lets us not subscribe is asked again."""


class Doorbell:
    """Rings those who wait for a channel. One per driver; connected when somebody first waits.

    Args:
        server: where it is.
    """

    def __init__(self, server: Asked) -> None:
        self._server = server
        self._waiting: dict[asyncio.Event, frozenset[bytes]] = {}
        self._channels: set[bytes] = set()
        self._heard: set[bytes] = set()
        self._changed = asyncio.Event()
        self._connection: Any = None
        self._listening: asyncio.Task[None] | None = None
        self._pause = PAUSES[0]
        self._has_complained = False

    def hears(self, channels: Iterable[bytes]) -> bool:
        """Whether it listens to all of these channels already."""
        return self._heard.issuperset(channels)

    @contextlib.asynccontextmanager
    async def rung_for(self, channels: Iterable[bytes], *, patience: float) -> AsyncGenerator[asyncio.Event]:
        """An event that is set when one of the channels is called; listens before it returns, if it can within `patience`."""
        wanted = frozenset(channels)
        event = asyncio.Event()
        self._waiting[event] = wanted
        try:
            if not self.hears(wanted):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(patience, PATIENCE)):
                        await self._listen_to(wanted)
            yield event
        finally:
            del self._waiting[event]

    async def close(self) -> None:
        """Stop listening, and let everybody go."""
        self._ring()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})

    async def _listen_to(self, channels: frozenset[bytes]) -> None:
        new = channels - self._channels
        self._channels |= channels
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        elif self._connection is not None and new:
            with contextlib.suppress(theirs.RedisError, OSError):  # it will be subscribed with the next connection
                await self._connection.send_command("SUBSCRIBE", *new)
        while not self.hears(channels):
            self._changed.clear()
            await self._changed.wait()

    async def _listen(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    connection = await self._server.listener()
                try:
                    await self._attend(connection)
                finally:
                    self._connection = None
                    await hang_up(connection)
            except theirs.NoPermissionError as error:
                self._complain(error)
                self._pause = FORBIDDEN_PAUSE
            except (theirs.RedisError, OSError, TimeoutError):
                pass
            self._heard.clear()
            # Some of a crowd at a time, when all have lost the same server.
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))
            self._pause = min(self._pause * 2, PAUSES[1])

    async def _attend(self, connection: Any) -> None:
        """Read what is said, without the client's own way to do so: it takes longer to read a hint than Redis to deliver it."""
        first = frozenset(self._channels)
        async with asyncio.timeout(PATIENCE):
            await connection.send_command("SUBSCRIBE", *first)
        self._connection = connection
        if since := self._channels - first:  # wanted while it connected
            await connection.send_command("SUBSCRIBE", *since)
        is_tested = False
        while True:
            said = await _next(connection, PATIENCE if is_tested else HEARTBEAT)
            if said is None and is_tested:
                return
            is_tested = said is None
            if said is None:
                await connection.send_command("PING")
                continue
            kind, channel = said[:2]
            if kind == b"subscribe":
                self._pause = PAUSES[0]
                self._heard.add(channel)
                self._changed.set()
                self._ring(channel)
            elif kind == b"message":
                self._ring(channel)

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            where = self._server.location
            logger.warning("Redis at %s lets us not subscribe, so new tasks start seconds late: %s", where, error)

    def _ring(self, channel: bytes | None = None) -> None:
        for event, channels in self._waiting.items():
            if channel is None or channel in channels:
                event.set()


async def _next(connection: Any, timeout: float) -> list[Any] | None:
    """What is said next, if it is said within `timeout` seconds: its kind, its channel if it has one, and more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            said: list[Any] = await connection.read_response(disconnect_on_error=False)
            return said
    return None
