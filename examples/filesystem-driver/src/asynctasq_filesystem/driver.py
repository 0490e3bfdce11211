"""The driver: asynctasq's verbs on folders. What a step is lies in `folder`; here they are run in threads, and waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from asynctasq.errors import (
    AsyncTasQError,
    ConfigurationError,
    DriverClosed,
    DriverError,
    DriverUnavailable,
    UnsupportedByDriver,
)
from asynctasq.ports import (
    Capabilities,
    Claim,
    DeadLetters,
    DeadMessage,
    Enqueued,
    EnqueueStatus,
    Extended,
    ExtendStatus,
    Inspector,
    Message,
    Purgeable,
    QueueDriver,
    QueueStats,
    Release,
    Settled,
    Settlement,
    SettleStatus,
    check_queue_name,
    refusal_of_follow_ups,
    refusal_of_message,
)
from asynctasq_filesystem.folder import LAST_MOMENT, Buried, QueueFolder

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741
A = TypeVar("A")

CAPABILITIES = Capabilities(
    durable=True,
    max_delay=None,
    delay_resolution=0.02,
    ordered=True,
    fencing=True,
    idempotent_enqueue=True,
    # A batch is many files: a crash in its middle leaves the first of them.
    atomic_batch=False,
    atomic_move=True,
    refunds_release=True,
    # A rename carries no text, and a second file beside it would be a second step.
    attempt_history=False,
    lease="timed",
    max_lease=None,
    max_body=None,
    claim_limit=None,
    exact_stats=True,
)

LONGEST_ID = 128
"""Bytes of an id in a file's name, which may have 255 in all."""

THREADS = 4
"""Steps that one driver takes at a time; one that waits for a lock does not hold up the others."""

POLL = 0.02
"""Seconds between two looks at whether a folder has changed: what an arrival may be late by."""

GRAIN = 50_000_000
"""Nanoseconds by which the time of a folder's last change may be behind the clock: the kernel's is coarse."""

FORMAT = "asynctasq-filesystem 1\n"


