"""Notices a blocked event loop from outside, while it is blocked, and says which task blocks it and where."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from asynctasq.app.context import CURRENT

logger = logging.getLogger("asynctasq.worker")

PATIENCE = 1.0
"""Seconds that the loop may take to answer."""

PERIOD = 0.5
"""Seconds between two questions."""


class LoopWatch:
    """Asks the loop for a sign of life from a thread; one warning per time that it is blocked.

    Args:
        tasks: what runs, for people, by the asyncio task that runs it.
    """

    def __init__(self, tasks: Callable[[], Mapping[asyncio.Task[None], str]]) -> None:
        self._tasks = tasks
        self._stop = threading.Event()

    def start(self) -> None:
        """Watch the running loop, in which this is called."""
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        threading.Thread(target=self._watch, args=(loop, thread), name="asynctasq-loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._stop.wait(PERIOD):
            alive = threading.Event()
            try:
                loop.call_soon_threadsafe(alive.set)
            except RuntimeError:  # the loop was closed
                return
            if not alive.wait(PATIENCE):
                self._report(loop, thread)
                while not alive.wait(PERIOD):
                    if self._stop.is_set():
                        return

    def _report(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage] -- the documented way to another thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        logger.warning(
            "the event loop has been blocked for more than %.0f s by %s: every other async task waits; "
            "use `def` (a thread) or await something. Stack:\n%s",
            PATIENCE,
            self._named(asyncio.current_task(loop)),
            stack,
        )

    def _named(self, blocking: asyncio.Task[Any] | None) -> str:
        """Which task it is that blocks, itself or by an asyncio task that was made under it."""
        if blocking is None:
            return "a callback"
        running = self._tasks()
        if blocking in running:
            return f"task {running[blocking]}"
        if sys.version_info >= (3, 12) and (current := blocking.get_context().get(CURRENT)) is not None:
            under = current()
            return f"task {under.id} ({under.name}), attempt {under.attempt}"
        # Before Python 3.12 nobody tells an asyncio task's context; that of a timeout is called as the one that waits for it.
        named = (what for task, what in running.items() if task.get_name() == blocking.get_name())
        return next((f"task {what}" for what in named), f"the asyncio task {blocking.get_name()}")
