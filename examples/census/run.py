"""One census by the queue: dispatch all, let two workers count, kill one while it holds a lease, wait for the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asynctasq
from asynctasq.drivers import QueueDriver
from asynctasq.drivers.sqlite_driver import SQLiteDriver
from asynctasq.tasks import dispatch_many
from census.crew import Crew, Worker
from census.results import Counted, Results
from census.tasks import RESULTS, count

LEASE = 3
"""Seconds until a dead worker's tasks are taken over. The default is ten times as long; nobody wants to watch that."""

LIMIT = 150
"""Seconds that a census may take in all."""


class CensusFailed(Exception):
    """The census could not be taken as it was meant to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What came of it.

    Attributes:
        counted: every row of the results, by path.
        held: the paths that the killed worker was counting when it was killed.
        dispatched_in: seconds that the dispatch of all tasks took.
        counted_in: seconds from then until nothing was left.
        leftover: tasks that the queue still holds in any state, dead letters included.
    """

    counted: dict[str, Counted]
    held: frozenset[str]
    dispatched_in: float
    counted_in: float
    leftover: int


async def take_census(
    directory: Path, paths: Sequence[str], *, progress: Callable[[int], None], say: Callable[[str], None]
) -> Census:
    """Count `paths` by way of a queue in `directory`.

    Args:
        directory: an empty directory, for the queue, the results and the workers' logs.
        paths: files of the library.
        progress: told how many files have been counted.
        say: told what happens, a line at a time.

    Raises:
        CensusFailed: all was counted before a worker could be killed.
        TimeoutError: it took longer than `LIMIT` seconds.
        WorkerFailed: a worker ended that was not meant to.
    """
    queue, results = directory / "queue.db", Results(directory / "results.db")
    results.create()
    asynctasq.init(f"sqlite:///{queue}")

    began = time.perf_counter()
    await dispatch_many([count(path) for path in paths])
    dispatched = time.perf_counter()
    say(f"dispatched {len(paths)} tasks in {dispatched - began:.2f} s")

    driver = SQLiteDriver(queue)
    await driver.connect()
    environment = {
        "ASYNCTASQ_DRIVER": "sqlite",
        "ASYNCTASQ_SQLITE_PATH": str(queue),
        "ASYNCTASQ_WORKER_LEASE": str(LEASE),
        RESULTS: str(results.file),
    }
    try:
        async with asyncio.timeout(LIMIT):
            with Crew(directory, environment) as crew:
                for _ in range(2):
                    say(f"worker {crew.start().pid} started")
                victim, held = await _freeze_one_that_holds_a_lease(crew, driver, results)
                crew.kill(victim)
                say(f"worker {victim.pid} killed while it counted {len(held)} files, {min(held)} among them")
                say(f"worker {crew.start().pid} started in its place")
                while await _left(driver):
                    crew.check()
                    progress(results.finished())
                    await asyncio.sleep(0.1)
                counted = time.perf_counter()
                progress(results.finished())
                crew.stop()
        leftover = await _left(driver, dead=True)
    finally:
        await driver.close()
    return Census(
        counted=results.counted(),
        held=held,
        dispatched_in=dispatched - began,
        counted_in=counted - dispatched,
        leftover=leftover,
    )


async def _freeze_one_that_holds_a_lease(
    crew: Crew, driver: QueueDriver, results: Results
) -> tuple[Worker, frozenset[str]]:
    """Stop a worker in the middle of its tasks, and say which those are.

    A running worker may settle its tasks between our look and our kill. A stopped one cannot: what it has begun and not
    finished, it holds under a lease, and the stats must show as much.
    """
    while True:
        crew.check()
        if results.finished() and await _leased(driver):
            busy = set(results.running().values())
            for worker in [worker for worker in crew.workers if worker.pid in busy]:
                worker.freeze()
                held = frozenset(path for path, pid in results.running().items() if pid == worker.pid)
                if held and await _leased(driver) >= len(held):
                    return worker, held
                worker.thaw()
        if not await _left(driver):
            raise CensusFailed("all was counted before a worker could be killed; take more files")
        await asyncio.sleep(0.01)


async def _leased(driver: QueueDriver) -> int:
    (stats,) = await driver.stats(["census"])
    return stats.leased


async def _left(driver: QueueDriver, *, dead: bool = False) -> int:
    (stats,) = await driver.stats(["census"])
    return stats.ready + stats.delayed + stats.leased + (stats.dead if dead else 0)
