"""The driver contract has teeth: for each of its promises there is a driver with one defect, and the promise fails on it.

A promise that passes on its broken driver proves nothing. A promise without a broken driver may be such a one.
"""

import asyncio
import importlib
import inspect
import itertools
import math
import pkgutil
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase, settings

from asynctasq.adapters.drivers.memory import MemoryDriver
from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DriverClosed, DriverUnavailable, PayloadTooLarge
from asynctasq.domain.verdict import ACK, Release, Retry, Settlement
from asynctasq.ports.driver import Enqueued, EnqueueStatus, Extended, ExtendStatus, Settled, SettleStatus
from asynctasq.testing.contract import driver as contract
from asynctasq.testing.contract.driver import DriverContract
from asynctasq.testing.contract.driver.steps import new_queue
from asynctasq.testing.contract.stateful import against_the_model
from asynctasq.testing.faults import FaultyDriver
from asynctasq.testing.memory import MemoryHarness

BROKEN: dict[str, type[MemoryDriver | FaultyDriver]] = {}


def breaks(*promises):
    """Enter a broken driver in the table, under each promise that it breaks."""

    def enter(driver):
        for promise in promises:
            assert promise not in BROKEN, f"{promise} is broken twice"
            BROKEN[promise] = driver
        return driver

    return enter


class Sabotaged(MemoryDriver):
    """Where a defect hooks in: on what is sent, on what is claimed, on what is settled, on what is declared."""

    def __init_subclass__(cls, **declared):
        super().__init_subclass__()
        cls.declared = declared

    def __init__(self, **clocks):
        super().__init__(**clocks)
        self.capabilities = replace(self.capabilities, **self.declared)

    def sent(self, message):
        return message

    def claimed(self, claim):
        return claim

    def settling(self, settlement):
        return settlement

    async def enqueue(self, messages):
        return await super().enqueue([self.sent(message) for message in messages])

    async def claim(self, queues, **how):
        return [self.claimed(claim) for claim in await super().claim(queues, **how)]

    async def settle(self, settlements):
        return await super().settle([self.settling(settlement) for settlement in settlements])

    @contextmanager
    def waking(self, wakes):
        """Only the waiting claims for which `wakes` holds are woken by what happens here."""
        waiters = self._shared._waiters
        self._shared._waiters = set(filter(wakes, waiters))
        yield
        self._shared._waiters = waiters


def nobody(waiter):
    return False


# Carry


@breaks("test_every_byte_value_survives")
class DropsAByteValue(Sabotaged):
    def sent(self, message):
        return replace(message, body=message.body.replace(b"\x00", b""))


@breaks("test_id_queue_and_first_attempt_are_right")
class CountsAttemptsFromZero(Sabotaged):
    def claimed(self, claim):
        return replace(claim, attempt=claim.attempt - 1)


@breaks("test_the_time_of_the_enqueue_is_kept_through_every_attempt")
class RestampsAtEachClaim(Sabotaged):
    def claimed(self, claim):
        return replace(claim, enqueued_at=time.time())


@breaks("test_answers_come_in_the_order_of_the_batch")
class AnswersBackwards(Sabotaged):
    async def enqueue(self, messages):
        return (await super().enqueue(messages))[::-1]


@breaks("test_a_batch_of_a_thousand_arrives_once_each")
class SplitsBatchesWithAnOverlap(Sabotaged):
    async def enqueue(self, messages):
        overlap = [replace(message, id=str(uuid.uuid4())) for message in messages[500:501]]
        return (await super().enqueue([*messages, *overlap]))[: len(messages)]


@breaks("test_queues_do_not_leak_into_one_another")
class MatchesQueuesByPrefix(Sabotaged):
    async def claim(self, queues, **how):
        known = [name for name in await self.queues() if name.startswith(tuple(queues))]
        return await super().claim(known or queues, **how)


@breaks("test_a_sibling_sees_what_was_enqueued")
class SharesNothing(Sabotaged):
    def sibling(self):
        return type(self)(clock=self._clock)


@breaks("test_empty_batches_answer_empty")
class AnswersNothingWithSomething(Sabotaged):
    async def settle(self, settlements):
        return await super().settle(settlements) or [Settled(SettleStatus.LOST)]


@breaks(
    "test_ready_messages_come_in_the_order_of_their_enqueue",
    "test_a_claim_that_spans_queues_lists_the_urgent_ones_first",
)
class ServesLastInFirstOut(Sabotaged):
    async def claim(self, queues, **how):
        return (await super().claim(queues, **how))[::-1]


@breaks("test_what_was_due_earlier_comes_earlier")
class OrdersByDelay(Sabotaged):
    async def claim(self, queues, **how):
        return sorted(await super().claim(queues, **how), key=lambda claim: -claim.message.delay)


# Identity


class ForgetsIds(Sabotaged):
    """Takes some duplicates for new messages."""

    def forgets(self, id):
        raise NotImplementedError

    def sent(self, message):
        return replace(message, id=str(uuid.uuid4())) if self.forgets(message.id) else message

    def entry(self, id):
        return self._shared._live.get(id)


