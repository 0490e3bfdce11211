"""Redis drivers that wait for work: who is told of what, and what becomes of a claim that nobody waits for any more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
import pytest_asyncio
import redis.asyncio
from tests.integration.sqlite_neighbour import QUEUE, message, put, take, take_ids

from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, Release, Retry, Settlement
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import SettleStatus

pytestmark = pytest.mark.asyncio

SOON = 1.0
"""Seconds within which somebody who is told starts; who is not told looks after five."""


@pytest_asyncio.fixture
async def driver(redis_url: str) -> AsyncGenerator[RedisDriver]:
    driver = RedisDriver(redis_url, key_prefix=f"test-{uuid4().hex[:12]}")
    await driver.connect()
    yield driver
    await driver.close()


@pytest_asyncio.fixture
async def sibling(driver: RedisDriver) -> AsyncGenerator[RedisDriver]:
    sibling = driver.sibling()
    await sibling.connect()
    yield sibling
    await sibling.close()


async def waiting(driver: RedisDriver, *queues: str) -> asyncio.Task[list[str]]:
    """A claim that has found nothing and waits."""

    async def claim() -> list[str]:
        claims = await driver.claim(queues or [QUEUE], limit=100, lease=30, wait=20, worker="test")
        return [claim.message.id for claim in claims]

    key = driver._keys.channel((queues or [QUEUE])[-1])
    async with redis.asyncio.Redis.from_url(driver.location) as client:
        await client.delete(key)
        task = asyncio.create_task(claim())
        while not await client.exists(key):  # noqa: ASYNC110 -- it is set by the look that precedes the wait
            await asyncio.sleep(0.005)
    return task


async def soon(task: asyncio.Task[list[str]]) -> list[str]:
    async with asyncio.timeout(SOON):
        return await task


async def test_a_waiting_claim_is_told_of_a_message_of_a_sibling(driver: RedisDriver, sibling: RedisDriver) -> None:
    claim = await waiting(driver)
    await put(sibling, "one")
    assert await soon(claim) == ["one"]


async def test_a_waiting_claim_starts_a_siblings_delayed_message_when_it_is_due(
    driver: RedisDriver, sibling: RedisDriver
) -> None:
    claim = await waiting(driver)
    began = time.monotonic()
    await sibling.enqueue([message("late", delay=20), message("soon", delay=0.3)])
    assert await soon(claim) == ["soon"]
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("verdict", [Release(), Retry(delay=0.2, error="E")], ids=["release", "retry"])
async def test_a_waiting_claim_is_told_of_what_a_sibling_gives_back(
    driver: RedisDriver, sibling: RedisDriver, verdict: Release | Retry
) -> None:
    await put(sibling, "one")
    (held,) = await take(sibling)
    claim = await waiting(driver)
    await sibling.settle([Settlement(claim=held, verdict=verdict)])
    assert await soon(claim) == ["one"]


async def test_a_waiting_claim_takes_over_when_a_siblings_lease_ends(driver: RedisDriver, sibling: RedisDriver) -> None:
    await put(sibling, "one")
    await sibling.claim([QUEUE], limit=1, lease=0.5, wait=0, worker="test")
    assert await soon(await waiting(driver)) == ["one"]


async def test_all_who_wait_are_told_and_each_message_goes_to_one_of_them(
    driver: RedisDriver, sibling: RedisDriver
) -> None:
    claims = [await waiting(driver), await waiting(sibling)]
    await put(driver, "one")
    done, rest = await asyncio.wait(claims, timeout=SOON, return_when=asyncio.FIRST_COMPLETED)
    assert [claim.result() for claim in done] == [["one"]]
    await put(driver, "two")
    assert [await soon(claim) for claim in rest] == [["two"]]


async def test_claims_of_different_queues_begun_together_are_all_told(
    driver: RedisDriver, sibling: RedisDriver
) -> None:
    queues = [f"queue{number}" for number in range(8)]
    # All at once: some ask for their channel while the subscription is being connected for another's.
    claims = [asyncio.create_task(driver.claim([queue], limit=1, lease=30, wait=20, worker="test")) for queue in queues]
    channels = [driver._keys.channel(queue) for queue in queues]
    async with redis.asyncio.Redis.from_url(driver.location) as client:
        while await client.exists(*channels) < len(channels):  # noqa: ASYNC110 -- set by the look before the wait
            await asyncio.sleep(0.005)
    await sibling.enqueue([Message(id=queue, queue=queue, body=b"") for queue in queues])
    async with asyncio.timeout(SOON):
        found = await asyncio.gather(*claims)
    assert [claim.message.id for (claim,) in found] == queues


async def test_work_is_claimed_at_once_by_who_is_not_subscribed_yet(driver: RedisDriver) -> None:
    await put(driver, "one")
    assert [claim.message.id for claim in await take(driver, wait=20)] == ["one"]
    assert driver._doorbell is not None
    assert not driver._doorbell.hears([driver._keys.channel(QUEUE)])


async def test_an_idle_claim_is_not_held_up_by_a_sibling_whose_hands_are_full(
    driver: RedisDriver, sibling: RedisDriver
) -> None:
    await put(driver, *(str(number) for number in range(1_000)))
    assert len(await take(driver, limit=1_000)) == 1_000
    claim = await waiting(sibling)
    await put(driver, "one more")
    assert await soon(claim) == ["one more"]


async def test_what_a_cancelled_claim_got_is_given_back_even_if_the_driver_is_closed_at_once(
    driver: RedisDriver, sibling: RedisDriver
) -> None:
    for number in range(20):
        await put(sibling, f"message{number}")
        claim = asyncio.create_task(take(driver))
        for _ in range(number % 5 + 1):  # at different moments of its way
            await asyncio.sleep(0)
        claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)
        await driver.close()
        if claim.cancelled():
            (stats,) = await sibling.stats([QUEUE])
            assert (stats.ready, stats.leased) == (1, 0)
        (again,) = await take(sibling)
        assert again.attempt == 1
        await sibling.settle([Settlement(claim=again, verdict=ACK)])
        await driver.connect()


async def test_a_closed_driver_leaves_no_connection_and_no_task_behind(redis_url: str) -> None:
    before = asyncio.all_tasks()
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        known = ours(await client.client_list())
        driver = RedisDriver(redis_url, key_prefix=f"test-{uuid4().hex[:12]}")
        await driver.connect()
        await asyncio.gather(*(take(driver, wait=0.05) for _ in range(5)))
        assert ours(await client.client_list()) - known
        await driver.close()
        async with asyncio.timeout(SOON):
            while ours(await client.client_list()) - known:  # noqa: ASYNC110 -- the server notices when it does
                await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


def ours(clients: list[dict[str, str]]) -> set[str]:
    return {client["id"] for client in clients if client["name"] == "asynctasq"}


async def test_a_receipt_is_good_at_a_sibling(driver: RedisDriver, sibling: RedisDriver) -> None:
    await put(driver, "one")
    (claim,) = await take(driver)
    (answer,) = await sibling.settle([Settlement(claim=claim, verdict=ACK)])
    assert answer.status is SettleStatus.DONE
    assert await take_ids(driver) == []


FORK = """
import asyncio, os, sys
import asynctasq
from asynctasq import task

@task(name="nothing")
async def nothing(): ...

asynctasq.init({"driver": "redis", "redis": {"url": sys.argv[1], "key_prefix": sys.argv[2]}})

async def in_a_loop_of_its_own():
    await nothing().dispatch()

nothing().dispatch_sync()
child = os.fork()
nothing().dispatch_sync()
asyncio.run(in_a_loop_of_its_own())
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
nothing().dispatch_sync()
"""


async def test_a_forked_child_dispatches_over_connections_of_its_own(driver: RedisDriver, redis_url: str) -> None:
    program = [sys.executable, "-c", FORK, redis_url, driver._keys.prefix]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (stats,) = await driver.stats([QUEUE])
    assert stats.ready == 6
