"""A Redis at its limits: out of memory, a replica, busy, or with as many clients as it may have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio
import redis.asyncio
from tests.integration.sqlite_neighbour import QUEUE, message, put, take, take_ids
from tests.services import Server, free_port
from tests.services import redis as service

from asynctasq.domain.errors import DriverUnavailable
from asynctasq.domain.verdict import ACK, DeadLetter, Release, Retry, Settlement
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import ExtendStatus, SettleStatus

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server() as server:
        yield server


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncGenerator[redis.asyncio.Redis]:
    """Who may change everything; afterwards the server is empty and as it was."""
    async with redis.asyncio.Redis.from_url(service.url(server)) as admin:
        before = await admin.config_get("maxmemory", "maxclients", "busy-reply-threshold")
        yield admin
        for name, value in before.items():
            await admin.config_set(name, value)
        await admin.replicaof("no", "one")
        await admin.flushall()


@pytest_asyncio.fixture
async def driver(server: Server, admin: redis.asyncio.Redis) -> AsyncGenerator[RedisDriver]:
    driver = RedisDriver(service.url(server))
    await driver.connect()
    yield driver
    await driver.close()


async def test_a_full_server_takes_nothing_half_and_lets_what_it_has_be_done(
    driver: RedisDriver, admin: redis.asyncio.Redis
) -> None:
    await put(driver, "acked", "retried", "buried", "released", "kept", "not yet claimed")
    *settled, kept = await take(driver, limit=5)
    await admin.config_set("maxmemory", 1)
    with pytest.raises(DriverUnavailable, match="maxmemory"):
        await driver.enqueue([message("refused"), message("too")])

    (later,) = await take(driver, wait=1)
    assert later.message.id == "not yet claimed"
    assert await take(driver, wait=0.1) == []
    verdicts = [ACK, Retry(delay=0, error="E"), DeadLetter(reason="R", error=""), Release()]
    answers = await driver.settle(
        [Settlement(claim=claim, verdict=verdict) for claim, verdict in zip(settled, verdicts, strict=True)]
    )
    assert {answer.status for answer in answers} == {SettleStatus.DONE}
    (extended,) = await driver.extend([kept], lease=60)
    assert extended.status is ExtendStatus.KEPT
    assert set(await take_ids(driver)) == {"retried", "released"}

    await admin.config_set("maxmemory", 0)
    await put(driver, "refused", "too")
    assert await take_ids(driver) == ["refused", "too"]


async def test_a_replica_is_unavailable_until_it_is_a_primary_again(
    driver: RedisDriver, admin: redis.asyncio.Redis
) -> None:
    await put(driver, "one")
    await admin.replicaof("127.0.0.1", free_port())
    empty = driver.claim(["empty"], limit=1, lease=30, wait=0.1, worker="test")
    for asked in (driver.enqueue([message("two")]), take(driver), empty):
        with pytest.raises(DriverUnavailable, match="replica"):
            await asked
    await admin.replicaof("no", "one")
    await put(driver, "two")
    assert await take_ids(driver) == ["one", "two"]


async def test_a_connection_to_what_became_a_replica_is_left_for_a_new_one(
    driver: RedisDriver, admin: redis.asyncio.Redis
) -> None:
    await admin.replicaof("127.0.0.1", free_port())
    before = await clients(admin)
    with pytest.raises(DriverUnavailable, match="replica"):
        await driver.enqueue([message("one")])
    await driver.stats([QUEUE])
    assert not before & await clients(admin)


async def clients(admin: redis.asyncio.Redis) -> set[str]:
    return {each["id"] for each in await admin.client_list() if each["name"] == "asynctasq"}


async def test_a_server_that_is_busy_with_a_script_is_unavailable_and_nothing_was_applied(
    server: Server, driver: RedisDriver, admin: redis.asyncio.Redis
) -> None:
    await admin.config_set("busy-reply-threshold", 50)
    async with redis.asyncio.Redis(port=server.port) as other:
        looping = asyncio.create_task(other.eval("while true do end", 0))
        while not await is_busy(driver):
            pass
        with pytest.raises(DriverUnavailable, match="busy with somebody's script"):
            await driver.enqueue([message("one")])
        await admin.script_kill()
        with pytest.raises(redis.exceptions.ResponseError):
            await looping
    (stats,) = await driver.stats([QUEUE])
    assert stats.ready == 0


async def is_busy(driver: RedisDriver) -> bool:
    try:
        await driver.stats([QUEUE])
    except DriverUnavailable:
        return True
    return False


async def test_a_server_that_has_as_many_clients_as_it_may_is_unavailable(
    server: Server, admin: redis.asyncio.Redis
) -> None:
    await admin.ping()
    await admin.config_set("maxclients", 1)
    driver = RedisDriver(service.url(server))
    with pytest.raises(DriverUnavailable) as refusal:
        await driver.connect()
    assert driver.location in str(refusal.value)
    await admin.config_set("maxclients", 100)
    await driver.connect()
    await driver.close()
