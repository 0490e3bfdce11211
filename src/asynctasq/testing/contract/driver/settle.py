"""Promises: what each verdict does."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import asyncio
from contextlib import suppress

from asynctasq.domain.verdict import ACK, DeadLetter, Release, Retry, Settlement, Verdict
from asynctasq.ports.driver import QueueDriver, SettleStatus
from asynctasq.testing.contract.base import refuses, requires
from asynctasq.testing.contract.driver.steps import (
    DriverPromises,
    Harness,
    message,
    put,
    settle,
    sibling_of,
    take_all,
    take_nothing,
    take_one,
)


class Settling(DriverPromises):
    """Each verdict does what it says, to its own message only."""

    async def test_ack_forgets_for_good(self, driver: QueueDriver, harness: Harness, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=harness.unit)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE
        await harness.age(2 * harness.unit)
        await take_nothing(driver, queue)

    async def test_retry_hides_the_message_until_its_delay_has_passed(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue, b"unchanged"))
        claim = await take_one(driver, queue)
        assert await settle(driver, claim, Retry(delay=2 * harness.unit, error="not yet")) is SettleStatus.DONE
        await harness.age(harness.unit)
        await take_nothing(driver, queue)
        await harness.age(harness.unit)
        again = await take_one(driver, queue)
        assert (again.message.id, again.message.body) == (claim.message.id, b"unchanged")

    async def test_retry_spends_the_attempt(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        attempts: list[int] = []
        for _ in range(4):
            claim = await take_one(driver, queue)
            attempts.append(claim.attempt)
            await settle(driver, claim, Retry(delay=0.0, error="again"))
        assert attempts == [1, 2, 3, 4]

    async def test_release_shows_the_message_at_once(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue, b"unchanged"))
        claim = await take_one(driver, queue)
        assert await settle(driver, claim, Release()) is SettleStatus.DONE
        again = await take_one(driver, queue)
        assert (again.message.id, again.message.body) == (claim.message.id, b"unchanged")

    async def test_release_with_a_delay_hides_the_message_until_it_has_passed(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        assert await settle(driver, claim, Release(delay=2 * harness.unit)) is SettleStatus.DONE
        await harness.age(harness.unit)
        await take_nothing(driver, queue)
        await harness.age(harness.unit)
        await take_one(driver, queue)

    @requires("refunds_release")
    async def test_release_refunds_the_attempt(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error="spent"))
        for _ in range(3):
            claim = await take_one(driver, queue)
            assert claim.attempt == 2
            await settle(driver, claim, Release())

    @refuses("refunds_release")
    async def test_without_a_refund_release_spends_the_attempt(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await settle(driver, await take_one(driver, queue), Release())
        assert (await take_one(driver, queue)).attempt == 2

    async def test_dead_letter_takes_the_message_off_its_queue(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=harness.unit)
        assert await settle(driver, claim, DeadLetter(reason="bad", error="worse")) is SettleStatus.DONE
        await harness.age(2 * harness.unit)
        await take_nothing(driver, queue)

    async def test_a_mixed_batch_is_settled_one_by_one(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, *(message(queue, str(n).encode()) for n in range(5)))
        by_body = {claim.message.body: claim for claim in await take_all(driver, queue, count=5)}
        claims = [by_body[str(n).encode()] for n in range(5)]
        verdicts: list[Verdict] = [ACK, Retry(delay=0.0, error="again"), Release(), DeadLetter(reason="bad"), ACK]
        answers = await driver.settle([Settlement(claim=c, verdict=v) for c, v in zip(claims, verdicts, strict=True)])
        assert [(a.status, a.error) for a in answers] == [(SettleStatus.DONE, None)] * 5
        shown = await take_all(driver, queue, count=2)
        assert {claim.message.body for claim in shown} == {b"1", b"2"}
        await take_nothing(driver, queue)

    @requires("atomic_move")
    @requires("exact_stats")
    async def test_a_message_that_moves_is_never_gone(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        seen: set[int] = set()

        async def watch(own: QueueDriver) -> None:
            while True:
                (stats,) = await own.stats([queue])
                seen.add(stats.ready + stats.delayed + stats.leased + stats.dead)
                await asyncio.sleep(0)

        async with sibling_of(driver) as sibling:
            watching = asyncio.create_task(watch(sibling))
            moves: list[Verdict] = [Retry(delay=0.0, error="moved"), Release()] * 20
            for verdict in [*moves, DeadLetter(reason="moved")]:
                claim = await take_one(driver, queue)
                await asyncio.sleep(0)  # a driver that does without I/O may give way to nobody
                await settle(driver, claim, verdict)
                await asyncio.sleep(0)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        assert seen == {1}, f"one message was seen as {sorted(seen)}"

    @requires("fencing")
    async def test_a_lost_settlement_does_not_disturb_its_neighbours(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, *(message(queue) for _ in range(3)))
        claims = await take_all(driver, queue, count=3)
        await settle(driver, claims[1], ACK)
        answers = await driver.settle([Settlement(claim=claim, verdict=ACK) for claim in claims])
        assert [a.status for a in answers] == [SettleStatus.DONE, SettleStatus.LOST, SettleStatus.DONE]
        await take_nothing(driver, queue)

    @requires("fencing")
    async def test_the_same_receipt_twice_in_a_batch_is_settled_once(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        twice = [Settlement(claim=claim, verdict=Release()), Settlement(claim=claim, verdict=ACK)]
        assert sorted(a.status.name for a in await driver.settle(twice)) == ["DONE", "LOST"]
