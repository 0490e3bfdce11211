"""Promises: what can be counted, looked at and emptied."""
# ruff: noqa: D102 - the names of promises are sentences

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from asynctasq.domain.verdict import ACK, DeadLetter
from asynctasq.ports.driver import (
    ExtendStatus,
    Inspector,
    Purgeable,
    QueueDriver,
    QueueStats,
    SettleStatus,
)
from asynctasq.ports.examination import Examinable
from asynctasq.ports.search import Searchable
from asynctasq.testing.contract.base import refuses, requires
from asynctasq.testing.contract.driver.steps import (
    HOLD,
    DriverPromises,
    Harness,
    ids,
    message,
    new_queue,
    put,
    settle,
    take_all,
    take_nothing,
    take_one,
)


class InspectableDriver(QueueDriver, Inspector, Protocol):
    """A driver that can be asked what it holds."""


class PurgeableDriver(QueueDriver, Purgeable, Protocol):
    """A driver whose queues can be emptied."""


class ExaminableDriver(QueueDriver, Examinable, Protocol):
    """A driver that can be asked how its broker is."""


class SearchableDriver(QueueDriver, Searchable, Protocol):
    """A driver whose messages can be found."""


class Counting(DriverPromises):
    """Stats say how a queue stands."""

    @requires("exact_stats")
    async def test_stats_count_every_state(self, driver: QueueDriver, queue: str) -> None:
        await _fill(driver, queue)
        (stats,) = await driver.stats([queue])
        assert (stats.ready, stats.delayed, stats.leased, stats.dead, stats.exact) == (2, 3, 1, 1, True)

    @requires("exact_stats")
    async def test_stats_forget_what_was_settled(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        await settle(driver, await take_one(driver, queue), ACK)
        assert await driver.stats([queue]) == [_empty(queue)]

    @requires("exact_stats")
    async def test_stats_answer_in_order_and_count_zero_for_unknown_queues(
        self, driver: QueueDriver, queue: str
    ) -> None:
        unknown = new_queue()
        await put(driver, message(queue))
        answers = await driver.stats([unknown, queue])
        assert [(stats.queue, stats.ready) for stats in answers] == [(unknown, 0), (queue, 1)]
        assert answers[0] == _empty(unknown)

    @requires("exact_stats")
    @requires("lease")
    async def test_stats_count_an_ended_lease_as_ready(self, driver: QueueDriver, harness: Harness, queue: str) -> None:
        await put(driver, message(queue))
        await take_one(driver, queue, lease=harness.unit)
        await harness.age(harness.unit)
        (stats,) = await driver.stats([queue])
        assert (stats.ready, stats.leased) == (1, 0)

    @requires("exact_stats")
    async def test_stats_tell_how_long_the_oldest_ready_message_has_been_due(
        self, driver: QueueDriver, harness: Harness, queue: str
    ) -> None:
        # The steps in between take time themselves: up to two seconds are allowed for them.
        await put(driver, message(queue, delay=harness.unit), message(queue, delay=HOLD * harness.unit))
        assert [stats.oldest_age for stats in await driver.stats([queue])] == [None]
        await harness.age(2 * harness.unit)
        await put(driver, message(queue))
        (stats,) = await driver.stats([queue])
        assert stats.oldest_age is not None
        assert harness.unit * 0.9 <= stats.oldest_age <= harness.unit + 2.0

    @refuses("exact_stats")
    async def test_stats_that_are_not_exact_say_so(self, driver: QueueDriver, queue: str) -> None:
        await put(driver, message(queue))
        assert [(stats.queue, stats.exact) for stats in await driver.stats([queue])] == [(queue, False)]


class Inspecting(DriverPromises):
    """Queues can be listed, and emptied."""

    @requires(Inspector)
    async def test_queues_lists_each_queue_that_holds_a_message(self, driver: InspectableDriver, queue: str) -> None:
        ready, delayed, leased, dead, done = (f"{queue}-{n}" for n in range(5))
        await put(driver, message(dead))
        await settle(driver, await take_one(driver, dead), DeadLetter(reason="to be listed"))
        await put(driver, message(ready), message(delayed, delay=HOLD), message(leased), message(done))
        await take_one(driver, leased)
        await settle(driver, await take_one(driver, done), ACK)
        listed = list(await driver.queues())
        assert [name for name in listed if name.startswith(queue)] == [ready, delayed, leased, dead]
        assert listed == sorted(listed)

    @requires(Purgeable)
    async def test_purge_empties_one_queue_and_says_how_much_it_held(self, driver: PurgeableDriver, queue: str) -> None:
        other = new_queue()
        await put(driver, message(other))
        await _fill(driver, queue)
        assert await driver.purge(queue) == 6
        await take_nothing(driver, queue)
        assert await driver.purge(queue) == 0
        await take_one(driver, other)

    @requires(Purgeable)
    @requires("exact_stats")
    async def test_purge_leaves_dead_letters(self, driver: PurgeableDriver, queue: str) -> None:
        await _fill(driver, queue)
        await driver.purge(queue)
        (stats,) = await driver.stats([queue])
        assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 1)

    @requires(Purgeable)
    @requires("fencing")
    async def test_purge_supersedes_receipts(self, driver: PurgeableDriver, queue: str) -> None:
        await put(driver, message(queue))
        claim = await take_one(driver, queue)
        await driver.purge(queue)
        assert [answer.status for answer in await driver.extend([claim], lease=HOLD)] == [ExtendStatus.LOST]
        assert await settle(driver, claim, ACK) is SettleStatus.LOST

    @requires(Purgeable)
    @requires("idempotent_enqueue")
    async def test_an_id_is_free_again_after_a_purge(self, driver: PurgeableDriver, queue: str) -> None:
        sent = message(queue)
        await put(driver, sent)
        await driver.purge(queue)
        await put(driver, sent)
        assert (await take_one(driver, queue)).message.id == sent.id


