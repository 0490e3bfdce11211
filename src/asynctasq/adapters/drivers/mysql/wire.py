"""One connection, as aiomysql has it: the only file that knows that package, and the types that it does not give.

Not used of it: its pool, whose `acquire` waits without an end; its cursors, which ask `SHOW WARNINGS` of their own accord; its
escaping, which takes the server's sql_mode for granted.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, Protocol, cast

import aiomysql  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

SSL = 1 << 11
"""What a server says that has TLS."""

ClientError = cast("type[Exception]", aiomysql.Error)
"""What the client raises: the first argument is the code, the second a text."""

GONE, MALFORMED = 2006, 2027
"""The codes of a connection that the server has closed, and of a reply that is none, as other clients have them."""

NO_TLS, IN_THE_CLEAR = 2026, 2061
"""The codes of a connection that cannot be encrypted, and of a login that would show the password, as other clients have them."""

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

    async def ping(self) -> None: ...
    async def query(self, sql: str) -> int: ...
    async def next_result(self) -> int: ...
    async def ensure_closed(self) -> None: ...
    def close(self) -> None: ...


class _Guarded(aiomysql.Connection):  # type: ignore[misc]
    """The client's connection, which shows the password to nobody on the way.

    By itself the client goes on unencrypted where a server has no TLS, or somebody on the way pretends so; and it sends the
    password as it is to whoever asks for that.
    """

    async def _request_authentication(self) -> None:
        client: Any = self
        if client._ssl_context is not None and not client.server_capabilities & SSL:
            raise ClientError(NO_TLS, "the server has no TLS")
        self._guard(client._server_auth_plugin)
        await super()._request_authentication()

    async def _process_auth(self, plugin_name: bytes, auth_packet: object) -> object:
        self._guard(plugin_name.decode("ascii", "replace"))
        return await cast("Any", super())._process_auth(plugin_name, auth_packet)

    def _guard(self, plugin: str) -> None:
        client: Any = self
        if plugin == "mysql_clear_password" and client._ssl_context is None:
            raise ClientError(IN_THE_CLEAR, "it wants the password unencrypted")


class Wire:
    """A connection to a server, not opened yet.

    Args:
        options: of the client.

    Attributes:
        applied: whether the server may have carried out something for good of the conversation that is under way.
        last_used: when it was put back, by the loop's clock.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._connection = cast("_Connection", _Guarded(**options))
        self.applied = False
        self.last_used = 0.0

    async def open(self) -> None:
        """Connect and log in. Raises the client's errors."""
        try:
            with _understood():
                await self._connection.ping()  # connects first
        except BaseException:
            self.abort()
            raise

    async def exchange(self, packet: str, *, applies: bool = True) -> list[Reply]:
        """Send statements in one packet; what each answers. An error ends them. Raises the client's errors.

        Args:
            packet: statements, with semicolons between them.
            applies: whether any of them changes something for good.
        """
        if not self.is_open():
            raise ClientError(GONE, "the server has closed the connection")
        self.applied = self.applied or applies
        connection = self._connection
        with _understood():
            await connection.query(packet)
            replies = [self._reply()]
            while connection._result.has_next:  # pyright: ignore[reportPrivateUsage]
                await connection.next_result()
                replies.append(self._reply())
        return replies

    def is_open(self) -> bool:
        """Whether the server has not hung up, as far as is known."""
        reader = self._connection._reader  # pyright: ignore[reportPrivateUsage]
        writer = self._connection._writer  # pyright: ignore[reportPrivateUsage]
        if reader is None or writer is None:
            return False
        # It may end in order, or by a reset, of which the reader says nothing.
        return not reader.eof_received and not writer.is_closing()

    async def close(self) -> None:
        """Say farewell and hang up."""
        writer = self._connection._writer  # pyright: ignore[reportPrivateUsage]
        if writer is not None and self.is_open():
            with contextlib.suppress(ClientError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._connection.ensure_closed()
                    await writer.wait_closed()
        self.abort()

    def abort(self) -> None:
        """Hang up at once, whatever is under way: a reply that is still to come must not be taken for another's."""
        writer = self._connection._writer  # pyright: ignore[reportPrivateUsage]
        if writer is not None:
            writer.transport.abort()
        self._connection.close()

    def _reply(self) -> Reply:
        result = self._connection._result  # pyright: ignore[reportPrivateUsage]
        return Reply(result.rows or (), result.affected_rows)


@contextlib.contextmanager
def _understood() -> Generator[None]:
    """What the client trips over where it does not understand what it reads, as an error of the client's."""
    try:
        yield
    except (struct.error, LookupError, ValueError, AssertionError, AttributeError, TypeError, RuntimeError) as error:
        raise ClientError(MALFORMED, f"what it says is not understood: {type(error).__name__}") from error
