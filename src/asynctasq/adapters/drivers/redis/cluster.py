"""A cluster: each command goes to the node that has its keys, and those of one node go together."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis import exceptions as theirs
from redis.crc import key_slot

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.adapters.drivers.redis.address import Address
from asynctasq.adapters.drivers.redis.connection import Asked, Command, Server, give_up_at
from asynctasq.adapters.drivers.redis.faults import translated
from asynctasq.domain.errors import AsyncTasQError, DriverError, DriverUnavailable

ROUNDS = 4
"""How often a command is sent at most, to wherever it is pointed: a slot moves once, and a map is old once."""

Place = tuple[str, int]


class Cluster(Asked):
    """A connected cluster, on one event loop.

    Args:
        address: names some of its nodes.
        size: how many connections there may be to each node.
    """

    def __init__(self, address: Address, size: int) -> None:
        self.location = address.location
        self._address = address
        self._size = size
        self._servers: dict[Place, Server] = {}
        self._ranges: list[tuple[int, int, Place]] = []

    async def ask_each(self, *commands: Command, until: float | None = None) -> list[Any]:
        """The replies to all commands, or the error in the place of each that was refused or could not be sent."""
        if until is None:
            until = give_up_at()
        if not self._ranges:
            await self._learn(until)
        replies: list[Any] = [None] * len(commands)
        asked: dict[int, Place] = {n: self._place_of(command) for n, command in enumerate(commands)}
        asking: set[int] = set()
        for _ in range(ROUNDS):
            groups: defaultdict[tuple[Place, bool], list[int]] = defaultdict(list)
            for n, place in asked.items():
                groups[place, n in asking].append(n)
            answers = await asyncio.gather(
                *(
                    self._ask_node(place, [commands[n] for n in numbers], asking=is_asking, until=until)
                    for (place, is_asking), numbers in groups.items()
                )
            )
            for numbers, answered in zip(groups.values(), answers, strict=True):
                for n, reply in zip(numbers, answered, strict=True):
                    replies[n] = reply
            asked, asking = await self._redirected(asked, commands, replies, until)
            if not asked:
                break
        return [_meant(reply, self.location) if isinstance(reply, theirs.RedisError) else reply for reply in replies]

    async def listener(self) -> Any:
        """A new connection to any node: what is published at one is heard at all."""
        places = [place for _, _, place in self._ranges] or list(self._address.places)
        return await self._address.node(*random.choice(places)).connect()

    async def close(self) -> None:
        """Close every connection."""
        servers, self._servers = self._servers, {}
        self._ranges = []
        await asyncio.gather(*(server.close() for server in servers.values()))

    async def _ask_node(self, place: Place, commands: Sequence[Command], *, asking: bool, until: float) -> list[Any]:
        """The replies of one node, or the error in the place of each.

        Args:
            place: the node.
            commands: what it is asked.
            asking: whether it is about to get the slots of these, and has to be told that we know.
            until: when to give up.
        """
        sent: list[Command] = []
        last: list[int] = []
        for command in commands:
            if asking:
                if command[0] == "EVALSHA":  # which it has, perhaps, not been told yet
                    sent.append(("SCRIPT", "LOAD", scripts.BY_DIGEST[command[1]].text))
                sent.append(("ASKING",))
            sent.append(command)
            last.append(len(sent) - 1)
        try:
            said = await self._server(place).exchange(sent, until)
        except AsyncTasQError as error:
            return [error] * len(commands)
        return [said[n] for n in last]

    async def _redirected(
        self, asked: dict[int, Place], commands: Sequence[Command], replies: list[Any], until: float
    ) -> tuple[dict[int, Place], set[int]]:
        """Which of the commands are to be sent again, where, and which of them with ASKING."""
        again: dict[int, Place] = {}
        asking: set[int] = set()
        unreached: list[int] = []
        for n, place in asked.items():
            match replies[n]:
                case theirs.AskError() as moved:
                    again[n] = _pointed_at(moved, place)
                    asking.add(n)
                case theirs.MovedError() as moved:
                    again[n] = _pointed_at(moved, place)
                    unreached.append(n)
                case DriverUnavailable():  # nothing was sent: another node may have its slots by now
                    unreached.append(n)
                case _:
                    pass
        if unreached:
            known = dict(again)
            try:
                await self._learn(until)
            except DriverError:
                return again, asking
            for n in unreached:
                place = self._place_of(commands[n])
                if n in known or place != asked[n]:
                    again[n] = known.get(n, place)
        return again, asking

    async def _learn(self, until: float) -> None:
        """Learn from any node who has which slots.

        Raises:
            DriverUnavailable: no node answers.
            ConfigurationError: they are no cluster, or let us not in.
        """
        places = list(dict.fromkeys([*(place for _, _, place in self._ranges), *self._address.places]))
        random.shuffle(places)
        problem: AsyncTasQError = DriverUnavailable(f"Redis at {self.location}: none of its nodes answers")
        loop = asyncio.get_running_loop()
        for place in places:
            try:
                # A node that is silent leaves time for another.
                (slots,) = await self._server(place).exchange(
                    [("CLUSTER", "SLOTS")], min(until, loop.time() + max((until - loop.time()) / 2, 0.1))
                )
            except DriverError as error:
                problem = error if isinstance(error, DriverUnavailable) else problem
                continue
            if isinstance(slots, theirs.RedisError):
                raise _meant(slots, self.location)
            if slots:
                self._ranges = [
                    (first, last, (primary[0].decode() if primary[0] else place[0], primary[1]))
                    for first, last, primary, *_ in slots
                ]
                await self._forget_strangers()
                return
        raise problem

    async def _forget_strangers(self) -> None:
        """Close what leads to nodes that have no slots any more."""
        known = {place for _, _, place in self._ranges} | set(self._address.places)
        for place in self._servers.keys() - known:
            await self._servers.pop(place).close()

    def _server(self, place: Place) -> Server:
        server = self._servers.get(place)
        if server is None:
            server = self._servers[place] = Server(self._address.node(*place), self._size)
        return server

    def _place_of(self, command: Command) -> Place:
        key = _key_of(command)
        if key is None:
            return self._ranges[0][2]
        slot = key_slot(key)
        return next((place for first, last, place in self._ranges if first <= slot <= last), self._ranges[0][2])


def _pointed_at(redirection: Any, asked: Place) -> Place:
    """Where a node sends us; without a host it means the one that was asked."""
    return redirection.host or asked[0], redirection.port


def _key_of(command: Command) -> bytes | None:
    """The key that says where a command goes."""
    match command:
        case ("EVALSHA", _, _, bytes() as key, *_):
            return key
        case ("SADD" | "SMEMBERS" | "HMGET", bytes() as key, *_):
            return key
        case _:
            return None


def _meant(refusal: theirs.RedisError, location: str) -> AsyncTasQError:
    meant = translated(refusal, location, sent=True)
    meant.__cause__ = refusal
    return meant
