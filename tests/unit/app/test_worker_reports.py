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
from asynctasq.domain.message import Message


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
    async with bench.working(lease=10, shutdown_grace=0, concurrency=1):
        await asyncio.sleep(60)
        assert await bench.ready() == (0, 0, 1), "within its timeout"
        await asyncio.sleep(20)
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
