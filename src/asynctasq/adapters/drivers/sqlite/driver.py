"""The embedded driver: a queue in one SQLite file."""
# ruff: noqa: D102 - the verbs are documented by the port

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from asynctasq.adapters.drivers.sqlite import dead, examination, search, store
from asynctasq.adapters.drivers.sqlite.connection import Connection, Synchronous
from asynctasq.adapters.drivers.sqlite.location import default_path
from asynctasq.adapters.drivers.sqlite.values import storable
from asynctasq.adapters.drivers.sqlite.wakeup import Waiter
from asynctasq.adapters.drivers.sqlite.writer import Work, Writer
from asynctasq.domain.errors import ConfigurationError, DispatchError, DriverClosed, InvalidName
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Release, Retry, Settlement
from asynctasq.ports.driver import (
    Capabilities,
    DeadLetters,
    DeadMessage,
    Enqueued,
    EnqueueStatus,
    Extended,
    Inspector,
    Purgeable,
    QueueDriver,
    QueueStats,
    Settled,
)
from asynctasq.ports.examination import Examinable, Finding
from asynctasq.ports.refusals import refusal_of_message
from asynctasq.ports.search import LiveMessage, Searchable

LONGEST_WAIT = 0.5
"""Seconds between two looks of a waiting claim, whether it was hinted or not: the net under lost hints."""

_CAPABILITIES = Capabilities(
    durable=True,
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


class SQLiteDriver(QueueDriver, DeadLetters, Inspector, Purgeable, Examinable, Searchable):
    """A durable queue in a file of its own, shared by all processes of one host and needing no server.

    Args:
        path: the file; created with its folder when it is not there. None for `default_path()`.
        synchronous: "full" loses nothing that was acknowledged, not even in a power cut; "normal" is several times faster
            one by one and may lose the last moments before a power cut, though nothing when processes die.

    Raises:
        ConfigurationError: `path` cannot be a file's, or `synchronous` is neither.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, synchronous: Synchronous = "full") -> None:
        if synchronous not in ("full", "normal"):
            raise ConfigurationError(f"synchronous={synchronous!r}: use 'full' or 'normal'")
        if path is not None and str(path) in ("", ":memory:"):
            raise ConfigurationError(f"path={str(path)!r}: name a file, or use the memory driver")
        self.capabilities = _CAPABILITIES
        self.location = os.path.abspath(Path(path).expanduser() if path is not None else default_path())
        self._synchronous: Synchronous = synchronous
        self._open_writer: Writer | None = None
        self._waiters: set[Waiter] = set()

    async def connect(self) -> None:
        if self._open_writer is not None:
            return
        writer = Writer(self.location, self._synchronous)
        try:
            await writer.ask(_look_in)
        except BaseException:
            writer.stop()
            raise
        if self._open_writer is not None:  # connected twice at once
            writer.stop()
            return
        self._open_writer = writer
        # A driver that is dropped without a close() takes its thread with it; at exit there is nothing to wait for.
        weakref.finalize(self, writer.stop).atexit = False

    async def close(self) -> None:
        writer, self._open_writer = self._open_writer, None
        if writer is not None:
            for waiter in self._waiters:
                waiter.hint()
            await writer.close()

    def sibling(self) -> SQLiteDriver:
        return SQLiteDriver(self.location, synchronous=self._synchronous)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        writer = self._writer
        answers: list[Enqueued] = []
        fresh: dict[str, Message] = {}
        for message in messages:
            if (refusal := _refusal(message)) is not None:
                answers.append(Enqueued(EnqueueStatus.FAILED, message.id, refusal))
            elif message.id in fresh:
                answers.append(Enqueued(EnqueueStatus.DUPLICATE, message.id))
            else:
                fresh[message.id] = message
                answers.append(Enqueued(EnqueueStatus.CREATED, message.id))
        if fresh:
            batch = list(fresh.values())
            taken = await writer.ask(partial(store.enqueue, messages=batch), brings_work=True)
            if taken:
                return [_duplicate_if(answer, taken) for answer in answers]
        return answers

    async def claim(
        self, queues: Sequence[str], *, limit: int, lease: float, wait: float, worker: str
    ) -> Sequence[Claim]:
        look = partial(store.claim, queues=tuple(queues), limit=limit, lease=lease, worker=worker)
        claims, _ = await self._writer.ask(look, undo=_release)
        if claims or wait <= 0:
            return claims
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        waiter = Waiter(self.location)
        self._waiters.add(waiter)
        try:
            while True:
                # What came between the last look and the first moment of listening has hinted nobody: look first.
                claims, due_in = await self._writer.ask(look, undo=_release)
                left = end - loop.time()
                if claims or left <= 0:
                    return claims
                await waiter.wait(min(left, LONGEST_WAIT, max(lease / 2, 0.001), left if due_in is None else due_in))
        finally:
            self._waiters.discard(waiter)
            waiter.close()

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        writer = self._writer
        return await writer.ask(partial(store.extend, claims=list(claims), lease=lease)) if claims else []

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        writer = self._writer
        brings_work = any(isinstance(settlement.verdict, (Retry, Release)) for settlement in settlements)
        work = partial(store.settle, settlements=list(settlements))
        return await writer.ask(work, brings_work=brings_work) if settlements else []

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        return await self._writer.ask(partial(store.stats, queues=tuple(queues)))

    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        return await self._writer.ask(partial(dead.list_dead, queue=queue, limit=limit, after=after))

    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        return await self._writer.ask(partial(dead.get_dead, ids=tuple(ids)))

    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._writer.ask(partial(dead.requeue_dead, ids=tuple(ids)), brings_work=True)

    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._writer.ask(partial(dead.purge_dead, ids=tuple(ids)))

    async def queues(self) -> Sequence[str]:
        return await self._writer.ask(store.queues)

    async def purge(self, queue: str) -> int:
        return await self._writer.ask(partial(store.purge, queue=queue))

    async def examine(self) -> Sequence[Finding]:
        look = partial(examination.findings, path=self.location, synchronous=self._synchronous)
        return await self._writer.ask(look)

    async def clock(self) -> float:
        return await self._writer.ask(_clock)

    async def find(self, ids: Sequence[str]) -> Sequence[LiveMessage | None]:
        return await self._writer.ask(partial(search.find, ids=tuple(ids)))

    @property
    def _writer(self) -> Writer:
        if self._open_writer is None:
            raise DriverClosed(f"the SQLite driver of {self.location} is not connected: await connect() first")
        return self._open_writer


def _look_in(connection: Connection) -> None:
    """Nothing; to have the connection opened is what was wanted."""


def _clock(_: Connection) -> float:
    """This host's: SQLite has no other."""
    return time.time()


def _release(outcome: tuple[list[Claim], float | None]) -> Work[object] | None:
    """What becomes of claims whose claimer was cancelled."""
    claims, _ = outcome
    if not claims:
        return None
    return partial(store.settle, settlements=[Settlement(claim=claim, verdict=Release()) for claim in claims])


def _duplicate_if(answer: Enqueued, taken: set[str]) -> Enqueued:
    if answer.status is EnqueueStatus.CREATED and answer.id in taken:
        return Enqueued(EnqueueStatus.DUPLICATE, answer.id)
    return answer


def _refusal(message: Message) -> DispatchError | None:
    """Why a message cannot be stored."""
    if not storable(message.id):
        return InvalidName(f"message id {message.id!r} holds a lone surrogate, which is no character: use another id")
    return refusal_of_message(message, _CAPABILITIES, "SQLite")