@breaks("test_the_same_id_twice_in_a_batch_is_one_message")
class ForgetsIdsOfTheBatch(Sabotaged):
    async def enqueue(self, messages):
        ids = [message.id for message in messages]
        again = [n for n, id in enumerate(ids) if id in ids[:n]]
        return await super().enqueue(
            [replace(m, id=str(uuid.uuid4())) if n in again else m for n, m in enumerate(messages)]
        )


@breaks("test_an_id_that_is_ready_is_a_duplicate_and_changes_nothing")
class OverwritesDuplicates(Sabotaged):
    async def enqueue(self, messages):
        answers = await super().enqueue(messages)
        for message in messages:
            self._shared._live[message.id].message = message
        return answers


@breaks("test_an_id_that_is_delayed_is_a_duplicate_and_stays_delayed")
class ForgetsDelayedIds(ForgetsIds):
    def forgets(self, id):
        entry = self.entry(id)
        return entry is not None and entry.message.delay > 0


@breaks("test_an_id_that_is_leased_is_a_duplicate_and_stays_leased")
class ForgetsLeasedIds(ForgetsIds):
    def forgets(self, id):
        entry = self.entry(id)
        return entry is not None and entry.receipt is not None


@breaks("test_an_id_that_is_dead_is_a_duplicate_and_stays_dead")
class RevivesDeadDuplicates(Sabotaged):
    async def enqueue(self, messages):
        answers = await super().enqueue(messages)
        await self.requeue_dead([message.id for message in messages])
        return answers


@breaks(
    "test_an_id_is_free_again_after_its_ack",
    "test_an_id_is_free_again_after_its_dead_letter_was_purged",
    "test_an_id_is_free_again_after_a_purge",
)
class RemembersIdsForEver(Sabotaged):
    async def enqueue(self, messages):
        seen = self.__dict__.setdefault("seen", set())
        known = {message.id for message in messages} & seen
        seen |= {message.id for message in messages}
        if known:
            return [Enqueued(EnqueueStatus.DUPLICATE, message.id) for message in messages]
        return await super().enqueue(messages)


@breaks("test_racing_enqueues_of_one_id_create_one_message")
class LooksThenInserts(Sabotaged):
    async def enqueue(self, messages):
        (message,) = messages
        if message.id in self._shared._live:
            return [Enqueued(EnqueueStatus.DUPLICATE, message.id)]
        await asyncio.sleep(0)
        await super().enqueue([message])
        return [Enqueued(EnqueueStatus.CREATED, message.id)]


@breaks("test_without_idempotence_no_enqueue_claims_to_be_a_duplicate")
class IsIdempotentInSecret(Sabotaged, idempotent_enqueue=False):
    pass


# Limits


@breaks("test_a_driver_declares_its_capabilities_and_its_location")
class IsNowhere(Sabotaged):
    def __init__(self, **clocks):
        super().__init__(**clocks)
        self.location = ""


@breaks("test_a_bad_queue_name_fails_that_message_alone")
class RepairsQueueNames(Sabotaged):
    def sent(self, message):
        return replace(message, queue=re.sub(r"[^A-Za-z0-9]", "x", message.queue)[:64] or "x")


@breaks("test_the_longest_queue_name_is_carried")
class CutsQueueNames(Sabotaged):
    def sent(self, message):
        return replace(message, queue=message.queue[:60])


@breaks("test_a_body_over_the_limit_fails_that_message_alone")
class IgnoresItsMaxBody(Sabotaged, max_body=1_000):
    pass


@breaks("test_without_a_limit_a_body_of_two_megabytes_is_carried")
class HasASecretMaxBody(Sabotaged):
    async def enqueue(self, messages):
        if any(len(message.body) > 1_000_000 for message in messages):
            return [Enqueued(EnqueueStatus.FAILED, m.id, PayloadTooLarge("too large")) for m in messages]
        return await super().enqueue(messages)


@breaks("test_a_delay_over_the_limit_fails_that_message_alone")
class IgnoresItsMaxDelay(Sabotaged, max_delay=900.0):
    pass


@breaks("test_without_a_limit_a_delay_of_ten_years_is_kept")
class ClampsDelays(Sabotaged):
    def sent(self, message):
        return replace(message, delay=min(message.delay, 900.0))


@breaks("test_a_claim_takes_no_more_than_the_claim_limit")
class IgnoresItsClaimLimit(Sabotaged, claim_limit=2):
    pass


@breaks("test_without_a_claim_limit_one_claim_takes_what_it_asked_for")
class HasASecretClaimLimit(Sabotaged):
    async def claim(self, queues, *, limit, **how):
        return await super().claim(queues, limit=min(limit, 100), **how)


@breaks("test_a_lease_over_the_limit_is_refused")
class IgnoresItsMaxLease(Sabotaged, max_lease=43_200.0):
    pass


@breaks("test_without_a_limit_a_lease_of_ten_years_is_kept")
class ClampsLeases(Sabotaged):
    async def claim(self, queues, *, lease, **how):
        return await super().claim(queues, lease=min(lease, 900.0), **how)


# Reserved


class StripsReservedFields(Sabotaged):
    def sent(self, message):
        return replace(message, priority=0, unique_key=None, unique_for=None, group=None)

    def settling(self, settlement):
        return replace(settlement, then=())


