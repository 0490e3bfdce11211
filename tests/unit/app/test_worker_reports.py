"""What a worker counts, says and gives up: on virtual time, like `test_worker`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import Any

import pytest
from tests.unit.app.bench import Bench, virtual
from tests.virtual_time import now, run_virtually

from asynctasq.adapters.executors.event_loop import EventLoopExecutor
from asynctasq.app.codec import Codec, Header
from asynctasq.app.context import current_task
from asynctasq.domain.errors import DriverUnavailable, ModelNotFound, TaskError, TaskNotFound, UndecodableTask
from asynctasq.domain.message import Message
from asynctasq.testing.faults import FaultyDriver


class TrippingCodec(Codec):
    """Ours, with a bug."""

    def header(self, message: Message) -> Header:
        if message.body == b"trip":
            raise RuntimeError("a bug of ours")
        return super().header(message)


class ForgetfulExecutor(EventLoopExecutor):
    """Never comes back, and forgets the timeout."""

    async def run(self, *args: Any, **kwargs: Any) -> object:
        await asyncio.Event().wait()
        return None


async def fail() -> None:
    raise ValueError("boom")


async def nothing() -> None:
    pass


@virtual
async def test_every_verdict_is_counted() -> None:
    bench = Bench()
    succeeding, failing = bench.task(nothing), bench.task(fail, max_attempts=2, retry_delay=0)
    for pending in (succeeding(), succeeding(), failing(), failing()):
        await bench.dispatch(pending)
    worker = await bench.drain()
    assert worker.counts == {"Ack": 2, "Retry": 2, "DeadLetter": 2}


@virtual
async def test_every_lost_lease_is_counted() -> None:
    bench = Bench()

    async def work() -> None:
        await asyncio.sleep(1_000)

    function = bench.task(work)
    for _ in range(2):
        await bench.dispatch(function())
    async with bench.working(lease=3) as worker:
        await asyncio.sleep(1)
        await bench.memory.purge("default")
        await asyncio.sleep(5)
        assert worker.counts == {"Lost": 2}


def test_a_failure_says_what_becomes_of_the_task_and_a_dead_letter_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> str:
        bench = Bench()
        task_id = await bench.dispatch(bench.task(fail, max_attempts=2, retry_delay=60)())
        async with bench.working():
            await asyncio.sleep(100)
        return task_id

    with caplog.at_level(logging.INFO, "asynctasq.worker"):
        task_id = run_virtually(scenario())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"task {task_id} (t:fail) failed on attempt 1 of 2, retry in 60 s: ValueError",
        f"task {task_id} (t:fail) failed on attempt 2 of 2, dead letter: ValueError",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_a_failure_shows_its_traceback_when_debugging(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.dispatch(bench.task(fail, max_attempts=1)())
        await bench.drain()

    with caplog.at_level(logging.DEBUG, "asynctasq.worker"):
        run_virtually(scenario())
    (told,) = [record for record in caplog.records if "failed on attempt" in record.getMessage()]
    assert told.exc_info is not None
    assert isinstance(told.exc_info[1], ValueError)


def test_a_dead_letter_without_a_run_says_why_and_keeps_the_error(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.memory.connect()
        await bench.memory.enqueue([Message(id="bad", queue="default", body=b"\xff\xff")])
        await bench.drain()
        (dead,) = await bench.dead()
        assert "UnknownFrame" in dead.error or "UndecodableTask" in dead.error

    with caplog.at_level(logging.INFO, "asynctasq.worker"):
        run_virtually(scenario())
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told.startswith("task bad (None) is a dead letter: undecodable: ")


def test_a_bug_of_the_worker_costs_attempts_of_one_task_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()
        serializer = bench.app.container.serializer()
        bench.app.container.codec.override(TrippingCodec(serializer, max_body=1_000))
        ran: list[float] = []

        async def note() -> None:
            ran.append(now())

        begin = now()
        await bench.dispatch(bench.task(note)())
        await bench.memory.enqueue([Message(id="trips", queue="default", body=b"trip")])
        async with bench.working():
            await asyncio.sleep(1_000)
        assert ran == [pytest.approx(begin, abs=0.1)]
        (dead,) = await bench.dead()
        assert (dead.id, dead.reason) == ("trips", "failed on attempt 3 of 3")
        assert "RuntimeError: a bug of ours" in dead.error
        assert [past.attempt for past in dead.history] == [1, 2]
        assert all("RuntimeError: a bug of ours" in past.error for past in dead.history)

    with caplog.at_level(logging.ERROR, "asynctasq.worker"):
        run_virtually(scenario())
    reports = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in reports] == ["task trips: the worker itself failed"] * 3
    assert all(record.exc_info for record in reports)


def test_a_task_that_runs_on_past_its_timeout_keeps_its_slot_until_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    starts: list[float] = []
    ends: list[float] = []

    async def scenario() -> str:
        bench = Bench()

        async def stubborn() -> None:
            until = now() + 100
            while now() < until:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(until - now())
            ends.append(now())

        async def note() -> None:
            starts.append(now())

        task_id = await bench.dispatch(bench.task(stubborn, timeout=5, max_attempts=1)())
        await bench.dispatch(bench.task(note)())
        async with bench.working(concurrency=1):
            await asyncio.sleep(50)
            (dead,) = await bench.dead()  # the verdict does not wait for the end
            assert "still runs" in dead.error
            assert starts == []
            await asyncio.sleep(100)
        return task_id

    with caplog.at_level(logging.WARNING, "asynctasq.worker"):
        task_id = run_virtually(scenario())
    assert starts == [pytest.approx(ends[0], abs=0.1)]
    assert f"task {task_id} (t:stubborn) still runs past its timeout and keeps its slot" in caplog.text


@virtual
async def test_a_lease_is_not_kept_for_a_task_that_should_long_have_timed_out() -> None:
    bench = Bench()
    bench.app.container.event_loop_executor.override(ForgetfulExecutor())
    await bench.dispatch(bench.task(nothing, timeout=60)())
    async with bench.working(lease=3, shutdown_grace=0, concurrency=1):
        await asyncio.sleep(64)
        assert await bench.ready() == (0, 0, 1), "it has a moment to end, and then a lease's time"
        assert not await bench.memory.claim(["default"], limit=1, lease=1_000, wait=0, worker="another")
        await asyncio.sleep(10)
        again = await bench.memory.claim(["default"], limit=1, lease=1_000, wait=0, worker="another")
        assert [(claim.attempt, claim.expiries) for claim in again] == [(2, 1)]


@virtual
async def test_a_stop_spends_the_attempts_of_threads_that_run_and_gives_back_what_waits_for_one() -> None:
    bench = Bench()
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(name: str) -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()

    function = bench.task(work, max_attempts=1)
    for name in ("runs", "waits"):
        await bench.dispatch(function(name))
    async with bench.working(threads=1, shutdown_grace=1) as worker:
        await begun.wait()
    go_on.set()
    assert worker.counts == {"DeadLetter": 1, "Release": 1}
    assert [dead.reason for dead in await bench.dead()] == ["interrupted"]
    assert await bench.ready() == (1, 0, 0)
    (claim,) = await bench.memory.claim(["default"], limit=9, lease=9, wait=0, worker="next")
    assert claim.attempt == 1


@virtual
async def test_a_plain_function_gets_its_keywords() -> None:
    bench = Bench()
    seen: list[object] = []

    def note(x: int, *, y: str) -> None:
        seen.append((x, y))

    await bench.dispatch(bench.task(note)(1, y="z"))
    await bench.drain()
    assert seen == [(1, "z")]


@virtual
async def test_a_coroutine_sees_when_its_time_is_over() -> None:
    bench = Bench()
    seen: list[float | None] = []

    async def note() -> None:
        seen.append(current_task().deadline)

    begin = now()
    await bench.dispatch(bench.task(note, timeout=60)())
    await bench.drain()
    assert seen == [pytest.approx(begin + 60, abs=0.1)]


def test_a_worker_whose_broker_stays_away_ends_all_the_same_and_says_what_is_not_settled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        bench = Bench(faulty=True)
        assert isinstance(bench.driver, FaultyDriver)
        for _ in range(1_000):
            bench.driver.fail_next("settle", DriverUnavailable("gone"))
        for _ in range(2):
            await bench.dispatch(bench.task(nothing)())
        async with bench.working(shutdown_grace=5):
            await asyncio.sleep(1)
            begin = now()
        assert now() - begin < 10

    with caplog.at_level(logging.ERROR, "asynctasq.worker"):
        run_virtually(scenario())
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "2 settlements could not be delivered; those tasks will run again"
    ]


def test_an_outage_is_told_with_the_worker_and_the_brokers_place(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> str:
        bench = Bench(faulty=True)
        assert isinstance(bench.driver, FaultyDriver)
        bench.driver.fail_next("claim", DriverUnavailable("gone"))
        async with bench.working() as worker:
            await asyncio.sleep(60)
        return worker.options.id

    with caplog.at_level(logging.INFO, "asynctasq.worker"):
        worker = run_virtually(scenario())
    began, ended = (record.getMessage() for record in caplog.records if f"worker {worker}" in record.getMessage())
    assert began == f"worker {worker}: gone; trying again until it works"
    assert ended.startswith(f"worker {worker} works again after ")
    assert ended.endswith(" s (memory)")


def test_of_unknown_tasks_a_hundred_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench, other = Bench(), Bench()
        for n in range(105):

            async def unknown() -> None: ...

            unknown.__name__ = f"unknown{n}"
            await bench.dispatch(other.task(unknown)())
        await bench.drain()

    with caplog.at_level(logging.WARNING, "asynctasq.worker"):
        run_virtually(scenario())
    assert sum("given back for an hour" in record.getMessage() for record in caplog.records) == 100


def test_a_task_that_is_stopped_or_not_started_is_told_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[str]:
        bench = Bench()

        async def work() -> None:
            await asyncio.sleep(1_000)

        async def once() -> None: ...

        crashed = await bench.dispatch(bench.task(once, max_attempts=1)())
        await bench.memory.claim(["default"], limit=1, lease=1, wait=0, worker="dies")
        await asyncio.sleep(2)
        stopped = await bench.dispatch(bench.task(work)())
        async with bench.working(lease=3):
            await asyncio.sleep(1)
            await bench.memory.purge("default")
            await asyncio.sleep(5)
        return [crashed, stopped]

    with caplog.at_level(logging.WARNING, "asynctasq.worker"):
        crashed, stopped = run_virtually(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        f"task {crashed} (t:once) is a dead letter: lease expired on the last attempt",
        f"task {stopped} (t:work) has lost its lease; attempt 1 is stopped",
    ]


def test_a_stop_says_for_what_it_waits_and_what_it_could_not_stop(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> str:
        bench = Bench()
        go_on = asyncio.Event()

        async def stubborn() -> None:
            while not go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await go_on.wait()

        task_id = await bench.dispatch(bench.task(stubborn)())
        try:
            async with bench.working(shutdown_grace=7):
                await asyncio.sleep(1)
        finally:
            go_on.set()
        return task_id

    with caplog.at_level(logging.INFO, "asynctasq.worker"):
        task_id = run_virtually(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        "stopping: 1 tasks run, waiting up to 7 s",
        f"task {task_id} (t:stubborn) could not be stopped and is given back",
    ]


@virtual
async def test_what_waits_for_a_thread_is_given_back_as_soon_as_the_worker_is_told_to_stop() -> None:
    bench = Bench()
    begun, go_on = asyncio.Event(), threading.Event()
    tell = asyncio.get_running_loop().call_soon_threadsafe

    def work() -> None:
        tell(begun.set)
        go_on.wait()

    function = bench.task(work)
    for _ in range(2):
        await bench.dispatch(function())
    try:
        async with bench.working(threads=1, shutdown_grace=1e9) as worker:
            await begun.wait()
            worker.stop()
            await asyncio.sleep(1)
            assert await bench.ready() == (1, 0, 1)
            go_on.set()
            while worker.running():
                await worker.change()
    finally:
        go_on.set()
    assert worker.counts == {"Release": 1, "Ack": 1}


@pytest.mark.parametrize("error", [ModelNotFound("it is gone"), TaskNotFound("no such task"), UndecodableTask("no")])
def test_errors_of_ours_that_a_task_lets_through_are_its_failures(error: TaskError) -> None:
    async def scenario() -> None:
        bench = Bench()

        async def careless() -> None:
            raise error

        await bench.dispatch(bench.task(careless, max_attempts=2, retry_delay=0)())
        worker = await bench.drain()
        assert worker.counts == {"Retry": 1, "DeadLetter": 1}
        (dead,) = await bench.dead()
        assert dead.reason == "failed on attempt 2 of 2"

    run_virtually(scenario())
