"""Any driver, step by step beside a plain model: Hypothesis makes up the steps, and shrinks those that tell them apart.

    @contextmanager
    def broker():
        harness = MemoryHarness()
        yield MemoryDriver(clock=harness.clock), harness

    TestMemoryDriverIsTheModel = against_the_model(broker)

The model is dicts and a clock that stands still between two steps, and shares no code with any driver. It follows a driver in
what it leaves open (which due messages a claim takes) and in what it does not declare: without fencing, it uses no receipt that a
worker would have given up; without idempotence, it sends no id twice; without exact counts, it counts by claiming. It predicts
everything else. The harness must be able to shift time, or a run would take days.
"""

from __future__ import annotations

import asyncio
import itertools
import unittest
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, Ack, DeadLetter, Release, Retry, Settlement, Verdict
from asynctasq.ports.driver import DeadLetters, EnqueueStatus, ExtendStatus, Purgeable, QueueDriver, SettleStatus
from asynctasq.testing.contract.base import PROMISE
from asynctasq.testing.contract.driver.steps import Harness, message, new_queue, take

_T = TypeVar("_T")

Broker = Callable[[], AbstractContextManager[tuple[QueueDriver, Harness]]]


def against_the_model(broker: Broker) -> type[unittest.TestCase]:
    """A test case that compares a driver with the model. How many examples of how many steps: Hypothesis' profile says.

    Args:
        broker: gives an unconnected driver of an empty broker, and its harness; called for every example.
    """

    class Machine(_Machine):
        open_broker = staticmethod(broker)

    case = Machine.TestCase
    setattr(case, PROMISE, "every step beside the model")
    case.settings = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    return case


@dataclass
class _Row:
    """What the model knows of one message that is alive."""

    queue: str
    body: bytes
    due: int
    attempts: int = 0
    expiries: int = 0
    receipt: str | None = None
    errors: list[str] = field(default_factory=list[str])


@dataclass
class _Grave:
    """What the model knows of one dead letter."""

    queue: str
    body: bytes
    reason: str
    attempts: int
    errors: list[str]


@dataclass
class _Model:
    """What a broker should be holding. Time is counted in whole units of the harness, and passes only when told to."""

    now: int = 0
    live: dict[str, _Row] = field(default_factory=dict[str, _Row])
    dead: dict[str, _Grave] = field(default_factory=dict[str, _Grave])

    def due(self, queue: str) -> set[str]:
        return {id for id, row in self.live.items() if row.queue == queue and row.due <= self.now}

    def holder_of(self, receipt: str) -> str | None:
        return next((id for id, row in self.live.items() if row.receipt == receipt), None)

    def take(self, id: str, receipt: str, lease: int) -> _Row:
        row = self.live[id]
        row.expiries += row.receipt is not None
        row.attempts += 1
        row.receipt, row.due = receipt, self.now + lease
        return row

    def settle(self, receipt: str, verdict: Verdict, unit: float) -> SettleStatus:
        id = self.holder_of(receipt)
        if id is None:
            return SettleStatus.LOST
        row = self.live[id]
        row.receipt = None
        match verdict:
            case Ack():
                del self.live[id]
            case DeadLetter():
                del self.live[id]
                self.dead[id] = _Grave(row.queue, row.body, verdict.reason, row.attempts, row.errors)
            case Retry():
                row.due = self.now + round(verdict.delay / unit)
                row.errors.append(verdict.error)
            case Release():
                row.due = self.now + round(verdict.delay / unit)
                row.attempts -= 1
        return SettleStatus.DONE


CROWD = 5
"""How many messages make a queue worth emptying, and new ones unnecessary."""

_PREDICTED = ("refunds_release",)

_queues = st.sampled_from((0, 1))
_units = st.sampled_from((0, 0, 1, 3))
_leases = st.sampled_from((1, 1, 4))
_verdicts = st.sampled_from((Ack, Retry, Release, DeadLetter))
_recent = st.integers(0, 5)