@breaks(
    "test_higher_priorities_come_first",
    "test_a_unique_key_has_one_live_message",
    "test_messages_of_a_group_run_one_at_a_time_in_order",
    "test_a_follow_up_is_enqueued_with_its_settlement_and_only_with_it",
)
class DeclaresWhatItIgnores(StripsReservedFields, priority=True, unique=True, group=True, atomic_follow_up=True):
    pass


@breaks(
    "test_without_priority_a_priority_is_refused",
    "test_without_unique_a_unique_key_is_refused",
    "test_without_group_a_group_is_refused",
    "test_without_follow_ups_a_settlement_with_one_is_refused_whole",
)
class IgnoresWhatItDoesNotDeclare(StripsReservedFields):
    pass


# Claiming


@breaks("test_a_claim_takes_no_more_than_its_limit")
class TakesTwiceItsLimit(Sabotaged):
    async def claim(self, queues, *, limit, **how):
        return await super().claim(queues, limit=2 * limit, **how)


@breaks("test_every_claim_gives_a_new_receipt")
class UsesTheIdAsTheReceipt(Sabotaged):
    def claimed(self, claim):
        return replace(claim, receipt=claim.message.id)

    def settling(self, settlement):
        return by_id(self, settlement)


@breaks("test_a_claimed_message_is_hidden")
class ShowsWhatIsClaimed(Sabotaged):
    async def claim(self, queues, **how):
        claims = await super().claim(queues, **how)
        await self.settle([Settlement(claim=claim, verdict=Release()) for claim in claims])
        return claims


@breaks("test_queues_are_served_in_the_order_given")
class ServesQueuesBackwards(Sabotaged):
    async def claim(self, queues, **how):
        return await super().claim(queues[::-1], **how)


@breaks("test_a_claim_that_filled_up_does_not_make_the_next_pass_over_the_other_queues")
class StaysWhereItWasFilled(Sabotaged):
    flowing = None

    async def claim(self, queues, *, limit, **how):
        claims = await super().claim([self.flowing] if self.flowing in queues else queues, limit=limit, **how)
        self.flowing = claims[-1].message.queue if len(claims) == limit else None
        return claims


class SpoilingHarness(MemoryHarness):
    """Notes which queues are not to be used; the driver does the rest."""

    spoiled: ClassVar[set[str]] = set()

    async def spoil(self, queue):
        self.spoiled.add(queue)
        return True


@breaks("test_a_queue_that_cannot_be_used_holds_up_no_other")
class AsksForEachOfItsQueues(Sabotaged):
    harness = SpoilingHarness

    async def enqueue(self, messages):
        for_all = iter(await super().enqueue([each for each in messages if each.queue not in self.harness.spoiled]))
        refused = ConfigurationError("somebody else's")
        return [
            Enqueued(EnqueueStatus.FAILED, each.id, refused) if each.queue in self.harness.spoiled else next(for_all)
            for each in messages
        ]

    async def claim(self, queues, **how):
        if not self.harness.spoiled.isdisjoint(queues):
            raise ConfigurationError("somebody else's")
        return await super().claim(queues, **how)


@breaks("test_racing_claimers_get_each_message_once")
class HandsOutTwice(Sabotaged):
    async def claim(self, queues, **how):
        claims = await super().claim(queues, **how)
        again, self._shared.latest = getattr(self._shared, "latest", []), claims[:1]
        return claims and [*claims, *again]


@breaks("test_a_cancelled_claim_loses_nothing")
class LosesWhatACancelledClaimGot(Sabotaged):
    async def claim(self, queues, **how):
        claims = await super().claim(queues, **how)
        await asyncio.sleep(0.005)
        return claims


@breaks("test_a_cancelled_claim_is_given_back_even_if_the_driver_is_closed_at_once")
class GivesBackWhileItIsOpen(Sabotaged):
    async def claim(self, queues, **how):
        claims = await super().claim(queues, **how)
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(0.005, self.give_back, claims)
            raise
        return claims

    def give_back(self, claims):
        if self._open:
            self._store.settle([Settlement(claim=claim, verdict=Release()) for claim in claims])


# Waiting


@breaks("test_an_empty_claim_returns_empty_within_its_wait")
class WaitsTooLong(Sabotaged):
    async def claim(self, queues, *, wait, **how):
        return await super().claim(queues, wait=100 * wait, **how)


@breaks("test_a_claim_without_wait_returns_at_once")
class AlwaysWaits(Sabotaged):
    async def claim(self, queues, *, wait, **how):
        return await super().claim(queues, wait=max(wait, 5.0), **how)


@breaks("test_a_late_arrival_ends_the_wait")
class SleepsThroughArrivals(Sabotaged):
    async def enqueue(self, messages):
        with self.waking(nobody):
            return await super().enqueue(messages)


@breaks("test_an_arrival_on_any_of_its_queues_ends_the_wait")
class ListensToItsFirstQueue(Sabotaged):
    async def enqueue(self, messages):
        first = getattr(self, "first", None)
        with self.waking(lambda _: messages[0].queue == first):
            return await super().enqueue(messages)

    async def claim(self, queues, **how):
        self.first = queues[0]
        return await super().claim(queues, **how)


