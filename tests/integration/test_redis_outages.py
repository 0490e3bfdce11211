"""Workers on a Redis that dies, forgets its scripts, or hangs up on who listens: they are not restarted, and lose nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from tests.integration.fleet import Fleet, redis_at
from tests.integration.history import duplicates
from tests.integration.ledger_tasks import work
from tests.integration.outages import LEASE, RESUMED_IN, lose_nothing_over_restarts, starts_everywhere
from tests.services import Server
from tests.services import redis as service

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(150)]


@pytest.fixture
def server() -> Generator[Server]:
    """One that has written what it acknowledged: `appendfsync always`."""
    with service.server() as server:
        yield server


@pytest_asyncio.fixture
async def fleet(server: Server, tmp_path: Path) -> AsyncGenerator[Fleet]:
    async with Fleet(redis_at(service.url(server)), tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
        yield fleet


async def test_a_server_killed_and_restarted_under_load_loses_nothing_and_its_workers_go_on(
    server: Server, fleet: Fleet
) -> None:
    await lose_nothing_over_restarts(fleet, kill=server.kill, start=server.start)


async def test_scripts_that_are_forgotten_again_and_again_under_load_cost_nothing(server: Server, fleet: Fleet) -> None:
    for _ in range(2):
        fleet.spawn()
    done, flushes = asyncio.Event(), 0
    async with redis.asyncio.Redis.from_url(service.url(server)) as admin:

        async def keep_flushing() -> None:
            nonlocal flushes
            while not done.is_set():
                await admin.script_flush("SYNC")
                flushes += 1
                await asyncio.sleep(0.01)  # some requests get through in between

        flushing = asyncio.create_task(keep_flushing())
        for _ in range(20):
            await fleet.dispatch(*(work(seconds=0.05) for _ in range(25)))
            await asyncio.sleep(0.05)  # the load is spread over the flushes
        await fleet.drained()
        done.set()
        await flushing
    await fleet.stop()
    history = await fleet.verify()
    assert flushes > 50
    assert duplicates(history) == 0
    assert "trying again" not in fleet.logs()


POLL = 5.0
"""Seconds within which a waiting worker looks by itself."""


async def test_a_worker_whose_subscription_is_killed_starts_the_next_task_by_itself_and_is_soon_told_again(
    server: Server, fleet: Fleet
) -> None:
    fleet.spawn()
    async with redis.asyncio.Redis.from_url(service.url(server)) as admin:
        for _ in range(3):
            await listening(admin)
            assert await admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1
            # A second for a crowded machine.
            assert await started_after(fleet) <= POLL + 1
            await listening(admin)
            # At once when told; it would have to be lucky three times to look by itself in that second.
            assert await started_after(fleet) <= 1
    await fleet.drained()
    await fleet.stop()
    assert duplicates(await fleet.verify()) == 0


async def listening(admin: redis.asyncio.Redis) -> None:
    """Wait until a worker waits for work, and is subscribed."""
    async with asyncio.timeout(15):
        while not any(each["sub"] != "0" for each in await admin.client_list("pubsub")):  # noqa: ASYNC110 -- no event
            await asyncio.sleep(0.01)


async def started_after(fleet: Fleet) -> float:
    """How many seconds after its dispatch a task starts."""
    dispatched = time.monotonic()
    (task,) = await fleet.dispatch(work(seconds=0))
    await fleet.until(lambda: any(start.task == task for start in fleet.starts()), "the task")
    return fleet.starts()[-1].at - dispatched


async def test_a_worker_that_was_started_before_its_server_waits_for_it(server: Server, fleet: Fleet) -> None:
    await fleet.dispatch(work(seconds=0))
    await asyncio.to_thread(server.kill)
    worker = fleet.spawn()
    await fleet.until(lambda: "trying again until it works" in worker.log.read_text(), "the worker to complain")
    await asyncio.to_thread(server.start)
    assert await starts_everywhere(fleet, after=time.monotonic()) <= RESUMED_IN
    await fleet.drained()
    await fleet.stop()
    assert worker.log.read_text().count("trying again until it works") == 1
