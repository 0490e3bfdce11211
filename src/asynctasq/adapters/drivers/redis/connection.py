"""How servers are asked: any number of commands in one round trip, bounded in time, with the port's errors."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from hiredis import pack_command  # pyright: ignore[reportUnknownVariableType]
from redis import exceptions as theirs

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.adapters.drivers.redis.faults import LOST, translated
from asynctasq.adapters.drivers.redis.node import PATIENCE, hang_up
from asynctasq.adapters.drivers.redis.pool import Pool
from asynctasq.domain.errors import AsyncTasQError, DriverUnavailable, Indeterminate

Command = tuple[Any, ...]
_pack = cast("Callable[[Command], bytes]", pack_command)


class Reached(Protocol):
    """Where connections lead to."""

    location: str

    async def connect(self) -> Any:
        """A new connection."""

    async def listener(self) -> Any:
        """A new connection, to listen on."""


class Asked(ABC):
    """Who answers commands: one server, or several that share the keys.

    Attributes:
        location: where that is, for people.
    """

    location: str

    async def ask(self, *commands: Command, until: float | None = None) -> list[Any]:
        """The replies to all commands, sent together.

        Args:
            commands: what is asked.
            until: when to give up, by the loop's clock, where it is one of several questions; by default after `PATIENCE`.

        Raises:
            DriverUnavailable: nothing was carried out.
            Indeterminate: some of it may have been.
            ConfigurationError: the server will always refuse.
        """
        replies = await self.ask_each(*commands, until=until)
        refusals = [reply for reply in replies if isinstance(reply, AsyncTasQError)]
        if not refusals:
            return replies
        if isinstance(refusals[0], DriverUnavailable) and len(refusals) < len(replies):
            raise Indeterminate(f"{refusals[0]}; other parts of the request were carried out") from refusals[0]
        raise refusals[0]

    @abstractmethod
    async def ask_each(self, *commands: Command, until: float | None = None) -> list[Any]:
        """As `ask`, but what is refused is answered with the error in its place."""

    @abstractmethod
    async def listener(self) -> Any:
        """A new connection, to listen on. Raises the client's errors."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


class Server(Asked):
    """A connected server, on one event loop.

    Args:
        node: where it is.
        size: how many connections there may be; further requests wait for one.
    """

    def __init__(self, node: Reached, size: int) -> None:
        self.location = node.location
        self._node = node
        self._pool = Pool(node.connect, size)

    async def ask_each(self, *commands: Command, until: float | None = None) -> list[Any]:
        """As `ask`, but what the server refuses is answered with the error in its place."""
        replies = await self.exchange(commands, give_up_at() if until is None else until)
        return [self._meant(reply) if isinstance(reply, theirs.RedisError) else reply for reply in replies]

    async def exchange(self, commands: Sequence[Command], until: float) -> list[Any]:
        """As `ask_each`, with refusals in the client's words."""
        replies = await self._exchange(commands, until)
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, theirs.NoScriptError)]
        if unknown:  # the server was restarted, or its scripts were flushed
            texts = {commands[n][1]: scripts.BY_DIGEST[commands[n][1]].text for n in unknown}
            loads = [("SCRIPT", "LOAD", text) for text in texts.values()]
            try:
                again = (await self._exchange([*loads, *(commands[n] for n in unknown)], until))[len(loads) :]
            except AsyncTasQError as error:  # of the others it is known what became of them
                again = [error] * len(unknown)
            for n, reply in zip(unknown, again, strict=True):
                replies[n] = reply
        return replies

    async def move(self) -> None:
        """Use no connection that there is any more: new ones lead elsewhere."""
        await self._pool.renew()

    async def listener(self) -> Any:
        """A new connection, to listen on. Raises the client's errors."""
        return await self._node.listener()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def _exchange(self, commands: Sequence[Command], until: float) -> list[Any]:
        sent = False
        try:
            async with self._pool.connection(until) as connection:
                packed = b"".join(map(_pack, commands))  # the client's own way to pack takes four times as long
                sent = True
                await _send(connection, packed)
                replies = [await _reply(connection) for _ in commands]
                if theirs.ReadOnlyError in map(type, replies):
                    # It has become a replica. The name may lead to the new primary, but only a new connection.
                    await hang_up(connection)
                    await self._pool.forget_idle()
        except (theirs.RedisError, OSError, TimeoutError) as error:
            if sent and isinstance(error, LOST):
                await self._pool.forget_idle()
            raise translated(error, self.location, sent=sent) from error
        return replies

    def _meant(self, refusal: theirs.RedisError) -> AsyncTasQError:
        meant = translated(refusal, self.location, sent=True)
        meant.__cause__ = refusal
        return meant


def give_up_at() -> float:
    """When a verb that begins now gives up, by the loop's clock."""
    return asyncio.get_running_loop().time() + PATIENCE


async def _send(connection: Any, packed: bytes) -> None:
    try:
        await connection.send_packed_command(packed, check_health=False)
    except RuntimeError as error:  # uvloop's word for a connection that was reset a moment ago
        raise theirs.ConnectionError(str(error)) from error


async def _reply(connection: Any) -> Any:
    """The next reply; what the server refuses is a reply too."""
    try:
        return await connection.read_response(disconnect_on_error=False)
    except LOST:
        raise
    except theirs.InvalidResponse as error:  # whatever comes after it cannot be told apart
        raise theirs.ConnectionError(str(error)) from error
    except theirs.RedisError as error:
        return error