@breaks("test_waiting_claims_of_different_queues_on_one_driver_are_all_told")
class ListensForItsLatestClaim(Sabotaged):
    async def enqueue(self, messages):
        latest = getattr(self, "latest", None)
        with self.waking(lambda waiter: waiter.queues == latest):
            return await super().enqueue(messages)

    async def claim(self, queues, **how):
        self.latest = frozenset(queues)
        return await super().claim(queues, **how)


@breaks("test_claiming_when_nobody_waited_before_does_not_delay_what_is_ready")
class ListensBeforeItLooks(Sabotaged):
    heard = frozenset()

    async def claim(self, queues, *, wait, **how):
        if wait and not self.heard.issuperset(queues):
            self.heard = self.heard.union(queues)
            await asyncio.sleep(3.0)
        return await super().claim(queues, wait=wait, **how)


@breaks("test_an_arrival_from_a_sibling_ends_the_wait")
class SleepsThroughSiblings(Sabotaged):
    wakes = staticmethod(bool)

    async def enqueue(self, messages):
        with self.waking(self.wakes):
            return await super().enqueue(messages)

    def sibling(self):
        sibling = super().sibling()
        sibling.wakes = nobody
        return sibling


@breaks("test_an_arrival_from_another_loop_ends_the_wait")
class WakesItsOwnLoopOnly(Sabotaged):
    async def enqueue(self, messages):
        with self.waking(lambda waiter: waiter._loop is asyncio.get_running_loop()):
            return await super().enqueue(messages)


@breaks("test_an_arrival_wakes_every_claim_that_it_feeds")
class WakesOne(Sabotaged):
    async def enqueue(self, messages):
        first = next(iter(self._shared._waiters), None)
        with self.waking(lambda waiter: waiter is first):
            return await super().enqueue(messages)


@breaks("test_a_delayed_message_that_becomes_due_ends_the_wait")
class SleepsThroughDelays(Sabotaged):
    def __init__(self, **clocks):
        super().__init__(**clocks)
        self._shared.due_in = lambda queues: math.inf


@breaks("test_a_delayed_message_that_arrives_during_the_wait_ends_it_when_due")
class HintsOnlyWhatIsDue(Sabotaged):
    async def enqueue(self, messages):
        with self.waking(lambda _: not messages[0].delay):
            return await super().enqueue(messages)


@breaks("test_a_lease_that_ends_during_the_wait_ends_it")
class SleepsThroughLeases(Sabotaged):
    def __init__(self, **clocks):
        super().__init__(**clocks)
        self._shared.due_in = lambda queues: math.inf


@breaks("test_a_release_ends_the_wait")
class SleepsThroughReleases(Sabotaged):
    async def settle(self, settlements):
        with self.waking(nobody):
            return await super().settle(settlements)


# Time


@breaks("test_no_message_is_shown_before_its_delay_has_passed")
class IsEarly(Sabotaged):
    def sent(self, message):
        return replace(message, delay=message.delay * 0.8)


@breaks("test_a_delay_is_counted_on_the_clock_of_the_broker")
class CountsDelaysOnTheProducersClock(Sabotaged):
    def __init__(self, **clocks):
        super().__init__(**clocks)
        self.epoch = time.time() - time.monotonic()

    def sent(self, message):
        return replace(message, delay=max(0.0, time.time() - self.epoch - time.monotonic() + message.delay))


@breaks("test_a_message_is_shown_soon_after_its_delay_has_passed")
class IsLate(Sabotaged):
    def sent(self, message):
        return replace(message, delay=message.delay + 1.5)


@breaks("test_a_delayed_message_does_not_hold_up_the_others")
class BlocksBehindTheFirst(Sabotaged):
    async def claim(self, queues, **how):
        oldest = next(iter(self._shared._live.values()))
        return [] if oldest.visible_at > self._clock() else await super().claim(queues, **how)


# Leasing


@breaks("test_a_lease_that_ends_shows_the_message_again")
class LeasesForEver(Sabotaged):
    async def claim(self, queues, *, lease, **how):
        return await super().claim(queues, lease=1_000 * lease, **how)


@breaks("test_each_ended_lease_counts_an_expiry_and_an_attempt")
class ForgetsExpiries(Sabotaged):
    def claimed(self, claim):
        return replace(claim, expiries=min(claim.expiries, 1))


@breaks("test_a_settled_attempt_counts_no_expiry")
class CountsEveryAttemptAsAnExpiry(Sabotaged):
    def claimed(self, claim):
        return replace(claim, expiries=claim.attempt - 1)


@breaks("test_the_deadline_is_the_end_of_the_lease_on_our_monotonic_clock")
class GivesDeadlinesOnTheWallClock(Sabotaged):
    def claimed(self, claim):
        return replace(claim, deadline=time.time() + 60.0)


@breaks("test_a_deadline_has_passed_before_the_message_is_shown_again_however_late_the_answer_was_heard")
class CountsDeadlinesFromTheAnswer(Sabotaged):
    async def claim(self, queues, *, lease, **how):
        claims = await super().claim(queues, lease=lease, **how)
        await asyncio.sleep(0)  # in which the answer comes
        return [replace(claim, deadline=time.monotonic() + lease) for claim in claims]


