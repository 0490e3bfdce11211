"""One server, and how a connection to it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

PATIENCE = 4.5
"""Seconds for a verb, connecting included: the port allows five."""


class Node:
    """One server.

    Args:
        options: the client's: where it is and how to log in.
        location: where it is, for people.
        tls: what is shared with other nodes of the same options: the client would read all certificates for each connection.
    """

    def __init__(self, options: Mapping[str, Any], location: str, tls: list[Any]) -> None:
        self.location = location
        self._options = options
        self._tls = tls

    async def connect(self) -> Any:
        """A new connection. Raises the client's errors."""
        connection: Any = self._connections().make_connection()  # type: ignore[no-untyped-call]
        if hasattr(connection, "ssl_context"):
            self._tls[:] = self._tls or [connection.ssl_context]
            connection.ssl_context = self._tls[0]
        try:
            await connection.connect()
        except BaseException:  # while it was introducing itself, perhaps
            await hang_up(connection)
            raise
        return connection

    async def listener(self) -> Any:
        """A new connection, to listen on. Raises the client's errors."""
        return await self.connect()

    def _connections(self) -> ConnectionPool:
        return ConnectionPool(
            # Given one by one, as defaults differ between versions of the client. Time is bounded by whoever asks.
            socket_timeout=None,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            protocol=2,
            decode_responses=False,
            client_name="asynctasq",
            max_connections=1,
            **self._options,
        )


def abort(connection: Any) -> None:
    """Let a connection be lost, now, to whoever reads from it or writes to it."""
    writer = getattr(connection, "_writer", None)
    if writer is not None:
        writer.transport.abort()


async def hang_up(connection: Any) -> None:
    """Close a connection at once, whatever is still on its way.

    Over TLS the client closes it when the other side has agreed, which may be silent, or answer when the loop has ended: the
    socket would stay open.
    """
    abort(connection)
    await connection.disconnect(nowait=True)
