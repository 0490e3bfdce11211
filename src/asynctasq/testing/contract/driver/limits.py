"""Promises: what is declared is true at the edge, and what is not declared is refused."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

import pytest

from asynctasq.domain.errors import InvalidName, PayloadTooLarge, UnsupportedByDriver
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.ports.driver import Capabilities, EnqueueStatus, QueueDriver, SettleStatus
from asynctasq.testing.contract.base import refuses, requires
from asynctasq.testing.contract.driver.steps import (
    DriverPromises,
    Harness,
    assert_refused,
    ids,
    message,
    put,
    settle,
    take,
    take_all,
    take_nothing,
    take_one,
)

TEN_YEARS = 10 * 365 * 86_400.0


class Limits(DriverPromises):
    """Limits are where the driver says they are, and bend one message only."""

    async def test_a_driver_declares_its_capabilities_and_its_location(self, driver: QueueDriver) -> None:
        assert isinstance(driver.capabilities, Capabilities)
        assert isinstance(driver.location, str)
        assert driver.location

    @pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a.b", "a/b", "ä", "a" * 65, "a\n"])
    async def test_a_bad_queue_name_fails_that_message_alone(self, driver: QueueDriver, queue: str, name: str) -> None:
        await _assert_only_the_second_fails(driver, queue, message(name), InvalidName)

    async def test_the_longest_queue_name_is_carried(self, driver: QueueDriver, queue: str) -> None:
        longest = queue.ljust(64, "_")
        await put(driver, message(longest))
        assert (await take_one(driver, longest)).message.queue == longest

    @requires("max_body")
    async def test_a_body_over_the_limit_fails_that_message_alone(self, driver: QueueDriver, queue: str) -> None:
        limit = driver.capabilities.max_body or 0
        await _assert_only_the_second_fails(driver, queue, message(queue, b"\xff" * (limit + 1)), PayloadTooLarge)
        await put(driver, message(queue, b"\xff" * limit))
        assert (await take_one(driver, queue)).message.body == b"\xff" * limit

    @refuses("max_body")
    async def test_without_a_limit_a_body_of_two_megabytes_is_carried(self, driver: QueueDriver, queue: str) -> None:
        body = bytes(range(256)) * 8192
        await put(driver, message(queue, body))
        assert (await take_one(driver, queue)).message.body == body

    @requires("max_delay")
    async def test_a_delay_over_the_limit_fails_that_message_alone(self, driver: QueueDriver, queue: str) -> None:
        limit = driver.capabilities.max_delay or 0.0
        await _assert_only_the_second_fails(driver, queue, message(queue, delay=limit + 1), UnsupportedByDriver)
        await put(driver, message(queue, delay=limit))

    @refuses("max_delay")
    async def test_without_a_limit_a_delay_of_ten_years_is_kept(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue, delay=TEN_YEARS))
        await harness.age(harness.unit)
        await take_nothing(driver, queue)

    @requires("claim_limit")
    async def test_a_claim_takes_no_more_than_the_claim_limit(self, driver: QueueDriver, queue: str) -> None:
        limit = driver.capabilities.claim_limit or 1
        await put(driver, *(message(queue) for _ in range(limit + 1)))
        assert 1 <= len(await take(driver, queue, limit=limit + 1)) <= limit

    @refuses("claim_limit")
    async def test_without_a_claim_limit_one_claim_takes_what_it_asked_for(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, *(message(queue) for _ in range(300)))
        assert len(await take(driver, queue, limit=250)) == 250

    @requires("max_lease")
    async def test_a_lease_over_the_limit_is_refused(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        with pytest.raises(UnsupportedByDriver):
            await take(driver, queue, lease=(driver.capabilities.max_lease or 0.0) + 1)
        await take_one(driver, queue)

    @refuses("max_lease")
    async def test_without_a_limit_a_lease_of_ten_years_is_kept(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue, lease=TEN_YEARS)
        await harness.age(harness.unit)
        await take_nothing(driver, queue)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE


class Reserved(DriverPromises):
    """Fields that are reserved for later are honoured where they are declared, and refused where they are not."""

    @requires("priority")
    async def test_higher_priorities_come_first(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(queue, priority=priority) for priority in (0, 5, -1, 5)]
        await put(driver, *batch)
        assert ids(await take_all(driver, queue, count=4)) == ids([batch[1], batch[3], batch[0], batch[2]])

    @refuses("priority")
    async def test_without_priority_a_priority_is_refused(self, driver: QueueDriver, queue: str) -> None:
        await _assert_only_the_second_fails(driver, queue, message(queue, priority=1), UnsupportedByDriver)

    @requires("unique")
    async def test_a_unique_key_has_one_live_message(self, driver: QueueDriver, queue: str) -> None:
        first, second = message(queue, unique_key=queue), message(queue, unique_key=queue)
        await put(driver, first)
        (answer,) = await driver.enqueue([second])
        assert (answer.status, answer.id) == (EnqueueStatus.DUPLICATE, first.id)
        await settle(driver, await take_one(driver, queue), ACK)
        await put(driver, second)

    @refuses("unique")
    async def test_without_unique_a_unique_key_is_refused(self, driver: QueueDriver, queue: str) -> None:
        unique = message(queue, unique_key="key", unique_for=60.0)
        await _assert_only_the_second_fails(driver, queue, unique, UnsupportedByDriver)

    @requires("group")
    async def test_messages_of_a_group_run_one_at_a_time_in_order(self, driver: QueueDriver, queue: str) -> None:
        batch = [message(queue, group="g") for _ in range(3)]
        await put(driver, *batch)
        for expected in batch:
            claim = await take_one(driver, queue)
            assert claim.message.id == expected.id
            await settle(driver, claim, ACK)

    @refuses("group")
    async def test_without_group_a_group_is_refused(self, driver: QueueDriver, queue: str) -> None:
        await _assert_only_the_second_fails(driver, queue, message(queue, group="g"), UnsupportedByDriver)

    @requires("atomic_follow_up")
    async def test_a_follow_up_is_enqueued_with_its_settlement_and_only_with_it(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim, follow_up = await take_one(driver, queue), message(queue)
        for expected in (SettleStatus.DONE, SettleStatus.LOST):
            (answer,) = await driver.settle([Settlement(claim=claim, verdict=ACK, then=(follow_up,))])
            assert answer.status is expected
            follow_up, sent = message(queue), follow_up
            assert ids(await take(driver, queue)) == ([sent.id] if expected is SettleStatus.DONE else [])

    @refuses("atomic_follow_up")
    async def test_without_follow_ups_a_settlement_with_one_is_refused_whole(
        self, driver: QueueDriver, queue: str
    ) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        (answer,) = await driver.settle([Settlement(claim=claim, verdict=ACK, then=(message(queue),))])
        assert answer.status is SettleStatus.FAILED
        assert isinstance(answer.error, UnsupportedByDriver)
        await take_nothing(driver, queue)
        assert await settle(driver, claim, ACK) is SettleStatus.DONE


async def _assert_only_the_second_fails(
    driver: QueueDriver, queue: str, bad: Message, error: type[InvalidName | PayloadTooLarge | UnsupportedByDriver]
) -> None:
    good = [message(queue), message(queue)]
    first, second, third = await driver.enqueue([good[0], bad, good[1]])
    assert (first.status, third.status) == (EnqueueStatus.CREATED, EnqueueStatus.CREATED)
    assert_refused(second, error)
    claims = await take_all(driver, queue, count=2)
    assert sorted(ids(claims)) == sorted(ids(good))
    await take_nothing(driver, queue)
    for claim in claims:
        await settle(driver, claim, ACK)