@breaks("test_without_a_timed_lease_there_is_no_deadline")
class TimesItsSessionLeases(Sabotaged, lease="session"):
    pass


@breaks("test_extend_keeps_the_message_hidden")
class OnlySaysItExtends(Sabotaged):
    async def extend(self, claims, *, lease):
        return [Extended(ExtendStatus.KEPT, time.monotonic() + lease) for _ in claims]


@breaks("test_an_extended_lease_ends_as_well")
class ExtendsForEver(Sabotaged):
    async def extend(self, claims, *, lease):
        return await super().extend(claims, lease=1_000 * lease)


@breaks("test_a_lease_that_ended_but_was_not_superseded_is_kept")
class JudgesExtensionsByTheClock(Sabotaged):
    async def extend(self, claims, *, lease):
        answers = await super().extend(claims, lease=0.0)
        await asyncio.sleep(0)
        late = [self._clock() - claim.enqueued_at > 3_600.0 for claim in claims]
        return [
            Extended(ExtendStatus.LOST) if was_late else answer for was_late, answer in zip(late, answers, strict=True)
        ]


@breaks("test_leases_are_extended_one_by_one")
class ExtendsAllOrNothing(Sabotaged):
    async def extend(self, claims, *, lease):
        answers = await super().extend(claims, lease=lease)
        return [min(answers, key=lambda answer: answer.status is ExtendStatus.KEPT)] * len(answers)


@breaks("test_a_receipt_is_valid_on_a_sibling")
class BindsReceiptsToItself(Sabotaged):
    def claimed(self, claim):
        self.__dict__.setdefault("mine", set()).add(claim.receipt)
        return claim

    async def extend(self, claims, *, lease):
        if {claim.receipt for claim in claims} <= self.__dict__.get("mine", set()):
            return await super().extend(claims, lease=lease)
        return [Extended(ExtendStatus.LOST) for _ in claims]


@breaks("test_a_settlement_on_a_sibling_ends_the_receipt")
class ForgetsWhatSiblingsSettle(BindsReceiptsToItself):
    async def settle(self, settlements):
        mine = self.__dict__.get("mine", set())
        return [
            Settled(SettleStatus.DONE) if settlement.claim.receipt in mine else answer
            for settlement, answer in zip(settlements, await super().settle(settlements), strict=True)
        ]


@breaks("test_without_fencing_a_lease_that_ended_is_not_said_to_be_kept_and_then_shown")
class SaysItKeepsWhatItShows(Sabotaged, fencing=False):
    async def extend(self, claims, *, lease):
        return [Extended(ExtendStatus.KEPT, self._monotonic() + lease) for _ in claims]


# Fencing


def by_id(driver, settlement):
    """The settlement, as if made by whoever holds the message now."""
    entry = driver._shared._live.get(settlement.claim.message.id)
    if entry is None or entry.receipt is None:
        return settlement
    return replace(settlement, claim=replace(settlement.claim, receipt=entry.receipt))


@breaks("test_a_superseded_receipt_settles_nothing", "test_a_foreign_receipt_is_lost")
class SettlesById(Sabotaged):
    def settling(self, settlement):
        return by_id(self, settlement)


@breaks("test_a_superseded_receipt_extends_nothing")
class ExtendsById(Sabotaged):
    async def extend(self, claims, *, lease):
        held = [by_id(self, Settlement(claim=claim, verdict=ACK)).claim for claim in claims]
        return await super().extend(held, lease=lease)


@breaks("test_a_late_settlement_that_nobody_superseded_is_done")
class JudgesSettlementsByTheClock(Sabotaged):
    async def settle(self, settlements):
        now = self._clock()
        held = [self._shared._leased.get(settlement.claim.receipt) for settlement in settlements]
        if any(entry is not None and entry.visible_at <= now for entry in held):
            return [Settled(SettleStatus.LOST) for _ in settlements]
        return await super().settle(settlements)


@breaks("test_a_second_settlement_of_a_receipt_is_lost", "test_purge_supersedes_receipts")
class SaysDoneToAnything(Sabotaged):
    async def settle(self, settlements):
        await super().settle(settlements)
        return [Settled(SettleStatus.DONE) for _ in settlements]


@breaks("test_without_fencing_the_worker_can_fence_itself_by_a_deadline")
class FencesNobodyAndGivesNoDeadline(Sabotaged, fencing=False):
    def claimed(self, claim):
        return replace(claim, deadline=None)


@breaks("test_without_fencing_a_second_ack_does_no_harm")
class AcksWhateverIsLeft(Sabotaged, fencing=False):
    async def settle(self, settlements):
        answers = await super().settle(settlements)
        for settlement, answer in zip(settlements, answers, strict=True):
            if answer.status is SettleStatus.LOST:
                left = [entry for entry in self._shared._live.values() if entry.receipt]
                others = [replace(settlement.claim, message=entry.message, receipt=entry.receipt) for entry in left]
                await super().settle([Settlement(claim=other, verdict=ACK) for other in others])
        return answers


# Settling


