"""Tasks in child processes of real workers: deaths, timeouts, signals, and what a child holds and leaves behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.families import alive, children_of_worker, descendants, held
from tests.integration.fleet import Broker, Fleet, Worker, postgres, redis, sqlite
from tests.integration.history import Ended, Killed, duplicates
from tests.integration.ledger_tasks import (
    clean_up_when_stopped,
    die,
    fork_the_worker,
    hold_the_lock_at_first,
    ignore_sigterm,
    work_in_child,
    work_in_loop_of_child,
)

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.timeout(150),
    pytest.mark.skipif(sys.platform != "linux", reason="what other processes hold is read from /proc"),
]

CHILDREN = 3


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Broker:
    make: Callable[[pytest.FixtureRequest], Broker] = getattr(request, "param", sqlite)
    return make(request)


@pytest_asyncio.fixture
async def fleet(broker: Broker, tmp_path: Path) -> AsyncGenerator[Fleet]:
    async with Fleet(broker, tmp_path, options=["--children", str(CHILDREN)]) as fleet:
        yield fleet


async def one_runs(fleet: Fleet, *, count: int = 1) -> None:
    await fleet.until(lambda: len(fleet.starts()) >= count, "the first runs")


def endings(fleet: Fleet) -> list[Ended]:
    return [event for event in fleet.ran() if isinstance(event, Ended)]


@pytest.mark.timeout(300)
async def test_two_hundred_deaths_among_a_thousand_tasks_fail_themselves_and_nothing_else(fleet: Fleet):
    deaths = {"segfault": "SIGSEGV", "killed": "SIGKILL", "exit at once": "exit status 3", "exit": "SystemExit: 3"}
    dying = [die(how) for how in itertools.islice(itertools.cycle(deaths), 200)]
    calm = [work_in_child(seconds=0) if number % 2 else work_in_loop_of_child(seconds=0) for number in range(800)]
    mixed = [call for number, each in enumerate(dying) for call in (each, *calm[4 * number : 4 * number + 4])]
    ids = await fleet.dispatch(*mixed)
    worker = fleet.spawn()
    await fleet.drained(
        patience=200
    )  # two hundred children that import everything anew take their time on a crowded machine

    dead = await fleet.dead()
    assert {letter.id for letter in dead} == set(ids[::5])
    told = Counter(sign for letter in dead for sign in deaths.values() if sign in letter.error)
    assert told == dict.fromkeys(deaths.values(), 50)
    assert len(fleet.starts()) == 1000
    assert {event.task for event in endings(fleet) if event.how == "ok"} == set(ids) - set(ids[::5])
    await fleet.until(lambda: len(children_of_worker(worker.pid)) == CHILDREN + 1, "a whole pool, and its spare")
    await fleet.stop()
    assert not duplicates(await fleet.verify())


async def test_a_task_that_exhausts_what_the_system_grants_it_fails_alone_and_says_of_what(fleet: Fleet):
    exhausted = await fleet.dispatch(die("out of memory"), die("killed by the kernel"))
    calm = await fleet.dispatch(*(work_in_child(seconds=0) for _ in range(5)))
    fleet.spawn()
    await fleet.drained()
    errors = {letter.id: letter.error for letter in await fleet.dead()}
    assert set(errors) == set(exhausted)
    assert errors[exhausted[0]].endswith("MemoryError"), "Python itself was told"
    assert "was killed by SIGKILL, which is what the system does when memory runs out" in errors[exhausted[1]]
    assert {event.task for event in endings(fleet) if event.how == "ok"} == set(calm)
    await fleet.stop()


async def test_the_children_of_a_killed_worker_die_with_it_and_another_takes_its_tasks_over(fleet: Fleet):
    await fleet.dispatch(hold_the_lock_at_first(), *(work_in_child(seconds=0.3) for _ in range(20)))
    worker = fleet.spawn()
    await one_runs(fleet, count=CHILDREN)
    family = descendants(worker.pid)
    children = children_of_worker(worker.pid)
    assert len(children) >= CHILDREN
    fleet.kill(worker)
    killed_at = time.monotonic()
    fleet.events += [Killed(pid=pid, at=killed_at) for pid in children]
    await fleet.until(lambda: not alive(children), "the children to die")
    assert time.monotonic() - killed_at < 2.0
    # The server that they were forked from runs no task: it notices for itself, when it gets to run.
    await fleet.until(lambda: not alive(family), "its whole family to be gone")

    fleet.spawn()
    await fleet.drained()
    await fleet.stop()
    await fleet.verify()
    assert len({event.task for event in endings(fleet) if event.how == "ok"}) == 21


async def test_the_children_of_a_killed_worker_die_though_a_task_has_forked_it(fleet: Fleet):
    await fleet.dispatch(work_in_child(seconds=60))
    worker = fleet.spawn()
    await one_runs(fleet)
    await fleet.dispatch(fork_the_worker())
    copies = fleet.folder / "ledger" / "copies"
    await fleet.until(copies.exists, "the copy")
    copy = int(copies.read_text())
    children = children_of_worker(worker.pid)
    try:
        fleet.kill(worker)
        killed_at = time.monotonic()
        await fleet.until(lambda: not alive(children), "the children to die")
        assert time.monotonic() - killed_at < 2.0
        assert alive({copy}), "it was to hold the pipes open"
    finally:
        send(copy, signal.SIGKILL)


@pytest.mark.parametrize("broker", [sqlite, redis, postgres], indirect=True, ids=lambda make: make.__name__)
async def test_a_child_has_none_of_its_workers_connections_and_files(fleet: Fleet):
    await fleet.dispatch(work_in_child(seconds=2))
    worker = fleet.spawn()
    await one_runs(fleet)
    (child,) = {start.pid for start in fleet.starts()}
    ours, its = held(worker.pid), held(child)
    connections = {link for link in ours.values() if link.startswith("socket:")}
    files = {link for number, link in ours.items() if link.startswith("/") and number > 2}
    assert connections or files, "the worker has no connection: this test proves nothing"
    assert not (connections | files - {"/dev/null", "/dev/urandom"}) & set(its.values())
    await fleet.drained()
    await fleet.stop()


async def test_a_task_that_ignores_sigterm_is_killed_with_what_it_started_and_the_spare_has_its_place_before(
    broker: Broker, tmp_path: Path
):
    async with Fleet(broker, tmp_path, options=["--children", "1"]) as fleet:
        worker = fleet.spawn()
        await fleet.dispatch(work_in_child(seconds=0))
        await fleet.until(lambda: len(children_of_worker(worker.pid)) == 2, "the spare")
        stubborn, quick = await fleet.dispatch(ignore_sigterm(), work_in_child(seconds=0))
        await fleet.until((fleet.folder / "ledger" / "programs").exists, "its program to be started")
        program = int((fleet.folder / "ledger" / "programs").read_text())
        started = next(start for start in fleet.starts() if start.task == stubborn)
        await fleet.until(lambda: not alive({started.pid, program}), "the child and its program to die")
        gone_at = time.monotonic()
        assert gone_at - started.at < 0.5 + 3.0
        after = next(start for start in fleet.starts() if start.task == quick)
        # Before the other has ended: the two seconds that it has after SIGTERM are not waited for.
        assert after.at < gone_at - 1.0
        assert after.pid != started.pid
        await fleet.drained()
        (dead,) = await fleet.dead()
        assert dead.id == stubborn
        assert "ran past its timeout of 0.5 s and was killed, 2 s after SIGTERM" in dead.error
        await fleet.stop()


async def test_a_task_past_its_timeout_may_clean_up_before_its_child_ends(fleet: Fleet):
    fleet.spawn()
    await fleet.dispatch(clean_up_when_stopped())
    await fleet.drained()
    (ended,) = endings(fleet)
    (start,) = fleet.starts()
    assert ended.how == "cancelled"
    assert ended.at - start.at < 2.0
    await fleet.stop()


async def test_a_signal_to_every_process_of_the_service_lets_its_tasks_end_well(fleet: Fleet):
    await fleet.dispatch(work_in_child(seconds=1.5), work_in_loop_of_child(seconds=1.5))
    worker = fleet.spawn()
    await one_runs(fleet, count=2)
    for pid in descendants(worker.pid) | {worker.pid}:
        send(pid, signal.SIGTERM)
    await fleet.until(lambda: not worker.alive, "the worker to stop")
    assert worker.process.returncode == 0, worker.log.read_text()
    assert [event.how for event in endings(fleet)] == ["ok", "ok"]
    stats = await fleet.stats()
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 0)


async def test_what_a_stopped_worker_cannot_finish_within_its_grace_is_given_back_and_its_children_are_gone(
    broker: Broker, tmp_path: Path
):
    options = ["--children", "2", "--shutdown-grace", "0.2"]
    async with Fleet(broker, tmp_path, options=options) as fleet:
        await fleet.dispatch(*(work_in_child(seconds=30) for _ in range(3)))
        worker = fleet.spawn()
        await one_runs(fleet, count=2)
        family = descendants(worker.pid)
        await fleet.stop()
        await fleet.until(lambda: not alive(family), "its whole family to be gone")
        stats = await fleet.stats()
        assert (stats.ready, stats.leased, stats.dead) == (3, 0, 0)


async def test_a_child_that_is_killed_while_idle_costs_no_task_anything(fleet: Fleet):
    worker: Worker = fleet.spawn()
    await fleet.dispatch(work_in_child(seconds=0))
    await fleet.drained()
    await fleet.until(lambda: len(children_of_worker(worker.pid)) == 2, "a child and a spare")
    children = children_of_worker(worker.pid)
    for pid in children:
        send(pid, signal.SIGKILL)
    # One that is still to die may be given a task, of which nobody can tell whether it has begun.
    await fleet.until(lambda: not alive(children), "them to be dead")
    await fleet.dispatch(*(work_in_child(seconds=0) for _ in range(5)))
    await fleet.drained()
    assert len(fleet.starts()) == 6
    assert all(start.attempt == 1 for start in fleet.starts())
    await fleet.stop()


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
