"""Notices a blocked event loop from outside, while it is blocked, and says which task blocks it and where."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable

logger = logging.getLogger("asynctasq.worker")

PATIENCE = 1.0
"""Seconds that the loop may take to answer."""

PERIOD = 0.5
"""Seconds between two questions."""


class LoopWatch:
    """Asks the loop for a sign of life from a thread; one warning per time that it is blocked.

    Args:
        name_of: the name of the task that an asyncio task runs, for the warning.
    """

    def __init__(self, name_of: Callable[[asyncio.Task[object] | None], str]) -> None:
        self._name_of = name_of
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
            self._name_of(asyncio.current_task(loop)),
            stack,
        )
