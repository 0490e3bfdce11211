"""Promises: dead letters are kept whole, can be read, and come back once."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import asyncio
from typing import Protocol

from asynctasq.domain.verdict import ACK, DeadLetter, Retry, Settlement
from asynctasq.ports.driver import DeadLetters, EnqueueStatus, QueueDriver, SettleStatus
from asynctasq.testing.contract.base import refuses, requires
from asynctasq.testing.contract.driver.steps import (
    QUIET,
    WAIT,
    DriverPromises,
    Harness,
    message,
    new_queue,
    put,
    settle,
    take_nothing,
    take_one,
)


class DeadLetterDriver(QueueDriver, DeadLetters, Protocol):
    """A driver whose dead letters can be read."""


class DeadLettering(DriverPromises):
    """Dead letters are set aside for a human."""

    @requires(DeadLetters)
    async def test_a_dead_letter_keeps_what_there_was_to_know(self, driver: DeadLetterDriver, queue: str) -> None:
        await put(driver, message(queue, bytes(range(256))))
        await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error="first"))
        claim = await take_one(driver, queue)
        await settle(driver, claim, DeadLetter(reason="gave up", error="second\nline"))
        (dead,) = await driver.list_dead(queue, limit=10)
        assert (dead.id, dead.queue, dead.body) == (claim.message.id, queue, bytes(range(256)))
        assert (dead.reason, dead.error, dead.attempts) == ("gave up", "second\nline", 2)
        assert abs(dead.enqueued_at - claim.enqueued_at) < 0.05
        assert dead.died_at >= dead.enqueued_at

    @requires(DeadLetters)
    @requires("fencing")
    async def test_a_receipt_that_is_settled_twice_in_a_batch_dies_of_the_first_reason(
        self, driver: DeadLetterDriver, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        reasons = ("the first", "the second")
        twice = [Settlement(claim=claim, verdict=DeadLetter(reason=reason, error="")) for reason in reasons]
        assert [answer.status.name for answer in await driver.settle(twice)] == ["DONE", "LOST"]
        assert [dead.reason for dead in await driver.list_dead(queue, limit=10)] == ["the first"]

    @requires(DeadLetters)
    @requires("attempt_history")
    async def test_errors_of_earlier_attempts_are_kept_oldest_first(self, driver: DeadLetterDriver, queue: str) -> None:
        await put(driver, message(queue))
        for error in ("first", "second"):
            await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error=error))
        await settle(driver, await take_one(driver, queue), DeadLetter(reason="gave up", error="third"))
        (dead,) = await driver.list_dead(queue, limit=10)
        assert [(past.attempt, past.error) for past in dead.history] == [(1, "first"), (2, "second")]
        times = [dead.enqueued_at, *(past.at for past in dead.history), dead.died_at]
        assert times == sorted(times)

    @requires(DeadLetters)
    @requires("attempt_history")
    async def test_the_history_is_bounded_and_keeps_the_latest(self, driver: DeadLetterDriver, queue: str) -> None:
        await put(driver, message(queue))
        for n in range(150):
            await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error=str(n)))
        await settle(driver, await take_one(driver, queue), DeadLetter(reason="gave up"))
        (dead,) = await driver.list_dead(queue, limit=10)
        assert 1 <= len(dead.history) <= 100
        assert (dead.history[-1].error, dead.attempts) == ("149", 151)

    @requires(DeadLetters)
    @refuses("attempt_history")
    async def test_without_history_none_is_made_up(self, driver: DeadLetterDriver, queue: str) -> None:
        await put(driver, message(queue))
        await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error="first"))
        await settle(driver, await take_one(driver, queue), DeadLetter(reason="gave up", error="second"))
        (dead,) = await driver.list_dead(queue, limit=10)
        assert dead.history == ()

    @refuses(DeadLetters)
    async def test_dead_letters_that_cannot_be_read_are_counted(self, driver: QueueDriver, queue: str) -> None:
        await _bury(driver, queue, 2)
        deadline = asyncio.get_running_loop().time() + WAIT
        while [stats.dead for stats in await driver.stats([queue])] != [2]:  # the count may be approximate for a while
            assert asyncio.get_running_loop().time() < deadline, "two dead letters are not counted"
            await asyncio.sleep(QUIET)

    @requires(DeadLetters)
    async def test_the_most_recently_dead_are_listed_first(self, driver: DeadLetterDriver, queue: str) -> None:
        died = await _bury(driver, queue, 3)
        assert [dead.id for dead in await driver.list_dead(queue, limit=10)] == died[::-1]

    @requires(DeadLetters)
    async def test_dead_letters_are_listed_page_by_page(self, driver: DeadLetterDriver, queue: str) -> None:
        died = await _bury(driver, queue, 5)
        listed: list[str] = []
        while page := await driver.list_dead(queue, limit=2, after=listed[-1] if listed else None):
            assert len(page) <= 2
            listed += [dead.id for dead in page]
            assert len(listed) <= 5, f"pages repeat: {listed}"
        assert listed == died[::-1]

    @requires(DeadLetters)
    async def test_a_list_of_dead_letters_is_of_one_queue(self, driver: DeadLetterDriver, queue: str) -> None:
        other = new_queue()
        (here,), (there,) = await _bury(driver, queue, 1), await _bury(driver, other, 1)
        assert [dead.id for dead in await driver.list_dead(queue, limit=10)] == [here]
        assert [dead.id for dead in await driver.list_dead(other, limit=10)] == [there]
        assert list(await driver.list_dead(new_queue(), limit=10)) == []

    @requires(DeadLetters)
    async def test_dead_letters_are_found_by_id(self, driver: DeadLetterDriver, queue: str) -> None:
        first, second = await _bury(driver, queue, 2)
        alive = message(queue)
        await put(driver, alive)
        found = await driver.get_dead([second, alive.id, "unknown", first])
        assert [dead and dead.id for dead in found] == [second, None, None, first]

    @requires(DeadLetters)
    async def test_a_requeued_dead_letter_starts_again(
        self, driver: DeadLetterDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue, b"unchanged"))
        await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error="first"))
        if self.declares(driver, "lease"):
            await take_one(driver, queue, lease=harness.unit)
            await harness.age(harness.unit)
        dying = await take_one(driver, queue)
        await settle(driver, dying, DeadLetter(reason="gave up"))
        assert list(await driver.requeue_dead([dying.message.id])) == [True]
        claim = await take_one(driver, queue)
        assert (claim.message.id, claim.message.body) == (dying.message.id, b"unchanged")
        assert (claim.attempt, claim.expiries) == (1, 0)
        await settle(driver, claim, DeadLetter(reason="gave up again"))
        (dead,) = await driver.list_dead(queue, limit=10)
        assert (dead.attempts, dead.reason, dead.history) == (1, "gave up again", ())

    @requires(DeadLetters)
    async def test_requeueing_twice_requeues_once(self, driver: DeadLetterDriver, queue: str) -> None:
        (dead,) = await _bury(driver, queue, 1)
        answers = await asyncio.gather(*(driver.requeue_dead([dead]) for _ in range(10)))
        assert sorted(answer for (answer,) in answers) == [False] * 9 + [True]
        assert await settle(driver, await take_one(driver, queue), ACK) is SettleStatus.DONE
        await take_nothing(driver, queue)
        assert list(await driver.list_dead(queue, limit=10)) == []

    @requires(DeadLetters)
    async def test_a_requeue_ends_the_wait_of_a_claim(self, driver: DeadLetterDriver, queue: str) -> None:
        (dead,) = await _bury(driver, queue, 1)
        waiting = asyncio.create_task(take_one(driver, queue))
        await asyncio.sleep(0.3)  # so that the claim is waiting by then
        await driver.requeue_dead([dead])
        assert (await waiting).message.id == dead

    @requires(DeadLetters)
    async def test_a_purged_dead_letter_is_gone_for_good(self, driver: DeadLetterDriver, queue: str) -> None:
        gone, kept = await _bury(driver, queue, 2)
        assert list(await driver.purge_dead([gone, "unknown"])) == [True, False]
        assert list(await driver.purge_dead([gone])) == [False]
        assert list(await driver.requeue_dead([gone])) == [False]
        assert [dead.id for dead in await driver.list_dead(queue, limit=10)] == [kept]

    @requires(DeadLetters)
    @requires("idempotent_enqueue")
    async def test_an_id_is_free_again_after_its_dead_letter_was_purged(
        self, driver: DeadLetterDriver, queue: str
    ) -> None:
        (gone,) = await _bury(driver, queue, 1)
        await driver.purge_dead([gone])
        (answer,) = await driver.enqueue([message(queue, id=gone)])
        assert answer.status is EnqueueStatus.CREATED


async def _bury(driver: QueueDriver, queue: str, count: int) -> list[str]:
    """Dead letters, one after another, on a queue that is otherwise empty; their ids in the order in which they died."""
    died: list[str] = []
    for _ in range(count):
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        await settle(driver, claim, DeadLetter(reason="for the list"))
        died.append(claim.message.id)
    return died
