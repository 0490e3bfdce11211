"""Runs attempts in child processes of our own, which can be killed one by one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from asynctasq.adapters.executors.process_child import Endurance
from asynctasq.adapters.executors.process_handle import FAREWELL, Child
from asynctasq.adapters.executors.process_pipe import Report
from asynctasq.domain.errors import ConfigurationError, TaskTimeout, WorkerProcessDied
from asynctasq.domain.message import Message
from asynctasq.ports.executor import Order, Performer, RemoteExecutor

logger = logging.getLogger("asynctasq.children")

START_PATIENCE: Final = 60.0
"""Seconds that a child may take to import what it needs."""

START_TRIES: Final = 3
"""Starts that fail one after the other until those who wait for a child are told: one may be killed while it imports."""


class ProcessExecutor(RemoteExecutor):
    """Children with a pipe each, started as they are needed, and one more that stands by, ready, for when one dies.

    They share nothing: a child that dies, of whatever, fails the attempt that it ran and no other. The executor serves one
    running event loop at a time, and may be used from another afterwards, after `close` too.

    Args:
        prepare: makes, in the child, what carries out orders. It must be picklable: a function of a module, or a partial of one.
        children: how many attempts may run at the same time.
        endurance: when a child is replaced by a fresh one, between two attempts.
        preload: modules that are imported once, in the server that children are forked from, instead of in each child.
        grace: seconds from SIGTERM to SIGKILL.

    Raises:
        ConfigurationError: `children` is below 1.
    """

    stops = True

    def __init__(
        self,
        prepare: Callable[[], Performer],
        children: int,
        *,
        endurance: Endurance | None = None,
        preload: Sequence[str] = (),
        grace: float = 2.0,
    ) -> None:
        if children < 1:
            raise ConfigurationError(f"children={children!r}: use 1 or more")
        self._prepare = prepare
        self._most = children
        self._endurance = endurance or Endurance()
        self._preload = preload
        self._grace = grace
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    def _reset(self) -> None:
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._size = 0
        self._failed_starts = 0

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that can take orders, now or when they have carried out what they have."""
        return [child.pid for child in self._children if not child.ended]

    async def run(
        self, message: Message, *, attempt: int, timeout: float | None, started: Callable[[], None] | None = None
    ) -> None:
        """Have one attempt run in a child; see the port."""
        self._bind(asyncio.get_running_loop())
        while True:
            child = await self._take()
            deadline = None if timeout is None else time.monotonic() + timeout
            order = Order(message=message, attempt=attempt, deadline=deadline)
            try:
                if timeout is None:
                    report = await child.perform(order, started=started)
                else:
                    async with asyncio.timeout(timeout):
                        report = await child.perform(order, started=started)
            except ConnectionError:  # it died idle, and has got nothing
                self._lose(child)
                continue
            except TimeoutError:
                gently = await self._stop(child)
                how = "" if gently else f", {self._grace:g} s after SIGTERM"
                raise TaskTimeout(
                    f"ran past its timeout of {timeout:g} s and was killed{how}: give it a longer timeout if it may take so long"
                ) from None
            except asyncio.CancelledError:
                await self._stop(child)
                raise
            except WorkerProcessDied:
                self._lose(child)
                raise
            self._give_back(child, report)
            if report.error is not None:
                raise report.error
            return

    def show(self) -> None:
        """Have the children that carry out an order write where they are; see the port."""
        for child in list(self._busy):
            child.show()

    async def close(self) -> None:
        """End idle children, kill the others. Idempotent."""
        children, idle, starting, waiting = self._children, self._idle, self._starting, self._waiting
        self._reset()
        if self._loop is not asyncio.get_running_loop():
            for child in children:
                child.discard()
            return
        for task in starting:
            task.cancel()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(WorkerProcessDied("the children were closed before one could take it"))
        for child in children:
            if child in idle:
                child.dismiss()
            else:
                child.kill()
        ends: list[asyncio.Future[Any]] = [*starting, *(child.gone for child in children)]
        if ends:
            await asyncio.wait(ends, timeout=2 * FAREWELL)

    # Children

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is self._loop:
            return
        for child in self._children:
            child.discard()
        self._reset()
        self._loop = loop

    async def _take(self) -> Child:
        """A child of one's own, in the order of asking."""
        waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._assign()
        self._replenish()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result(), Report())
            raise

    def _assign(self) -> None:
        while self._waiting and len(self._busy) < self._most and self._idle:
            child = self._idle.pop()  # the one that was used last: its memory is warm
            if child.ended:
                continue
            waiter = self._waiting.popleft()
            if waiter.done():  # cancelled, and not yet told
                self._idle.append(child)
                continue
            self._busy.add(child)
            waiter.set_result(child)

    def _replenish(self) -> None:
        """Start what is missing: as many children as were ever needed at a time, and one that stands by.

        After a start that failed they are started one by one; where none works, only while somebody waits.
        """
        needed = min(self._most, len(self._busy) + len(self._waiting))
        self._size = max(self._size, needed)
        wanted = needed if self._failed_starts >= START_TRIES else self._size + bool(self._size)
        missing = wanted - len(self._idle) - len(self._busy) - len(self._starting)
        if self._failed_starts:
            missing = min(missing, 1 - len(self._starting))
        if any(child.unseen for child in self._children):
            return
        for _ in range(missing):
            self._starting.add(asyncio.get_running_loop().create_task(self._bring_up(self._failed_starts)))

    async def _bring_up(self, failed_before: int) -> None:
        this = asyncio.current_task()
        assert this is not None
        child = None
        try:
            child = await Child.start(self._prepare, self._endurance, self._preload)
            self._children.add(child)
            child.gone.add_done_callback(lambda _: self._forget(child))
            async with asyncio.timeout(START_PATIENCE):
                await asyncio.shield(child.ready)
        except asyncio.CancelledError:
            if child is not None:
                child.ready.cancel()
                child.kill()
            raise
        except Exception as error:
            if isinstance(error, TimeoutError):
                error = WorkerProcessDied(f"a child process was not ready after {START_PATIENCE:g} s")
            why = str(error) if isinstance(error, WorkerProcessDied) else repr(error)
            if child is not None:
                child.ready.cancel()
                child.kill()
            self._starting.discard(this)
            if failed_before == self._failed_starts:  # else it was started beside one that failed: the same failure
                self._failed_starts += 1
            self._failed_to_start(why)
        else:
            self._starting.discard(this)
            self._failed_starts = 0
            self._idle.append(child)
            self._assign()
            self._replenish()

    def _failed_to_start(self, why: str) -> None:
        """The next one takes what waits. In a crash loop, each failure is told to one who waits, or nobody would ever be."""
        tries = self._failed_starts
        if tries < START_TRIES:
            logger.warning("a child process could not be started, another one is: %s", why)
        else:
            if tries == START_TRIES:
                logger.error("no child process can be started, %d in a row have failed: %s", tries, why)
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    told = f"no child process could be started, {tries} in a row have failed: {why}"
                    waiter.set_exception(WorkerProcessDied(told))
                    break
        self._replenish()

    def _give_back(self, child: Child, report: Report) -> None:
        self._busy.discard(child)
        if report.last:
            child.dismiss()
        elif not child.ended:
            self._idle.append(child)
        self._assign()
        self._replenish()

    def _lose(self, child: Child) -> None:
        child.kill()
        self._busy.discard(child)
        self._assign()
        self._replenish()

    async def _stop(self, child: Child) -> bool:
        """Stop what it runs, and it. Whoever waits has its place at once."""
        stopping = asyncio.get_running_loop().create_task(child.stop(self._grace))
        self._busy.discard(child)
        self._assign()
        self._replenish()
        return await asyncio.shield(stopping)

    def _forget(self, child: Child) -> None:
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
            if not child.unseen:
                self._replenish()
