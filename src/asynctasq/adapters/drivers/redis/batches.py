"""Running a script for many messages at once: queue by queue, in one round trip; and knowing which queues there are."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.adapters.drivers.redis.connection import Asked, Command, give_up_at
from asynctasq.adapters.drivers.redis.keys import Keys
from asynctasq.adapters.drivers.redis.scripts import Script
from asynctasq.adapters.drivers.redis.values import packed_arguments, packed_id
from asynctasq.domain.errors import AsyncTasQError, DriverError

logger = logging.getLogger("asynctasq.redis")

AT_ONCE = 1_000
"""Messages per run of a script: the server does nothing else meanwhile."""

REGISTERED_FOR = 30.0
"""Seconds until a queue's name is written to the list of queues again, which somebody may have emptied."""


class Batches:
    """The scripts of one driver, over the queues under its prefix.

    Args:
        keys: what things are called.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._registered: dict[str, float] = {}

    def run(self, script: Script, queue: str, arguments: Iterable[Any]) -> Command:
        """The command that runs a script on one queue."""
        keys = self._keys.of(queue)
        return ("EVALSHA", script.digest, len(keys), *keys, packed_arguments(arguments))

    async def run_for_each(
        self,
        server: Asked,
        script: Script,
        items: Sequence[tuple[str, Iterable[Any]]],
        first: Sequence[Any] = (),
    ) -> list[bool | AsyncTasQError]:
        """Run a script for items, each in its queue, in one round trip; per item, in order, whether it was done, or a refusal.

        Args:
            server: which runs it.
            script: takes what comes first, then the values of item after item; answers the places of those that it has not done.
            items: the queue and the values of each.
            first: comes before them.

        Raises:
            DriverError: all were refused for now, or nothing is known.
        """
        if not items:
            return []
        places: defaultdict[str, list[int]] = defaultdict(list)
        for n, (queue, _) in enumerate(items):
            places[queue].append(n)
        parts = [(queue, part) for queue, all in places.items() for part in _parts(all)]
        commands = [
            self.run(script, queue, chain(first, chain.from_iterable([items[n][1] for n in part])))
            for queue, part in parts
        ]
        new = self._unregistered(places) if script is scripts.ENQUEUE else []
        if new:  # first, so that no message is in a queue that nobody can find
            commands.insert(0, ("SADD", self._keys.queues, *new))
        replies = await server.ask_each(*commands)
        if new:
            self._note_registered(new, replies.pop(0))
        if isinstance(replies[0], DriverError) and all(isinstance(reply, DriverError) for reply in replies):
            raise replies[0]
        answers: list[bool | AsyncTasQError] = [True] * len(items)
        for (_, part), reply in zip(parts, replies, strict=True):
            if isinstance(reply, AsyncTasQError):
                for n in part:
                    answers[n] = reply
            else:
                for place in reply:
                    answers[part[place]] = False
        return answers

    async def run_in_any_queue(self, server: Asked, script: Script, ids: Sequence[str]) -> list[bool]:
        """Run a script with ids in all queues, as an id alone does not say in which it is; whether one had it."""
        until = give_up_at()
        names = await self.queues(server, until)
        packed = [packed_id(id) for id in ids]
        commands = [self.run(script, name, packed) for name in names] if ids else []
        replies = await server.ask(*commands, until=until) if commands else []
        return [any(reply[n] for reply in replies) for n in range(len(ids))]

    async def queues(self, server: Asked, until: float) -> list[str]:
        """The names of all queues that have ever been used, sorted."""
        (names,) = await server.ask(("SMEMBERS", self._keys.queues), until=until)
        return sorted(name.decode("utf-8", "replace") for name in names)

    def forget(self) -> None:
        """Write every queue's name to the list again at the next enqueue: the server may be another one by then."""
        self._registered.clear()

    def _unregistered(self, queues: Iterable[str]) -> list[str]:
        now = time.monotonic()
        return [queue for queue in queues if now - self._registered.get(queue, -REGISTERED_FOR) >= REGISTERED_FOR]

    def _note_registered(self, queues: Sequence[str], reply: Any) -> None:
        if isinstance(reply, AsyncTasQError):
            logger.warning("queues %s cannot be listed: %s", ", ".join(queues), reply)
        else:
            self._registered.update(dict.fromkeys(queues, time.monotonic()))


def _parts(places: Sequence[int]) -> list[Sequence[int]]:
    return [places[first : first + AT_ONCE] for first in range(0, len(places), AT_ONCE)]
