"""What runs on past its timeout keeps its slot, and a worker that has lost half of its threads that way starts afresh."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator

import pytest
from tests.unit.app.bench import Bench, virtual
from tests.virtual_time import VirtualTimeLoop, now, run_virtually

from asynctasq.app.context import current_task
from asynctasq.domain.errors import DriverUnavailable
from asynctasq.testing.faults import FaultyDriver


class Hanging:
    """Calls of a plain function, each of which returns when it is told to, long after its timeout."""

    def __init__(self, bench: Bench) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self._loop = loop
        self._begun = asyncio.Semaphore(0)
        self._gates: list[threading.Event] = []
        self._bench = bench
        self._function = bench.task(self.hang, timeout=1, max_attempts=1)

    def hang(self, n: int) -> None:
        self._loop.call_soon_threadsafe(self._begun.release)
        self._gates[n].wait()

    async def begin(self) -> str:
        """Dispatch the next one, and return its id when a thread has begun it."""
        self._gates.append(threading.Event())
        # Else its timeout, which is set as a thread takes it, might pass before it has begun.
        with self._loop.standing_still():
            task_id = await self._bench.dispatch(self._function(len(self._gates) - 1))
            await self._begun.acquire()
        return task_id

    async def lose(self) -> str:
        """Dispatch the next one, and return its id when it is past its timeout."""
        task_id = await self.begin()
        await asyncio.sleep(5)  # of virtual time, on which the timeout was set when the thread began
        return task_id

    def go_on(self) -> None:
        for gate in self._gates:
            gate.set()


@contextlib.contextmanager
def hanging(bench: Bench) -> Iterator[Hanging]:
    """`Hanging` whose threads end, whatever becomes of the test."""
    work = Hanging(bench)
    try:
        yield work
    finally:
        work.go_on()


@pytest.mark.parametrize(("threads", "half"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_a_worker_that_has_lost_half_of_its_threads_stops_by_itself_and_says_so(
    threads: int, half: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        bench = Bench()
        with hanging(bench) as work:
            worker = bench.worker(threads=threads, shutdown_grace=1_000)
            running = asyncio.create_task(worker.run())
            for _ in range(half):
                assert not worker.worn
                await work.lose()
            await asyncio.wait_for(running, 10)  # not for what will not end, nor for all of the grace
        assert (worker.worn, worker.told) == (True, False)
        assert worker.counts == {"DeadLetter": half}
        assert await bench.ready() == (0, 0, 0)

    run_virtually(scenario())
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"{half} of {threads} threads are lost to tasks past their timeout: this worker stops, to be started afresh"
    ]


def test_a_thread_past_its_timeout_keeps_its_slot_and_counts_as_lost_until_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> list[str]:
        bench = Bench()
        ids: list[str] = []
        ran: list[int] = []

        async def note() -> None:
            ran.append(len(ids))

        noting = bench.task(note)
        with hanging(bench) as work:
            async with bench.working(threads=3, concurrency=1) as worker:
                for _ in range(3):
                    ids.append(await work.lose())
                    assert not worker.worn, "never more than one of three is lost"
                    await bench.dispatch(noting())
                    await asyncio.sleep(100)
                    assert len(ran) == len(ids) - 1
                    work.go_on()
                    while worker.running() or len(ran) < len(ids):
                        await worker.change()
        return ids

    with caplog.at_level(logging.WARNING):
        ids = run_virtually(scenario())
    told = [record.getMessage() for record in caplog.records if "keeps its slot" in record.getMessage()]
    assert told == [f"task {task_id} (t:hang) still runs past its timeout and keeps its slot" for task_id in ids]


@virtual
async def test_a_coroutine_that_swallows_its_cancellation_keeps_its_slot_and_is_no_lost_thread() -> None:
    bench = Bench()
    go_on = asyncio.Event()

    async def stubborn() -> None:
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go_on.wait()

    await bench.dispatch(bench.task(stubborn, timeout=5, max_attempts=1)())
    with hanging(bench) as work, contextlib.ExitStack() as at_the_end:
        at_the_end.callback(go_on.set)
        async with bench.working(threads=4) as worker:
            await asyncio.sleep(20)
            assert worker.counts == {"DeadLetter": 1}
            await work.lose()
            assert len(worker.running()) == 2
            assert not worker.worn, "one of four threads is lost, beside the coroutine"
            go_on.set()
            await worker.change()
            assert len(worker.running()) == 1, "the coroutine has ended"
            await work.lose()
            assert worker.worn, "its end has brought no thread back"


@virtual
async def test_what_else_runs_when_a_worker_stops_by_itself_has_time_to_end() -> None:
    bench = Bench()
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()

    await bench.dispatch(bench.task(work)())
    with hanging(bench) as work_that_hangs:
        async with bench.working(threads=1, shutdown_grace=1_000) as worker:
            await work_that_hangs.lose()
            assert worker.worn
            await asyncio.sleep(100)
            go_on.set()
            await asyncio.sleep(1)
    assert worker.counts == {"DeadLetter": 1, "Ack": 1}


@virtual
async def test_threads_that_are_lost_while_the_worker_stops_as_it_was_told_do_not_wear_it() -> None:
    bench = Bench()
    with hanging(bench) as work:
        async with bench.working(threads=1, shutdown_grace=1_000) as worker:
            await work.begin()
        assert worker.counts == {"DeadLetter": 1}, "its timeout passed within the grace"
        assert not worker.worn


LONG = 1e9
"""Seconds that do not pass, although virtual time runs while a real thread works."""


@virtual
async def test_the_time_of_what_waits_for_a_thread_begins_when_it_gets_one() -> None:
    bench = Bench()
    clock = asyncio.get_running_loop().time
    seen: list[tuple[float | None, float]] = []
    begun, go_on = asyncio.Event(), threading.Event()
    tell = asyncio.get_running_loop().call_soon_threadsafe

    def hold() -> None:
        tell(begun.set)
        go_on.wait()

    def note() -> None:
        seen.append((current_task().deadline, clock()))

    await bench.dispatch(bench.task(hold)())
    async with bench.working(threads=1) as worker:
        await begun.wait()
        await bench.dispatch(bench.task(note, timeout=LONG)())
        await asyncio.sleep(1_000)
        assert len(worker.running()) == 2
        freed = now()
        go_on.set()
        while worker.running():
            await worker.change()
    ((deadline, noted),) = seen
    assert deadline is not None
    assert freed + LONG <= deadline <= noted + LONG


def test_a_thread_keeps_its_slot_although_its_lease_is_lost_before_its_verdict_is_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        bench = Bench(faulty=True)
        assert isinstance(bench.driver, FaultyDriver)
        for _ in range(100):
            bench.driver.fail_next("settle", DriverUnavailable("gone"))
        with hanging(bench) as work:
            async with bench.working(threads=4, lease=30) as worker:
                await work.lose()
                await bench.memory.purge("default")
                await asyncio.sleep(60)
                assert len(worker.running()) == 1
        assert worker.counts == {"DeadLetter": 1}

    with caplog.at_level(logging.WARNING):
        run_virtually(scenario())
    assert "is stopped" not in caplog.text
