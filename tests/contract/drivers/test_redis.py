from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import pytest
import pytest_asyncio
import redis

from asynctasq.adapters.drivers.redis import RedisDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model

AGE = """
for _, set in ipairs({'due', 'leased'}) do
    local key = ARGV[2] .. ':' .. set
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
        redis.call('ZADD', key, string.format('%.0f', members[i + 1] - ARGV[1]), members[i])
    end
end
redis.call('PUBLISH', ARGV[2] .. ':idle', '')
"""


class RedisHarness(Harness):
    """An hour passes by moving the stored times back by an hour."""

    unit = 3600.0

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test-{uuid4().hex[:12]}"

    def driver(self) -> RedisDriver:
        return RedisDriver(self.url, key_prefix=self.prefix)

    async def age(self, seconds: float) -> None:
        await asyncio.to_thread(self._move, seconds)

    def _move(self, seconds: float) -> None:
        with redis.Redis.from_url(self.url) as client:
            for queue in client.smembers(f"{self.prefix}:queues"):
                client.eval(AGE, 0, round(seconds * 1_000_000), f"{{{self.prefix}:{queue.decode()}}}")


servers: dict[str, str] = {}
"""Where the model's drivers find their servers: a unittest.TestCase takes no fixture's value."""


@pytest.fixture(scope="module")
def _redis(redis_url: str) -> None:
    servers["redis"] = redis_url


@pytest.fixture(scope="module")
def _valkey(valkey_url: str) -> None:
    servers["valkey"] = valkey_url


def broker(name: str) -> Callable[[], AbstractContextManager[tuple[RedisDriver, RedisHarness]]]:
    @contextmanager
    def broker() -> Generator[tuple[RedisDriver, RedisHarness], None, None]:
        harness = RedisHarness(servers[name])
        yield harness.driver(), harness

    return broker


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_redis")
class TestRedisDriverAgainstTheModel(against_the_model(broker("redis"))):
    pass


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_valkey")
class TestRedisDriverOnValkeyAgainstTheModel(against_the_model(broker("valkey"))):
    pass


class TestRedisDriver(DriverContract):
    @pytest.fixture
    def harness(self, redis_url: str) -> RedisHarness:
        return RedisHarness(redis_url)

    @pytest_asyncio.fixture
    async def driver(self, harness: RedisHarness) -> AsyncGenerator[RedisDriver, None]:
        driver = harness.driver()
        await driver.connect()
        yield driver
        await driver.close()


class TestRedisDriverOnValkey(TestRedisDriver):
    @pytest.fixture
    def harness(self, valkey_url: str) -> RedisHarness:
        return RedisHarness(valkey_url)
