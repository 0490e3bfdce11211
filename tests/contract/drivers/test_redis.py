from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio
import redis
from hypothesis import settings
from tests.services import redis as service

from asynctasq.adapters.drivers.redis import RedisDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model

AGE = """
for n = 1, 2 do
    local members = redis.call('ZRANGE', KEYS[n], 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
        redis.call('ZADD', KEYS[n], string.format('%.0f', members[i + 1] - ARGV[1]), members[i])
    end
end
redis.call('PUBLISH', KEYS[3], '')
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

    async def spoil(self, queue: str) -> bool:
        def occupy() -> None:
            with self._client() as client:
                client.set(f"{{{self.prefix}:{queue}}}:due", "somebody else's")

        await asyncio.to_thread(occupy)
        return True

    def _move(self, seconds: float) -> None:
        with self._client() as client:
            for queue in client.smembers(f"{self.prefix}:queues"):
                keys = [f"{{{self.prefix}:{queue.decode()}}}:{part}" for part in ("due", "leased", "idle")]
                client.eval(AGE, 3, *keys, round(seconds * 1_000_000))

    def _client(self) -> Any:
        parts = urlsplit(self.url)
        places = [place.split(":") for place in parts.netloc.split(",")]
        match parts.scheme.partition("+")[2]:
            case "cluster":
                return redis.RedisCluster(host=places[0][0], port=int(places[0][1]))
            case "sentinel":
                watching = redis.Redis(host=places[0][0], port=int(places[0][1]))
                with watching:
                    host, port = watching.sentinel_get_master_addr_by_name(service.SERVICE)
                return redis.Redis(host=host, port=port)
            case _:
                return redis.Redis.from_url(self.url)


servers: dict[str, str] = {}
"""Where the model's drivers find their servers: a unittest.TestCase takes no fixture's value."""


@pytest.fixture(scope="module")
def _redis(redis_url: str) -> None:
    servers["redis"] = redis_url


@pytest.fixture(scope="module")
def _valkey(valkey_url: str) -> None:
    servers["valkey"] = valkey_url


@pytest.fixture(scope="module")
def _cluster(redis_cluster_url: str) -> None:
    servers["cluster"] = redis_cluster_url


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


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_cluster")
class TestRedisDriverOnAClusterAgainstTheModel(against_the_model(broker("cluster"))):
    """A few examples, as a cluster's scripts are the same: what is other is where they go."""

    settings = settings(max_examples=10, stateful_step_count=30)


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


class TestRedisDriverOnACluster(TestRedisDriver):
    @pytest.fixture
    def harness(self, redis_cluster_url: str) -> RedisHarness:
        return RedisHarness(redis_cluster_url)


class TestRedisDriverByWayOfSentinels(TestRedisDriver):
    @pytest.fixture
    def harness(self, redis_sentinel_url: str) -> RedisHarness:
        return RedisHarness(redis_sentinel_url)


class TestRedisDriverOverTls(TestRedisDriver):
    @pytest.fixture
    def harness(self, redis_tls_url: str) -> RedisHarness:
        return RedisHarness(redis_tls_url)
