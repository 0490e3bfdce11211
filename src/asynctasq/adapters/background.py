"""What goes on after whoever asked for it has gone, such as releasing what a cancelled claim got."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


class Background:
    """Work of one driver, on its loop. What fails there fails in silence: a claim that is not given back ends with its lease."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Let work go on by itself."""
        task = asyncio.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, patience: float | None = None) -> None:
        """Wait until all is done, or for so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    with contextlib.suppress(Exception):
        await work
