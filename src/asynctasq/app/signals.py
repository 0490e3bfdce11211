"""What signals do to a worker that runs, whatever its event loop is doing.

The handlers are the process's and not the loop's, which run only when the loop does: a task that blocks the loop would keep
the worker from being stopped, and from showing what blocks it.
"""

from __future__ import annotations

import asyncio
import enum
import faulthandler
import logging
import os
import signal
import threading
import time
import traceback
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Self

from asynctasq.app.stacks import stack_of
from asynctasq.app.worker import Worker

logger = logging.getLogger("asynctasq.worker")

LAST_CALL = 10.0
"""Seconds beyond the grace, or after a second signal, after which a worker that has not ended by itself is ended."""

OBEYS_WITHIN = 2.0
"""Seconds in which the loop must have heard of a second signal: one that is blocked for longer is not waited for."""

FORCED = 1
"""The exit status of a worker that had to be ended."""

_STOPS = (signal.SIGTERM, signal.SIGINT)
_STDERR = 2


class _News(enum.Enum):
    RECEIVED = enum.auto()
    OBEYED = enum.auto()
    OVER = enum.auto()


class Signals:
    """A context in which this process's signals go to a worker of the running loop. In the main thread.

    TERM and INT stop it: the first with its grace, the second now. A worker that does not stop, since a task blocks the loop
    or for whatever reason, is ended with status 1; what it ran comes back when the leases end. QUIT shows on standard error
    where everything is.

    Args:
        worker: what is stopped and shown.
        grace: seconds that running tasks have after the first signal.
    """

    def __init__(self, worker: Worker, *, grace: float) -> None:
        self._worker = worker
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._previous: dict[signal.Signals, Any] = {}
        # A handler may interrupt the main thread anywhere, another handler too; of all queues this one can be put to there.
        self._news: SimpleQueue[_News] = SimpleQueue()

    def __enter__(self) -> Self:
        handlers = {**dict.fromkeys(_STOPS, self._stop), signal.SIGQUIT: self._show}
        self._previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        # Shows all threads before ours comes to it, which is never where the main thread is stuck in a library's C code.
        faulthandler.register(signal.SIGQUIT, file=_STDERR, all_threads=True, chain=True)
        threading.Thread(target=self._guard, name="asynctasq-signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._news.put(_News.OVER)
        faulthandler.unregister(signal.SIGQUIT)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._news.put(_News.RECEIVED)
        self._loop.call_soon_threadsafe(self._obey, signal.Signals(number))

    def _obey(self, number: signal.Signals) -> None:
        self._news.put(_News.OBEYED)
        how = "stopping now" if self._worker.told else "stopping; once more to stop now"
        logger.info("%s received: %s", number.name, how)
        self._worker.stop()

    def _guard(self) -> None:
        """In a thread: end the process if it does not end by itself."""
        received = obeyed = 0
        deadline: float | None = None
        while True:
            try:
                news = self._news.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except Empty:
                self._end()
                return
            now = time.monotonic()
            match news:
                case _News.RECEIVED:
                    received += 1
                    deadline = now + (self._grace + LAST_CALL if received == 1 else OBEYS_WITHIN)
                case _News.OBEYED:
                    obeyed += 1
                    if obeyed > 1:
                        deadline = now + LAST_CALL
                case _News.OVER:
                    return

    def _end(self) -> None:
        # In a thread, as nobody may be reading; not logged, as what is stuck may hold the lock of the log.
        says = threading.Thread(target=_say_last_words, daemon=True)
        says.start()
        says.join(timeout=1.0)
        os._exit(FORCED)

    def _show(self, _number: int, frame: FrameType | None) -> None:
        lines = ["", "asynctasq: the main thread is here:", *_indented("".join(traceback.format_stack(frame)))]
        for task in asyncio.all_tasks(self._loop) - self._worker.tasks().keys():
            lines += [f"asynctasq: {task.get_name()} waits here:", *_indented(stack_of(task))]
        lines.append("asynctasq: running now:")  # last, where it is seen
        for task, what in self._worker.tasks().items():
            lines += [f"  {what}", *_indented(stack_of(task))]
        _write("\n".join(lines if self._worker.tasks() else [*lines, "  nothing"]))
        self._worker.show_elsewhere()


def _say_last_words() -> None:
    _write("asynctasq: the worker does not stop and is ended; its tasks come back when their leases end")
    faulthandler.dump_traceback(file=_STDERR, all_threads=True)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _write(text: str) -> None:
    # Not through `sys.stderr`: the main thread may have been interrupted while it wrote there.
    os.write(_STDERR, f"{text}\n".encode(errors="backslashreplace"))
