"""Workers on a PostgreSQL that dies, or hangs up on who listens: they are not restarted, and lose nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from tests.integration.fleet import Fleet, postgres_at
from tests.integration.history import duplicates
from tests.integration.ledger_tasks import work
from tests.integration.outages import LEASE, RESUMED_IN, SEED, lose_nothing_over_restarts
from tests.services import Server
from tests.services import postgres as service

from asynctasq.domain.errors import Indeterminate
from asynctasq.domain.message import Message
from asynctasq.drivers.postgres_driver import PostgresDriver
from asynctasq.ports.driver import EnqueueStatus

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(150)]

CREATED, DUPLICATE = EnqueueStatus.CREATED, EnqueueStatus.DUPLICATE


POLL = 5.0
"""Seconds within which a waiting worker looks by itself."""

KILLS = 5

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'asynctasq'"
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'asynctasq' AND query LIKE 'LISTEN%'"
WRITERS = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%INSERT INTO%' AND wait_event_type = 'Lock'"


@pytest.fixture
def server() -> Generator[Server]:
    """One that has written what it acknowledged: `fsync` is on."""
    with service.server() as server:
        yield server


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(service.url(server))
    yield connection
    connection.terminate()


@pytest_asyncio.fixture
async def fleet(server: Server, tmp_path: Path) -> AsyncGenerator[Fleet]:
    broker = await asyncio.to_thread(postgres_at, service.url(server))
    async with Fleet(broker, tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
        yield fleet


@pytest_asyncio.fixture
async def driver(server: Server) -> AsyncGenerator[PostgresDriver]:
    driver = PostgresDriver(service.url(server))
    await driver.install()
    await driver.connect()
    yield driver
    await driver.close()


def restart(server: Server) -> None:
    """Start a server that was killed. What it leaves of shared memory goes when the last of its processes has noticed."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return server.start()
        except RuntimeError:
            if time.monotonic() > deadline:
                raise


async def test_a_server_killed_and_restarted_under_load_loses_nothing_and_its_workers_go_on(
    server: Server, fleet: Fleet
) -> None:
    await lose_nothing_over_restarts(fleet, kill=server.kill, start=lambda: restart(server))


async def test_backends_killed_again_and_again_under_load_lose_nothing_and_cost_no_lease(
    server: Server, fleet: Fleet
) -> None:
    for _ in range(2):
        fleet.spawn()
    chance, enough = random.Random(SEED), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.keep_dispatching(*[lambda: work(seconds=0.05)] * 10, enough=enough))
        await fleet.started_everywhere(after=0)
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.1, 0.5))  # anywhere in what they do
            admin = await asyncpg.connect(service.url(server))
            backends = await found(admin, BACKENDS)
            # The server ends all the others then, and recovers.
            os.kill(chance.choice(backends), signal.SIGKILL)
            admin.terminate()
            assert await fleet.started_everywhere(after=time.monotonic(), anew=True) <= RESUMED_IN
        enough.set()
    await fleet.drained()
    await fleet.stop()
    assert duplicates(await fleet.verify(promised_only=True)) == 0


async def test_a_worker_whose_listener_is_ended_starts_the_next_task_by_itself_and_is_soon_told_again(
    fleet: Fleet, admin: asyncpg.Connection
) -> None:
    fleet.spawn()
    for _ in range(3):
        for pid in await found(admin, LISTENERS):
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
        # A second for a crowded machine.
        assert await started_after(fleet) <= POLL + 1
        await found(admin, LISTENERS)
        # At once when told; it would have to be lucky three times to look by itself in that second.
        assert await started_after(fleet) <= 1
    await fleet.drained()
    await fleet.stop()
    assert duplicates(await fleet.verify()) == 0


async def test_a_connection_that_is_ended_while_its_statement_runs_leaves_it_open_and_sending_again_stores_once(
    driver: PostgresDriver, admin: asyncpg.Connection
) -> None:
    message = Message(id="m", queue="q", body=b"")
    async with admin.transaction():
        await admin.execute("LOCK TABLE asynctasq.message")
        storing = asyncio.create_task(driver.enqueue([message]))
        (pid,) = await found(admin, WRITERS)
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Indeterminate):
            await storing
    assert [(await driver.enqueue([message]))[0].status for _ in range(2)] == [CREATED, DUPLICATE]


async def test_a_connection_that_breaks_while_its_statement_runs_leaves_it_open_what_was_stored(
    driver: PostgresDriver, admin: asyncpg.Connection
) -> None:
    await admin.execute("BEGIN; LOCK TABLE asynctasq.message")
    storing = asyncio.create_task(driver.enqueue([Message(id="m", queue="q", body=b"")]))
    (pid,) = await found(admin, WRITERS)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Indeterminate):
        await storing


async def test_a_statement_that_takes_too_long_leaves_it_open_what_was_stored_and_its_connection_is_not_used_again(
    driver: PostgresDriver, admin: asyncpg.Connection
) -> None:
    began = time.monotonic()
    async with admin.transaction():
        await admin.execute("LOCK TABLE asynctasq.message")
        storing = asyncio.create_task(driver.enqueue([Message(id="m", queue="q", body=b"")]))
        (pid,) = await found(admin, WRITERS)
        with pytest.raises(Indeterminate):
            await storing
    # What the port allows, and half a second for a crowded machine.
    assert time.monotonic() - began <= 5.5
    (stats,) = await driver.stats(["q"])
    assert stats.ready <= 1
    await found(admin, f"SELECT 0 AS pid WHERE {pid} NOT IN (SELECT pid FROM pg_stat_activity)")


async def test_batches_that_stand_in_each_others_way_are_stored_all_the_same(server: Server) -> None:
    await asyncio.to_thread(
        service.execute, service.url(server), "ALTER SYSTEM SET deadlock_timeout = '10ms'", "SELECT pg_reload_conf()"
    )
    drivers = [PostgresDriver(service.url(server)) for _ in range(2)]
    await drivers[0].install()
    for driver in drivers:
        await driver.connect()
    for turn in range(20):
        batch = [Message(id=f"{turn}-{number}", queue="q", body=b"") for number in range(500)]
        # Each waits for a row that the other has stored before, until the server ends one of the two.
        answers = await asyncio.gather(drivers[0].enqueue(batch), drivers[1].enqueue(batch[::-1]))
        assert [answer.status for each in answers for answer in each].count(CREATED) == len(batch)
    for driver in drivers:
        await driver.close()


async def found(admin: asyncpg.Connection, query: str) -> list[int]:
    """The processes of the server that do what we wait for: nothing tells of it."""
    async with asyncio.timeout(15):
        while not (pids := [row["pid"] for row in await admin.fetch(query)]):
            await asyncio.sleep(0.01)
            # Within a transaction the server shows for ever what it showed at the first look.
            await admin.execute("SELECT pg_stat_clear_snapshot()")
    return pids


async def started_after(fleet: Fleet) -> float:
    """Dispatch a task; how many seconds later it starts."""
    dispatched = time.monotonic()
    (id,) = await fleet.dispatch(work(seconds=0.0))
    await fleet.until(lambda: any(start.task == id for start in fleet.starts()), "the task to start")
    return next(start.at for start in fleet.starts() if start.task == id) - dispatched
