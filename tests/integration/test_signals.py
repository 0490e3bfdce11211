"""Signals, whatever a worker is doing: real processes, real signals, and what became of the tasks."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.fleet import BROKERS, Broker, Fleet
from tests.integration.history import duplicates
from tests.integration.ledger_tasks import block, work, work_in_child, work_in_loop_of_child, work_in_thread
from tests.integration.shell import Running, Shell

JOBS = """
import asyncio, os, sys, time
from asynctasq.tasks import dispatch_many, task
from asynctasq.utils.loop import run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

@task(timeout=7200)
async def block():
    say("blocking", os.getpid())
    while True: time.sleep(0.05)  # one long one would sleep through a signal that came just before it began

async def deep_inside():
    # Said once it waits: a signal is answered at once, and might find it on this line.
    asyncio.get_running_loop().call_soon(say, "resting", os.getpid())
    await asyncio.sleep(3600)

@task
async def rest():
    await deep_inside()

@task
def crunch():
    say("crunching", os.getpid())
    time.sleep(3600)

@task(process=True)
def grind():
    say("grinding", os.getpid())
    time.sleep(3600)

@task(process=True)
async def wait_in_child():
    await deep_inside()

async def main(*names):
    await dispatch_many([globals()[name]() for name in names])

if __name__ == "__main__":
    run(main(*sys.argv[1:]))
"""

SLOW = """
import os, threading
os.write(1, b"importing\\n")
while True: threading.Event().wait(0.05)
"""

STUBBORN = """
import os, threading
try:
    os.write(1, b"importing\\n")
    while True: threading.Event().wait(0.05)
except BaseException:
    os.write(1, b"swallowed\\n")
