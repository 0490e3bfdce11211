"""What the siblings of a memory driver share: the messages, and who waits for them.

A message that is alive has one place in the heap of its queue, ordered by when it may be claimed next: when its delay or its
lease ends. So a claim looks at the top of a heap and nowhere else. Moving a message gives it a new place; the old one is
left behind and passed over, until there are enough of those to sweep.
"""
# ruff: noqa: D102 - the store's methods are the verbs of the port again

from __future__ import annotations

import asyncio
import math
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from heapq import heapify, heappop, heappush
from itertools import count, dropwhile, islice

from asynctasq.domain.errors import InvalidName, UnsupportedByDriver
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.verdict import Ack, DeadLetter, Retry, Settlement
from asynctasq.ports.driver import (
    AttemptError,
    DeadMessage,
    Enqueued,
    EnqueueStatus,
    QueueDriver,
    QueueStats,
    Settled,
    SettleStatus,
)
from asynctasq.ports.refusals import refusal_of_follow_ups
from asynctasq.ports.search import LiveMessage, live_message

HISTORY_LIMIT = 20
"""How many errors of earlier attempts are kept with a message, the latest ones."""

SWEEP_FROM = 100
"""How many abandoned places make a heap worth sweeping, once they are the majority."""


class _Entry:
    """A message that is alive: ready, delayed or leased.

    Attributes:
        visible_at: when it may be claimed (again).
        place: which of its places in the heap is the current one.
        receipt: of the latest claim, if that has not been settled.
    """

    __slots__ = ("attempts", "enqueued_at", "expiries", "history", "message", "place", "receipt", "visible_at")

    def __init__(self, message: Message, enqueued_at: float) -> None:
        self.message = message
        self.enqueued_at = enqueued_at
        self.visible_at = 0.0
        self.place = 0
        self.attempts = 0
        self.expiries = 0
        self.receipt: str | None = None
        self.history: tuple[AttemptError, ...] = ()


