"""A private event loop in a thread, through which synchronous code dispatches."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from asynctasq.app.loop import run

T = TypeVar("T")


class SyncBridge:
    """Runs coroutines in its own loop and blocks until they answer. Starts at the first use, and anew after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        atexit.register(self.close)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the private loop and return its result."""
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._start()
            loop = self._loop
        assert loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def _start(self) -> None:
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._finish = asyncio.Event()
            started.set()
            await self._finish.wait()

        self._pid = os.getpid()
        self._thread = threading.Thread(target=lambda: run(serve()), name="asynctasq-dispatch-sync", daemon=True)
        self._thread.start()
        started.wait()

    def close(self) -> None:
        """End the loop, which closes its connections."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(self._finish.set)
            self._thread.join(timeout=5)
