"""Promises: a claim is held for as long as its lease, and by one worker."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from asynctasq.domain.message import Claim
from asynctasq.domain.verdict import ACK, Ack, DeadLetter, Release, Retry, Verdict
from asynctasq.ports.driver import ExtendStatus, QueueDriver, SettleStatus
from asynctasq.testing.contract.base import refuses, requires
from asynctasq.testing.contract.driver.steps import (
    HOLD,
    WAIT,
    DriverPromises,
    Harness,
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

VERDICTS = (ACK, Retry(delay=0.0, error="late"), Release(), DeadLetter(reason="late"))


def _name(verdict: Verdict) -> str:
    return type(verdict).__name__.lower()


class Leasing(DriverPromises):
    """Leases end, are extended, and bring the message back."""

    @requires("lease")
    async def test_a_lease_that_ends_shows_the_message_again(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue, b"unchanged"))
        first = await take_one(driver, queue, lease=harness.unit)
        await harness.age(harness.unit)
        second = await take_one(driver, queue)
        assert (second.message.id, second.message.body) == (first.message.id, b"unchanged")

    @requires("lease")
    async def test_each_ended_lease_counts_an_expiry_and_an_attempt(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        counted: list[tuple[int, int]] = []
        for _ in range(3):
            claim = await take_one(driver, queue, lease=harness.unit)
            counted.append((claim.attempt, claim.expiries))
            await harness.age(harness.unit)
        assert counted == [(1, 0), (2, 1), (3, 2)]

    @requires("lease")
    async def test_a_settled_attempt_counts_no_expiry(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await settle(driver, await take_one(driver, queue), Retry(delay=0.0, error="once"))
        claim = await take_one(driver, queue)
        assert (claim.attempt, claim.expiries) == (2, 0)

    @requires("lease")
    async def test_the_deadline_is_the_end_of_the_lease_on_our_monotonic_clock(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, message(queue))
        before = time.monotonic()
        claim = await take_one(driver, queue, lease=HOLD)
        between = time.monotonic()
        assert claim.deadline is not None
        assert before + HOLD <= claim.deadline <= between + HOLD
        (answer,) = await driver.extend([claim], lease=2 * HOLD)
        assert answer.deadline is not None
        assert between + 2 * HOLD <= answer.deadline <= time.monotonic() + 2 * HOLD

    @requires("lease")
    async def test_a_deadline_has_passed_before_the_message_is_shown_again_however_late_the_answer_was_heard(
        self, driver: QueueDriver, queue: str
    ) -> None:
        granularity, extended = 0.02, new_queue()  # two clocks are compared
        await put(driver, message(queue), message(extended))
        held = await take_one(driver, extended)
        # Connecting is not to be late: as many connections as are needed are there.
        await asyncio.gather(*(driver.extend([held], lease=HOLD) for _ in range(2)))
        loop = asyncio.get_running_loop()
        enough = loop.time() + 2.0
        asked = asyncio.gather(take(driver, queue, lease=1.0, wait=WAIT), driver.extend([held], lease=1.0))

        def linger() -> None:
            """Whatever the broker answers is heard late, as each turn of the loop takes its time."""
            time.sleep(0.1)
            if not asked.done() and loop.time() < enough:
                loop.call_soon(linger)

        linger()
        (claim,), (answer,) = await asked
        assert answer.status is ExtendStatus.KEPT

        async def assert_passed(deadline: float | None, name: str) -> None:
            await take_one(driver, name)
            assert deadline is not None
            assert deadline <= time.monotonic() + granularity

        await asyncio.gather(assert_passed(claim.deadline, queue), assert_passed(answer.deadline, extended))

    @refuses("lease")
    async def test_without_a_timed_lease_there_is_no_deadline(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        assert (await take_one(driver, queue)).deadline is None

    @requires("lease")
    async def test_extend_keeps_the_message_hidden(self, driver: QueueDriver, harness: Harness, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=harness.unit)
        assert await _extend(driver, claim, lease=6 * harness.unit) is ExtendStatus.KEPT
        await harness.age(2 * harness.unit)
        await take_nothing(driver, queue)

    @requires("lease")
    async def test_an_extended_lease_ends_as_well(self, driver: QueueDriver, harness: Harness, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=HOLD * harness.unit)
        assert await _extend(driver, claim, lease=harness.unit) is ExtendStatus.KEPT
        await harness.age(harness.unit)
        assert (await take_one(driver, queue)).expiries == 1

    @requires("fencing")
    @requires("lease")
    async def test_a_lease_that_ended_but_was_not_superseded_is_kept(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=harness.unit)
        await harness.age(2 * harness.unit)
        assert await _extend(driver, claim, lease=6 * harness.unit) is ExtendStatus.KEPT
        await take_nothing(driver, queue)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE

    @refuses("fencing")
    @requires("lease")
    async def test_without_fencing_a_lease_that_ended_is_not_said_to_be_kept_and_then_shown(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=harness.unit)
        await harness.age(2 * harness.unit)
        if await _extend(driver, claim, lease=6 * harness.unit) is ExtendStatus.KEPT:
            await take_nothing(driver, queue)
        else:
            await take_one(driver, queue)

    @requires("lease")
    async def test_leases_are_extended_one_by_one(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, *(message(queue) for _ in range(3)))
        claims = await take_all(driver, queue, count=3)
        await settle(driver, claims[1], ACK)
        answers = await driver.extend(claims, lease=HOLD)
        assert [(a.status, a.deadline is None) for a in answers] == [
            (ExtendStatus.KEPT, False),
            (ExtendStatus.LOST, True),
            (ExtendStatus.KEPT, False),
        ]

    @requires("lease")
    async def test_a_receipt_is_valid_on_a_sibling(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        async with sibling_of(driver) as sibling:
            assert await _extend(sibling, claim, lease=HOLD) is ExtendStatus.KEPT
            assert await settle(sibling, claim, ACK) is SettleStatus.DONE
        await take_nothing(driver, queue)

    @requires("fencing")
    @requires("lease")
    async def test_a_settlement_on_a_sibling_ends_the_receipt(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        async with sibling_of(driver) as sibling:
            assert await settle(sibling, claim, ACK) is SettleStatus.DONE
        assert await settle(driver, claim, ACK) is SettleStatus.LOST


class Fencing(DriverPromises):
    """A receipt is valid until it is superseded: not a moment longer, and not a moment less."""

    @requires("fencing")
    @requires("lease")
    @pytest.mark.parametrize("verdict", VERDICTS, ids=_name)
    async def test_a_superseded_receipt_settles_nothing(
        self, driver: QueueDriver, harness: Harness, queue: str, verdict: Verdict
    ) -> None:
        await put(driver, message(queue))
        stale = await take_one(driver, queue, lease=harness.unit)
        await harness.age(harness.unit)
        holder = await take_one(driver, queue, lease=HOLD * harness.unit)
        assert await settle(driver, stale, verdict) is SettleStatus.LOST
        await take_nothing(driver, queue)
        assert await settle(driver, holder, ACK) is SettleStatus.DONE

    @requires("fencing")
    @requires("lease")
    async def test_a_superseded_receipt_extends_nothing(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        stale = await take_one(driver, queue, lease=harness.unit)
        await harness.age(harness.unit)
        await take_one(driver, queue, lease=harness.unit)
        assert await _extend(driver, stale, lease=9 * harness.unit) is ExtendStatus.LOST
        await harness.age(harness.unit)
        assert (await take_one(driver, queue)).expiries == 2

    @requires("lease")
    @pytest.mark.parametrize("verdict", VERDICTS, ids=_name)
    async def test_a_late_settlement_that_nobody_superseded_is_done(
        self, driver: QueueDriver, harness: Harness, queue: str, verdict: Verdict
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=harness.unit)
        await harness.age(2 * harness.unit)
        assert await settle(driver, claim, verdict) is SettleStatus.DONE
        if isinstance(verdict, Ack | DeadLetter):
            await take_nothing(driver, queue)
        else:
            assert (await take_one(driver, queue)).expiries == 0, "a settled lease has counted as an expiry"

    @requires("fencing")
    @pytest.mark.parametrize("verdict", VERDICTS, ids=_name)
    async def test_a_second_settlement_of_a_receipt_is_lost(
        self, driver: QueueDriver, queue: str, verdict: Verdict
    ) -> None:
        for first in VERDICTS:
            await put(driver, message(queue))
            claim = await take_one(driver, queue)
            assert await settle(driver, claim, first) is SettleStatus.DONE
            assert await settle(driver, claim, verdict) is SettleStatus.LOST
            if isinstance(first, Retry | Release):
                assert await settle(driver, await take_one(driver, queue), ACK) is SettleStatus.DONE
            await take_nothing(driver, queue)

    @requires("fencing")
    async def test_a_foreign_receipt_is_lost(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        foreign = replace(claim, receipt="no-driver-has-ever-issued-this")
        assert await settle(driver, foreign, ACK) is SettleStatus.LOST
        assert await _extend(driver, foreign, lease=HOLD) is ExtendStatus.LOST
        assert await settle(driver, claim, ACK) is SettleStatus.DONE

    @refuses("fencing")
    async def test_without_fencing_a_second_ack_does_no_harm(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue), message(queue))
        claim, other = await take_all(driver, queue, count=2)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE
        assert await settle(driver, claim, ACK) in {SettleStatus.DONE, SettleStatus.LOST}
        assert await _extend(driver, other, lease=HOLD) is ExtendStatus.KEPT
        await take_nothing(driver, queue)

    @refuses("fencing")
    async def test_without_fencing_the_worker_can_fence_itself_by_a_deadline(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, message(queue))
        assert driver.capabilities.lease == "timed"
        assert (await take_one(driver, queue)).deadline is not None


async def _extend(driver: QueueDriver, claim: Claim, *, lease: float) -> ExtendStatus:
    (answer,) = await driver.extend([claim], lease=lease)
    return answer.status
