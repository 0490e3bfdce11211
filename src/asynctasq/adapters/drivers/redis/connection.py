"""One server, and how it is asked: any number of commands in one round trip, bounded in time, with the port's errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions as theirs
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.adapters.drivers.redis.faults import LOST, translated
from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverUnavailable, Indeterminate

PATIENCE = 4.5
"""Seconds for one round trip, connecting included: the port allows a verb five."""

Command = Sequence[Any]


class Address:
    """Where a server is and how to log in, from a URL and keywords that may complete but not contradict it.

    Attributes:
        location: the URL without user and password.

    Raises:
        ConfigurationError: not a URL of Redis, or a keyword that contradicts it.
    """

    def __init__(self, url: str, *, password: str | None, db: int | None) -> None:
        parts = urlsplit(url)
        try:
            options: dict[str, Any] = dict(parse_url(url))
            place = parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
        except (ValueError, TypeError) as error:
            # The URL itself may hold a password, and a password with odd characters is the likely cause.
            raise ConfigurationError(
                "redis.url cannot be read: write redis://host:6379/0 (or rediss://, unix://), a user name and password "
                "in it percent-encoded, or the password in redis.password"
            ) from error
        for name, given in (("password", password), ("db", db)):
            if given is None:
                continue
            if options.get(name) not in (None, given):
                shown = "" if name == "password" else f" ({options[name]} and {given})"
                raise ConfigurationError(f"redis.url and {name}= disagree{shown}: give it in one place")
            options[name] = given
        if not isinstance(options.get("db", 0), int) or options.get("db", 0) < 0:
            raise ConfigurationError(f"db={options['db']!r}: use a database number, 0 or more")
        self._options = options
        self.location = f"{parts.scheme}://{place}/{options.get('db', 0)}"

    def pool(self, size: int) -> BlockingConnectionPool:
        """Connections to it, none open yet."""
        options: dict[str, Any] = {
            # Given one by one, as defaults differ between versions of the client. Time is bounded by whoever asks.
            "socket_timeout": None,
            "socket_connect_timeout": PATIENCE,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "protocol": 2,
            "decode_responses": False,
            "client_name": "asynctasq",
            **self._options,
        }
        return BlockingConnectionPool(**options, max_connections=size, timeout=PATIENCE)


class Server:
    """A connected server, on one event loop.

    Args:
        address: where it is.
        size: how many connections there may be; further requests wait for one.
    """

    def __init__(self, address: Address, size: int) -> None:
        self.location = address.location
        self._pool = address.pool(size)

    async def ask(self, *commands: Command) -> list[Any]:
        """The replies to all commands, sent together.

        Raises:
            DriverUnavailable: nothing was carried out.
            Indeterminate: some of it may have been.
            ConfigurationError: the server will always refuse.
        """
        replies = await self._exchange(commands)
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, theirs.NoScriptError)]
        if unknown:  # the server was restarted, or its scripts were flushed
            texts = {commands[n][1]: scripts.BY_DIGEST[commands[n][1]].text for n in unknown}
            loads = [("SCRIPT", "LOAD", text) for text in texts.values()]
            again = await self._exchange([*loads, *(commands[n] for n in unknown)])
            for n, reply in zip(unknown, again[len(loads) :], strict=True):
                replies[n] = reply
        for reply in replies:
            if isinstance(reply, theirs.RedisError):
                raise self._refused(reply, alone=len(replies) == 1) from reply
        return replies

    async def try_to_ask(self, *command: Any) -> Any:
        """The reply to a command that the server may refuse; None if it does."""
        (reply,) = await self._exchange([command])
        return None if isinstance(reply, theirs.RedisError) else reply

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.disconnect()

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        sent = False
        try:
            async with asyncio.timeout(PATIENCE):
                connection: Any = await self._pool.get_connection()  # type: ignore[no-untyped-call]
                try:
                    packed = connection.pack_commands(commands)
                    sent = True
                    await connection.send_packed_command(packed, check_health=False)
                    return [await _reply(connection) for _ in commands]
                except BaseException:
                    # A reply may still be on its way, and would be taken for the next command's.
                    await connection.disconnect(nowait=True)
                    raise
                finally:
                    await self._pool.release(connection)
        except (theirs.RedisError, OSError, TimeoutError) as error:
            raise translated(error, self.location, sent=sent) from error

    def _refused(self, error: Exception, *, alone: bool) -> AsyncTasQError:
        meant = translated(error, self.location, sent=True)
        if isinstance(meant, DriverUnavailable) and not alone:
            return Indeterminate(f"{meant}; other parts of the request may have been carried out")
        return meant


async def _reply(connection: Any) -> Any:
    """The next reply; what the server refuses is a reply too."""
    try:
        return await connection.read_response()
    except LOST:
        raise
    except theirs.RedisError as error:
        return error
