"""Runs plain functions in threads of our own.

`loop.run_in_executor` wakes the loop once per call and builds two futures; here a burst of completions is one wake-up. Its
threads are also joined when the interpreter exits, so that one function that never returns keeps the process alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from asynctasq.adapters.executors.copies import end_if_forked, forks
from asynctasq.adapters.executors.thread_crew import Crew
from asynctasq.domain.errors import ConfigurationError, TaskTimeout
from asynctasq.ports.executor import LocalExecutor

_Outcome = tuple[object, BaseException | None]


class ThreadExecutor(LocalExecutor):
    """Daemon threads, started as they are needed, that take functions from one line.

    A function past its timeout cannot be stopped: its attempt has failed, its late result is ignored, and its thread stays
    busy until it returns. A cancelled call is left alone, or never started if it was still waiting for a thread. The
    executor serves one running event loop at a time, and may be used from another afterwards, after `close` too.

    Args:
        threads: how many functions may run at the same time.

    Raises:
        ConfigurationError: `threads` is below 1.
    """

    stops = False

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ConfigurationError(f"threads={threads!r}: use 1 or more")
        self._threads = threads
        # Sets, because adding and removing an element is atomic: whoever removes a job from `_waiting` decides its fate.
        self._waiting: set[_Job] = set()
        self._running: set[_Job] = set()
        self._crew = self._new_crew()
        self._inbox: _Inbox | None = None

    @property
    def threads(self) -> int:
        """How many functions may run at the same time."""
        return self._threads

    @property
    def busy(self) -> int:
        """How many threads are running a function now, those past their timeout included."""
        return len(self._running)

    async def run(
        self,
        function: Callable[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        timeout: float | None,
    ) -> object:
        """Call `function(*args, **kwargs)` in a thread; see the port.

        A StopIteration arrives as the cause of a RuntimeError, as the language has it for every coroutine.
        """
        loop = asyncio.get_running_loop()
        inbox = self._inbox
        if inbox is None or inbox.loop is not loop:
            inbox = self._inbox = _Inbox(loop)
        job = _Job(function, args, kwargs, timeout, inbox)
        self._waiting.add(job)
        try:
            self._crew.put(job)
            value, error = await job.outcome
        except (asyncio.CancelledError, RuntimeError):  # the latter where no thread can be started
            self._waiting.discard(job)
            raise
        if error is None:
            return value
        try:
            raise error
        finally:
            # The error's traceback holds this frame: without this, what the task's own frames hold would live until the
            # collector comes by.
            del job, error

    async def close(self) -> None:
        """Let idle threads end now and busy ones when they return. Waits for nothing; idempotent."""
        self._crew.dismiss()
        self._running = set()
        self._crew = self._new_crew()

    def _new_crew(self) -> Crew[_Job]:
        return Crew(self._threads, "asynctasq-thread", partial(self._do, self._running))

    def _do(self, running: set[_Job], job: _Job) -> None:
        try:
            self._waiting.remove(job)
        except KeyError:  # cancelled before it began
            return
        running.add(job)
        job.starts()
        before = forks()
        outcome = _call(job.context, job.function, job.args, job.kwargs)
        end_if_forked(before)
        running.discard(job)
        job.ends(outcome)
        # An error's traceback holds this frame, too: it must not hold the error.
        del job, outcome


class _Job:
    """One call, on its way from the loop to a thread and back."""

    __slots__ = ("_inbox", "_returned", "_timeout", "_timer", "args", "context", "function", "kwargs", "outcome")

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        timeout: float | None,
        inbox: _Inbox,
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.context = contextvars.copy_context()
        # A value, never an exception: a future refuses StopIteration and complains of errors that nobody awaited.
        self.outcome: asyncio.Future[_Outcome] = inbox.loop.create_future()
        self._inbox = inbox
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._returned: asyncio.Future[None] | None = None

    def starts(self) -> None:
        """Tell the loop that the timeout counts from now. In the thread."""
        if self._timeout is not None:
            self._inbox.put(self._arm, time.monotonic() + self._timeout)

    def ends(self, outcome: _Outcome) -> None:
        """Tell the loop how the function ended. In the thread."""
        self._inbox.put(self._deliver, outcome)

    def _arm(self, deadline: float) -> None:
        self._timer = self._inbox.loop.call_later(max(0.0, deadline - time.monotonic()), self._expire)

    def _expire(self) -> None:
        if not self.outcome.done():
            self._returned = self._inbox.loop.create_future()
            late = TaskTimeout(
                f"ran past its timeout of {self._timeout:g} s; a thread cannot be stopped, "
                "its result will be ignored: use process=True",
                still_running=self._returned,
            )
            self.outcome.set_result((None, late))

    def _deliver(self, outcome: _Outcome) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._returned is not None and not self._returned.done():
            self._returned.set_result(None)
        if not self.outcome.done():
            self.outcome.set_result(outcome)


def _call(
    context: contextvars.Context, function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> _Outcome:
    # Not a method of the job, which holds the outcome: this frame is part of an error's traceback.
    try:
        return context.run(function, *args, **kwargs), None
    except BaseException as error:
        return None, error


class _Inbox:
    """What threads have to tell one event loop."""

    __slots__ = ("_awake", "_news", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._news: deque[tuple[Callable[[Any], None], object]] = deque()
        self._awake = False

    def put(self, callback: Callable[[Any], None], value: object) -> None:
        """Have `callback(value)` called on the loop. In a thread."""
        self._news.append((callback, value))
        # Only the first of a burst wakes the loop. Appended first and checked second, while the loop does it the other way
        # round: news are never left behind; at worst the loop wakes and finds nothing.
        if not self._awake:
            self._awake = True
            # A loop that was closed meanwhile has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._read)

    def _read(self) -> None:
        self._awake = False
        news = self._news
        for _ in range(len(news)):
            callback, value = news.popleft()
            callback(value)