class Misreads(Sabotaged):
    """Takes one verdict for another."""

    def misread(self, verdict):
        raise NotImplementedError

    def settling(self, settlement):
        return replace(settlement, verdict=self.misread(settlement.verdict))


@breaks("test_ack_forgets_for_good")
class ForgetsToForget(Sabotaged):
    async def settle(self, settlements):
        return [Settled(SettleStatus.DONE) for _ in settlements]


@breaks("test_retry_hides_the_message_until_its_delay_has_passed")
class RetriesAtOnce(Misreads):
    def misread(self, verdict):
        return replace(verdict, delay=0.0)


@breaks("test_retry_spends_the_attempt")
class RefundsRetries(Misreads):
    def misread(self, verdict):
        return Release(delay=verdict.delay)


@breaks("test_release_shows_the_message_at_once")
class ReleasesLate(Misreads):
    def misread(self, verdict):
        return replace(verdict, delay=60.0)


@breaks("test_release_with_a_delay_hides_the_message_until_it_has_passed")
class ReleasesAtOnce(Misreads):
    def misread(self, verdict):
        return Release()


@breaks("test_release_refunds_the_attempt")
class SpendsReleases(Misreads):
    def misread(self, verdict):
        return Retry(delay=verdict.delay, error="") if isinstance(verdict, Release) else verdict


@breaks("test_without_a_refund_release_spends_the_attempt")
class RefundsInSecret(Sabotaged, refunds_release=False):
    pass


@breaks("test_dead_letter_takes_the_message_off_its_queue")
class RetriesTheDead(Misreads):
    def misread(self, verdict):
        return Retry(delay=60.0, error=verdict.error)


@breaks("test_a_mixed_batch_is_settled_one_by_one")
class AppliesTheFirstVerdictToAll(Sabotaged):
    async def settle(self, settlements):
        return await super().settle([replace(each, verdict=settlements[0].verdict) for each in settlements])


@breaks("test_a_message_that_moves_is_never_gone")
class DeletesThenInserts(Sabotaged):
    async def settle(self, settlements):
        taken = {s.claim.message.queue: self._shared._queues.pop(s.claim.message.queue) for s in settlements}
        await asyncio.sleep(0.001)
        self._shared._queues |= taken
        return await super().settle(settlements)


@breaks("test_a_lost_settlement_does_not_disturb_its_neighbours")
class SettlesAllOrNothing(Sabotaged):
    async def settle(self, settlements):
        if any(each.claim.receipt not in self._shared._leased for each in settlements):
            return [Settled(SettleStatus.LOST) for _ in settlements]
        return await super().settle(settlements)


@breaks("test_the_same_receipt_twice_in_a_batch_is_settled_once")
class AnswersByReceipt(Sabotaged):
    async def settle(self, settlements):
        answers = await super().settle(settlements)
        best = {each.claim.receipt: answer for each, answer in zip(settlements[::-1], answers[::-1], strict=True)}
        return [best[each.claim.receipt] for each in settlements]


# Dead letters


class Misremembers(Sabotaged):
    """Lists dead letters that are not as they were."""

    def remembered(self, dead):
        raise NotImplementedError

    async def list_dead(self, queue, **page):
        return [self.remembered(dead) for dead in await super().list_dead(queue, **page)]


@breaks("test_a_dead_letter_keeps_what_there_was_to_know")
class KeepsTheFirstLine(Misremembers):
    def remembered(self, dead):
        return replace(dead, error=dead.error.partition("\n")[0])


@breaks("test_a_receipt_that_is_settled_twice_in_a_batch_dies_of_the_first_reason")
class DiesOfTheLastReason(Sabotaged):
    async def settle(self, settlements):
        last = {settlement.claim.receipt: settlement.verdict for settlement in settlements}
        return await super().settle([replace(each, verdict=last[each.claim.receipt]) for each in settlements])


@breaks("test_errors_of_earlier_attempts_are_kept_oldest_first")
class ListsErrorsBackwards(Misremembers):
    def remembered(self, dead):
        return replace(dead, history=dead.history[::-1])


@breaks("test_the_history_is_bounded_and_keeps_the_latest")
class KeepsTheFirstErrors(Misremembers):
    def remembered(self, dead):
        return replace(dead, history=dead.history[:5])


@breaks("test_without_history_none_is_made_up")
class KeepsHistoryInSecret(Sabotaged, attempt_history=False):
    pass


@breaks("test_dead_letters_that_cannot_be_read_are_counted")
class BuriesInSecret(FaultyDriver):
    def __init__(self, **clocks):
        super().__init__(MemoryDriver(**clocks))

    async def stats(self, queues):
        return [replace(stats, dead=0) for stats in await super().stats(queues)]


@breaks("test_the_most_recently_dead_are_listed_first")
class ListsTheOldestFirst(Sabotaged):
    async def list_dead(self, queue, **page):
        return (await super().list_dead(queue, **page))[::-1]


@breaks("test_dead_letters_are_listed_page_by_page")
class ListsTheFirstPageOnly(Sabotaged):
    async def list_dead(self, queue, *, limit, after=None):
        return await super().list_dead(queue, limit=limit)