while True: threading.Event().wait(0.05)
"""

HASTY = """
import sys
from asynctasq.app import signals
from asynctasq.app.cli import main
signals.LAST_CALL = 0.1
main(sys.argv[1:])
"""

AT_ONCE = 15.0
"""Seconds for what should take about one: far below an hour, and above what a crowded machine makes of it."""


@pytest.fixture
def shell(tmp_path: Path) -> Generator[Shell]:
    (tmp_path / "pyproject.toml").touch()  # the queue's file goes beside it
    (tmp_path / "jobs.py").write_text(JOBS)
    shell = Shell(tmp_path)
    yield shell
    for running in shell.started:
        running.close()


def ends(worker: Running, number: int = signal.SIGTERM) -> tuple[int, float]:
    """Send a signal; the exit status, and how long it took."""
    began = time.monotonic()
    status, _ = worker.stop(number)
    return status, time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_is_left_in_good_order_while_its_app_is_being_imported(shell: Shell, number: int) -> None:
    (shell.folder / "slow.py").write_text(SLOW)
    worker = shell.worker("slow")
    worker.read("importing")
    status, took = ends(worker, number)
    assert (status, worker.log) == (0, "")
    assert took < AT_ONCE


def test_an_app_that_swallows_the_first_signal_while_it_is_imported_cannot_swallow_the_second(shell: Shell) -> None:
    (shell.folder / "stubborn.py").write_text(STUBBORN)
    worker = shell.worker("stubborn")
    worker.read("importing")
    worker.process.send_signal(signal.SIGTERM)
    worker.read("swallowed")
    assert ends(worker)[0] == 130


@pytest.mark.parametrize("driver", ["redis", "postgresql"])
def test_a_worker_stops_while_it_cannot_reach_its_broker(shell: Shell, driver: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    worker = shell.worker("jobs", "--driver", f"{driver}://127.0.0.1:{port}")
    worker.read_log("trying again until it works")
    status, took = ends(worker)
    assert status == 0, worker.log
    assert took < AT_ONCE


@pytest.mark.parametrize("driver", ["redis", "postgresql"])
def test_a_worker_stops_while_it_waits_for_a_broker_that_never_answers(shell: Shell, driver: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = shell.worker("jobs", "--driver", f"{driver}://127.0.0.1:{silent.getsockname()[1]}")
        connection, _ = silent.accept()
        with connection:
            status, took = ends(worker)
    assert status == 0, worker.log
    assert took < AT_ONCE


def test_a_worker_whose_loop_is_blocked_is_ended_by_the_second_signal_and_says_what_blocked_it(shell: Shell) -> None:
    shell.dispatch("block")
    worker = shell.worker("jobs", "--lease", "2")
    worker.read("blocking")
    worker.process.send_signal(signal.SIGTERM)
    for times in (1, 2):  # a signal that is sent before the last one was handled is the same; two answers later, it was
        worker.process.send_signal(signal.SIGQUIT)
        worker.read_log("running now", times=times)
    status, took = ends(worker)
    assert status == 1
    assert took < AT_ONCE
    assert "the worker does not stop and is ended" in worker.log
    assert "in block" in worker.log
    again = shell.worker("jobs", "--lease", "2")
    again.read("blocking")  # when the lease has ended


def test_a_worker_whose_loop_is_blocked_for_longer_than_the_grace_ends_itself(shell: Shell) -> None:
    shell.dispatch("block")
    (shell.folder / "hasty.py").write_text(HASTY)
    worker = shell.worker("jobs", "--shutdown-grace", "1", program=["hasty.py"])
    worker.read("blocking")
    status, took = ends(worker)
    assert status == 1
    assert 1 <= took < AT_ONCE
    assert "the worker does not stop and is ended" in worker.log


@pytest.mark.parametrize(
    ("name", "said", "line"),
    [
        ("block", "blocking", "while True: time.sleep(0.05)"),
        ("rest", "resting", "await asyncio.sleep(3600)"),
        ("crunch", "crunching", "in crunch"),
        ("grind", "grinding", "in grind"),
        ("wait_in_child", "resting", "await asyncio.sleep(3600)"),
    ],
)
def test_quit_shows_what_runs_and_where_it_is(shell: Shell, name: str, said: str, line: str) -> None:
    shell.dispatch(name)
    worker = shell.worker("jobs")
    worker.read(said)
    worker.process.send_signal(signal.SIGQUIT)
    worker.read_log(f"(jobs:{name}), attempt 1")
    worker.read_log(line)
    if name in ("grind", "wait_in_child"):  # what a child is asked, it answers
        worker.read_log("asynctasq: child process ")
        worker.read_log(f"(jobs:{name}), attempt 1", times=2)
    assert worker.process.poll() is None, "it is only asked"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rest", "resting"),
        ("crunch", "crunching"),
        ("grind", "grinding"),
        ("wait_in_child", "resting"),
    ],
)
def test_a_second_signal_stops_now_what_runs_in_any_mode_and_gives_it_back(shell: Shell, name: str, said: str) -> None:
    shell.dispatch(name)
    worker = shell.worker("jobs", "--shutdown-grace", "3600")
    worker.read(said)
    worker.process.send_signal(signal.SIGTERM)
    worker.read_log("once more to stop now")
    status, took = ends(worker)
    assert status == 0, worker.log
    assert took < AT_ONCE
    (queue,) = shell.stats().values()
    assert (queue["ready"], queue["leased"], queue["dead"]) == (1, 0, 0)


def test_quit_shows_what_runs_in_every_process(shell: Shell) -> None:
    shell.dispatch("rest", "rest")
    worker = shell.worker("jobs", "--processes", "2", "--concurrency", "1", "--shutdown-grace", "0")
    pids = {worker.read(r"resting (\d+)")[1] for _ in range(2)}
    assert len(pids) == 2
    worker.process.send_signal(signal.SIGQUIT)
    worker.read_log("(jobs:rest), attempt 1", times=2)
    worker.read_log("await asyncio.sleep(3600)", times=2)


def test_a_worker_that_blocks_its_loop_is_told_of_once_with_the_task_and_the_line(shell: Shell) -> None:
    shell.dispatch("block")
    worker = shell.worker("jobs", "--log-format", "text")
    worker.read("blocking")
    worker.read_log("the event loop has been blocked for more than 1 s by task ")
    (told,) = [line for line in worker.log.splitlines() if "the event loop has been blocked" in line]
    assert "(jobs:block), attempt 1" in told, "also where a timeout puts an asyncio task in between"
    worker.read_log("while True: time.sleep(0.05)")
    time.sleep(3.0)  # in which it would be told again
    assert worker.log.count("the event loop has been blocked") == 1


# With tasks that keep a history


# Not SQS, which gives no attempt back and counts approximately: what is looked at here cannot be seen there.
@pytest.fixture(params=[make for make in BROKERS if make.__name__ != "sqs"], ids=lambda make: make.__name__)
def broker(request: pytest.FixtureRequest) -> Broker:
    return request.param(request)


@pytest_asyncio.fixture
async def fleet(broker: Broker, tmp_path: Path) -> AsyncGenerator[Fleet]:
    async with Fleet(broker, tmp_path, lease=1.0) as fleet:
        yield fleet


def assert_no_attempt_was_spent(fleet: Fleet) -> None:
    if fleet.driver.capabilities.refunds_release:
        assert {start.attempt for start in fleet.starts()} == {1}


@pytest.mark.asyncio
@pytest.mark.timeout(150)
async def test_a_task_that_blocks_the_loop_for_several_leases_is_not_run_twice_nor_are_its_neighbours(
    fleet: Fleet,
) -> None:
    blocked = fleet.spawn()
    await fleet.dispatch(work(seconds=4.0), work_in_thread(seconds=4.0))
    await fleet.until(lambda: len(fleet.starts()) == 2, "the neighbours")
    await fleet.dispatch(block(seconds=4.0))
    await fleet.until(lambda: len(fleet.starts()) == 3, "the task that blocks")
    fleet.spawn()  # would run whatever lost its lease
    await fleet.drained()
    await fleet.stop()
    history = await fleet.verify()
    assert duplicates(history) == 0
    assert {start.attempt for start in fleet.starts()} == {1}
    (told,) = [line for line in blocked.log.read_text().splitlines() if "the event loop has been blocked" in line]
    assert "ledger_tasks:block" in told
    assert "time.sleep(seconds)" in told


@pytest.mark.asyncio
@pytest.mark.timeout(150)
@pytest.mark.parametrize("processes", [1, 2])
async def test_a_stop_finishes_what_runs_gives_back_what_does_not_and_spends_no_attempt(
    broker: Broker, tmp_path: Path, processes: int
) -> None:
    options = ["--concurrency", "12", "--threads", "2", "--processes", str(processes)]
    async with Fleet(broker, tmp_path, options=options) as fleet:
        stopped = fleet.spawn()
        await fleet.serves(stopped, processes=processes)
        await fleet.dispatch(*(work_in_thread(seconds=0.5) for _ in range(16)), *(work(seconds=0.5) for _ in range(4)))
        await fleet.started(2 * processes)
        began = time.monotonic()
        await fleet.retire(stopped)
        assert time.monotonic() - began < AT_ONCE, "the grace is twice that"
        started, stats = len(fleet.starts()), await fleet.stats()
        assert (stats.ready, stats.leased, stats.delayed) == (20 - started, 0, 0)
        assert stats.ready, "all had started: there was nothing to give back"
        fleet.spawn()
        await fleet.drained()
        await fleet.stop()
        history = await fleet.verify()
        assert duplicates(history) == 0
        assert_no_attempt_was_spent(fleet)


RESTARTS = int(os.environ.get("ASYNCTASQ_TEST_RESTARTS", "4"))
"""How many rolling restarts there are; `ASYNCTASQ_TEST_RESTARTS=20` for the whole truth."""


@pytest.mark.asyncio
@pytest.mark.timeout(60 + 15 * RESTARTS)
async def test_rolling_restarts_under_load_run_nothing_twice_and_spend_no_attempt(
    broker: Broker, tmp_path: Path
) -> None:
    options = ["--concurrency", "10", "--threads", "2", "--children", "1"]
    async with Fleet(broker, tmp_path, options=options) as fleet:
        serving = [fleet.spawn(), fleet.spawn()]
        for n in range(RESTARTS):
            fresh = fleet.spawn()
            await fleet.serves(fresh)
            load = [*(work_in_thread(seconds=0.15) for _ in range(54)), *(work(seconds=0.3) for _ in range(20))]
            load += [work_in_child(seconds=0.15), work_in_loop_of_child(seconds=0.15)] * 3
            await fleet.dispatch(*load)
            await fleet.started(80 * n + 10)
            await fleet.retire(serving.pop(0))
            serving.append(fresh)
        await fleet.drained()
        await fleet.stop()
        history = await fleet.verify()
        assert duplicates(history) == 0
        assert len(fleet.starts()) == 80 * RESTARTS
        assert_no_attempt_was_spent(fleet)
        logs = "".join(worker.log.read_text() for worker in fleet.workers)
        assert "given back" in logs, "no stop met anything unstarted"
