"""Workers that are killed, frozen or poisoned lose nothing, and run nothing twice without cause."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.families import alive, children_of_worker, descendants
from tests.integration.fleet import BROKERS, Broker, Fleet, Worker, redis, sqlite
from tests.integration.history import Ended, Started, duplicates
from tests.integration.ledger_tasks import (
    fail_at_first,
    fail_until,
    linger_at_first,
    neighbour,
    poison,
    work,
    work_in_child,
    work_in_loop_of_child,
    work_in_thread,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(150)]

SEED = 20_260_104
TASKS, KILLS = 2_000, 20
FEW = {"sqs": (400, 5)}
"""Where less is enough every day: a request to this SQS is served in Python. ASYNCTASQ_TEST_KILLS=1000,10 asks for more."""


@pytest.fixture(params=BROKERS, ids=lambda make: make.__name__)
def broker(request: pytest.FixtureRequest) -> Broker:
    return request.param(request)


@pytest_asyncio.fixture
async def fleet(broker: Broker, tmp_path: Path) -> AsyncGenerator[Fleet]:
    async with Fleet(broker, tmp_path) as fleet:
        yield fleet


def size(broker: Broker, most: tuple[int, int] = (TASKS, KILLS)) -> tuple[int, int]:
    """How many tasks, and how many kills."""
    if asked := os.environ.get("ASYNCTASQ_TEST_KILLS"):
        tasks, kills = map(int, asked.split(","))
        return tasks, kills
    return FEW.get(broker.name, most)


async def test_no_task_is_lost_and_each_duplicate_is_excused_when_random_workers_are_killed(
    broker: Broker, tmp_path: Path
):
    tasks, kills = size(broker)
    chance = random.Random(SEED)
    kinds = {
        lambda: work(seconds=0.15): 14,
        lambda: work(seconds=0.15).delay(chance.uniform(1, 5)): 2,
        lambda: work_in_thread(seconds=0.1): 3,
        lambda: fail_until(attempt=2): 1,
    }
    chosen = chance.choices(list(kinds), weights=list(kinds.values()), k=tasks)
    options = ["--concurrency", "8", "--threads", "4"]
    async with Fleet(broker, tmp_path, lease=4.0 if broker.slow else 2.0, options=options) as fleet:
        await fleet.dispatch(*(make() for make in chosen))
        for _ in range(4):
            fleet.spawn()
        await fleet.until(lambda: bool(fleet.starts()), "the first task")
        await fleet.nemesis(chance, kills=kills, between=(0.2, 0.8))
        stats = await fleet.stats()
        assert stats.ready + stats.delayed + stats.leased, "all was done before the last kill: give it more work"
        await fleet.drained()
        await fleet.stop()
        history = await fleet.verify()
    again = duplicates(history)
    print(
        f"{broker.name}: {tasks} tasks, {kills} kills, {again} runs beyond the first of a task, each excused; none lost"
    )
    assert len({event.task for event in history if isinstance(event, Ended) and event.how == "ok"}) == tasks
    assert again, "the kills hit no task: let them come later, or the tasks take longer"


IN_CHILDREN = (240, 12)
"""How many tasks of all modes, and how many kills; `ASYNCTASQ_TEST_KILLS` asks for more."""

MODES = (work, work_in_thread, work_in_child, work_in_loop_of_child)


@pytest.mark.skipif(sys.platform != "linux", reason="whose child a process is is read from /proc")
@pytest.mark.parametrize("broker", [sqlite, redis], indirect=True, ids=lambda make: make.__name__)
async def test_no_task_of_any_mode_is_lost_and_no_child_survives_when_random_workers_and_children_are_killed(
    broker: Broker, tmp_path: Path
):
    tasks, kills = size(broker, IN_CHILDREN)
    chance = random.Random(SEED)
    options = ["--concurrency", "8", "--threads", "2", "--children", "2"]
    async with Fleet(broker, tmp_path, options=options) as fleet:
        await fleet.dispatch(*(chance.choice(MODES)(seconds=0.2) for _ in range(tasks)))
        for _ in range(2):
            fleet.spawn()
        await fleet.until(lambda: bool(fleet.starts()), "the first task")
        killed_alone = set[int]()
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            busy: dict[Worker, list[int]] = {}

            def look(found: dict[Worker, list[int]] = busy) -> bool:
                pids = {start.pid for start in fleet.starts()}
                for worker in (worker for worker in fleet.workers if worker.alive):
                    children = sorted(children_of_worker(worker.pid))
                    if worker.pid in pids and pids & set(children):
                        found[worker] = children
                return bool(found)

            await fleet.until(look, "a worker that works in all modes")
            worker, children = chance.choice(list(busy.items()))
            if chance.random() < 0.7:
                killed_alone.add(victim := chance.choice(children))
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(victim, signal.SIGKILL)
                await fleet.bury_children([victim])
            else:
                fleet.kill(worker)
                fleet.spawn()
                await fleet.bury_children(children)
        stats = await fleet.stats()
        assert stats.ready + stats.delayed + stats.leased, "all was done before the last kill: give it more work"
        await fleet.drained()
        families = set[int]().union(*(descendants(worker.pid) for worker in fleet.workers if worker.alive))
        await fleet.stop()
        await fleet.until(lambda: not alive(families), "the families of the stopped workers to be gone")
        history = await fleet.verify()
    runs = [event for event in history if isinstance(event, Started)]
    ended = {(event.task, event.attempt) for event in history if isinstance(event, Ended)}
    assert len({event.task for event in history if isinstance(event, Ended) and event.how == "ok"}) == tasks
    cut_short = {run.pid for run in runs if (run.task, run.attempt) not in ended}
    assert cut_short & killed_alone, "no kill of a child hit a task: let the tasks take longer"
    assert cut_short & {worker.pid for worker in fleet.workers}, "no kill of a worker hit a task of its own"


@pytest.mark.parametrize("fail", [False, True], ids=["succeeds late", "fails late"])
async def test_a_worker_frozen_past_its_lease_cannot_settle_what_another_has_finished(fleet: Fleet, fail: bool):
    frozen = fleet.spawn(failpoints="worker.before_settle=stop@1")
    (task,) = await fleet.dispatch(fail_at_first(fail=fail))
    await fleet.paused_itself(frozen)
    fleet.spawn()
    await fleet.drained()
    assert [(start.task, start.attempt) for start in fleet.starts()] == [(task, 1), (task, 2)]

    fleet.resume(frozen)
    if fail or fleet.driver.capabilities.fencing:
        await fleet.until(
            lambda: "had lost its lease when it was settled" in frozen.log.read_text(), "the late settlement"
        )
    # else it is done, which is true whoever holds it, and the broker takes it for granted
    await fleet.stop()
    stats = await fleet.stats()
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 0)
    assert len(fleet.starts()) == 2
    await fleet.verify()


@pytest.mark.parametrize("fail", [False, True], ids=["would succeed late", "would fail late"])
async def test_a_worker_frozen_past_its_lease_stops_what_another_has_finished(fleet: Fleet, fail: bool):
    frozen = fleet.spawn()
    (task,) = await fleet.dispatch(linger_at_first(fail=fail))
    await fleet.until(lambda: bool(fleet.starts()), "the first attempt")
    fleet.pause(frozen)
    fleet.spawn()
    await fleet.drained()
    assert [(start.task, start.attempt) for start in fleet.starts()] == [(task, 1), (task, 2)]

    fleet.resume(frozen)
    await fleet.until(lambda: "lost its lease" in frozen.log.read_text(), "the loss to be noticed")
    await fleet.stop()
    stats = await fleet.stats()
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 0)
    assert len(fleet.starts()) == 2
    await fleet.verify()


@pytest.mark.parametrize(
    ("failpoint", "attempts"),
    [
        ("worker.after_claim", [2]),
        ("worker.before_run", [2]),
        ("worker.after_run", [1, 2]),
        ("worker.before_settle", [1, 2]),
        ("worker.after_settle", [1]),
    ],
)
async def test_a_worker_that_dies_between_two_steps_costs_the_attempt_it_interrupted(
    fleet: Fleet, failpoint: str, attempts: list[int]
):
    dying = fleet.spawn(failpoints=f"{failpoint}=exit@1")
    (task,) = await fleet.dispatch(work(seconds=0.01))
    await fleet.until(lambda: not dying.alive, f"a worker to die at {failpoint}")
    assert fleet.bury(dying) == 86
    fleet.spawn()
    await fleet.drained()
    await fleet.stop()
    await fleet.verify()
    assert [(start.task, start.attempt) for start in fleet.starts()] == [(task, attempt) for attempt in attempts]


@pytest.mark.parametrize(("failpoint", "enqueued"), [("dispatch.before_enqueue", 0), ("dispatch.after_enqueue", 1)])
async def test_a_producer_that_dies_has_enqueued_what_the_broker_had_confirmed(
    fleet: Fleet, failpoint: str, enqueued: int
):
    assert fleet.produce("work(0.01)", failpoints=f"{failpoint}=exit") == 86
    assert (await fleet.stats()).ready == enqueued
    fleet.spawn()
    await fleet.drained()
    assert len(fleet.starts()) == enqueued


async def test_a_poisonous_task_ends_in_the_dead_letters_and_takes_no_neighbour_along(fleet: Fleet):
    neighbours = await fleet.dispatch(*(neighbour(seconds=0.05) for _ in range(50)))
    (deadly,) = await fleet.dispatch(poison())
    neighbours += await fleet.dispatch(*(neighbour(seconds=0.05) for _ in range(50)))
    for _ in range(2):
        fleet.spawn()
    await fleet.drained(respawn=True)
    await fleet.stop()
    history = await fleet.verify()
    (dead,) = await fleet.dead()
    assert (dead.id, dead.reason) == (deadly, "lease expired on the last attempt")
    assert {event.task for event in history if isinstance(event, Ended) and event.how == "ok"} == set(neighbours)
