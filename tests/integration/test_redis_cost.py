"""What the Redis driver costs the server: round trips, scripts, bytes, and what an idle worker asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from tests.integration.fleet import Fleet, redis_at
from tests.services import Server
from tests.services import redis as service

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.tasks import task
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.drivers.redis_driver import RedisDriver

pytestmark = pytest.mark.asyncio

MANY = 1_000
QUEUE = "default"
NAMES = {getattr(scripts, name).digest.decode(): name for name in ("ENQUEUE", "CLAIM", "EXTEND", "SETTLE", "STATS")}


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server() as server:
        yield server


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncGenerator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(service.url(server)) as admin:
        for script in scripts.BY_DIGEST.values():
            await admin.script_load(script.text)
        yield admin
        await admin.flushall()


@contextlib.asynccontextmanager
async def counted(admin: redis.asyncio.Redis) -> AsyncGenerator[Counter[str]]:
    """What clients ask for meanwhile: commands, and of scripts their names. What a script itself does is not counted."""
    counts: Counter[str] = Counter()
    port = admin.get_connection_kwargs()["port"]
    async with redis.asyncio.Redis(port=port, socket_timeout=None) as listener, listener.monitor() as monitor:

        async def count() -> None:
            while (said := await monitor.next_command())["command"] != "ECHO the end":
                if said["client_type"] != "lua":
                    name, _, rest = said["command"].partition(" ")
                    counts[NAMES.get(rest.split(" ")[0], name) if name == "EVALSHA" else name] += 1

        counting = asyncio.create_task(count())
        try:
            yield counts
        finally:
            await admin.echo("the end")
            await counting


@task(name="jobs:nothing")
async def nothing() -> None: ...


@task(queue="other")
async def nothing_else() -> None: ...


@pytest_asyncio.fixture
async def app(server: Server, admin: redis.asyncio.Redis) -> AsyncGenerator[App]:
    """An app that has dispatched before, so that it is connected and the server knows the scripts."""
    registry = Registry()
    for function in (nothing, nothing_else):
        registry.add(function)
    app = App(load_settings(service.url(server), environ={}), registry=registry)
    await app.dispatch_many([nothing(), nothing_else()])
    await admin.flushdb()
    yield app
    await app.close()


async def test_a_thousand_dispatches_together_are_one_script(app: App, admin: redis.asyncio.Redis) -> None:
    async with counted(admin) as counts:
        await app.dispatch_many([nothing() for _ in range(MANY)])
    assert counts == {"ENQUEUE": 1}


async def test_a_thousand_gathered_dispatches_are_one_script(app: App, admin: redis.asyncio.Redis) -> None:
    async with counted(admin) as counts:
        await asyncio.gather(*(app.dispatch(nothing()) for _ in range(MANY)))
    assert counts == {"ENQUEUE": 1}


async def test_a_batch_for_two_queues_is_one_script_for_each(app: App, admin: redis.asyncio.Redis) -> None:
    async with counted(admin) as counts:
        await app.dispatch_many([call for _ in range(100) for call in (nothing(), nothing_else())])
    assert counts == {"ENQUEUE": 2}


async def test_each_verb_is_one_script_for_a_queue_however_many_messages(
    server: Server, admin: redis.asyncio.Redis
) -> None:
    driver = RedisDriver(service.url(server))
    await driver.connect()
    await driver.enqueue([Message(id=str(number), queue=QUEUE, body=b"") for number in range(MANY)])
    async with counted(admin) as counts:
        claims = await driver.claim([QUEUE], limit=MANY, lease=30, wait=0, worker="test")
        assert len(claims) == MANY
        await driver.extend(claims, lease=30)
        await driver.settle([Settlement(claim=claim, verdict=ACK) for claim in claims])
        await driver.stats([QUEUE])
    assert counts == {"CLAIM": 1, "EXTEND": 1, "SETTLE": 1, "STATS": 1}
    await driver.close()


async def test_a_claim_of_several_queues_is_one_script(server: Server, admin: redis.asyncio.Redis) -> None:
    driver = RedisDriver(service.url(server))
    await driver.connect()
    queues = [f"queue{number}" for number in range(5)]
    await driver.claim(queues, limit=10, lease=30, wait=0, worker="test")
    async with counted(admin) as counts:
        await driver.claim(queues, limit=10, lease=30, wait=0, worker="test")
    assert counts == {"CLAIM": 1}
    await driver.close()


async def test_a_worker_runs_a_thousand_tasks_for_a_few_dozen_commands(app: App, admin: redis.asyncio.Redis) -> None:
    await app.dispatch_many([nothing() for _ in range(MANY)])
    worker = build_worker(app, Serving(burst=True, concurrency=100))
    async with counted(admin) as counts:
        await worker.run()
    assert worker.counts == {"Ack": MANY}
    assert counts.total() <= 60


async def test_a_queued_task_without_arguments_is_small(app: App, admin: redis.asyncio.Redis) -> None:
    count = 10_000  # the server's tables double at powers of two, after which it is 10 bytes more and before it 15 less
    await app.dispatch_many([nothing() for _ in range(count)])
    keys = [key async for key in admin.scan_iter()]
    used = sum([await admin.memory_usage(key, samples=0) for key in keys])
    assert used / count <= 250
    async with app.driver() as driver:
        (claim,) = await driver.claim([QUEUE], limit=1, lease=30, wait=0, worker="test")
    assert len(claim.message.body) <= 120


async def test_a_done_task_leaves_nothing_behind(app: App, admin: redis.asyncio.Redis) -> None:
    await app.dispatch_many([nothing() for _ in range(100)])
    await build_worker(app, Serving(burst=True)).run()
    kept = {key.decode().rpartition(":")[2] for key in await admin.keys()}
    assert kept <= {"queues", "rank", "idle"}


async def test_an_idle_worker_asks_three_times_in_ten_seconds_at_most(
    server: Server, admin: redis.asyncio.Redis, tmp_path: Path
) -> None:
    options = ["--queues", "default,second,third"]
    async with Fleet(redis_at(service.url(server)), tmp_path, lease=30.0, options=options) as fleet:
        fleet.spawn()
        async with asyncio.timeout(15):
            while not any(each["sub"] == "3" for each in await admin.client_list("pubsub")):  # noqa: ASYNC110 -- no event
                await asyncio.sleep(0.01)
        async with counted(admin) as counts:
            await asyncio.sleep(10)  # what is measured is what happens when nothing does
        # It looks every five seconds: two or three times, depending on when the ten began. No tolerance is needed.
        assert 1 <= counts.total() <= 3, counts
        assert counts.keys() == {"CLAIM"}
        await fleet.stop()