class _Machine(RuleBasedStateMachine):
    open_broker: Broker

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model()
        self.names = (new_queue(), new_queue())
        self.serial = itertools.count(1)
        # The same steps must be the same again, also where a driver goes by ids, as it may for messages that are due at once.
        self.ids = map(str, map(_uuid, itertools.count(uuid.uuid4().int >> 1)))
        self.sent: list[Message] = []
        self.held: list[Claim] = []
        self.loop = asyncio.Runner()
        self.broker = self.open_broker()
        self.driver, self.harness = self.broker.__enter__()
        self.loop.run(self.driver.connect())
        weak = [name for name in _PREDICTED if not getattr(self.driver.capabilities, name)]
        assert not weak, f"the model cannot predict a driver that does not declare {', '.join(weak)}"

    def teardown(self) -> None:
        self.loop.run(self.driver.close())
        self.loop.close()
        self.broker.__exit__(None, None, None)

    # Few messages at a time: what matters is how often the same one is taken up again.
    @precondition(lambda self: len(self.model.live) < CROWD)
    @rule(places=st.lists(st.tuples(_queues, _units), min_size=1, max_size=3))
    def enqueue(self, places: Sequence[tuple[int, int]]) -> None:
        """Messages that are new."""
        batch = [
            message(
                self.names[queue], str(next(self.serial)).encode(), id=next(self.ids), delay=delay * self.harness.unit
            )
            for queue, delay in places
        ]
        self.expect_enqueued(batch)
        self.sent += batch

    @precondition(lambda self: self.sent and self.driver.capabilities.idempotent_enqueue)
    @rule(which=_recent, delay=_units)
    def enqueue_the_same_id(self, which: int, delay: int) -> None:
        """An id that its queue has seen: alive, dead or gone."""
        body, earlier = str(next(self.serial)).encode(), _latest(self.sent, which)
        self.expect_enqueued([message(earlier.queue, body, id=earlier.id, delay=delay * self.harness.unit)] * 2)

    def expect_enqueued(self, batch: Sequence[Message]) -> None:
        expected: list[EnqueueStatus] = []
        for sent in batch:
            if sent.id in self.model.live or sent.id in self.model.dead:
                expected.append(EnqueueStatus.DUPLICATE)
                continue
            expected.append(EnqueueStatus.CREATED)
            due = self.model.now + round(sent.delay / self.harness.unit)
            self.model.live[sent.id] = _Row(sent.queue, sent.body, due)
        answers = self.loop.run(self.driver.enqueue(batch))
        assert [(a.status, a.id) for a in answers] == [(e, m.id) for e, m in zip(expected, batch, strict=True)]

    @rule(order=st.permutations((0, 1)), limit=st.integers(1, 4), lease=_leases)
    def claim(self, order: Sequence[int], limit: int, lease: int) -> None:
        """Both queues, in either order."""
        first, second = (self.names[queue] for queue in order)
        due_first, due_second = self.model.due(first), self.model.due(second)
        claims = self.loop.run(take(self.driver, first, second, limit=limit, lease=lease * self.harness.unit))
        taken = [{c.message.id for c in claims if c.message.queue == name} for name in (first, second)]
        assert taken[0] <= due_first
        assert taken[1] <= due_second
        assert len(taken[0]) == min(limit, len(due_first))
        assert len(taken[1]) == min(limit - len(taken[0]), len(due_second))
        assert len(claims) == len(taken[0]) + len(taken[1]), "a message was claimed twice"
        for claim in claims:
            row = self.model.take(claim.message.id, claim.receipt, lease)
            assert (claim.message.body, claim.attempt, claim.expiries) == (row.body, row.attempts, row.expiries)
        self.held += claims

    @rule(order=st.permutations((0, 1)), lease=_leases)
    def claim_what_has_been_left_behind(self, order: Sequence[int], lease: int) -> None:
        """The shortest leases end, and their messages are claimed again."""
        self.age(1)
        self.claim(order, CROWD, lease)

    @rule()
    def claim_everything(self) -> None:
        """All delays and leases end, and what is there comes: all of it, and nothing else."""
        self.age(max((row.due - self.model.now for row in self.model.live.values()), default=0))
        while any(self.model.due(name) for name in self.names):
            self.claim((0, 1), CROWD, 4)
        self.claim((0, 1), 1, 1)

    @precondition(lambda self: self.usable())
    @rule(which=st.lists(_recent, min_size=1, max_size=3), lease=_leases)
    def extend(self, which: Sequence[int], lease: int) -> None:
        """Receipts that may be stale by now."""
        usable = self.usable()
        held = [_latest(usable, n) for n in which]
        expected: list[ExtendStatus] = []
        for claim in held:
            id = self.model.holder_of(claim.receipt)
            expected.append(ExtendStatus.LOST if id is None else ExtendStatus.KEPT)
            if id is not None:
                self.model.live[id].due = self.model.now + lease
        answers = self.loop.run(self.driver.extend(held, lease=lease * self.harness.unit))
        assert [answer.status for answer in answers] == expected

    @precondition(lambda self: self.usable(late=True))
    @rule(steps=st.lists(st.tuples(_recent, _verdicts, _units), min_size=1, max_size=3))
    def settle(self, steps: Sequence[tuple[int, type[Verdict], int]]) -> None:
        """Receipts that may be stale by now, every verdict."""
        unit, usable = self.harness.unit, self.usable(late=True)
        batch = [
            Settlement(claim=_latest(usable, which), verdict=self.verdict(kind, delay * unit))
            for which, kind, delay in steps
        ]
        if not self.driver.capabilities.fencing:
            batch = list({settlement.claim.receipt: settlement for settlement in batch}.values())
        expected = [self.model.settle(s.claim.receipt, s.verdict, unit) for s in batch]
        answers = self.loop.run(self.driver.settle(batch))
        assert [answer.status for answer in answers] == expected

    def usable(self, *, late: bool = False) -> list[Claim]:
        """The claims whose receipts may be used: without fencing, those that are good, and have not ended unless `late`."""
        if self.driver.capabilities.fencing:
            return self.held
        holders = [(claim, self.model.holder_of(claim.receipt)) for claim in self.held]
        return [claim for claim, id in holders if id and (late or self.model.live[id].due > self.model.now)]

    def verdict(self, kind: type[Verdict], delay: float) -> Verdict:
        text = str(next(self.serial))
        if kind is Retry:
            return Retry(delay=delay, error=text)
        if kind is Release:
            return Release(delay=delay)
        return DeadLetter(reason=text, error=text) if kind is DeadLetter else ACK

    @rule(units=st.sampled_from((1, 1, 2, 4)))
    def age(self, units: int) -> None:
        """Delays and leases end."""
        self.model.now += units
        self.loop.run(self.harness.age(units * self.harness.unit))

    @precondition(lambda self: len(self.model.live) >= CROWD or self.model.dead)
    @rule(queue=_queues)
    def purge(self, queue: int) -> None:
        """Everything but the dead: preferably where there are some."""
        if isinstance(self.driver, Purgeable):
            graves = list(self.model.dead.values())
            name = graves[-1].queue if graves else self.names[queue]
            purged = [id for id, row in self.model.live.items() if row.queue == name]
            for id in purged:
                del self.model.live[id]
            assert self.loop.run(self.driver.purge(name)) == len(purged)

    @precondition(lambda self: self.model.dead)
    @rule(which=st.lists(_recent, min_size=1, max_size=3))
    def requeue(self, which: Sequence[int]) -> None:
        """Ids that are dead, or were."""
        if isinstance(self.driver, DeadLetters):
            ids = [_latest(list(self.model.dead), n) for n in which]
            graves = [self.model.dead.pop(id, None) for id in ids]
            for id, grave in zip(ids, graves, strict=True):
                if grave is not None:
                    self.model.live[id] = _Row(grave.queue, grave.body, self.model.now)
            answers = self.loop.run(self.driver.requeue_dead(ids))
            assert list(answers) == [grave is not None for grave in graves]

    @precondition(lambda self: self.model.dead)
    @rule(which=_recent)
    def purge_dead(self, which: int) -> None:
        """An id that is dead, and one that is not."""
        if isinstance(self.driver, DeadLetters):
            id = _latest(list(self.model.dead), which)
            del self.model.dead[id]
            assert list(self.loop.run(self.driver.purge_dead([id, "unknown"]))) == [True, False]

    @rule()
    def reconnect(self) -> None:
        """The connection is dropped and made again."""
        self.loop.run(self.driver.close())
        self.loop.run(self.driver.connect())

    @rule()
    def go_on_with_a_sibling(self) -> None:
        """What was claimed on one driver is extended and settled on another."""
        sibling = self.driver.sibling()
        self.loop.run(sibling.connect())
        self.loop.run(self.driver.close())
        self.driver = sibling

    @invariant()
    def counts_are_the_models(self) -> None:
        """Nothing is lost, made up, or in two states at once."""
        if not self.driver.capabilities.exact_stats:
            return
        for stats in self.loop.run(self.driver.stats(self.names)):
            rows = [row for row in self.model.live.values() if row.queue == stats.queue]
            later = [row for row in rows if row.due > self.model.now]
            leased = sum(row.receipt is not None for row in later)
            dead = sum(grave.queue == stats.queue for grave in self.model.dead.values())
            counted = (stats.ready, stats.delayed, stats.leased, stats.dead)
            assert counted == (len(rows) - len(later), len(later) - leased, leased, dead)

    @invariant()
    def dead_letters_are_the_models(self) -> None:
        """The dead are whole."""
        if isinstance(self.driver, DeadLetters):
            listed = [dead for name in self.names for dead in self.loop.run(self.driver.list_dead(name, limit=1_000))]
            assert {dead.id for dead in listed} == self.model.dead.keys()
            for dead in listed:
                grave = self.model.dead[dead.id]
                assert (dead.queue, dead.body, dead.reason) == (grave.queue, grave.body, grave.reason)
                assert dead.attempts == grave.attempts
                kept = [past.error for past in dead.history]
                assert kept == grave.errors[len(grave.errors) - len(kept) :]
                assert kept or not (grave.errors and self.driver.capabilities.attempt_history)


def _uuid(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def _latest(items: Sequence[_T], which: int) -> _T:
    return items[-1 - which % len(items)]
