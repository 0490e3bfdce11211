"""A workshop for tests of the worker: an app, whole, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from tests.virtual_time import now, run_virtually

from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.seams import Seams
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import TaskFunction
from asynctasq.app.worker import Worker
from asynctasq.domain.task import ExecutionMode
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.ports.driver import DeadMessage
from asynctasq.testing.faults import FaultyDriver


class Bench:
    """An app of its own on a memory driver, both on the loop's virtual time."""

    def __init__(self, *, faulty: bool = False, memory: type[MemoryDriver] = MemoryDriver) -> None:
        self.memory = memory(clock=now, monotonic=now)
        self.driver = FaultyDriver(self.memory) if faulty else self.memory
        self.registry = Registry()
        loaded = load_settings({"driver": self.driver}, environ={})
        self.app = App(loaded, registry=self.registry)
        clock = asyncio.get_running_loop().time  # `now`, for threads too
        self.app.container.seams.override(Seams(monotonic=clock, wall=now, random=lambda: 0.5))
        self.started_at: list[float] = []

    def task(self, function: Callable[..., Any], **options: Any) -> TaskFunction[..., Any]:
        is_async = inspect.iscoroutinefunction(function)
        mode = ExecutionMode.of(is_async=is_async, process=False)
        made = TaskFunction(function, name=f"t:{function.__name__}", named=True, options=options, mode=mode)
        self.registry.add(made)
        return made

    async def dispatch(self, pending: Any) -> str:
        await self.memory.connect()
        return await self.app.dispatch(pending)

    def worker(self, **serving: Any) -> Worker:
        return build_worker(self.app, Serving(**serving), keeper_in_thread=False)

    async def drain(self, **serving: Any) -> Worker:
        worker = self.worker(burst=True, **serving)
        await worker.run()
        return worker

    @contextlib.asynccontextmanager
    async def working(self, **serving: Any) -> AsyncGenerator[Worker]:
        worker = self.worker(**serving)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await running

    async def dead(self, queue: str = "default") -> list[DeadMessage]:
        return list(await self.memory.list_dead(queue, limit=100))

    async def ready(self, queue: str = "default") -> tuple[int, int, int]:
        (stats,) = await self.memory.stats([queue])
        return stats.ready, stats.delayed, stats.leased


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtually(test())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run