@breaks("test_a_list_of_dead_letters_is_of_one_queue")
class ListsEveryQueue(Sabotaged):
    async def list_dead(self, queue, **page):
        return [
            dead for name in await self.queues() for dead in await super(ListsEveryQueue, self).list_dead(name, **page)
        ]


@breaks("test_dead_letters_are_found_by_id")
class LeavesOutWhatIsNotFound(Sabotaged):
    async def get_dead(self, ids):
        return [dead for dead in await super().get_dead(ids) if dead is not None]


@breaks("test_a_requeued_dead_letter_starts_again")
class RequeuesWithTheOldAttempts(Sabotaged):
    async def requeue_dead(self, ids):
        dead = await self.get_dead(ids)
        answers = await super().requeue_dead(ids)
        for letter in filter(None, dead):
            self._shared._live[letter.id].attempts = letter.attempts
        return answers


@breaks("test_requeueing_twice_requeues_once")
class AnswersRequeuesWithTrue(Sabotaged):
    async def requeue_dead(self, ids):
        await super().requeue_dead(ids)
        return [True for _ in ids]


@breaks("test_a_requeue_ends_the_wait_of_a_claim")
class SleepsThroughRequeues(Sabotaged):
    async def requeue_dead(self, ids):
        with self.waking(nobody):
            return await super().requeue_dead(ids)


@breaks("test_a_purged_dead_letter_is_gone_for_good")
class OnlySaysItPurges(Sabotaged):
    async def purge_dead(self, ids):
        return [dead is not None for dead in await self.get_dead(ids)]


# Counting and inspecting


class Miscounts(Sabotaged):
    """Stats that are not as things stand."""

    def counted(self, stats):
        raise NotImplementedError

    async def stats(self, queues):
        return [self.counted(stats) for stats in await super().stats(queues)]


@breaks("test_stats_count_every_state")
class CountsLeasedAsDelayed(Miscounts):
    def counted(self, stats):
        return replace(stats, delayed=stats.delayed + stats.leased, leased=0)


@breaks("test_stats_forget_what_was_settled")
class CountsWhatWasSettled(Sabotaged):
    async def settle(self, settlements):
        self.gone = getattr(self, "gone", 0) + len(settlements)
        return await super().settle(settlements)

    async def stats(self, queues):
        return [replace(stats, leased=stats.leased + self.gone) for stats in await super().stats(queues)]


@breaks("test_stats_answer_in_order_and_count_zero_for_unknown_queues")
class LeavesOutUnknownQueues(Sabotaged):
    async def stats(self, queues):
        known = await self.queues()
        return await super().stats([name for name in queues if name in known])


@breaks("test_stats_count_an_ended_lease_as_ready")
class CountsEndedLeasesAsLeased(Miscounts):
    def counted(self, stats):
        held = sum(entry.receipt is not None for entry in self._shared._live.values())
        return replace(stats, leased=held, ready=stats.ready - held)


@breaks("test_stats_tell_how_long_the_oldest_ready_message_has_been_due")
class CountsAgeFromTheEnqueue(Miscounts):
    def counted(self, stats):
        oldest = min(entry.enqueued_at for entry in self._shared._live.values())
        return replace(stats, oldest_age=self._clock() - oldest if stats.ready else None)


@breaks("test_stats_that_are_not_exact_say_so")
class SaysItIsExact(Sabotaged, exact_stats=False):
    pass


@breaks("test_queues_lists_each_queue_that_holds_a_message")
class ListsLivingQueuesOnly(Sabotaged):
    async def queues(self):
        return sorted({entry.message.queue for entry in self._shared._live.values()})


@breaks("test_purge_empties_one_queue_and_says_how_much_it_held")
class PurgesEveryQueue(Sabotaged):
    async def purge(self, queue):
        held = {name: await super(PurgesEveryQueue, self).purge(name) for name in await self.queues()}
        return held.get(queue, 0)


@breaks("test_purge_leaves_dead_letters")
class PurgesTheDeadToo(Sabotaged):
    async def purge(self, queue):
        await self.purge_dead([dead.id for dead in await self.list_dead(queue, limit=1_000)])
        return await super().purge(queue)


# Life


@breaks("test_an_examination_finds_something_and_changes_nothing")
class ExaminesByClaiming(Sabotaged):
    async def examine(self):
        await self.claim(await self.queues(), limit=1, lease=60, wait=0, worker="doctor")
        return await super().examine()


@breaks("test_the_clock_is_the_one_that_stamps_messages")
class TellsAnotherTime(Sabotaged):
    async def clock(self):
        return await super().clock() + 60


@breaks("test_a_message_is_found_in_each_of_its_states")
class FindsEverythingReady(Sabotaged):
    async def find(self, ids):
        return [each and replace(each, state="ready") for each in await super().find(ids)]


@breaks("test_what_is_settled_for_good_is_not_found")
class FindsWhatItHasSeen(Sabotaged):
    async def settle(self, settlements):
        ids = [settlement.claim.message.id for settlement in settlements]
        self.__dict__.setdefault("seen", {}).update(zip(ids, await super().find(ids), strict=True))
        return await super().settle(settlements)

    async def find(self, ids):
        return [self.__dict__.get("seen", {}).get(id) for id in ids]


