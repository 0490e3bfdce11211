"""One connection, as aiomysql has it: the only file that knows that package, and the types that it does not give.

Not used of it: its pool, whose `acquire` waits without an end; its cursors, which ask `SHOW WARNINGS` of their own accord; its
escaping, which takes the server's sql_mode for granted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import aiomysql  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

ClientError = cast("type[Exception]", aiomysql.Error)
"""What the client raises: the first argument is the code, the second a text."""

NO_TLS = 2026
"""The code of a connection that cannot be encrypted, as other clients have it."""

CLOSING = 1.0
"""Seconds that a server is given to take a farewell."""


class Reply(NamedTuple):
    """What one statement answers."""

    rows: tuple[tuple[Any, ...], ...]
    changed: int


class _Result(Protocol):
    rows: tuple[tuple[Any, ...], ...] | None
    affected_rows: int
    has_next: bool | None


class _Reader(Protocol):
    eof_received: bool


class _Connection(Protocol):
    """What we use of aiomysql.Connection. It has no public way to a result but its cursors, and none to hang up at once."""

    _result: _Result
    _reader: _Reader | None
    _writer: asyncio.StreamWriter | None
    _secure: bool

    async def ping(self) -> None: ...
    async def query(self, sql: str) -> int: ...
    async def next_result(self) -> int: ...
    async def ensure_closed(self) -> None: ...
    def close(self) -> None: ...


class Wire:
    """A connection to a server, not opened yet.

    Args:
        options: of the client.
        secure: whether it must be encrypted. The client would go on in the clear if the server has no TLS.

    Attributes:
        applied: whether the server may have carried out something for good of the conversation that is under way.
        last_used: when it was put back, by the loop's clock.
    """

    def __init__(self, options: Mapping[str, Any], *, secure: bool) -> None:
        self._connection = cast("_Connection", aiomysql.Connection(**options))
        self._must_be_secure = secure
        self.applied = False
        self.last_used = 0.0

    async def open(self) -> None:
        """Connect and log in. Raises the client's errors."""
        try:
            await self._connection.ping()  # connects first
            self._check_security()
        except BaseException:
            self.abort()
            raise

    async def exchange(self, packet: str, *, applies: bool = True) -> list[Reply]:
        """Send statements in one packet; what each answers. An error ends them. Raises the client's errors.

        Args:
            packet: statements, with semicolons between them.
            applies: whether any of them changes something for good.
        """
        connection = self._connection
        self._check_alive()
        self.applied = self.applied or applies
        await connection.query(packet)
        replies = [self._reply()]
        while connection._result.has_next:  # pyright: ignore[reportPrivateUsage]
            await connection.next_result()
            replies.append(self._reply())
        return replies

    def is_open(self) -> bool:
        """Whether the server has not hung up, as far as is known."""
        reader = self._connection._reader  # pyright: ignore[reportPrivateUsage]
        return reader is not None and not reader.eof_received and not self._is_lost()

    async def close(self) -> None:
        """Say farewell and hang up."""
        writer = self._connection._writer  # pyright: ignore[reportPrivateUsage]
        with contextlib.suppress(ClientError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSING):
                self._check_alive()
                await self._connection.ensure_closed()
                if writer is not None:
                    await writer.wait_closed()
        self.abort()

    def abort(self) -> None:
        """Hang up at once, whatever is under way: a reply that is still to come must not be taken for another's."""
        writer = self._connection._writer  # pyright: ignore[reportPrivateUsage]
        if writer is not None:
            writer.transport.abort()
        self._connection.close()

    def _is_lost(self) -> bool:
        writer = self._connection._writer  # pyright: ignore[reportPrivateUsage]
        return writer is not None and writer.transport.is_closing()

    def _check_alive(self) -> None:
        # asyncio drops what is written to a connection that was lost; uvloop raises a RuntimeError that is no client's error.
        if self._is_lost():
            raise ConnectionResetError("the connection was lost")

    def _check_security(self) -> None:
        if self._must_be_secure and not self._connection._secure:  # pyright: ignore[reportPrivateUsage]
            raise ClientError(NO_TLS, "the server has no TLS")

    def _reply(self) -> Reply:
        result = self._connection._result  # pyright: ignore[reportPrivateUsage]
        return Reply(result.rows or (), result.affected_rows)
