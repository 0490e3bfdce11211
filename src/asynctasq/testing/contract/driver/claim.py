"""Promises: how messages are handed out, and how a claim waits for them."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from asynctasq.domain.errors import AsyncTasQError
from asynctasq.domain.message import Claim
from asynctasq.domain.verdict import ACK, Release, Settlement
from asynctasq.ports.driver import EnqueueStatus, QueueDriver
from asynctasq.testing.contract.base import requires
from asynctasq.testing.contract.driver.steps import (
    HOLD,
    PROMPT,
    QUIET,
    WAIT,
    DriverPromises,
    Harness,
    assert_refused,
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
    within,
)

SOON = 0.3
"""Seconds after which something is meant to happen during a wait: long enough for the claim to be waiting by then."""


class Claiming(DriverPromises):
    """Each message goes to one claimer, the most urgent first."""

    async def test_a_claim_takes_no_more_than_its_limit(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, *(message(queue) for _ in range(5)))
        assert 1 <= len(await take(driver, queue, limit=2)) <= 2

    async def test_every_claim_gives_a_new_receipt(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue), message(queue))
        claims = await take_all(driver, queue, count=2)
        for claim in claims:
            await settle(driver, claim, Release())
        claims += await take_all(driver, queue, count=2)
        receipts = [claim.receipt for claim in claims]
        assert len(set(receipts)) == 4, f"receipts repeat: {receipts}"
        assert all(receipts)

    async def test_a_claimed_message_is_hidden(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await take_one(driver, queue)
        await take_nothing(driver, queue)
        async with sibling_of(driver) as sibling:
            await take_nothing(sibling, queue)

    async def test_queues_are_served_in_the_order_given(self, driver: QueueDriver, queue: str) -> None:
        urgent, ordinary = new_queue(), queue
        await put(driver, *(message(name) for name in [ordinary, urgent] * 2))
        served = [(await take(driver, urgent, ordinary, limit=1))[0].message.queue for _ in range(4)]
        assert served == [urgent, urgent, ordinary, ordinary]

    async def test_a_claim_that_spans_queues_lists_the_urgent_ones_first(self, driver: QueueDriver, queue: str) -> None:
        urgent, ordinary = new_queue(), queue
        await put(driver, *(message(name) for name in [ordinary, urgent] * 2))
        served = [claim.message.queue for claim in await take(driver, urgent, ordinary, limit=3)]
        assert served == [urgent, urgent, ordinary][: len(served)]
        assert served

    async def test_a_claim_that_filled_up_does_not_make_the_next_pass_over_the_other_queues(
        self, driver: QueueDriver, queue: str
    ) -> None:
        queues = [new_queue(), queue, new_queue()]
        for flowing in queues:
            await put(driver, *(message(flowing) for _ in range(3)))
            assert len(await take_all(driver, *queues, count=2)) == 2  # there is more where they came from
            await put(driver, *(message(name) for name in queues if name != flowing))
            claims = list(await take(driver, *queues, limit=3))
            if driver.capabilities.claim_limit is None:
                assert len(claims) == 3, "one claim takes what it asked for"
            claims += await take_all(driver, *queues, count=3 - len(claims))
            assert [claim.message.queue for claim in claims] == queues

    async def test_a_queue_that_cannot_be_used_holds_up_no_other(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        spoiled = new_queue()
        if not await harness.spoil(spoiled):
            pytest.skip("not applicable: the harness can spoil no queue of this broker")
        refused, stored = await driver.enqueue([message(spoiled), message(queue)])
        assert_refused(refused, AsyncTasQError)
        assert stored.status is EnqueueStatus.CREATED
        for order in ((spoiled, queue), (queue, spoiled)):
            claim = await take_one(driver, *order)
            assert claim.message.id == stored.id
            await settle(driver, claim, Release())
        claim = await take_one(driver, queue)
        waiting = asyncio.create_task(take(driver, spoiled, queue, wait=WAIT))
        await asyncio.sleep(SOON)
        await settle(driver, claim, Release())
        assert ids(await within(PROMPT, waiting)) == [stored.id]
        with pytest.raises(AsyncTasQError):  # there is nothing else to be served
            await take(driver, spoiled)

    async def test_racing_claimers_get_each_message_once(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(queue) for _ in range(300)]
        await put(driver, *batch)

        async def claimer(own: QueueDriver) -> list[str]:
            mine: list[str] = []
            while claims := await take(own, queue, limit=7, wait=SOON):
                mine += ids(claims)
                await own.settle([Settlement(claim=claim, verdict=ACK) for claim in claims])
            return mine

        async with sibling_of(driver) as second, sibling_of(driver) as third:
            shares = await asyncio.gather(*(claimer(own) for own in [driver, second, third] * 6))
        assert Counter(id for share in shares for id in share) == Counter(ids(batch))

    async def test_a_cancelled_claim_loses_nothing(self, driver: QueueDriver, queue: str) -> None:
        sent: list[str] = []
        kept: list[Claim] = []
        for pause in [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008] * 3:
            claiming = asyncio.create_task(take(driver, queue, wait=WAIT))
            await asyncio.sleep(pause)
            arrival = message(queue)
            sent.append(arrival.id)
            await put(driver, arrival)
            await asyncio.sleep(pause)
            claiming.cancel()
            with suppress(asyncio.CancelledError):
                kept += await claiming
        rest = await take_all(driver, queue, count=len(sent) - len(kept))
        assert sorted(ids([*kept, *rest])) == sorted(sent)
        if driver.capabilities.refunds_release:
            assert {claim.attempt for claim in rest} <= {1}, "a cancelled claim has spent an attempt"

    async def test_a_cancelled_claim_is_given_back_even_if_the_driver_is_closed_at_once(
        self, driver: QueueDriver, queue: str
    ) -> None:
        sent: list[str] = []
        kept: list[Claim] = []
        for pause in [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008] * 2:
            arrival = message(queue)
            sent.append(arrival.id)
            await put(driver, arrival)
            async with sibling_of(driver) as sibling:
                claiming = asyncio.create_task(take(sibling, queue, wait=WAIT))
                await asyncio.sleep(pause)
                claiming.cancel()
                with suppress(asyncio.CancelledError):
                    kept += await claiming
        rest = await take_all(driver, queue, count=len(sent) - len(kept))
        assert sorted(ids([*kept, *rest])) == sorted(sent)
        if driver.capabilities.refunds_release:
            assert {claim.attempt for claim in rest} <= {1}, "a cancelled claim has spent an attempt"


class Waiting(DriverPromises):
    """A claim waits for work no longer than it must."""

    async def test_an_empty_claim_returns_empty_within_its_wait(self, driver: QueueDriver, queue: str) -> None:
        assert list(await within(SOON + PROMPT, take(driver, queue, wait=SOON))) == []

    async def test_a_claim_without_wait_returns_at_once(self, driver: QueueDriver, queue: str) -> None:
        assert list(await within(PROMPT, take(driver, queue, wait=0))) == []

    async def test_a_late_arrival_ends_the_wait(self, driver: QueueDriver, queue: str) -> None:
        waiting = asyncio.create_task(take_one(driver, queue))
        await asyncio.sleep(SOON)
        arrival = message(queue)
        await put(driver, arrival)
        assert (await waiting).message.id == arrival.id

    async def test_an_arrival_on_any_of_its_queues_ends_the_wait(self, driver: QueueDriver, queue: str) -> None:
        first, last = new_queue(), new_queue()
        for name in (first, queue, last):
            waiting = asyncio.create_task(take_one(driver, first, queue, last))
            await asyncio.sleep(SOON)
            await put(driver, message(name))
            assert (await waiting).message.queue == name

    async def test_waiting_claims_of_different_queues_on_one_driver_are_all_told(
        self, driver: QueueDriver, queue: str
    ) -> None:
        names = [queue, new_queue(), new_queue()]
        waiting = [asyncio.create_task(take_one(driver, name)) for name in names]
        await asyncio.sleep(SOON)
        await put(driver, *(message(name) for name in names))
        claims = await asyncio.gather(*waiting)
        assert [claim.message.queue for claim in claims] == names

    async def test_claiming_when_nobody_waited_before_does_not_delay_what_is_ready(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, *(message(queue) for _ in range(3)))
        async with sibling_of(driver) as sibling:
            claims = await within(PROMPT, take(sibling, queue, limit=1, wait=WAIT))
            claims = [*claims, *await within(PROMPT, take(sibling, queue, new_queue(), limit=1, wait=WAIT))]
        assert len(claims) == 2, "the second one waits for a queue that nobody has waited for"

    async def test_an_arrival_from_a_sibling_ends_the_wait(self, driver: QueueDriver, queue: str) -> None:
        async with sibling_of(driver) as sibling:
            waiting = asyncio.create_task(take_one(driver, queue))
            await asyncio.sleep(SOON)
            await put(sibling, message(queue))
            await waiting

    async def test_an_arrival_from_another_loop_ends_the_wait(self, driver: QueueDriver, queue: str) -> None:
        sibling = driver.sibling()

        async def elsewhere() -> None:
            await sibling.connect()
            await asyncio.sleep(QUIET)  # by then the loop of the claim sleeps, and does not look by itself
            await put(sibling, message(queue))
            await sibling.close()

        waiting = asyncio.create_task(take(driver, queue, wait=WAIT))
        await asyncio.sleep(SOON)
        # Nothing else may wake this loop, or it would hide that the enqueue does not: no timer, and no thread that is waited for.
        other = threading.Thread(target=lambda: asyncio.run(elsewhere()))
        began = time.monotonic()
        other.start()
        claims = await waiting
        took = time.monotonic() - began
        await asyncio.to_thread(other.join)
        assert len(claims) == 1
        assert took < QUIET + PROMPT + driver.capabilities.delay_resolution, f"it took {took:.1f} s"

    async def test_an_arrival_wakes_every_claim_that_it_feeds(self, driver: QueueDriver, queue: str) -> None:
        async with sibling_of(driver) as sibling:
            waiting = [asyncio.create_task(take(own, queue, limit=1, wait=WAIT)) for own in (driver, driver, sibling)]
            await asyncio.sleep(SOON)
            batch = [message(queue) for _ in waiting]
            await put(driver, *batch)
            claims = [claim for (claim,) in await within(PROMPT, asyncio.gather(*waiting))]
        assert sorted(ids(claims)) == sorted(ids(batch))

    async def test_a_delayed_message_that_becomes_due_ends_the_wait(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue, delay=SOON))
        await take_one(driver, queue)

    async def test_a_delayed_message_that_arrives_during_the_wait_ends_it_when_due(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, message(queue, delay=HOLD))
        waiting = asyncio.create_task(take_one(driver, queue))
        await asyncio.sleep(SOON)
        arrival = message(queue, delay=SOON)
        await put(driver, arrival)
        assert (await waiting).message.id == arrival.id

    @requires("lease")
    async def test_a_lease_that_ends_during_the_wait_ends_it(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await take_one(driver, queue, lease=SOON)
        assert (await take_one(driver, queue)).expiries == 1

    async def test_a_release_ends_the_wait(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        waiting = asyncio.create_task(take_one(driver, queue))
        await asyncio.sleep(SOON)
        await settle(driver, claim, Release())
        await waiting


class Time(DriverPromises):
    """Nothing is shown early, and nothing late."""

    async def test_no_message_is_shown_before_its_delay_has_passed(self, driver: QueueDriver, queue: str) -> None:
        # Counted from before the enqueue was sent. Two clocks are compared, so their granularity is allowed for.
        granularity = 0.02
        delays = [0.2, 0.4, 0.6]
        started = time.monotonic()
        await put(driver, *(message(queue, str(delay).encode(), delay=delay) for delay in delays))
        for _ in delays:
            # One by one: where the resolution is coarse, they are due together.
            (claim,) = await within(
                PROMPT + driver.capabilities.delay_resolution, take(driver, queue, limit=1, wait=WAIT)
            )
            assert time.monotonic() - started > float(claim.message.body) - granularity

    async def test_a_delay_is_counted_on_the_clock_of_the_broker(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        with harness.wrong_clock(ahead=3600.0):
            await put(driver, message(queue, delay=SOON))
            await take_one(driver, queue)
        with harness.wrong_clock(ahead=-3600.0):
            await put(driver, message(queue, delay=HOLD))
            await take_nothing(driver, queue)

    async def test_a_message_is_shown_soon_after_its_delay_has_passed(self, driver: QueueDriver, queue: str) -> None:
        # One second for a crowded machine on top of what the driver declares.
        tolerance = 1.0 + driver.capabilities.delay_resolution
        await put(driver, message(queue, delay=SOON))
        due = time.monotonic() + SOON
        await take_one(driver, queue)
        assert time.monotonic() - due < tolerance

    async def test_a_delayed_message_does_not_hold_up_the_others(self, driver: QueueDriver, queue: str) -> None:
        delayed, ready = message(queue, delay=HOLD), message(queue)
        await put(driver, delayed, ready)
        assert (await take_one(driver, queue)).message.id == ready.id
        await take_nothing(driver, queue)