class _Queue:
    """The living messages of one queue, by when they may be claimed next, then by when they were put there."""

    __slots__ = ("_abandoned", "_heap", "_places")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Entry]] = []
        self._places = count(1)
        self._abandoned = 0

    def put(self, entry: _Entry, visible_at: float) -> bool:
        """Give an entry that has no place one. Says whether it is the first in line."""
        entry.visible_at = visible_at
        entry.place = next(self._places)
        place = (visible_at, entry.place, entry)
        heappush(self._heap, place)
        return self._heap[0] is place

    def drop(self, entry: _Entry) -> None:
        """Take an entry's place away."""
        entry.place = 0
        self._abandoned += 1
        if self._abandoned == len(self._heap) or self._abandoned > max(SWEEP_FROM, len(self._heap) // 2):
            self._heap = [place for place in self._heap if place[2].place == place[1]]
            heapify(self._heap)
            self._abandoned = 0

    def first(self) -> _Entry | None:
        """The entry that may be claimed next, now or later."""
        while self._heap:
            _, place, entry = self._heap[0]
            if entry.place == place:
                return entry
            heappop(self._heap)
            self._abandoned -= 1
        return None

    def pop_due(self, now: float, limit: int) -> list[_Entry]:
        """Up to `limit` entries that may be claimed, without a place from here on."""
        due: list[_Entry] = []
        while len(due) < limit and (entry := self.first()) is not None and entry.visible_at <= now:
            heappop(self._heap)
            due.append(entry)
        return due

    def __iter__(self) -> Iterator[_Entry]:
        return (entry for _, place, entry in self._heap if entry.place == place)


class _Waiter:
    """A claim that waits, on whichever loop it is."""

    __slots__ = ("_loop", "_woken", "driver", "queues")

    def __init__(self, queues: Sequence[str], driver: QueueDriver) -> None:
        self.driver = driver
        self.queues = frozenset(queues)
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the sleep; from any thread."""
        # The loop may have been closed with the claim still on it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    async def sleep(self, seconds: float) -> None:
        """Until woken, but no longer than `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()


class Store:
    """What siblings share. Every method is one atomic step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._live: dict[str, _Entry] = {}
        self._leased: dict[str, _Entry] = {}
        self._dead: dict[str, DeadMessage] = {}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._waiters: set[_Waiter] = set()
        # Random, so that a receipt of another store is not taken for one of this one's.
        self._receipts = map(f"{secrets.token_hex(8)}-{{}}".format, count(1))

    def now(self) -> float:
        return self._clock()

    def add(self, messages: Sequence[Message]) -> list[Enqueued]:
        with self._lock:
            now = self._clock()
            return [self._add(message, now) for message in messages]

    def take(self, queues: Sequence[str], limit: int, lease: float, deadline: float) -> list[Claim]:
        with self._lock:
            now = self._clock()
            due: list[_Entry] = []
            for name in queues:
                if name in self._queues:
                    due += self._queues[name].pop_due(now, limit - len(due))
            return [self._lease(entry, now + lease, deadline) for entry in due]

    def due_in(self, queues: Sequence[str]) -> float:
        """Seconds until the next delay or lease of these queues ends."""
        with self._lock:
            firsts = (self._queues[name].first() for name in queues if name in self._queues)
            return min((entry.visible_at for entry in firsts if entry), default=math.inf) - self._clock()

    @contextmanager
    def waiting(self, queues: Sequence[str], driver: QueueDriver) -> Generator[_Waiter, None, None]:
        """Be woken, from here on, by whatever comes to these queues."""
        waiter = _Waiter(queues, driver)
        with self._lock:
            self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def wake(self, driver: QueueDriver) -> None:
        """Wake the claims that wait on one driver."""
        with self._lock:
            for waiter in self._waiters:
                if waiter.driver is driver:
                    waiter.wake()

    def extend(self, receipts: Sequence[str], lease: float) -> list[bool]:
        with self._lock:
            visible_at = self._clock() + lease
            return [self._extend(receipt, visible_at) for receipt in receipts]

    def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        with self._lock:
            now = self._clock()
            return [self._settle(settlement, now) for settlement in settlements]

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with self._lock:
            now = self._clock()
            return [self._stats(name, now) for name in queues]

    def list_dead(self, queue: str, limit: int, after: str | None) -> list[DeadMessage]:
        with self._lock:
            dead = reversed(self._dead.values())
            if after is not None:
                dead = dropwhile(lambda letter: letter.id != after, dead)
                next(dead, None)
            return list(islice((letter for letter in dead if letter.queue == queue), limit))

    def get_dead(self, ids: Sequence[str]) -> list[DeadMessage | None]:
        with self._lock:
            return [self._dead.get(id) for id in ids]

    def find(self, ids: Sequence[str]) -> list[LiveMessage | None]:
        with self._lock:
            now = self._clock()
            found = (self._live.get(id) for id in ids)
            return [None if entry is None else _live_message(entry, now) for entry in found]

    def requeue_dead(self, ids: Sequence[str]) -> list[bool]:
        with self._lock:
            now = self._clock()
            return [self._requeue(id, now) for id in ids]

    def purge_dead(self, ids: Sequence[str]) -> list[bool]:
        with self._lock:
            return [self._dead.pop(id, None) is not None for id in ids]

    def queues(self) -> list[str]:
        with self._lock:
            names = {entry.message.queue for entry in self._live.values()}
            names.update(letter.queue for letter in self._dead.values())
            return sorted(names)

    def purge(self, queue: str) -> int:
        with self._lock:
            purged = list(self._queues.pop(queue, ()))
            for entry in purged:
                del self._live[entry.message.id]
                if entry.receipt is not None:
                    del self._leased[entry.receipt]
            return len(purged)

    def _add(self, message: Message, now: float) -> Enqueued:
        try:
            _check(message)
        except (InvalidName, UnsupportedByDriver) as refusal:
            return Enqueued(EnqueueStatus.FAILED, message.id, refusal)
        if message.id in self._live or message.id in self._dead:
            return Enqueued(EnqueueStatus.DUPLICATE, message.id)
        self._live[message.id] = entry = _Entry(message, now)
        self._show(entry, now + message.delay)
        return Enqueued(EnqueueStatus.CREATED, message.id)

    def _show(self, entry: _Entry, visible_at: float) -> None:
        """Queue an entry that nobody holds, and wake the claims that wait for it."""
        queue = entry.message.queue
        if self._queues[queue].put(entry, visible_at):
            for waiter in self._waiters:
                if queue in waiter.queues:
                    waiter.wake()

    def _lease(self, entry: _Entry, visible_at: float, deadline: float) -> Claim:
        if entry.receipt is not None:
            del self._leased[entry.receipt]
            entry.expiries += 1
        entry.attempts += 1
        entry.receipt = receipt = next(self._receipts)
        self._leased[receipt] = entry
        self._queues[entry.message.queue].put(entry, visible_at)
        return Claim(
            message=entry.message,
            attempt=entry.attempts,
            receipt=receipt,
            deadline=deadline,
            enqueued_at=entry.enqueued_at,
            expiries=entry.expiries,
        )

    def _extend(self, receipt: str, visible_at: float) -> bool:
        entry = self._leased.get(receipt)
        if entry is None:
            return False
        queue = self._queues[entry.message.queue]
        queue.drop(entry)
        queue.put(entry, visible_at)
        return True

    def _settle(self, settlement: Settlement, now: float) -> Settled:
        if settlement.then:
            return Settled(SettleStatus.FAILED, refusal_of_follow_ups("memory"))
        entry = self._leased.pop(settlement.claim.receipt, None)
        if entry is None:
            return _LOST
        self._queues[entry.message.queue].drop(entry)
        entry.receipt = None
        verdict = settlement.verdict
        if isinstance(verdict, Ack):
            del self._live[entry.message.id]
        elif isinstance(verdict, DeadLetter):
            del self._live[entry.message.id]
            self._dead[entry.message.id] = _dead_letter(entry, verdict, now)
        elif isinstance(verdict, Retry):
            failure = AttemptError(attempt=entry.attempts, at=now, error=verdict.error)
            entry.history = (*entry.history, failure)[-HISTORY_LIMIT:]
            self._show(entry, now + verdict.delay)
        else:
            entry.attempts -= 1
            self._show(entry, now + verdict.delay)
        return _DONE

    def _requeue(self, id: str, now: float) -> bool:
        letter = self._dead.pop(id, None)
        if letter is None:
            return False
        self._live[id] = entry = _Entry(Message(id=id, queue=letter.queue, body=letter.body), letter.enqueued_at)
        self._show(entry, now)
        return True

    def _stats(self, name: str, now: float) -> QueueStats:
        entries = list(self._queues[name]) if name in self._queues else []
        ready = [entry.visible_at for entry in entries if entry.visible_at <= now]
        leased = sum(entry.visible_at > now and entry.receipt is not None for entry in entries)
        return QueueStats(
            queue=name,
            ready=len(ready),
            delayed=len(entries) - len(ready) - leased,
            leased=leased,
            dead=sum(letter.queue == name for letter in self._dead.values()),
            oldest_age=now - min(ready) if ready else None,
            exact=True,
        )


_DONE, _LOST = Settled(SettleStatus.DONE), Settled(SettleStatus.LOST)


def _check(message: Message) -> None:
    check_queue_name(message.queue)
    if (
        message.priority
        or message.unique_key is not None
        or message.unique_for is not None
        or message.group is not None
    ):
        raise UnsupportedByDriver(
            f"message {message.id}: the memory driver knows no priority, unique_key, unique_for or group; leave them out"
        )


def _live_message(entry: _Entry, now: float) -> LiveMessage:
    return live_message(
        id=entry.message.id,
        queue=entry.message.queue,
        body=entry.message.body,
        leased=entry.receipt is not None,
        attempts=entry.attempts,
        expiries=entry.expiries,
        enqueued_at=entry.enqueued_at,
        due_in=entry.visible_at - now,
    )


def _dead_letter(entry: _Entry, verdict: DeadLetter, now: float) -> DeadMessage:
    return DeadMessage(
        id=entry.message.id,
        queue=entry.message.queue,
        body=entry.message.body,
        reason=verdict.reason,
        error=verdict.error,
        attempts=entry.attempts,
        enqueued_at=entry.enqueued_at,
        died_at=now,
        history=entry.history,
    )
