"""Workers and callers on a MariaDB that dies, stands still or hangs up: nothing is lost, and no call waits for long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import closing, suppress
from pathlib import Path

import pymysql
import pytest
import pytest_asyncio
import uvloop
from tests.integration.fleet import Fleet, mysql_at
from tests.integration.outages import LEASE, lose_nothing_over_restarts
from tests.services import Server
from tests.services import mariadb as service

from asynctasq.adapters.drivers.mysql import connection
from asynctasq.adapters.drivers.mysql.address import Address
from asynctasq.adapters.drivers.mysql.packets import Packets
from asynctasq.adapters.drivers.mysql.wire import Wire
from asynctasq.domain.errors import DriverUnavailable, Indeterminate
from asynctasq.domain.message import Message
from asynctasq.drivers.mysql_driver import MySQLDriver
from asynctasq.ports.driver import EnqueueStatus

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(150)]

CREATED, DUPLICATE = EnqueueStatus.CREATED, EnqueueStatus.DUPLICATE
ALLOWED = 5.5
"""Seconds for a verb: what the port allows, and half a second for a crowded machine."""

LOCKED = "LOCK TABLES asynctasq_message WRITE"
WAITING = (
    "SELECT id FROM information_schema.processlist WHERE state LIKE 'Waiting for table%' AND info LIKE 'INSERT INTO%'"
)


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server(options=service.UNSAFE) as server:
        asyncio.run(MySQLDriver(service.url(server)).install())
        yield server


@pytest.fixture
def admin(server: Server) -> Generator[pymysql.cursors.Cursor]:
    with closing(service.connection(service.url(server))) as connected, connected.cursor() as cursor:
        yield cursor
        cursor.execute("UNLOCK TABLES")
        cursor.execute("DELETE FROM asynctasq_message")


@pytest_asyncio.fixture
async def driver(server: Server, admin: pymysql.cursors.Cursor) -> AsyncGenerator[MySQLDriver]:
    driver = MySQLDriver(service.url(server))
    await driver.connect()
    yield driver
    await driver.close()


def message(id: str = "m") -> Message:
    return Message(id=id, queue="q", body=b"")


async def test_a_server_killed_and_restarted_under_load_loses_nothing_and_its_workers_go_on(tmp_path: Path) -> None:
    with service.server() as durable:  # `innodb_flush_log_at_trx_commit` is 1
        broker = await asyncio.to_thread(mysql_at, service.url(durable))
        async with Fleet(broker, tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
            await lose_nothing_over_restarts(fleet, kill=durable.kill, start=durable.start)


async def test_a_connection_that_is_ended_while_its_statement_runs_leaves_it_open_and_sending_again_stores_once(
    server: Server, driver: MySQLDriver, admin: pymysql.cursors.Cursor
) -> None:
    admin.execute(LOCKED)
    storing = asyncio.create_task(driver.enqueue([message()]))
    service.execute(service.url(server), f"KILL {await waiting(server)}")
    with pytest.raises(Indeterminate):
        await storing
    admin.execute("UNLOCK TABLES")
    assert [(await driver.enqueue([message()]))[0].status for _ in range(2)] == [CREATED, DUPLICATE]


async def test_a_table_that_others_have_locked_is_waited_for_only_so_long_and_nothing_is_stored(
    driver: MySQLDriver, admin: pymysql.cursors.Cursor
) -> None:
    admin.execute(LOCKED)
    began = time.monotonic()
    with pytest.raises(
        (DriverUnavailable, Indeterminate)
    ):  # the latter if a crowded machine is slower than our patience
        await driver.enqueue([message()])
    assert time.monotonic() - began <= ALLOWED
    admin.execute("UNLOCK TABLES")
    (stats,) = await driver.stats(["q"])
    assert stats.ready == 0


async def test_a_table_that_others_have_locked_for_a_moment_is_waited_for(
    server: Server, driver: MySQLDriver, admin: pymysql.cursors.Cursor
) -> None:
    admin.execute(LOCKED)
    before = tries(server)
    storing = asyncio.create_task(driver.enqueue([message()]))
    async with asyncio.timeout(15):
        while tries(server) < before + 2:  # the server gives up the first after a second  # noqa: ASYNC110 -- no event
            await asyncio.sleep(0.01)
    admin.execute("UNLOCK TABLES")
    assert [answer.status for answer in await storing] == [CREATED]


async def test_a_batch_of_several_packets_is_stored_whole_or_not_at_all(
    server: Server, driver: MySQLDriver, admin: pymysql.cursors.Cursor
) -> None:
    admin.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        narrow = driver.sibling()
        await narrow.connect()
    finally:
        admin.execute("SET GLOBAL max_allowed_packet = 16777216")
    batch = [Message(id=str(number), queue="q", body=b"x" * 400_000) for number in range(5)]
    admin.execute("BEGIN")
    admin.execute(
        "INSERT INTO asynctasq_message (queue, id, body, visible_at, enqueued_at) VALUES ('q', '4', '', 0, 0)"
    )
    before = tries(server)
    with pytest.raises((DriverUnavailable, Indeterminate)):
        await narrow.enqueue(batch)
    assert tries(server) >= before + 5, "it was one packet: let the bodies be larger"
    (stats,) = await driver.stats(["q"])
    assert stats.ready == 0
    admin.execute("ROLLBACK")
    assert [answer.status for answer in await narrow.enqueue(batch)] == [CREATED] * 5
    await narrow.close()


async def test_a_server_that_stands_still_leaves_it_open_what_was_stored_and_its_reply_is_nobodys(
    server: Server, driver: MySQLDriver
) -> None:
    await driver.enqueue([message("before")])
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(Indeterminate):
            await driver.enqueue([message("meanwhile")])
        took = time.monotonic() - began
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert took <= ALLOWED
    assert list(await driver.queues()) == ["q"]
    (stats,) = await driver.stats(["q"])
    assert stats.ready in {1, 2}


async def test_a_call_that_is_cancelled_anywhere_leaves_no_reply_behind_for_the_next(driver: MySQLDriver) -> None:
    await driver.enqueue([message(str(number)) for number in range(200)])
    for turn in range(150):
        # Each way of asking answers something else, so that one reply cannot pass for another's.
        calls = [driver.stats(["q"]), driver.queues(), driver.list_dead("q", limit=1), driver.enqueue([message("0")])]
        call = asyncio.ensure_future(calls[turn % 4])
        for other in calls:
            if other is not calls[turn % 4]:
                other.close()
        for _ in range(turn % 12):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0001 * (turn % 7))
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        assert list(await driver.queues()) == ["q"]
        (stats,) = await driver.stats(["q"])
        assert stats.ready == 200


async def test_batches_that_stand_in_each_others_way_are_stored_all_the_same(
    server: Server, driver: MySQLDriver
) -> None:
    other = driver.sibling()
    await other.connect()
    for turn in range(20):
        batch = [message(f"{turn}-{number}") for number in range(500)]
        # Each waits for a row that the other has stored before, until the server ends one of the two.
        answers = await asyncio.gather(driver.enqueue(batch), other.enqueue(batch[::-1]))
        assert [answer.status for each in answers for answer in each].count(CREATED) == len(batch)
    await other.close()
    ((_, deadlocks),) = service.execute(service.url(server), "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    assert int(deadlocks) > 0, "they never met: let there be more of them"


async def test_a_client_that_stands_still_within_a_claim_gives_up_its_locks_soon(
    server: Server, driver: MySQLDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "QUIET", 1)
    await driver.enqueue([message()])
    locked = asyncio.Event()

    async def take_and_stand_still(wire: Wire) -> None:
        packet = Packets("asynctasq_", 1 << 24).take("q", 1, begins=True)
        assert (await wire.exchange(packet, applies=False))[-1].rows
        locked.set()
        await asyncio.Event().wait()

    still = connection.Server(Address(service.url(server)), 1)
    standing = asyncio.create_task(still.converse(take_and_stand_still))
    await locked.wait()
    assert not await driver.claim(["q"], limit=1, lease=30, wait=0, worker="test")
    began = time.monotonic()
    assert await driver.claim(["q"], limit=1, lease=30, wait=4, worker="test")
    assert time.monotonic() - began <= 3  # two more for a crowded machine
    standing.cancel()
    with suppress(asyncio.CancelledError):
        await standing
    await still.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
async def test_a_connection_that_the_server_may_have_closed_meanwhile_is_not_used_again(
    server: Server,
    driver: MySQLDriver,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Coroutine[object, object, None]], None],
) -> None:
    monkeypatch.setattr(connection, "QUIET", 1)

    async def be_quiet_in_between() -> None:
        quiet = driver.sibling()
        await quiet.connect()
        for id in ("first", "second"):
            assert [answer.status for answer in await quiet.enqueue([message(id)])] == [CREATED]
            await asyncio.sleep(1.5)  # the server has hung up
        await quiet.close()

    await asyncio.to_thread(run, be_quiet_in_between())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
async def test_a_connection_that_was_lost_meanwhile_is_neither_used_again_nor_in_the_way_of_closing(
    server: Server, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def lose_twice() -> None:
        driver = MySQLDriver(service.url(server))
        await driver.connect()
        lose_connections_of(driver)
        await driver.stats(["q"])
        lose_connections_of(driver)
        await driver.close()

    def elsewhere() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(lose_twice())

    await asyncio.to_thread(elsewhere)


def lose_connections_of(driver: MySQLDriver) -> None:
    assert driver._connected is not None
    assert driver._connected._idle
    for wire in driver._connected._idle:
        wire._connection._writer.transport.abort()


async def waiting(server: Server) -> int:
    """The connection whose statement waits for a locked table: nothing tells of it."""
    async with asyncio.timeout(15):
        while not (found := service.execute(service.url(server), WAITING)):  # noqa: ASYNC110 -- no event
            await asyncio.sleep(0.01)
    return int(found[0][0])


def tries(server: Server) -> int:
    """How many INSERTs the server has been given."""
    ((_, count),) = service.execute(service.url(server), "SHOW GLOBAL STATUS LIKE 'Com_insert'")
    return int(count)
