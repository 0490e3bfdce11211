"""SQS as the driver needs it: any number of messages sent, received, hidden and deleted at queues of ours."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from asynctasq.adapters.drivers.sqs.client import AT_ONCE, PATIENCE, Client, give_up_at
from asynctasq.adapters.drivers.sqs.copies import Copy, copy_of_early, copy_of_foreign
from asynctasq.adapters.drivers.sqs.envelope import ROOM_TO_DIE, Envelope, waiting, written
from asynctasq.adapters.drivers.sqs.faults import NoSuchQueue, Superseded
from asynctasq.adapters.drivers.sqs.queues import Queue, Queues
from asynctasq.adapters.drivers.sqs.received import ATTRIBUTES, received
from asynctasq.domain.errors import AsyncTasQError, CorruptMessage, PayloadTooLarge
from asynctasq.domain.message import Claim

logger = logging.getLogger("asynctasq.sqs")

PAUSE = 0.2
"""Seconds until a queue that was not there is asked for again: SQS takes a moment to know what it has just created."""

REMEMBERED = 10_000
"""Copies whose originals could not be deleted yet: so many, that they are not sent again."""


class Broker:
    """SQS, on one event loop, with the queues that one app has there.

    Args:
        client: to ask with.
        queues: which queues there are.
        hop: the most whole seconds that SQS is asked to hold a message back.
    """

    def __init__(self, client: Client, queues: Queues, *, hop: int) -> None:
        self.client = client
        self.queues = queues
        self._hop = hop
        self._copied: dict[str, None] = {}

    async def send(
        self, queue: str, envelopes: Sequence[tuple[Envelope, float]], *, dead: bool = False, until: float
    ) -> list[AsyncTasQError | None]:
        """Send messages, each due after its delay in seconds; per message what SQS has against it.

        Args:
            queue: ours.
            envelopes: the messages and their delays.
            dead: whether they go to its dead letters.
            until: when to give up, by the loop's clock.
        """
        entries: list[Mapping[str, Any]] = []
        for envelope, delay in envelopes:
            sent, held = waiting(envelope, delay, self._hop)
            entries.append({"MessageBody": written(sent), "DelaySeconds": held})
        while True:
            try:
                target = await self.queues.needed(queue, dead=dead, until=until)
            except AsyncTasQError as error:
                return [error] * len(entries)
            errors = await self._sent(target, entries, dead=dead, until=until)
            loop = asyncio.get_running_loop()
            if not all(isinstance(error, NoSuchQueue) for error in errors) or loop.time() + PAUSE > until:
                return errors
            self.queues.forget(queue, dead=dead)
            await asyncio.sleep(PAUSE)

    async def send_copies(self, copies: Sequence[Copy], *, until: float) -> list[AsyncTasQError | None]:
        """Send what takes the place of other messages; those are to be deleted next. One that was sent is not sent again."""
        errors: list[AsyncTasQError | None] = [None] * len(copies)
        groups: dict[tuple[str, bool], list[int]] = {}
        for n, copy in enumerate(copies):
            if copy.receipt not in self._copied:
                groups.setdefault((copy.queue, copy.envelope.dead is not None), []).append(n)

        async def send(queue: str, places: Sequence[int], *, dead: bool) -> None:
            envelopes = [(copies[n].envelope, copies[n].delay) for n in places]
            for n, error in zip(places, await self.send(queue, envelopes, dead=dead, until=until), strict=True):
                errors[n] = error
                if error is None:
                    self._copied[copies[n].receipt] = None

        await asyncio.gather(*(send(queue, places, dead=dead) for (queue, dead), places in groups.items()))
        return errors

    async def delete(self, queue: str, receipts: Sequence[str], *, until: float) -> list[AsyncTasQError | None]:
        """Delete received messages; per message what SQS has against it."""
        entries = [{"ReceiptHandle": receipt} for receipt in receipts]
        errors = await self._at(queue, "delete_message_batch", entries, until=until)
        for receipt, error in zip(receipts, errors, strict=True):
            if error is None or isinstance(error, Superseded):
                self._copied.pop(receipt, None)
        while len(self._copied) > REMEMBERED:
            del self._copied[next(iter(self._copied))]
        return errors

    async def hide(
        self, queue: str, receipts: Sequence[str], seconds: float, *, until: float
    ) -> list[AsyncTasQError | None]:
        """Hide received messages for so long from now; per message what SQS has against it."""
        hidden = _whole(seconds)
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": hidden} for receipt in receipts]
        return await self._at(queue, "change_message_visibility_batch", entries, until=until)

    async def receive(self, queue: str, most: int, lease: float, seconds: int) -> list[Claim]:
        """Claims of a queue, at most ten.

        Args:
            queue: ours.
            most: of these.
            lease: seconds for which they are hidden.
            seconds: how long SQS may wait for the first.

        Raises:
            AsyncTasQError: the queue could not be asked.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        claims: list[Claim] = []
        while True:
            until = loop.time() + seconds + PATIENCE
            target = await self.queues.needed(queue, until=until)
            began = time.monotonic()
            try:
                answer = await self.client.ask(
                    "receive_message",
                    until=until,
                    QueueUrl=target.url,
                    MaxNumberOfMessages=min(most, AT_ONCE) - len(claims),
                    WaitTimeSeconds=seconds,
                    VisibilityTimeout=_whole(lease),
                    MessageSystemAttributeNames=ATTRIBUTES,
                )
            except NoSuchQueue:
                self.queues.forget(queue)
                raise
            others: list[Copy] = []
            for raw in answer.get("Messages", ()):
                try:
                    one = received(raw, queue, began + lease)
                except CorruptMessage as error:
                    logger.warning("message %s of queue %s is a dead letter: %s", raw["MessageId"], queue, error)
                    others.append(copy_of_foreign(raw, queue, error))
                    continue
                if one.early > 0:
                    others.append(copy_of_early(one))
                else:
                    claims.append(one.claim)
            if others:
                await self._move(queue, others)
            if not others or len(claims) >= min(most, AT_ONCE):
                return claims
            # Some of what was received was not to be claimed: there may be more.
            seconds = 0 if claims else max(0, int(end - loop.time()))

    async def counts(self, queue: str, *, dead: bool = False, until: float) -> Mapping[str, str]:
        """About how many messages a queue, or its dead letters, holds, as SQS calls it; empty if there is none."""
        found = await self.queues.existing(queue, dead=dead, until=until)
        if found is None:
            return {}
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "Delayed", "NotVisible")]
        try:
            answer = await self.client.ask(
                "get_queue_attributes", QueueUrl=found.url, AttributeNames=names, until=until
            )
        except NoSuchQueue:
            self.queues.forget(queue, dead=dead)
            return {}
        attributes: Mapping[str, str] = answer.get("Attributes", {})
        return attributes

    async def _move(self, queue: str, copies: Sequence[Copy]) -> None:
        """Send messages anew that were received and are not to be claimed. What fails comes back when its lease ends."""
        until = give_up_at()
        errors = await self.send_copies(copies, until=until)
        sent = [copy.receipt for copy, error in zip(copies, errors, strict=True) if error is None]
        errors += await self.delete(queue, sent, until=until)
        if problem := next((error for error in errors if error is not None), None):
            logger.warning("queue %s: messages could not be moved on and will be later: %s", queue, problem)

    async def _sent(
        self, target: Queue, entries: Sequence[Mapping[str, Any]], *, dead: bool, until: float
    ) -> list[AsyncTasQError | None]:
        errors: list[AsyncTasQError | None] = [None] * len(entries)
        most = target.most if dead else target.most - ROOM_TO_DIE
        fitting: list[int] = []
        for n, entry in enumerate(entries):
            if (size := len(entry["MessageBody"])) > most:
                errors[n] = PayloadTooLarge(
                    f"a message of {size} bytes, encoded, is over what its queue in SQS takes, {most}: raise its "
                    "MaximumMessageSize, or send a reference to the data instead"
                )
            else:
                fitting.append(n)
        answers = await self.client.ask_each(
            "send_message_batch", target.url, [entries[n] for n in fitting], until=until
        )
        for n, error in zip(fitting, answers, strict=True):
            errors[n] = error
        return errors

    async def _at(
        self, queue: str, action: str, entries: Sequence[Mapping[str, Any]], *, until: float
    ) -> list[AsyncTasQError | None]:
        """Do something to received messages of a queue; they are gone if it is."""
        if not entries:
            return []
        try:
            target = await self.queues.existing(queue, until=until)
        except AsyncTasQError as error:
            return [error] * len(entries)
        if target is None:
            return [Superseded(f"queue {queue!r} does not exist")] * len(entries)
        errors = await self.client.ask_each(action, target.url, entries, until=until)
        if any(isinstance(error, NoSuchQueue) for error in errors):
            self.queues.forget(queue)
        return [Superseded(str(error)) if isinstance(error, NoSuchQueue) else error for error in errors]


def _whole(seconds: float) -> int:
    """SQS knows whole seconds: at least as long as was asked for."""
    return max(1, math.ceil(seconds))
