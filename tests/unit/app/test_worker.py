"""The worker, whole, on virtual time: the real codec, executors and memory driver; hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.app.bench import Bench, virtual
from tests.virtual_time import now, run_virtually

from asynctasq.app.context import CURRENT, current_task
from asynctasq.domain.errors import AsyncTasQError, DriverUnavailable
from asynctasq.domain.message import Claim, Message
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.testing.faults import FaultyDriver


@virtual
async def test_a_dispatched_task_runs_once_and_is_forgotten() -> None:
    bench = Bench()
    seen: list[object] = []

    async def note(x: int, *, y: str) -> None:
        running = current_task()
        seen.append((x, y, running.attempt, running.queue, running.name, running.id))

    task_id = await bench.dispatch(bench.task(note)(1, y="z"))
    await bench.drain()
    assert seen == [(1, "z", 1, "default", "t:note", task_id)]
    assert await bench.ready() == (0, 0, 0)
    assert await bench.dead() == []
    assert CURRENT.get() is None


@virtual
async def test_a_plain_function_runs_in_a_thread_and_sees_its_task() -> None:
    bench = Bench()
    seen: list[int] = []

    def note(x: int) -> None:
        seen.append(x * current_task().attempt)

    await bench.dispatch(bench.task(note)(7))
    await bench.drain()
    assert seen == [7]


@pytest.mark.parametrize(("max_attempts", "runs"), [(0, 1), (1, 1), (3, 3)])
def test_a_failing_task_runs_max_attempts_times_with_its_delay_in_between(max_attempts: int, runs: int) -> None:
    async def scenario() -> None:
        bench = Bench()
        started: list[float] = []

        async def fail() -> None:
            started.append(now())
            raise ValueError(f"try {len(started)}")

        await bench.dispatch(bench.task(fail, max_attempts=max_attempts, retry_delay=60)())
        async with bench.working():
            await asyncio.sleep(1_000)
        assert len(started) == runs
        gaps = [later - earlier for earlier, later in itertools.pairwise(started)]
        assert gaps == pytest.approx([60] * (runs - 1), abs=0.1)
        (dead,) = await bench.dead()
        assert dead.attempts == runs
        assert dead.reason == f"failed on attempt {runs} of {runs}"
        assert f"ValueError: try {runs}" in dead.error
        assert "in fail" in dead.error
        assert "asynctasq/app" not in dead.error

    run_virtually(scenario())


@virtual
async def test_retry_after_overrides_the_delay_of_one_dispatch() -> None:
    bench = Bench()
    started: list[float] = []

    async def fail() -> None:
        started.append(now())
        raise ValueError

    function = bench.task(fail, retry_delay=60, max_attempts=3)
    await bench.dispatch(function().retry_after(5))
    async with bench.working():
        await asyncio.sleep(100)
    assert [later - earlier for earlier, later in itertools.pairwise(started)] == pytest.approx([5, 5], abs=0.1)


@virtual
async def test_a_delayed_task_starts_when_it_is_due_and_not_before() -> None:
    bench = Bench()
    started: list[float] = []

    async def note() -> None:
        started.append(now())

    function = bench.task(note)
    begin = now()
    async with bench.working():
        await bench.dispatch(function().delay(3600))
        await asyncio.sleep(4000)
    assert started == [pytest.approx(begin + 3600, abs=0.1)]


@virtual
async def test_an_async_timeout_fails_the_attempt_on_time() -> None:
    bench = Bench()
    ended: list[float] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(10_000)
        finally:
            ended.append(now())

    begin = now()
    await bench.dispatch(bench.task(hang, timeout=5, max_attempts=1)())
    await bench.drain()
    assert ended == [pytest.approx(begin + 5, abs=0.1)]
    (dead,) = await bench.dead()
    assert "ran past its timeout of 5 s" in dead.error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("timeout", [None, 5])
def test_whatever_a_task_raises_is_that_tasks_failure_and_not_the_workers(
    error: BaseException, timeout: float | None
) -> None:
    async def scenario() -> None:
        bench = Bench()
        ran: list[str] = []

        async def explode() -> None:
            raise error

        def explode_in_thread() -> None:
            raise error

        async def neighbour() -> None:
            ran.append("neighbour")

        await bench.dispatch(bench.task(explode, max_attempts=1, timeout=timeout)())
        # Without a timeout: a real thread is no match for a clock that jumps while it runs.
        await bench.dispatch(bench.task(explode_in_thread, max_attempts=1)())
        await bench.dispatch(bench.task(neighbour)())
        await bench.drain()
        assert ran == ["neighbour"]
        dead = await bench.dead()
        assert len(dead) == 2
        assert all(type(error).__name__ in letter.error for letter in dead)

    run_virtually(scenario())


@virtual
async def test_an_unknown_task_is_released_for_an_hour_without_spending_an_attempt_and_then_a_dead_letter() -> None:
    bench, other = Bench(), Bench()

    async def unknown_here() -> None: ...

    foreign = other.task(unknown_here)()
    await bench.dispatch(foreign)
    async with bench.working():
        await asyncio.sleep(3500)
        assert await bench.dead() == []
        await asyncio.sleep(200)
    (dead,) = await bench.dead()
    assert "no task 't:unknown_here' is registered" in dead.reason


def test_a_task_that_is_not_registered_here_is_warned_of_once_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    async def renamed() -> None: ...

    async def rename() -> None: ...

    @virtual
    async def two_come_by_several_times() -> None:
        bench, other = Bench(), Bench()
        bench.task(rename)
        for _ in range(2):
            await bench.dispatch(other.task(renamed)())
        async with bench.working():
            await asyncio.sleep(100)

    two_come_by_several_times()
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(
        "given back for an hour, to whoever knows them, and dead letters then: no task 't:renamed' is registered"
    )
    assert warning.endswith("`asynctasq worker t`; did you mean 't:rename'?")


@virtual
async def test_a_task_that_becomes_known_runs_on_its_first_attempt() -> None:
    bench, other = Bench(), Bench()
    attempts: list[int] = []

    async def late() -> None:
        attempts.append(current_task().attempt)

    await bench.dispatch(other.task(late)())
    async with bench.working():
        await asyncio.sleep(100)
        bench.task(late)
        await asyncio.sleep(60)
    assert attempts == [1]


@virtual
async def test_an_undecodable_body_is_a_dead_letter_with_the_reason_and_its_neighbours_run() -> None:
    bench = Bench()
    ran: list[int] = []

    async def note(x: int) -> None:
        ran.append(x)

    function = bench.task(note)
    await bench.dispatch(function(1))
    for n, body in enumerate([b"", b"\xff\xff", b"\x01\x93", b"\x01" + b"\x91" * 5000]):
        await bench.memory.enqueue([Message(id=f"bad{n}", queue="default", body=body)])
    await bench.dispatch(function(2))
    await bench.drain()
    assert sorted(ran) == [1, 2]
    dead = await bench.dead()
    assert len(dead) == 4
    assert all(letter.reason.startswith("undecodable: ") for letter in dead)


@virtual
async def test_every_tenth_claim_starts_at_the_next_queue_so_that_none_starves() -> None:
    bench = Bench()
    order: list[str] = []

    async def note(queue: str) -> None:
        order.append(queue)

    function = bench.task(note)
    for _ in range(40):
        await bench.dispatch(function("high").on_queue("high"))
    for queue in ("middle", "low"):
        await bench.dispatch(function(queue).on_queue(queue))
    await bench.drain(queues=["high", "middle", "low"], concurrency=1)
    assert order.index("middle") == 9
    assert order.index("low") == 19
    assert order[:9] == ["high"] * 9


@virtual
async def test_never_more_runs_at_once_than_the_concurrency() -> None:
    bench = Bench()
    running = 0
    most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    function = bench.task(work)
    for _ in range(30):
        await bench.dispatch(function())
    await bench.drain(concurrency=7)
    assert most == 7


class Distant(MemoryDriver):
    """A broker whose answer to a claim is a second on its way."""

    async def claim(self, queues: Sequence[str], **asked: Any) -> Sequence[Claim]:
        claims = await super().claim(queues, **asked)
        await asyncio.sleep(1)
        return claims


@virtual
async def test_quick_tasks_do_not_wait_for_the_broker_between_two_batches() -> None:
    bench = Bench(memory=Distant)

    async def work() -> None:
        await asyncio.sleep(0.9)

    function = bench.task(work)
    for _ in range(100):
        await bench.dispatch(function())
    began = now()
    await bench.drain(concurrency=10)
    # Ten batches take 1.9 s each when claims and runs take turns, and 1 s when the next claim is on its way meanwhile. The
    # first claim cannot know, and the last, empty one ends the burst.
    assert now() - began < 13.5


@virtual
async def test_the_next_claim_is_sent_before_the_tasks_of_the_last_one_run() -> None:
    happened: list[str] = []

    class Sending(Distant):
        async def claim(self, queues: Sequence[str], **asked: Any) -> Sequence[Claim]:
            async def send() -> Sequence[Claim]:  # as drivers do it, so that a cancelled claim still gets its answer
                happened.append("asked")
                return await super(Sending, self).claim(queues, **asked)

            return await asyncio.ensure_future(send())

    bench = Bench(memory=Sending)

    async def work() -> None:
        happened.append("ran")

    function = bench.task(work)
    for _ in range(12):
        await bench.dispatch(function())
    await bench.drain(concurrency=3)
    assert happened[:13] == ["asked", *["asked", "ran", "ran", "ran"] * 3]


@virtual
async def test_claims_ahead_of_the_slots_start_as_slots_become_free_and_no_more_run_at_once() -> None:
    bench = Bench(memory=Distant)
    running: list[int] = []
    most: list[int] = []

    async def work(n: int, seconds: float) -> None:
        running.append(n)
        most.append(len(running))
        await asyncio.sleep(seconds)
        running.remove(n)

    function = bench.task(work)
    for n in range(30):
        await bench.dispatch(function(n, 0.5 if n < 10 else 1.4))
    worker = await bench.drain(concurrency=10)
    assert max(most) == 10
    assert len(most) == 30
    assert worker.counts == {"Ack": 30}


@virtual
async def test_claims_ahead_that_find_no_slot_are_given_back_and_their_attempt_with_them() -> None:
    bench = Bench(memory=Distant)
    attempts: list[int] = []

    async def work(seconds: float) -> None:
        attempts.append(current_task().attempt)
        await asyncio.sleep(seconds)

    function = bench.task(work)
    for n in range(30):
        await bench.dispatch(function(0.5 if n < 10 else 100))
    async with bench.working(concurrency=10) as worker:
        await asyncio.sleep(3.5)
        assert (await bench.ready())[2] == 20, "ten run, ten were claimed while the first ten ran"
        await asyncio.sleep(2)
        assert await bench.ready() == (10, 0, 10)
        assert worker.counts == {"Ack": 10, "Release": 10}
        await asyncio.sleep(200)
    assert attempts == [1] * 30


@virtual
async def test_claims_ahead_are_given_back_at_once_when_the_worker_stops() -> None:
    bench = Bench(memory=Distant)

    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    function = bench.task(work)
    for n in range(30):
        await bench.dispatch(function(0.5 if n < 10 else 100))
    async with bench.working(concurrency=10) as worker:
        await asyncio.sleep(3.5)
        assert (await bench.ready())[2] == 20
        worker.stop()
        await asyncio.sleep(0.1)
        assert await bench.ready() == (10, 0, 10)


@virtual
async def test_nothing_is_claimed_ahead_where_giving_back_spends_the_attempt() -> None:
    class Spending(Distant):
        def __init__(self, **clocks: Any) -> None:
            super().__init__(**clocks)
            self.capabilities = replace(self.capabilities, refunds_release=False)

    bench = Bench(memory=Spending)

    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    function = bench.task(work)
    for n in range(30):
        await bench.dispatch(function(0.5 if n < 10 else 100))
    async with bench.working(concurrency=10, shutdown_grace=1):
        await asyncio.sleep(3.5)
        assert (await bench.ready())[2] == 10


@virtual
async def test_stopping_lets_running_tasks_finish_within_the_grace_and_gives_back_the_rest() -> None:
    bench = Bench()
    events: list[str] = []

    async def work(seconds: float) -> None:
        events.append(f"start {seconds:g}")
        await asyncio.sleep(seconds)
        events.append(f"end {seconds:g}")

    function = bench.task(work)
    await bench.dispatch(function(5.0))
    await bench.dispatch(function(500.0))
    begin = now()
    async with bench.working(shutdown_grace=10):
        await asyncio.sleep(1)
    assert events == ["start 5", "start 500", "end 5"]
    assert now() - begin == pytest.approx(11, abs=0.5)
    assert await bench.ready() == (1, 0, 0)
    (claim,) = await bench.memory.claim(["default"], limit=9, lease=9, wait=0, worker="next")
    assert claim.attempt == 1, "a clean shutdown spends no attempt"
    assert claim.expiries == 0


@virtual
async def test_a_second_stop_does_not_wait_for_the_grace() -> None:
    bench = Bench()
    ended: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(500)
        finally:
            await asyncio.sleep(1)
            ended.append(now())

    await bench.dispatch(bench.task(work)())
    begin = now()
    async with bench.working(shutdown_grace=100) as worker:
        await asyncio.sleep(1)
        worker.stop()
        await asyncio.sleep(1)
    assert ended == [pytest.approx(begin + 3, abs=0.1)], "it has a moment to clean up"
    assert now() - begin == pytest.approx(3, abs=0.5)
    assert await bench.ready() == (1, 0, 0)


@pytest.mark.parametrize("concurrency", [2, 4])
def test_a_worker_that_has_started_as_many_tasks_as_it_may_finishes_them_however_long_it_takes(
    concurrency: int,
) -> None:
    async def scenario() -> None:
        bench = Bench()
        ended: list[float] = []

        async def work(seconds: float) -> None:
            await asyncio.sleep(seconds)
            ended.append(seconds)

        function = bench.task(work)
        for seconds in (500.0, 1.0, 2.0, 3.0, 4.0):
            await bench.dispatch(function(seconds))
        await bench.worker(max_tasks=3, concurrency=concurrency, shutdown_grace=1).run()
        assert ended == [1, 2, 500]
        assert await bench.ready() == (2, 0, 0), "no more was claimed than could be started"

    run_virtually(scenario())


@virtual
async def test_a_worker_that_has_done_its_share_can_still_be_stopped() -> None:
    bench = Bench()

    async def work() -> None:
        await asyncio.sleep(500)

    await bench.dispatch(bench.task(work)())
    begin = now()
    async with bench.working(max_tasks=1, shutdown_grace=2):
        await asyncio.sleep(1)
    assert now() - begin == pytest.approx(3, abs=0.5)
    assert await bench.ready() == (1, 0, 0)


@virtual
async def test_an_interrupted_task_that_may_run_only_once_is_a_dead_letter() -> None:
    bench = Bench()

    async def work() -> None:
        await asyncio.sleep(500)

    await bench.dispatch(bench.task(work, max_attempts=1)())
    async with bench.working(shutdown_grace=1):
        await asyncio.sleep(1)
    (dead,) = await bench.dead()
    assert dead.reason == "interrupted"


@virtual
async def test_a_task_that_refuses_to_be_cancelled_does_not_keep_the_worker_and_is_given_back() -> None:
    bench = Bench()

    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(500)

    await bench.dispatch(bench.task(stubborn)())
    running = bench.worker(shutdown_grace=1)
    worked = asyncio.create_task(running.run())
    await asyncio.sleep(1)
    running.stop()
    await asyncio.wait_for(worked, 20)
    assert await bench.ready() == (1, 0, 0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.get_coro().close()  # type: ignore[union-attr] -- nothing else ends it


@virtual
async def test_a_lease_is_kept_for_as_long_as_the_task_runs() -> None:
    bench = Bench()
    starts: list[float] = []

    async def work() -> None:
        starts.append(now())
        await asyncio.sleep(1_000)

    await bench.dispatch(bench.task(work)())
    async with bench.working(lease=3), bench.working(lease=3):
        await asyncio.sleep(1_100)
    assert len(starts) == 1
    assert await bench.ready() == (0, 0, 0)


@virtual
async def test_a_task_whose_lease_is_lost_is_stopped_and_settles_nothing() -> None:
    bench = Bench()
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    await bench.dispatch(bench.task(work)())
    async with bench.working(lease=3) as worker:
        await asyncio.sleep(1)
        await bench.memory.purge("default")
        await asyncio.sleep(5)
        assert worker.running() == []
    assert ended == ["cancelled"]
    assert worker.counts == {"Lost": 1}
    assert await bench.dead() == []


@virtual
async def test_a_crash_on_the_last_attempt_is_seen_by_the_next_claim_and_nothing_is_started() -> None:
    bench = Bench()
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    await bench.dispatch(bench.task(work, max_attempts=1)())
    await bench.memory.claim(["default"], limit=1, lease=1, wait=0, worker="dies")
    await asyncio.sleep(2)
    await bench.drain()
    assert ran == []
    (dead,) = await bench.dead()
    assert dead.reason == "lease expired on the last attempt"


@virtual
async def test_a_claim_that_outlived_two_workers_runs_alone() -> None:
    bench = Bench()
    running: set[int] = set()
    beside: dict[int, int] = {}
    starts: list[int] = []

    async def work(n: int) -> None:
        running.add(n)
        starts.append(n)
        beside.setdefault(n, 0)
        for _ in range(10):
            beside[n] = max(beside[n], len(running) - 1)
            await asyncio.sleep(0.1)
        running.discard(n)

    function = bench.task(work)
    for n in range(5):
        await bench.dispatch(function(n))
    for _ in range(2):
        await bench.memory.claim(["default"], limit=5, lease=1, wait=0, worker="dies")
        await asyncio.sleep(2)
    for n in range(5, 10):
        await bench.dispatch(function(n))
    async with bench.working():
        await asyncio.sleep(60)
    assert sorted(starts) == list(range(10))
    assert [beside[n] for n in range(5)] == [0] * 5
    assert await bench.ready() == (0, 0, 0)


@virtual
async def test_a_suspect_that_waits_to_run_alone_is_given_back_when_the_worker_stops() -> None:
    bench = Bench()

    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    function = bench.task(work)
    await bench.dispatch(function(1))
    for _ in range(2):
        await bench.memory.claim(["default"], limit=5, lease=1, wait=0, worker="dies")
        await asyncio.sleep(2)
    (suspect,) = await bench.memory.claim(["default"], limit=5, lease=1, wait=0, worker="dies")
    await bench.dispatch(function(50))
    async with bench.working(lease=100, shutdown_grace=60):
        await asyncio.sleep(10)  # the suspect came back after one second, and waits for the other to end
        assert await bench.ready() == (0, 0, 2)
    (claim,) = await bench.memory.claim(["default"], limit=5, lease=1, wait=0, worker="next")
    assert (claim.message.id, claim.attempt) == (suspect.message.id, suspect.attempt + 1)


@virtual
async def test_a_worker_outlives_its_broker_and_resumes_by_itself() -> None:
    bench = Bench(faulty=True)
    ran: list[int] = []

    async def work(n: int) -> None:
        ran.append(n)

    function = bench.task(work)
    await bench.dispatch(function(1))
    assert isinstance(bench.driver, FaultyDriver)
    for verb in ("claim", "settle"):
        for _ in range(5):
            bench.driver.fail_next(verb, DriverUnavailable("gone"))
    async with bench.working():
        await asyncio.sleep(120)
        await bench.dispatch(function(2))
        await asyncio.sleep(10)
    assert ran == [1, 2]
    assert await bench.ready() == (0, 0, 0)


@virtual
async def test_burst_ends_when_nothing_is_ready_and_leaves_the_delayed() -> None:
    bench = Bench()
    ran: list[int] = []

    async def work(n: int) -> None:
        ran.append(n)

    function = bench.task(work)
    for n in range(250):
        await bench.dispatch(function(n))
    await bench.dispatch(function(999).delay(60))
    await bench.drain(concurrency=10)
    assert sorted(ran) == list(range(250))
    assert await bench.ready() == (0, 1, 0)


@virtual
async def test_burst_runs_a_retry_that_comes_due_while_others_run() -> None:
    bench = Bench()
    starts: list[float] = []

    async def fail() -> None:
        starts.append(now())
        raise ValueError

    async def work() -> None:
        await asyncio.sleep(60)

    begin = now()
    await bench.dispatch(bench.task(fail, max_attempts=2, retry_delay=5)())
    await bench.dispatch(bench.task(work)())
    await bench.drain()
    assert starts == pytest.approx([begin, begin + 5], abs=0.2)
    assert now() == pytest.approx(begin + 60, abs=0.2)


@virtual
async def test_contextvars_do_not_leak_from_one_task_to_the_next() -> None:
    bench = Bench()
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="clean")
    seen: list[str] = []

    async def work() -> None:
        seen.append(mark.get())
        mark.set("dirty")

    function = bench.task(work)
    for _ in range(3):
        await bench.dispatch(function())
    await bench.drain(concurrency=1)
    assert seen == ["clean"] * 3


@virtual
async def test_contextvars_do_not_leak_to_the_claim_that_takes_over_the_slot() -> None:
    bench = Bench(memory=Distant)
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="clean")
    seen: list[str] = []

    async def work(seconds: float) -> None:
        seen.append(mark.get())
        mark.set("dirty")
        await asyncio.sleep(seconds)

    function = bench.task(work)
    for n in range(30):
        await bench.dispatch(function(0.5 if n < 10 else 1.4))
    await bench.drain(concurrency=10)
    assert seen == ["clean"] * 30


@virtual
async def test_current_task_outside_a_task_is_a_clear_error() -> None:
    with pytest.raises(AsyncTasQError, match="outside a running task: call it in the task"):
        current_task()


def test_failures_are_warnings_that_name_the_task_and_never_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()

        async def fail(secret: str) -> None:
            raise ValueError("boom")

        await bench.dispatch(bench.task(fail, max_attempts=1)("hunter2"))
        await bench.drain()

    with caplog.at_level(logging.INFO):
        run_virtually(scenario())
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("(t:fail) failed on attempt 1 of 1, dead letter: ValueError" in line for line in warnings)
    assert "hunter2" not in caplog.text
