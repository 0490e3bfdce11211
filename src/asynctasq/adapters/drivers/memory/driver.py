"""The driver without a broker: the port's reference implementation, in this process's memory."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from asynctasq.adapters.drivers.memory.store import Store
from asynctasq.domain.errors import DriverClosed
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Settlement
from asynctasq.ports.driver import (
    Capabilities,
    DeadLetters,
    DeadMessage,
    Enqueued,
    Extended,
    ExtendStatus,
    Inspector,
    Purgeable,
    QueueDriver,
    QueueStats,
    Settled,
)
from asynctasq.ports.examination import Examinable, Finding
from asynctasq.ports.search import LiveMessage, Searchable

_CAPABILITIES = Capabilities(
    max_delay=None,
    delay_resolution=0.001,
    ordered=True,
    fencing=True,
    idempotent_enqueue=True,
    atomic_batch=True,
    atomic_move=True,
    refunds_release=True,
    attempt_history=True,
    lease="timed",
    max_lease=None,
    max_body=None,
    claim_limit=None,
    exact_stats=True,
)


class MemoryDriver(QueueDriver, DeadLetters, Inspector, Purgeable, Examinable, Searchable):
    """A driver whose broker is this process: for tests, and where losing the queue with the process is acceptable.

    Siblings share one store, on any loop and in any thread; two drivers that were built apart share nothing.

    Args:
        clock: the broker's clock, in seconds since the epoch.
        monotonic: the worker's clock, on which the deadlines of claims are given.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.capabilities = _CAPABILITIES
        self.location = "memory"
        self._clock = clock
        self._monotonic = monotonic
        self._shared = Store(clock)
        self._open = False

    async def connect(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._shared.wake(self)

    def sibling(self) -> MemoryDriver:
        sibling = type(self)(clock=self._clock, monotonic=self._monotonic)
        sibling._shared = self._shared
        return sibling

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        return self._store.add(messages)

    async def claim(
        self,
        queues: Sequence[str],
        *,
        limit: int,
        lease: float,
        wait: float,
        worker: str,  # noqa: ARG002
    ) -> Sequence[Claim]:
        claims = self._take(queues, limit, lease)
        if claims or wait <= 0:
            return claims
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        with self._store.waiting(queues, self) as waiter:
            # What came between the first look and here has woken nobody, so the loop begins by looking again.
            while not (claims := self._take(queues, limit, lease)) and (left := end - loop.time()) > 0:
                await waiter.sleep(min(left, self._store.due_in(queues)))
        return claims

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        kept = Extended(ExtendStatus.KEPT, self._monotonic() + lease)
        receipts = [claim.receipt for claim in claims]
        return [kept if extended else _GONE for extended in self._store.extend(receipts, lease)]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        return self._store.settle(settlements)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        return self._store.stats(queues)

    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        return self._store.list_dead(queue, limit, after)

    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        return self._store.get_dead(ids)

    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return self._store.requeue_dead(ids)

    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return self._store.purge_dead(ids)

    async def queues(self) -> Sequence[str]:
        return self._store.queues()

    async def purge(self, queue: str) -> int:
        return self._store.purge(queue)

    async def examine(self) -> Sequence[Finding]:
        queues = len(self._store.queues())
        return [
            Finding(
                subject="durability",
                said=f"{queues} queues live in this process and end with it",
                mend="this is for tests: name a broker, such as driver = 'sqlite'",
            )
        ]

    async def clock(self) -> float:
        return self._store.now()

    async def find(self, ids: Sequence[str]) -> Sequence[LiveMessage | None]:
        return self._store.find(ids)

    def _take(self, queues: Sequence[str], limit: int, lease: float) -> Sequence[Claim]:
        return self._store.take(queues, limit, lease, self._monotonic() + lease)

    @property
    def _store(self) -> Store:
        if not self._open:
            raise DriverClosed("the memory driver is not connected: await connect() first")
        return self._shared


_GONE = Extended(ExtendStatus.LOST)