@breaks("test_connecting_twice_is_harmless")
class StartsAfreshAtEachConnect(Sabotaged):
    async def connect(self):
        self._shared = type(self._shared)(self._clock)
        await super().connect()


@breaks("test_closing_twice_is_harmless")
class ClosesOnlyWhatIsOpen(Sabotaged):
    async def close(self):
        if not self._open:
            raise DriverClosed("it is closed already")
        await super().close()


@breaks("test_a_sibling_is_a_description_until_it_is_connected")
class ConnectsAtBirth(Sabotaged):
    def __init__(self, **clocks):
        super().__init__(**clocks)
        self._open = True


@breaks("test_a_closed_driver_says_so")
class StaysOpen(Sabotaged):
    async def close(self):
        pass


@breaks("test_a_closed_driver_can_be_connected_again")
class ConnectsOnce(Sabotaged):
    async def close(self):
        self.worn_out = True
        await super().close()

    async def connect(self):
        if hasattr(self, "worn_out"):
            raise DriverClosed("it was closed")
        await super().connect()


@breaks("test_closing_a_sibling_leaves_the_others_alone")
class TakesTheStoreWithIt(Sabotaged):
    async def close(self):
        self._shared._leased.clear()
        await super().close()


@breaks("test_closing_ends_a_claim_that_waits")
class LeavesItsWaitingClaims(Sabotaged):
    async def close(self):
        self._open = False


@breaks("test_what_was_enqueued_survives_a_reopening")
class SaysItIsDurable(Sabotaged, durable=True):
    async def close(self):
        await super().close()
        self._shared._live.clear()
        self._shared._queues.clear()


@breaks("test_siblings_work_side_by_side_on_loops_of_their_own")
class KnowsOneLoop(Sabotaged):
    async def connect(self):
        await super().connect()
        if self._shared.__dict__.setdefault("loop", asyncio.get_running_loop()) is not asyncio.get_running_loop():
            raise DriverUnavailable("attached to a different loop")


# The bite


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience: what a broken driver fails to do will not be done later either."""
    for info in pkgutil.iter_modules(contract.__path__, contract.__name__ + "."):
        module = importlib.import_module(info.name)
        for name, seconds in {"PROMPT": 1.0, "WAIT": 1.5}.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, seconds)


def test_every_promise_has_a_broken_driver_and_every_broken_driver_a_promise() -> None:
    assert set(BROKEN) == set(DriverContract.promises())


def test_the_docs_list_every_promise_and_what_breaks_it() -> None:
    assert _in_words() in Path("docs/contract.md").read_text()


def _in_words() -> str:
    """The table of the docs: a part of the contract, its promises, the broken driver of each."""
    lines: list[str] = []
    for part in DriverContract.__mro__:
        promises = [name for name in vars(part) if name in BROKEN]
        if promises:
            lines += ["", f"**{part.__doc__}**", "", "| Promise | Is broken by a driver that |", "|---|---|"]
            lines += [f"| {_sentence(name)} | {_words(BROKEN[name].__name__)} |" for name in promises]
    return "\n".join(lines).strip()


def _sentence(promise: str) -> str:
    return promise.removeprefix("test_").replace("_", " ")


def _words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


@pytest.mark.asyncio
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("promise", BROKEN)
async def test_a_promise_fails_on_its_broken_driver(promise: str) -> None:
    failures = [failure async for failure in _failures(promise)]
    assert any(failures), f"{promise} passes on {BROKEN[promise].__name__}: it has no teeth"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "driver",
    [
        SettlesById,
        ExtendsById,
        ForgetsExpiries,
        SpendsReleases,
        ExtendsForEver,
        PurgesTheDeadToo,
        RequeuesWithTheOldAttempts,
        CountsLeasedAsDelayed,
        ServesQueuesBackwards,
        BindsReceiptsToItself,
    ],
)
def test_the_model_tells_a_broken_driver_apart(driver: type[MemoryDriver]) -> None:
    @contextmanager
    def broker():
        harness = MemoryHarness()
        yield driver(clock=harness.clock), harness

    case = against_the_model(broker)
    case.settings = settings(
        case.settings, max_examples=200, derandomize=True, database=None, print_blob=False, phases=(Phase.generate,)
    )
    with pytest.raises(AssertionError):
        case("runTest").runTest()


async def _failures(promise: str):
    suite = DriverContract()
    test = getattr(suite, promise)
    for arguments in _parameters(test):
        harness = getattr(BROKEN[promise], "harness", MemoryHarness)()
        driver = BROKEN[promise](clock=harness.clock)
        await driver.connect()
        assert suite.inapplicable(promise, driver) is None
        wanted = inspect.signature(test).parameters
        given = {"driver": driver, "harness": harness, "queue": new_queue(), **arguments}
        try:
            await test(**{name: value for name, value in given.items() if name in wanted})
        except (AssertionError, pytest.fail.Exception, AsyncTasQError) as failure:
            yield failure
        else:
            yield None


def _parameters(test) -> Iterator[dict[str, object]]:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    for values in itertools.product(*(mark.args[1] for mark in marks)):
        yield dict(zip((mark.args[0] for mark in marks), values, strict=True))