class FilesystemDriver(QueueDriver, DeadLetters, Inspector, Purgeable):
    """A driver whose broker is a folder on a disk of this machine.

    Args:
        path: the folder; made at the first connect. A relative one counts from the working directory.
        fsync: whether a message has reached the disk before its enqueue returns.
    """

    def __init__(self, path: str | Path, *, fsync: bool = True) -> None:
        self.capabilities = CAPABILITIES
        self._path = Path(path).absolute()
        self.location = str(self._path)
        self._fsync = fsync
        self._threads: ThreadPoolExecutor | None = None
        self._closing = False
        self._given_back: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        if self._threads is None:
            await asyncio.to_thread(self._prepare)
            self._closing = False
            self._threads = self._threads or ThreadPoolExecutor(THREADS, "asynctasq-filesystem")

    async def close(self) -> None:
        if self._threads is not None:
            self._closing = True
            await asyncio.gather(*self._given_back)
            threads, self._threads = self._threads, None
            await asyncio.to_thread(threads.shutdown)

    def sibling(self) -> FilesystemDriver:
        return type(self)(self._path, fsync=self._fsync)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        return await self._run(lambda: self._enqueue(messages))

    async def claim(
        self,
        queues: Sequence[str],
        *,
        limit: int,
        lease: float,
        wait: float,
        worker: str,  # noqa: ARG002
    ) -> Sequence[Claim]:
        folders = {name: self._queue(name) for name in queues}
        end = time.monotonic() + wait
        while True:
            looked = time.time_ns()
            taking = asyncio.ensure_future(self._run(lambda: self._take(folders, limit, lease)))
            try:
                claims, due = await asyncio.shield(taking)
            except asyncio.CancelledError:
                self._give_back(taking)
                raise
            if claims or not await self._work_comes(folders.values(), since=looked - GRAIN, due=due, end=end):
                return claims

    async def _work_comes(self, folders: Iterable[QueueFolder], *, since: int, due: int, end: float) -> bool:
        """Wait for a reason to look again: something has changed since, or is due. False when the time for that is over."""
        while (left := end - time.monotonic()) > 0:
            until_due = (due - time.time_ns()) / 1e9
            if until_due <= 0 or await self._run(lambda: any(folder.changed() >= since for folder in folders)):
                return True
            await asyncio.sleep(min(POLL, left, until_due))
        return False

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        kept = Extended(ExtendStatus.KEPT, time.monotonic() + lease)

        def work(folder: QueueFolder, mine: Sequence[Claim]) -> list[Extended]:
            held = folder.extend([claim.receipt for claim in mine], lease)
            return [kept if holds else Extended(ExtendStatus.LOST) for holds in held]

        def failed(_: Claim, error: AsyncTasQError) -> Extended:
            return Extended(ExtendStatus.FAILED, error=error)

        return await self._run(lambda: self._by_queue(claims, lambda claim: claim.message.queue, work, failed))

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        return await self._run(lambda: self._settle(settlements))

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        return await self._run(lambda: [self._queue(name).stats(name) for name in queues])

    async def list_dead(self, queue: str, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        return await self._run(
            lambda: [_dead_message(queue, dead) for dead in self._queue(queue).list_dead(limit, after)]
        )

    async def get_dead(self, ids: Sequence[str]) -> Sequence[DeadMessage | None]:
        def work() -> list[DeadMessage | None]:
            found = {
                dead.entry.id: _dead_message(name, dead)
                for name in self._names()
                for dead in self._queue(name).get_dead(set(ids))
            }
            return [found.get(id) for id in ids]

        return await self._run(work)

    async def requeue_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._run(lambda: self._among_the_dead(ids, QueueFolder.requeue))

    async def purge_dead(self, ids: Sequence[str]) -> Sequence[bool]:
        return await self._run(lambda: self._among_the_dead(ids, QueueFolder.purge_dead))

    async def queues(self) -> Sequence[str]:
        return await self._run(lambda: [name for name in self._names() if self._queue(name).holds_any()])

    async def purge(self, queue: str) -> int:
        return await self._run(lambda: self._queue(queue).purge())

    # In a thread from here on

    def _prepare(self) -> None:
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._path / "queues").mkdir(mode=0o700, exist_ok=True)
            _write_once(self._path / "format", FORMAT)
            known = (self._path / "format").read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self._path} cannot be used as a queue's folder: {error}") from error
        if known != FORMAT:
            raise ConfigurationError(f"{self._path} was written by another version, {known!r}: name another folder")
        if (self._path / "FORMAT").exists():
            raise ConfigurationError(
                f"{self._path} is on a file system that takes 'a' for 'A', as queues do not: name a folder on another"
            )

    def _enqueue(self, messages: Sequence[Message]) -> Sequence[Enqueued]:
        def work(folder: QueueFolder, mine: Sequence[Message]) -> list[Enqueued]:
            statuses = {True: EnqueueStatus.CREATED, False: EnqueueStatus.DUPLICATE}
            return [Enqueued(statuses[new], message.id) for message, new in zip(mine, folder.add(mine), strict=True)]

        def failed(message: Message, error: AsyncTasQError) -> Enqueued:
            return Enqueued(EnqueueStatus.FAILED, message.id, error)

        refused = {
            place: failed(message, error)
            for place, message in enumerate(messages)
            if (error := self._refusal(message)) is not None
        }
        good = [message for place, message in enumerate(messages) if place not in refused]
        answers = iter(self._by_queue(good, lambda message: message.queue, work, failed))
        return [refused.get(place) or next(answers) for place in range(len(messages))]

    def _refusal(self, message: Message) -> AsyncTasQError | None:
        refusal = refusal_of_message(message, self.capabilities, "filesystem")
        if refusal is None and len(quote(message.id, safe="")) > LONGEST_ID:
            return UnsupportedByDriver(
                f"the id {message.id[:20]!r}... is too long for a file's name: use at most {LONGEST_ID} letters and digits"
            )
        return refusal

    def _take(self, folders: dict[str, QueueFolder], limit: int, lease: float) -> tuple[list[Claim], int]:
        claims: list[Claim] = []
        soonest = LAST_MOMENT
        for name, folder in folders.items():
            if len(claims) == limit:
                break
            deadline = time.monotonic() + lease
            try:
                taken, due = folder.take(limit - len(claims), lease)
            except DriverError:
                if claims:
                    break  # those are ours; the next claim will say what is wrong with the others
                raise
            soonest = min(soonest, due)
            claims += (
                Claim(
                    message=Message(id=entry.id, queue=name, body=body),
                    attempt=entry.attempts,
                    receipt=entry.receipt,
                    deadline=deadline,
                    enqueued_at=entry.enqueued / 1e9,
                    expiries=entry.expiries,
                )
                for entry, body in taken
            )
        return claims, soonest

    def _settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        def work(folder: QueueFolder, mine: Sequence[Settlement]) -> list[Settled]:
            done = folder.settle([(settlement.claim.receipt, settlement.verdict) for settlement in mine])
            return [Settled(SettleStatus.DONE if held else SettleStatus.LOST) for held in done]

        def failed(_: Settlement, error: AsyncTasQError) -> Settled:
            return Settled(SettleStatus.FAILED, error)

        refusal = refusal_of_follow_ups("filesystem")
        good = [settlement for settlement in settlements if not settlement.then]
        answers = iter(self._by_queue(good, lambda settlement: settlement.claim.message.queue, work, failed))
        return [failed(each, refusal) if each.then else next(answers) for each in settlements]

    def _by_queue(
        self,
        items: Sequence[I],
        queue: Callable[[I], str],
        work: Callable[[QueueFolder, Sequence[I]], Sequence[A]],
        failed: Callable[[I, AsyncTasQError], A],
    ) -> list[A]:
        """The answers to items, in order, that are worked on queue by queue. A queue that fails takes no other with it."""
        groups: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            groups.setdefault(queue(item), []).append(place)
        answers: dict[int, A] = {}
        for name, places in groups.items():
            mine = [items[place] for place in places]
            try:
                answered = work(self._queue(name), mine)
            except DriverError as error:
                if len(groups) == 1:
                    raise
                answered = [failed(item, error) for item in mine]
            answers |= zip(places, answered, strict=True)
        return [answers[place] for place in range(len(items))]

    def _among_the_dead(self, ids: Sequence[str], act: Callable[[QueueFolder, set[str]], list[str]]) -> list[bool]:
        found: set[str] = set()
        for name in self._names():
            found.update(act(self._queue(name), set(ids)))
        answers: list[bool] = []
        for id in ids:
            answers.append(id in found)
            found.discard(id)
        return answers

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._path / "queues"))
        except OSError as error:
            raise DriverUnavailable(f"{self._path} cannot be read: {error.strerror}") from error

    def _queue(self, name: str) -> QueueFolder:
        return QueueFolder(self._path / "queues" / check_queue_name(name), fsync=self._fsync)

    # On the loop

    async def _run(self, work: Callable[[], T]) -> T:
        if self._threads is None or self._closing:
            raise DriverClosed(f"the filesystem driver of {self.location} is not connected: await connect() first")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _give_back(self, taking: asyncio.Future[tuple[list[Claim], int]]) -> None:
        """Release, in the background, what a claim gets whose caller has gone."""

        loop = asyncio.get_running_loop()

        async def release() -> None:
            with contextlib.suppress(DriverError):  # they come back when the lease ends
                claims, _ = await taking
                settlements = [Settlement(claim=claim, verdict=Release()) for claim in claims]
                await loop.run_in_executor(self._threads, self._settle, settlements)

        giving = loop.create_task(release())
        self._given_back.add(giving)
        giving.add_done_callback(self._given_back.discard)


def _dead_message(queue: str, dead: Buried) -> DeadMessage:
    return DeadMessage(
        id=dead.entry.id,
        queue=queue,
        body=dead.body,
        reason=dead.reason,
        error=dead.error,
        attempts=dead.entry.attempts,
        enqueued_at=dead.entry.enqueued / 1e9,
        died_at=dead.entry.when / 1e9,
    )


def _write_once(file: Path, text: str) -> None:
    """Write a file unless it is there; nobody ever reads half of it."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    draft.write_text(text)
    with contextlib.suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()
