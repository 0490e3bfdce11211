"""Connections that die while they lie idle, as behind a firewall that forgets them: the next verb is not to suffer for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from tests.services import mariadb
from tests.services import sqs as service
from tests.services.postgres import execute
from tests.services.proxy import Proxy

from asynctasq.domain.errors import DriverUnavailable, Indeterminate
from asynctasq.domain.message import Message
from asynctasq.drivers.mysql_driver import MySQLDriver
from asynctasq.drivers.postgres_driver import PostgresDriver
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import QueueDriver

QUEUE = "q"
MESSAGES = 5
FIVE_SECONDS = 5.5
"""What the port allows a verb, and half a second for a crowded machine."""

Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """On each loop, as they say differently that a connection is gone."""
    return request.param


Broker = tuple[str, Callable[[str], QueueDriver]]
"""Where it is, and what makes a driver for another address of it."""


@pytest.fixture
def redis(redis_url: str) -> Broker:
    prefix = f"idle-{uuid4().hex[:12]}"
    return redis_url, lambda url: RedisDriver(url, key_prefix=prefix)


@pytest.fixture
def postgres(postgres_url: str) -> Generator[Broker]:
    schema = f"idle_{uuid4().hex[:12]}"
    asyncio.run(PostgresDriver(postgres_url, schema=schema).install())
    yield postgres_url, lambda url: PostgresDriver(url, schema=schema)
    execute(postgres_url, f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def mysql(mysql_url: str) -> Generator[Broker]:
    prefix = f"idle_{uuid4().hex[:12]}_"
    asyncio.run(MySQLDriver(mysql_url, table_prefix=prefix).install())
    yield mysql_url, lambda url: MySQLDriver(url, table_prefix=prefix)
    mariadb.execute(mysql_url, f"DROP TABLE {prefix}message, {prefix}version")


@pytest.fixture
def sqs(moto_url: str) -> Broker:
    prefix = f"idle-{uuid4().hex[:8]}-"
    return moto_url, lambda url: service.driver(url, queue_prefix=prefix)


@pytest.fixture(params=["redis", "postgres", "mysql", "sqs"])
def broker(request: pytest.FixtureRequest) -> Broker:
    return request.getfixturevalue(request.param)


@contextlib.asynccontextmanager
async def idle(broker: Broker) -> AsyncGenerator[tuple[Proxy, QueueDriver]]:
    """A driver, several of whose connections lie idle."""
    url, make = broker
    async with Proxy.before(url) as proxy, contextlib.AsyncExitStack() as stack:
        driver = make(proxy.url)
        stack.push_async_callback(driver.close)
        await driver.connect()
        messages = [Message(id=str(n), queue=QUEUE, body=b"") for n in range(MESSAGES)]
        await asyncio.gather(*(driver.enqueue([message]) for message in messages))
        assert proxy.connections > 1
        yield proxy, driver


async def ready(driver: QueueDriver) -> int:
    (stats,) = await driver.stats([QUEUE])
    return stats.ready


def test_connections_that_were_reset_while_idle_are_not_used_again(broker: Broker, run: Runner) -> None:
    async def main() -> None:
        async with idle(broker) as (proxy, driver):
            proxy.reset()
            await asyncio.sleep(0.1)  # in which this end learns of it: nothing tells when it has
            assert [await ready(driver) for _ in range(MESSAGES + 1)] == [MESSAGES] * (MESSAGES + 1)

    run(main())


def test_of_connections_that_fell_silent_while_idle_one_costs_a_verb_its_time_and_the_others_nothing(
    broker: Broker, run: Runner
) -> None:
    async def main() -> None:
        async with idle(broker) as (proxy, driver):
            with proxy.half_open():
                pass  # those that there are will never hear a reply again
            began = time.monotonic()
            with pytest.raises((DriverUnavailable, Indeterminate)):
                await ready(driver)
            assert time.monotonic() - began <= FIVE_SECONDS
            assert await ready(driver) == MESSAGES

    run(main())
