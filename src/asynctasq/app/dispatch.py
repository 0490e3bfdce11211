"""Dispatch: messages of one driver go out together, each caller waits for its own.

While one enqueue is in flight, what is dispatched gathers and goes in the next; a lone dispatch leaves with the next turn of the
loop. A thousand gathered dispatches are a handful of round trips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

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


class Dispatcher:
    """The way out to one driver, for the tasks of one event loop. Connects the driver at the first dispatch."""

    def __init__(self, driver: QueueDriver) -> None:
        self.driver = driver
        self._waiting: list[tuple[Message, asyncio.Future[Enqueued]]] = []
        self._flight: asyncio.Task[None] | None = None

    def send(self, message: Message) -> asyncio.Future[Enqueued]:
        """Queue a message. The future answers once the broker has; cancelling it withdraws nothing."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Enqueued] = loop.create_future()
        self._waiting.append((message, answer))
        if self._flight is None:
            self._flight = loop.create_task(self._fly())
        return answer

    async def _fly(self) -> None:
        """Enqueue what waits, batch after batch, until nothing does."""
        batch: list[tuple[Message, asyncio.Future[Enqueued]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                try:
                    results = await self._enqueue([message for message, _ in batch])
                except Exception as error:
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(_again(error))
                else:
                    for (_, answer), result in zip(batch, results, strict=True):
                        if not answer.done():
                            answer.set_result(result)
        finally:  # cancelled with its loop, perhaps: nobody shall wait for ever
            self._flight = None
            batch, self._waiting = [*batch, *self._waiting], []
            for _, answer in batch:
                answer.cancel()

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
        raise _again(result.error)
    return result.id


def _again(error: Exception) -> Exception:
    """The same error for one more caller, who gets a traceback of its own."""
    if not isinstance(error, AsyncTasQError):
        return error  # of a driver that breaks its port: how to make it again is unknown
    again = type(error)(*error.args)
    again.__cause__ = error.__cause__
    return again
