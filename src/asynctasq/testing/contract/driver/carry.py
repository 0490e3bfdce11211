"""Promises: what goes in comes out, once."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import asyncio
import time

from asynctasq.domain.verdict import ACK, DeadLetter, Retry
from asynctasq.ports.driver import EnqueueStatus, QueueDriver, SettleStatus
from asynctasq.testing.contract.base import refuses, requires
from asynctasq.testing.contract.driver.steps import (
    DriverPromises,
    Harness,
    ids,
    message,
    new_queue,
    put,
    settle,
    sibling_of,
    take,
    take_all,
    take_nothing,
    take_one,
)

CLOCK_TOLERANCE = 300.0
"""Seconds by which a broker's clock may differ from ours: it may be another machine's. What is meant to be caught is
milliseconds taken for seconds, local time for UTC, or a time that is made up."""


class Carry(DriverPromises):
    """Messages arrive whole, once, and where they were sent."""

    async def test_every_byte_value_survives(self, driver: QueueDriver, queue: str) -> None:
        bodies = [bytes(range(256)), b"", b"\x00", b"\xff\xfe", b"' \" \\ \r\n\t", bytes(range(255, -1, -1)) * 64]
        await put(driver, *(message(queue, body) for body in bodies))
        claims = await take_all(driver, queue, count=len(bodies))
        assert sorted(claim.message.body for claim in claims) == sorted(bodies)

    async def test_id_queue_and_first_attempt_are_right(self, driver: QueueDriver, queue: str) -> None:
        sent = message(queue, b"one")
        await put(driver, sent)
        claim = await take_one(driver, queue)
        assert (claim.message.id, claim.message.queue, claim.message.body) == (sent.id, queue, b"one")
        assert (claim.attempt, claim.expiries) == (1, 0)

    async def test_the_time_of_the_enqueue_is_kept_through_every_attempt(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        first = await take_one(driver, queue)
        assert abs(first.enqueued_at - time.time()) < CLOCK_TOLERANCE
        await settle(driver, first, Retry(delay=0.1, error="once more, and measurably later"))
        assert abs((await take_one(driver, queue)).enqueued_at - first.enqueued_at) < 0.05

    async def test_answers_come_in_the_order_of_the_batch(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(name) for name in (queue, new_queue(), queue, new_queue(), queue)]
        answers = await driver.enqueue(batch)
        assert [(a.status, a.id, a.error) for a in answers] == [(EnqueueStatus.CREATED, m.id, None) for m in batch]

    async def test_a_batch_of_a_thousand_arrives_once_each(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(queue, str(n).encode()) for n in range(1_000)]
        await put(driver, *batch)
        claims = await take_all(driver, queue, count=len(batch))
        assert sorted(ids(claims)) == sorted(ids(batch))
        await take_nothing(driver, queue)

    async def test_queues_do_not_leak_into_one_another(self, driver: QueueDriver, queue: str) -> None:
        longer = f"{queue}-more"
        await put(driver, message(queue, b"here"), message(longer, b"there"))
        assert [claim.message.body for claim in await take(driver, queue)] == [b"here"]
        assert [claim.message.body for claim in await take(driver, longer)] == [b"there"]

    async def test_a_sibling_sees_what_was_enqueued(self, driver: QueueDriver, queue: str) -> None:
        sent = message(queue)
        await put(driver, sent)
        async with sibling_of(driver) as sibling:
            assert (await take_one(sibling, queue)).message.id == sent.id

    async def test_empty_batches_answer_empty(self, driver: QueueDriver) -> None:
        answers = [
            await driver.enqueue([]),
            await driver.extend([], lease=1.0),
            await driver.settle([]),
            await driver.stats([]),
        ]
        assert [list(answer) for answer in answers] == [[], [], [], []]

    @requires("ordered")
    async def test_ready_messages_come_in_the_order_of_their_enqueue(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(queue) for _ in range(50)]
        await put(driver, *batch[:30])
        for single in batch[30:]:
            await put(driver, single)
        assert ids(await take_all(driver, queue, count=50)) == ids(batch)

    @requires("ordered")
    async def test_what_was_due_earlier_comes_earlier(self, driver: QueueDriver, harness: Harness, queue: str) -> None:
        later, sooner, now = (message(queue, delay=delay * harness.unit) for delay in (0.75, 0.25, 0))
        await put(driver, later, sooner, now)
        await harness.age(harness.unit)
        last = message(queue)
        await put(driver, last)
        assert ids(await take_all(driver, queue, count=4)) == ids([now, sooner, later, last])


class Identity(DriverPromises):
    """The same id twice is one message, where that is declared."""

    @requires("idempotent_enqueue")
    async def test_the_same_id_twice_in_a_batch_is_one_message(self, driver: QueueDriver, queue: str) -> None:
        sent = message(queue)
        answers = await driver.enqueue([sent, message(queue), sent])
        assert [a.status for a in answers] == [EnqueueStatus.CREATED, EnqueueStatus.CREATED, EnqueueStatus.DUPLICATE]
        assert answers[2].id == sent.id
        assert sorted(ids(await take(driver, queue))) == sorted([answers[0].id, answers[1].id])

    @requires("idempotent_enqueue")
    async def test_an_id_that_is_ready_is_a_duplicate_and_changes_nothing(
        self, driver: QueueDriver, queue: str
    ) -> None:
        sent = message(queue, b"first")
        await put(driver, sent)
        await _enqueue_again(driver, queue, sent.id)
        assert (await take_one(driver, queue)).message.body == b"first"

    @requires("idempotent_enqueue")
    async def test_an_id_that_is_delayed_is_a_duplicate_and_stays_delayed(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        sent = message(queue, delay=harness.unit)
        await put(driver, sent)
        await _enqueue_again(driver, queue, sent.id)
        await take_nothing(driver, queue)
        await harness.age(harness.unit)
        await take_one(driver, queue)

    @requires("idempotent_enqueue")
    async def test_an_id_that_is_leased_is_a_duplicate_and_stays_leased(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        await _enqueue_again(driver, queue, claim.message.id)
        await take_nothing(driver, queue)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE

    @requires("idempotent_enqueue")
    async def test_an_id_that_is_dead_is_a_duplicate_and_stays_dead(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        await settle(driver, claim, DeadLetter(reason="to be found again"))
        await _enqueue_again(driver, queue, claim.message.id)
        await take_nothing(driver, queue)

    @requires("idempotent_enqueue")
    async def test_an_id_is_free_again_after_its_ack(self, driver: QueueDriver, queue: str) -> None:
        sent = message(queue)
        for _ in range(2):
            await put(driver, sent)
            claim = await take_one(driver, queue)
            assert (claim.attempt, await settle(driver, claim, ACK)) == (1, SettleStatus.DONE)

    @requires("idempotent_enqueue")
    async def test_racing_enqueues_of_one_id_create_one_message(self, driver: QueueDriver, queue: str) -> None:
        sent = message(queue)
        async with sibling_of(driver) as sibling:
            answers = await asyncio.gather(*(each.enqueue([sent]) for each in [driver, sibling] * 10))
        statuses = [status for (answer,) in answers for status in [answer.status]]
        assert sorted(s.name for s in statuses) == ["CREATED"] + ["DUPLICATE"] * 19
        await take_one(driver, queue)

    @refuses("idempotent_enqueue")
    async def test_without_idempotence_no_enqueue_claims_to_be_a_duplicate(
        self, driver: QueueDriver, queue: str
    ) -> None:
        sent = message(queue)
        for _ in range(2):
            await put(driver, sent)
        assert ids(await take_all(driver, queue, count=2)) == [sent.id, sent.id]


async def _enqueue_again(driver: QueueDriver, queue: str, id: str) -> None:
    (answer,) = await driver.enqueue([message(queue, b"again", id=id)])
    assert (answer.status, answer.id, answer.error) == (EnqueueStatus.DUPLICATE, id, None)
