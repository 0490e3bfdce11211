"""The worker: claim, run, settle. A task's whole way through it is `_process`."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asynctasq.app import failpoints
from asynctasq.app.codec import Codec, Header
from asynctasq.app.context import CURRENT, CurrentTask
from asynctasq.app.failure import describe, failure_of, report
from asynctasq.app.intake import Intake
from asynctasq.app.leases import LeaseKeeper
from asynctasq.app.outage import Outage
from asynctasq.app.routes import Route, Routes
from asynctasq.app.rows import Rows
from asynctasq.app.seams import Seams
from asynctasq.app.settler import Settler
from asynctasq.app.worker_options import WorkerOptions
from asynctasq.domain.errors import ModelNotFound, TaskNotFound, TaskTimeout, UndecodableTask, UnknownFrame
from asynctasq.domain.failure import Failure
from asynctasq.domain.message import Claim
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.task import ExecutionMode
from asynctasq.domain.verdict import (
    ACK,
    DeadLetter,
    Release,
    Settlement,
    Verdict,
    after_failure,
    after_interruption,
    after_missing,
    before_run,
    unknown_task,
)
from asynctasq.ports.driver import QueueDriver
from asynctasq.ports.executor import Executor

logger = logging.getLogger("asynctasq.worker")

NOT_BEGUN = (TaskNotFound, UnknownFrame, UndecodableTask, ModelNotFound)
"""What another process may answer instead of running the function, and what then happens as if it were found out here."""

MOST_TOLD = 100
"""How many unknown tasks are warned of: messages name them, and a log that anybody could fill is no help."""

LAST_CALL = 3.0
"""Seconds that cancelled tasks, and then the last settlements, get when the grace is over."""


class _Run:
    """One claim on its way through the worker."""

    __slots__ = ("claim", "concluded", "deadline", "failed", "in_thread", "lost", "name", "started", "task")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.task: asyncio.Task[None] | None = None
        self.name: str | None = None
        self.deadline: float | None = None
        self.started = False
        self.failed = False
        self.in_thread = False
        self.lost = False
        self.concluded = False

    def start(self) -> None:
        """Note that the function begins: what has not begun may be given back."""
        self.started = True

    def current(self) -> CurrentTask:
        """What `current_task()` answers."""
        message = self.claim.message
        return CurrentTask(
            id=message.id,
            name=self.name or "",
            attempt=self.claim.attempt,
            queue=message.queue,
            deadline=self.deadline,
        )

    def noting_start(
        self, function: Callable[..., Any], timeout: float | None, clock: Callable[[], float]
    ) -> Callable[..., Any]:
        """`function`, noting that a thread has begun it, and when its time is over: it may have waited for the thread."""

        def begin(*args: object, **kwargs: object) -> object:
            self.started = True
            if timeout is not None:
                self.deadline = clock() + timeout
            return function(*args, **kwargs)

        return begin


class Worker:
    """Serves the queues of one driver with one slot per claim, until stopped.

    Attributes:
        options: how it works.
        stopping: whether it takes no more tasks.
        told: whether it has been told to stop.
        worn: whether it has stopped by itself, having lost half of its threads, and wants to be started afresh.
        counts: verdicts so far, by kind.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        driver: QueueDriver,
        keeper_driver: QueueDriver,
        routes: Routes,
        executors: Sequence[Executor],
        codec: Codec,
        rows: Rows,
        seams: Seams,
        keeper_in_thread: bool = True,
    ) -> None:
        self.options = options
        self._driver = driver
        self._routes = routes
        self._executors = executors
        self._codec = codec
        self._rows = rows
        self._seams = seams
        self._keeper = LeaseKeeper(
            keeper_driver, lease=options.lease, seams=seams, lost=self._on_lost, in_thread=keeper_in_thread
        )
        self._outage = Outage(f"worker {options.id}", driver.location, seams)
        self._settler = Settler(driver, outage=self._outage, settled=self._on_settled, holds=self._keeper.holds)
        self._intake = Intake(
            options,
            self,
            driver=driver,
            keeper=self._keeper,
            settler=self._settler,
            outage=self._outage,
            seams=seams,
        )
        self._runs: dict[str, _Run] = {}
        self._changed = asyncio.Event()
        self._told: set[str] = set()
        self._hurried = False
        self._claiming: asyncio.Task[None] | None = None
        self.stopping = False
        self.worn = False
        self.told = False
        self._lost_threads = 0
        self._context = contextvars.copy_context()
        self.counts: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        """Work until stopped, or drained in burst; then finish what runs and settle it.

        Raises:
            ConfigurationError: the broker can be reached but never be used as configured.
        """
        await self._rows.open()
        self._context = contextvars.copy_context()  # tasks see what was opened here
        self._claiming = asyncio.create_task(self._intake.run())
        if self.stopping:
            self._claiming.cancel()
        await self._keeper.start()
        settling = asyncio.create_task(self._settler.run())
        try:
            await asyncio.wait({self._claiming, settling}, return_when=asyncio.FIRST_COMPLETED)
            if settling.done():  # it never ends by itself: the driver raised what no driver may
                settling.result()
            with contextlib.suppress(asyncio.CancelledError):
                await self._claiming
            while self._runs and not self.stopping:  # it has done its share, and what runs has time
                await self.change()
            await self._drain()
        finally:
            self._claiming.cancel()
            self._settler.close()
            await asyncio.wait({settling}, timeout=LAST_CALL)
            if self._settler.backlog:
                logger.error("%d settlements could not be delivered; those tasks will run again", self._settler.backlog)
            settling.cancel()
            await self._keeper.stop()
            for executor in self._executors:
                await executor.close()
            await self._rows.close()
            await self._driver.close()

    def stop(self) -> None:
        """Once: claim no more, give back what has not started, let the rest finish within the grace. Twice: now."""
        self._hurried = self.told
        self.told = True
        self._stop()

    def _stop(self) -> None:
        self.stopping = True
        self._changed.set()
        if self._claiming is not None:
            self._claiming.cancel()

    # Run

    @property
    def taken(self) -> Collection[str]:
        """The receipts of the claims that have a slot."""
        return self._runs.keys()

    def start(self, claim: Claim) -> None:
        """Give a claim a slot and start it."""
        run = self._runs[claim.receipt] = _Run(claim)
        run.task = asyncio.get_running_loop().create_task(self._process(run), context=self._context.copy())

    async def _process(self, run: _Run) -> None:
        """One claim, to its one verdict."""
        claim = run.claim
        leftover = None
        try:
            header = self._codec.header(claim.message)
            route = self._routes.find(header.name)
            run.name = route.name
            policy = route.policy if header.retry_delay is None else replace(route.policy, delay=header.retry_delay)
            verdict: Verdict | None = before_run(claim, policy)
            if verdict is None:
                try:
                    verdict, leftover = await self._execute(run, header, route, policy)
                except ModelNotFound as gone:
                    verdict = self._after_missing(run, route, gone)
        except (TaskNotFound, UnknownFrame) as error:
            verdict = unknown_task(age=self._seams.wall() - claim.enqueued_at, reason=str(error))
            self._tell_once(str(error))
        except UndecodableTask as error:
            verdict = DeadLetter(reason=f"undecodable: {error}", error=describe(error))
        except Exception as error:
            logger.exception("task %s: the worker itself failed", claim.message.id)
            verdict = self._after_failure(claim, RetryPolicy(), failure_of(error))
        self._conclude(run, verdict)
        if leftover is not None:
            await self._outlast(run, leftover)
        del self._runs[claim.receipt]
        self._intake.slot_freed()
        self._changed.set()

    async def _outlast(self, run: _Run, leftover: Awaitable[object]) -> None:
        """Keep the slot until what would not stop has ended. Without half of its threads the worker had better start afresh."""
        logger.warning("task %s (%s) still runs past its timeout and keeps its slot", run.claim.message.id, run.name)
        self._lost_threads += run.in_thread
        if 2 * self._lost_threads >= self.options.threads and run.in_thread and not self.stopping:
            logger.error(
                "%d of %d threads are lost to tasks past their timeout: this worker stops, to be started afresh",
                self._lost_threads,
                self.options.threads,
            )
            self.worn = True
            self._stop()
        with contextlib.suppress(BaseException):
            await leftover
        self._lost_threads -= run.in_thread

    def _tell_once(self, unknown: str) -> None:
        """Warn of what this worker does not know, once: each task of that name comes by every half minute."""
        if unknown not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(unknown)
            logger.warning("given back for an hour, to whoever knows them, and dead letters then: %s", unknown)

    async def _execute(
        self, run: _Run, header: Header, route: Route, policy: RetryPolicy
    ) -> tuple[Verdict | None, Any]:
        """Give the function its arguments and run it; see `_call`."""
        if route.local is None:  # they are decoded where they are used
            return await self._call(run, route, policy, (), {})
        call = self._codec.decode(header, run.claim.message)
        found = None
        if call.refs:
            self._keeper.keep(run.claim)
            try:
                found = await self._rows.fetch(call.refs, timeout=route.timeout, on_missing=route.on_missing)
            except (UndecodableTask, ModelNotFound):
                raise
            except BaseException as error:
                return self._after_error(run, policy, error)
        args, kwargs = self._codec.build(header, call, route.parameters, found)
        return await self._call(run, route, policy, args, kwargs)

    async def _call(
        self, run: _Run, route: Route, policy: RetryPolicy, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[Verdict | None, Any]:
        """Run the function; the verdict, and what is still running if a timeout could not stop it."""
        claim, message = run.claim, run.claim.message
        local, timeout, clock = route.local, route.timeout, self._seams.monotonic
        CURRENT.set(run.current)
        function, until = route.function, None
        if timeout is not None:
            run.deadline = clock() + timeout
        if route.mode is ExecutionMode.SYNC:
            run.in_thread = True
            function = run.noting_start(function, timeout, clock)
        elif route.mode is ExecutionMode.ASYNC:
            run.started = True
            if run.deadline is not None:
                until = run.deadline + LAST_CALL
        self._keeper.keep(claim, until=until)
        if failpoints.ACTIVE:
            failpoints.hit("worker.before_run")
        try:
            if local is not None:
                await local.run(function, args, kwargs, timeout=timeout)
            elif route.remote is not None:
                await route.remote.run(message, attempt=claim.attempt, timeout=timeout, started=run.start)
        except BaseException as error:
            if local is None and isinstance(error, NOT_BEGUN):
                raise
            return self._after_error(run, policy, error)
        finally:
            if failpoints.ACTIVE:
                failpoints.hit("worker.after_run")
        return ACK, None

    def _after_missing(self, run: _Run, route: Route, gone: ModelNotFound) -> Verdict:
        verdict = after_missing(route.on_missing, error=str(gone))
        if verdict is ACK:
            run.failed = True
            logger.info("task %s (%s) is discarded: a row among its arguments is gone", run.claim.message.id, run.name)
        return verdict

    def _after_error(self, run: _Run, policy: RetryPolicy, error: BaseException) -> tuple[Verdict | None, Any]:
        this = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and this is not None and this.cancelling():
            if run.lost:
                return None, None
            return (after_interruption(run.claim, policy) if run.started else Release()), None
        run.failed = True
        failure = failure_of(error)
        verdict = self._after_failure(run.claim, policy, failure)
        report(run.claim, run.name, policy, verdict, failure, error=error)
        return verdict, error.still_running if isinstance(error, TaskTimeout) else None

    def _after_failure(self, claim: Claim, policy: RetryPolicy, failure: Failure) -> Verdict:
        refunds = self._driver.capabilities.refunds_release
        return after_failure(claim, policy, failure, rnd=self._seams.random(), refunds=refunds)

    # Settle

    def _conclude(self, run: _Run, verdict: Verdict | None) -> None:
        """Hand the verdict over, once. None: the lease is lost, and there is nothing left to decide."""
        if run.concluded:
            return
        run.concluded = True
        if verdict is None:
            self._keeper.drop(run.claim)
            self.counts["Lost"] += 1
            return
        self.counts["Discard" if run.failed and verdict is ACK else type(verdict).__name__] += 1
        self._settler.add(Settlement(claim=run.claim, verdict=verdict))
        if isinstance(verdict, DeadLetter) and not run.failed:
            logger.warning("task %s (%s) is a dead letter: %s", run.claim.message.id, run.name, verdict.reason)

    def _on_settled(self, claim: Claim) -> None:
        self._keeper.drop(claim)
        self._changed.set()

    def _on_lost(self, claim: Claim) -> None:
        run = self._runs.get(claim.receipt)
        if run is None or run.concluded or run.task is None:
            return
        logger.warning(
            "task %s (%s) has lost its lease; attempt %d is stopped", claim.message.id, run.name, claim.attempt
        )
        run.lost = True
        run.task.cancel()

    def give_back(self, claim: Claim, *, delay: float = 0.0) -> None:
        """Release a claim that has not started."""
        self.counts["Release"] += 1
        self._settler.add(Settlement(claim=claim, verdict=Release(delay=delay)))

    async def change(self) -> None:
        """Return when a slot has become free or a claim was settled."""
        self._changed.clear()
        await self._changed.wait()

    # Stop

    async def _drain(self) -> None:
        """Give back what has not started, wait for the rest, then cancel it."""
        self._intake.give_back()
        if left := len(self._undecided()):
            logger.info("stopping: %d tasks run, waiting up to %g s", left, self.options.shutdown_grace)
        for run in list(self._runs.values()):
            if not run.started and run.task is not None:
                run.task.cancel()
        await self._until_idle(self.options.shutdown_grace, unless_hurried=True)
        for run in list(self._runs.values()):
            if run.task is not None:
                run.task.cancel()
        await self._until_idle(LAST_CALL)
        for run in self._undecided():
            logger.error("task %s (%s) could not be stopped and is given back", run.claim.message.id, run.name)
            self._conclude(run, Release())

    async def _until_idle(self, seconds: float, *, unless_hurried: bool = False) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._undecided() and not (unless_hurried and self._hurried):
                    await self.change()

    def _undecided(self) -> list[_Run]:
        """What runs, without what has failed already and could not be stopped: nothing more comes of that."""
        return [run for run in self._runs.values() if not run.concluded]

    def tasks(self) -> dict[asyncio.Task[None], str]:
        """What runs, for people, by the asyncio task that runs it."""
        runs = [(run.task, run.claim, run.name) for run in list(self._runs.values())]
        return {task: f"{claim.message.id} ({name}), attempt {claim.attempt}" for task, claim, name in runs if task}

    def show_elsewhere(self) -> None:
        """Have other processes that run tasks write where they are."""
        for executor in self._executors:
            executor.show()

    def running(self) -> list[str]:
        """What runs, for people."""
        return list(self.tasks().values())
