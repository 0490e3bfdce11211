"""The connections to one server: the last used first, so that few are kept warm, and none that is known or likely to be dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions as theirs

from asynctasq.adapters.drivers.redis.faults import LOST
from asynctasq.adapters.drivers.redis.node import abort, hang_up

CROWDED = 4.0
"""Seconds to wait for one of the connections that are all in use: less than a verb has, so that it can say so."""


class Pool:
    """Connections on one event loop.

    Not the client's own pool, which can let go of all its connections or of none: when one has fallen silent, as a vanished
    peer does, those that lie idle are as old or older, and each would cost a verb all the time that it has.

    Args:
        connect: makes a connection.
        size: how many there may be; who wants more waits for one.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int) -> None:
        self._connect = connect
        self._free = asyncio.Semaphore(size)
        self._idle: list[Any] = []
        self._in_use: set[Any] = set()
        self._outdated: set[Any] = set()
        self._is_closed = False

    def connection(self, until: float) -> _Loan:
        """A connection for a block, which works as far as is known.

        If the block raises it is closed, as a reply may still be on its way.

        Args:
            until: when the block is to end, by the loop's clock: it is closed then.

        Raises:
            redis.ConnectionError: none came free in time, or a new one could not be made.
            TimeoutError: it was not made in time, or the block had not ended in time.
        """
        return _Loan(self, until)

    async def take(self, until: float) -> Any:
        """Begin a loan; `until` is when to give up."""
        if self._free.locked():
            try:
                async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + CROWDED)):
                    await self._free.acquire()
            except TimeoutError:
                raise theirs.ConnectionError("No connection available") from None
        else:
            await self._free.acquire()
        try:
            connection = await self._reusable()
            if connection is None:
                async with asyncio.timeout_at(until):
                    connection = await self._connect()
        except BaseException:  # whoever waits is cancelled, too
            self._free.release()
            raise
        self._in_use.add(connection)
        return connection

    async def take_back(self, connection: Any, *, works: bool) -> None:
        """End a loan."""
        self._in_use.discard(connection)
        try:
            if not works:
                await hang_up(connection)
            await self._put_back(connection)
        finally:
            self._free.release()

    async def forget_idle(self) -> None:
        """Close the connections that nobody uses: one like them was found dead."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await hang_up(connection)

    async def renew(self) -> None:
        """Close every connection, those in use when they are done: new ones lead elsewhere."""
        self._outdated |= self._in_use
        await self.forget_idle()

    async def close(self) -> None:
        """Close every connection, also those in use."""
        self._is_closed = True
        for connection in list(self._in_use):
            await hang_up(connection)
        await self.forget_idle()

    async def _put_back(self, connection: Any) -> None:
        if self._is_closed or connection in self._outdated:
            self._outdated.discard(connection)
            await hang_up(connection)
        elif connection.is_connected:
            self._idle.append(connection)

    async def _reusable(self) -> Any | None:
        while self._idle:
            connection = self._idle.pop()
            if await _works(connection):
                return connection
            await hang_up(connection)
        return None


class _Loan:
    """A context manager by hand: one of contextlib's costs a twentieth of a dispatch, one of asyncio's for the time as much."""

    __slots__ = ("_connection", "_end", "_pool", "_until")

    def __init__(self, pool: Pool, until: float) -> None:
        self._pool = pool
        self._until = until

    async def __aenter__(self) -> Any:
        self._connection = await self._pool.take(self._until)
        self._end = asyncio.get_running_loop().call_at(self._until, abort, self._connection)
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._end.cancel()
        await self._pool.take_back(self._connection, works=kind is None)
        if isinstance(error, LOST) and asyncio.get_running_loop().time() >= self._until:
            raise TimeoutError from error


async def _works(connection: Any) -> bool:
    """Whether nothing is known against a connection that lay idle."""
    # The client asks its reader for an orderly end only. Where the connection was reset, writing to it raises a RuntimeError on
    # uvloop, and on asyncio an error that leaves it open what was sent.
    reader = getattr(connection, "_reader", None)
    if reader is None or reader.exception() is not None:
        return False
    # The client calls it can_read since its version 8.
    looks = getattr(connection, "can_read", None) or connection.can_read_destructive
    try:
        return not await looks()  # what can be read where nothing was asked is the end, or somebody else's answer
    except (theirs.RedisError, OSError):
        return False
