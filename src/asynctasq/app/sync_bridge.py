"""A private event loop in a thread, through which synchronous code dispatches."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from asynctasq.app.loop import run

T = TypeVar("T")


class SyncBridge:
    """Runs coroutines in its own loop and blocks until they answer. Starts at the first use, and anew after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Running | None = None
        atexit.register(self.close)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the private loop and return its result."""
        with self._lock:
            if self._running is None or self._running.pid != os.getpid():
                self._running = _start()
            loop = self._running.loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def close(self) -> None:
        """End the loop, which closes its connections."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None and running.pid == os.getpid():
            running.loop.call_soon_threadsafe(running.finish.set)
            running.thread.join(timeout=5)


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    finish: asyncio.Event


def _start() -> _Running:
    started: SimpleQueue[_Running] = SimpleQueue()

    async def serve() -> None:
        finish = asyncio.Event()
        started.put(_Running(os.getpid(), threading.current_thread(), asyncio.get_running_loop(), finish))
        await finish.wait()

    threading.Thread(target=lambda: run(serve()), name="asynctasq-dispatch-sync", daemon=True).start()
    return started.get()