class Examining(DriverPromises):
    """An operator is told what to know of the broker."""

    @requires(Examinable)
    async def test_an_examination_finds_something_and_changes_nothing(
        self, driver: ExaminableDriver, queue: str
    ) -> None:
        await _fill(driver, queue)
        before = [_without_age(stats) for stats in await driver.stats([queue])]
        findings = list(await driver.examine())
        assert findings
        assert all(finding.subject and finding.said for finding in findings)
        assert [_without_age(stats) for stats in await driver.stats([queue])] == before

    @requires(Examinable)
    async def test_the_clock_is_the_one_that_stamps_messages(self, driver: ExaminableDriver, queue: str) -> None:
        granularity = 0.05 + driver.capabilities.delay_resolution  # what delays are counted in is what a clock can tell
        before = await driver.clock()
        await put(driver, message(queue))
        after = await driver.clock()
        assert before - granularity <= (await take_one(driver, queue)).enqueued_at <= after + granularity


class Searching(DriverPromises):
    """A message that is alive is found by its id."""

    @requires(Searchable)
    async def test_a_message_is_found_in_each_of_its_states(self, driver: SearchableDriver, queue: str) -> None:
        leased, ready, delayed = message(queue, b"leased"), message(queue, b"ready"), message(queue, delay=HOLD)
        await put(driver, leased)
        claim = await take_one(driver, queue, lease=2 * HOLD)
        await put(driver, ready, delayed)
        found = await driver.find([ready.id, "unknown", leased.id, delayed.id])
        assert [each and (each.id, each.queue, each.state, each.attempts) for each in found] == [
            (ready.id, queue, "ready", 0),
            None,
            (leased.id, queue, "leased", 1),
            (delayed.id, queue, "delayed", 0),
        ]
        one, _, two, three = found
        assert one is not None
        assert two is not None
        assert three is not None
        assert (one.body, two.body, two.expiries) == (b"ready", b"leased", 0)
        assert abs(two.enqueued_at - claim.enqueued_at) < 0.05
        assert one.due_in <= 0 < three.due_in <= HOLD < two.due_in <= 2 * HOLD

    @requires(Searchable)
    async def test_what_is_settled_for_good_is_not_found(self, driver: SearchableDriver, queue: str) -> None:
        await put(driver, message(queue), message(queue))
        claims = await take_all(driver, queue, count=2)
        await settle(driver, claims[0], ACK)
        await settle(driver, claims[1], DeadLetter(reason="to be found elsewhere"))
        assert list(await driver.find(ids(claims))) == [None, None]


def _without_age(stats: QueueStats) -> QueueStats:
    return replace(stats, oldest_age=None)


async def _fill(driver: QueueDriver, queue: str) -> None:
    """One dead, one leased, two ready, three delayed."""
    await put(driver, message(queue))
    await settle(driver, await take_one(driver, queue), DeadLetter(reason="to be counted"))
    await put(driver, message(queue))
    await take_one(driver, queue)
    await put(driver, *(message(queue, delay=HOLD * (n // 2)) for n in range(5)))


def _empty(queue: str) -> QueueStats:
    return QueueStats(queue=queue, ready=0, delayed=0, leased=0, dead=0, oldest_age=None, exact=True)
