"""A primary that dies under load, watched by sentinels or in a cluster: what becomes of workers, and what of their tasks.

Replication is asynchronous, so what was dispatched in the last moments before may be lost, and what was claimed or settled then
may run again. That is counted and printed, and refused of anything else: see `FailedOver`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot
from tests.integration.fleet import QUEUE, Broker, Fleet, redis_at
from tests.integration.history import Enqueued, FailedOver, check
from tests.integration.ledger_tasks import work
from tests.services import Server
from tests.services import redis as service

from asynctasq.domain.errors import DriverError
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import EnqueueStatus, SettleStatus

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(200)]

LEASE = 5.0
FAILED_OVER_IN = 40.0
"""Seconds from a primary's death until every worker starts tasks again, on a crowded machine: a second or two until it is
noticed, an election, and the longest pause between two tries."""

UNREPLICATED = 1.0
"""Seconds before its death of which a primary may not have told its replica; a thousand times as long as it takes here."""


async def fail_over(fleet: Fleet, *, replace: Callable[[], None]) -> None:
    """Let a primary be replaced under load, and wait for all work to be done."""
    for _ in range(2):
        fleet.spawn()
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.keep_dispatching(*[lambda: work(seconds=0.05)] * 10, enough=enough))
        await fleet.started_everywhere(after=0)
        await asyncio.sleep(1)  # of load
        began = time.monotonic()
        await asyncio.to_thread(replace)
        ended = time.monotonic()
        resumed = await fleet.started_everywhere(after=ended, anew=True)
        enough.set()
    assert resumed <= FAILED_OVER_IN
    await fleet.drained()
    await fleet.stop()
    fleet.events.append(FailedOver(at=began - UNREPLICATED, until=ended + UNREPLICATED))
    history = await fleet.verify(promised_only=True)
    unexcused = check([event for event in history if not isinstance(event, FailedOver)], lease=fleet.lease)
    kinds = Counter(violation.kind.name for violation in unexcused)
    tasks = sum(isinstance(event, Enqueued) for event in history)
    print(f"\n{tasks} tasks, resumed in {resumed:.1f} s: {dict(kinds) or 'nothing lost, nothing run twice'}")
    assert not await fleet.dead()


@pytest.fixture
def sentinels() -> Generator[tuple[list[Server], str]]:
    with service.watched() as watched:
        yield watched


async def test_a_primary_that_dies_is_replaced_by_the_sentinels_and_the_workers_go_on(
    sentinels: tuple[list[Server], str], tmp_path: Path
) -> None:
    (primary, replica), url = sentinels
    async with Fleet(redis_at(url), tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
        await fail_over(fleet, replace=primary.kill)
        # What comes back is a replica soon, and nobody writes to it.
        await asyncio.to_thread(primary.start)
        with redis.Redis(port=replica.port) as client:
            assert client.info("replication")["role"] == "master"


async def test_a_primary_that_is_replaced_while_it_lives_loses_only_what_it_acknowledges_alone(
    sentinels: tuple[list[Server], str], tmp_path: Path
) -> None:
    (primary, _), url = sentinels
    sentinel = int(url.partition(",")[0].rpartition(":")[2])

    def replace() -> None:
        with redis.Redis(port=sentinel) as client:
            client.execute_command("SENTINEL", "FAILOVER", service.SERVICE)
        with redis.Redis(port=primary.port) as client:
            deadline = time.monotonic() + 30  # it is told by and by
            while client.info("replication")["role"] == "master":
                assert time.monotonic() < deadline
                time.sleep(0.05)

    async with Fleet(redis_at(url), tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
        await fail_over(fleet, replace=replace)


@pytest.fixture
def nodes() -> Generator[list[Server]]:
    with service.cluster(replicated=True) as nodes:
        yield nodes


def on_the_first_node(url: str) -> Broker:
    """A prefix whose queue is on the first of the nodes."""
    while True:
        broker = redis_at(url)
        prefix = broker.environ(Path())["ASYNCTASQ_REDIS_KEY_PREFIX"]
        if key_slot(f"{{{prefix}:{QUEUE}}}".encode()) < service.SLOTS // 3:
            return broker


async def test_a_node_that_dies_is_replaced_by_its_replica_and_the_workers_go_on(
    nodes: list[Server], tmp_path: Path
) -> None:
    broker = on_the_first_node(service.cluster_url(nodes[:3]))
    async with Fleet(broker, tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
        await fail_over(fleet, replace=nodes[0].kill)


async def test_a_slot_that_moves_under_load_is_followed(nodes: list[Server], tmp_path: Path) -> None:
    broker = on_the_first_node(service.cluster_url(nodes[:3]))
    prefix = broker.environ(Path())["ASYNCTASQ_REDIS_KEY_PREFIX"]
    slot = key_slot(f"{{{prefix}:{QUEUE}}}".encode())

    def move() -> None:
        with redis.Redis(port=nodes[0].port) as source, redis.Redis(port=nodes[1].port) as target:
            here = source.execute_command("CLUSTER", "MYID").decode()
            there = target.execute_command("CLUSTER", "MYID").decode()
            target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
            source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
            while keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
                # One by one, so that some are here and some are there for a while.
                source.execute_command("MIGRATE", "127.0.0.1", nodes[1].port, "", 0, 5000, "REPLACE", "KEYS", *keys)
                time.sleep(0.05)
            for client in (target, source):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", there)

    async with Fleet(broker, tmp_path, lease=LEASE, options=["--concurrency", "10"]) as fleet:
        for _ in range(2):
            fleet.spawn()
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.keep_dispatching(*[lambda: work(seconds=0.05)] * 10, enough=enough))
            await fleet.started_everywhere(after=0)
            await asyncio.to_thread(move)
            await fleet.started_everywhere(after=time.monotonic())
            enough.set()
        await fleet.drained()
        await fleet.stop()
        await fleet.verify(promised_only=True)


async def test_a_node_that_is_away_holds_up_no_queue_of_another(nodes: list[Server]) -> None:
    prefix = "away"
    names = [f"q{n}" for n in range(100)]
    third = service.SLOTS // 3
    slots = {name: key_slot(f"{{{prefix}:{name}}}".encode()) for name in names}
    here = next(name for name in names if slots[name] < third)
    gone = next(name for name in names if slots[name] > 2 * third + 1)  # of the third node, which has no replica
    driver = RedisDriver(service.cluster_url(nodes[:3]), key_prefix=prefix)
    await driver.connect()
    nodes[2].kill()
    answers = await driver.enqueue([Message(id=name, queue=name, body=b"") for name in (gone, here)])
    assert isinstance(answers[0].error, DriverError)
    assert answers[1].status is EnqueueStatus.CREATED
    (claim,) = await driver.claim([gone, here], limit=10, lease=30, wait=0, worker="w")
    assert claim.message.id == here
    assert await driver.claim([gone, here], limit=10, lease=30, wait=0, worker="w") == []
    with pytest.raises(DriverError):
        await driver.claim([gone], limit=10, lease=30, wait=0, worker="w")
    assert [each.status for each in await driver.settle([Settlement(claim=claim, verdict=ACK)])] == [SettleStatus.DONE]
    await driver.close()
