"""Dispatch: messages of one driver go out together, each caller waits for its own.

While one enqueue is in flight, what is dispatched gathers and goes in the next; a lone dispatch leaves with the next turn of the
loop. A thousand gathered dispatches are a handful of round trips.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
from collections.abc import Sequence
from typing import TypeAlias

from asynctasq.app import failpoints
from asynctasq.domain.errors import AsyncTasQError, DriverUnavailable, Indeterminate
from asynctasq.domain.message import Message
from asynctasq.ports.driver import Enqueued, QueueDriver

BATCH = 1_000
"""The most messages of one enqueue: bounds a transaction's length and a statement's size."""

SENDINGS = 3
"""How often an enqueue of unknown outcome is sent in all, where the same id twice is one message."""

SENT_AGAIN_FOR = 5.0
"""Seconds since the first sending in which there is another one: a connection that was dead costs a second try all its time, and
a broker that is silent not a third."""


_Sending: TypeAlias = tuple[Sequence[Message], asyncio.Future[Sequence[Enqueued]]]


class Dispatcher:
    """The way out to one driver, for the tasks of one event loop. Connects the driver at the first dispatch."""

    def __init__(self, driver: QueueDriver) -> None:
        self.driver = driver
        self._waiting: collections.deque[_Sending] = collections.deque()
        self._flight: asyncio.Task[None] | None = None

    def send(self, messages: Sequence[Message]) -> asyncio.Future[Sequence[Enqueued]]:
        """Queue messages, `BATCH` of them at most.

        The future answers for each, in order, once the broker has; cancelling it withdraws nothing.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[Enqueued]] = loop.create_future()
        self._waiting.append((messages, answer))
        if self._flight is None:
            self._flight = loop.create_task(self._fly())
        return answer

    async def send_all(self, messages: Sequence[Message]) -> list[str | AsyncTasQError]:
        """Queue any number of messages; the id of each, in order, or the reason why it is not queued.

        A batch's answers live no longer than it takes to read them: what lives is looked at again and again by the garbage
        collector, which took a fifth of the time of many calls on Python 3.11.
        """

        async def results(batch: Sequence[Message]) -> list[str | AsyncTasQError]:
            try:
                return [answer.error or answer.id for answer in await self.send(batch)]
            except AsyncTasQError as error:
                return [error] * len(batch)

        batches = [messages[first : first + BATCH] for first in range(0, len(messages), BATCH)]
        return list(itertools.chain.from_iterable(await asyncio.gather(*map(results, batches))))

    async def _fly(self) -> None:
        """Enqueue what waits, batch after batch, until nothing does."""
        aboard: list[_Sending] = []
        try:
            while self._waiting:
                aboard = self._board()
                try:
                    results = await self._enqueue([message for messages, _ in aboard for message in messages])
                except Exception as error:
                    for _, answer in aboard:
                        if not answer.done():
                            answer.set_exception(again(error))
                else:
                    first = 0
                    for messages, answer in aboard:
                        if not answer.done():
                            answer.set_result(results[first : first + len(messages)])
                        first += len(messages)
        finally:  # cancelled with its loop, perhaps: nobody shall wait for ever
            self._flight = None
            for _, answer in [*aboard, *self._waiting]:
                answer.cancel()
            self._waiting.clear()

    def _board(self) -> list[_Sending]:
        """Take what goes in the next enqueue, in order."""
        aboard = [self._waiting.popleft()]
        size = len(aboard[0][0])
        while self._waiting and (size := size + len(self._waiting[0][0])) <= BATCH:
            aboard.append(self._waiting.popleft())
        return aboard

    async def _enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        if failpoints.ACTIVE:
            failpoints.hit("dispatch.before_enqueue")
        sendings = SENDINGS if self.driver.capabilities.idempotent_enqueue else 1
        loop = asyncio.get_running_loop()
        end = loop.time() + SENT_AGAIN_FOR
        unknown: Indeterminate | None = None
        while True:
            sendings -= 1
            try:
                await self.driver.connect()
                results = await self.driver.enqueue(messages)
            except Indeterminate as error:
                unknown = error
                if not sendings or loop.time() > end:
                    raise
            except DriverUnavailable:
                if unknown is not None:  # this sending did nothing, but one before may have
                    raise unknown from None
                raise
            else:
                break
        if failpoints.ACTIVE:
            failpoints.hit("dispatch.after_enqueue")
        return results


def id_of(result: Enqueued) -> str:
    """The id of an enqueued message.

    Raises:
        AsyncTasQError: what the driver refused it with.
    """
    if result.error is not None:
        raise again(result.error)
    return result.id


def again(error: Exception) -> Exception:
    """The same error for one more caller, who gets a traceback of its own."""
    if not isinstance(error, AsyncTasQError):
        return error  # of a driver that breaks its port: how to make it again is unknown
    again = type(error)(*error.args)
    again.__cause__ = error.__cause__
    return again
