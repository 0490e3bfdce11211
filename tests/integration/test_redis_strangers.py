"""What strangers have written under the Redis driver's keys."""

from __future__ import annotations

import logging
import struct
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import msgpack
import pytest
import pytest_asyncio
import redis.asyncio
from tests.integration.sqlite_neighbour import QUEUE, message, put, take, take_ids

from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, DeadLetter, Retry, Settlement
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import EnqueueStatus, SettleStatus

pytestmark = pytest.mark.asyncio

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody else on the same server, who knows our prefix."""

    client: redis.asyncio.Redis
    prefix: str

    def key(self, part: str, queue: str = QUEUE) -> str:
        return f"{{{self.prefix}:{queue}}}:{part}"

    async def do(self, command: str, part: str, *values: Any, queue: str = QUEUE) -> None:
        await self.client.execute_command(command, self.key(part, queue), *values)


@pytest_asyncio.fixture
async def stranger(redis_url: str) -> AsyncGenerator[Stranger]:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        yield Stranger(client, f"test-{uuid4().hex[:12]}")


@pytest_asyncio.fixture
async def driver(redis_url: str, stranger: Stranger) -> AsyncGenerator[RedisDriver]:
    driver = RedisDriver(redis_url, key_prefix=stranger.prefix)
    await driver.connect()
    yield driver
    await driver.close()


@pytest.mark.parametrize(
    "damage",
    [
        ("HDEL", "messages", b"sbad"),
        ("HSET", "messages", b"sbad", b"short"),
        ("HSET", "messages", b"sbad", b"hello world"),
        ("HSET", "messages", b"sbad", struct.pack(">d", float("nan")) + b"body"),
        ("HSET", "messages", b"sbad", struct.pack(">d", -1.0) + b"body"),
        ("HSET", "states", b"sbad", b"not a state"),
    ],
    ids=lambda damage: " ".join(map(repr, damage[:2] + damage[3:])),
)
async def test_what_is_no_message_becomes_a_dead_letter_that_can_be_purged_and_its_neighbours_are_delivered(
    driver: RedisDriver, stranger: Stranger, damage: tuple[Any, ...]
) -> None:
    await put(driver, "before", "bad", "after")
    await stranger.do(*damage)
    assert await take_ids(driver) == ["before", "after"]
    (dead,) = await driver.list_dead(QUEUE, limit=10)
    assert dead.id == "bad"
    assert dead.reason.startswith("corrupt: ")
    (stats,) = await driver.stats([QUEUE])
    assert (stats.ready, stats.leased, stats.dead) == (0, 2, 1)
    assert list(await driver.purge_dead(["bad"])) == [True]
    assert list(await driver.get_dead(["bad"])) == [None]


async def test_a_state_that_a_stranger_wrote_costs_the_message_nothing_when_it_is_requeued(
    driver: RedisDriver, stranger: Stranger
) -> None:
    await put(driver, "bad")
    await stranger.do("HSET", "states", b"sbad", b"not a state")
    assert await take(driver) == []
    assert list(await driver.requeue_dead(["bad"])) == [True]
    (claim,) = await take(driver)
    assert (claim.message.body, claim.attempt, claim.expiries) == (b"body", 1, 0)


async def test_what_a_stranger_wrote_hides_no_message_from_who_looks_for_its_id(
    driver: RedisDriver, stranger: Stranger
) -> None:
    await put(driver, "record", "state", "gone", "good")
    await stranger.do("HSET", "messages", b"srecord", b"short")
    await stranger.do("HSET", "states", b"sstate", b"not a state")
    await stranger.do("HDEL", "messages", b"sgone")
    found = await driver.find(["record", "state", "gone", "good"])
    assert [each and (each.body, each.state, each.attempts) for each in found] == [
        (b"short", "ready", 0),
        (b"body", "ready", 0),
        None,
        (b"body", "ready", 0),
    ]


FOREIGN = [b"foreign", b"", b"u-short", b"\xff\x00", str(uuid4()).encode(), b"x" * 1000]


@pytest.mark.parametrize("part", ["due", "leased"])
async def test_members_that_are_no_ids_of_ours_become_dead_letters_that_can_be_asked_for_by_name(
    driver: RedisDriver, stranger: Stranger, part: str
) -> None:
    await put(driver, "before")
    for member in FOREIGN:
        await stranger.do("ZADD", part, "-inf", member)
    await put(driver, "after")
    (stats,) = await driver.stats([QUEUE])
    assert stats.oldest_age is not None
    assert await take_ids(driver) == ["before", "after"]
    dead = await driver.list_dead(QUEUE, limit=10)
    assert {each.id for each in dead} == {"foreign:" + member.decode("utf-8", "surrogateescape") for member in FOREIGN}
    ids = [each.id for each in dead]
    assert list(await driver.get_dead(ids)) == list(dead)
    assert list(await driver.purge_dead(ids)) == [True] * len(FOREIGN)
    assert list(await driver.queues()) == [QUEUE]


async def test_more_strangers_than_a_call_sets_aside_do_not_hide_a_message_for_long(
    driver: RedisDriver, stranger: Stranger
) -> None:
    pipeline = stranger.client.pipeline()
    for number in range(2_500):
        pipeline.zadd(stranger.key("due"), {f"s{number}": 0})
    await pipeline.execute()
    await put(driver, "good")
    assert [claim.message.id for claim in await take(driver, wait=5)] == ["good"]


LETTERS: list[Callable[[], bytes]] = [
    lambda: b"\xc1",
    lambda: msgpack.packb(1),
    lambda: msgpack.packb([b"reason"]),
    lambda: msgpack.packb([b"reason", b"", 1, 0, float("inf"), b"body", b""]),
    lambda: msgpack.packb([b"reason", b"", 1, 0, 0, 5, b""]),
    lambda: msgpack.packb([b"reason", b"", float("inf"), 0, 0, b"body", b""]),
    lambda: msgpack.packb([b"reason", b"", 1, 0, 0, b"body", msgpack.packb([1])]),
]


async def bury(driver: RedisDriver, *ids: str) -> None:
    await put(driver, *ids)
    verdict = DeadLetter(reason="test", error="")
    await driver.settle([Settlement(claim=claim, verdict=verdict) for claim in await take(driver)])


@pytest.mark.parametrize("letter", LETTERS)
async def test_a_dead_letter_that_cannot_be_read_is_skipped_with_a_warning_and_can_be_purged(
    driver: RedisDriver, stranger: Stranger, letter: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    await bury(driver, "old", "bad", "new")
    await stranger.do("HSET", "dead", b"sbad", letter())
    assert [each.id for each in await driver.list_dead(QUEUE, limit=10)] == ["new", "old"]
    assert [each.id for each in await driver.list_dead(QUEUE, limit=1, after="new")] == ["old"]
    assert list(await driver.get_dead(["bad"])) == [None]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "dead letter 'bad' of queue 'default' cannot be read" in caplog.text
    assert list(await driver.purge_dead(["bad"])) == [True]


async def test_requeueing_what_cannot_be_read_requeues_its_neighbours(driver: RedisDriver, stranger: Stranger) -> None:
    await bury(driver, "one", "bad", "two")
    await stranger.do("HSET", "dead", b"sbad", b"\xc1")
    assert list(await driver.requeue_dead(["one", "bad", "two"])) == [True, False, True]
    assert await take_ids(driver) == ["one", "two"]


async def test_errors_that_cannot_be_read_are_forgotten_instead_of_holding_up_a_settlement(
    driver: RedisDriver, stranger: Stranger
) -> None:
    await put(driver, "one", "two")
    claims = await take(driver)
    await stranger.do("HSET", "errors", b"sone", b"\xc1")
    answers = await driver.settle([Settlement(claim=claim, verdict=Retry(delay=0, error="E")) for claim in claims])
    assert [answer.status for answer in answers] == [SettleStatus.DONE, SettleStatus.DONE]
    assert await take_ids(driver) == ["one", "two"]


async def test_a_rank_that_is_no_number_is_begun_anew(driver: RedisDriver, stranger: Stranger) -> None:
    await stranger.do("SET", "rank", "high")
    await put(driver, "one", "two")
    assert await take_ids(driver) == ["one", "two"]


PARTS = ["due", "leased", "messages", "states", "errors", "dead", "graves"]


@pytest.mark.parametrize("part", PARTS)
async def test_a_key_that_is_somebody_elses_is_named_and_nothing_is_half_done(
    driver: RedisDriver, stranger: Stranger, part: str
) -> None:
    await stranger.do("SET", part, "theirs")
    (answer,) = await driver.enqueue([message("one")])
    assert answer.status is EnqueueStatus.FAILED
    assert isinstance(answer.error, ConfigurationError)
    assert "choose another redis.key_prefix" in str(answer.error)
    with pytest.raises(ConfigurationError, match=r"key_prefix"):
        await take(driver)
    await stranger.client.delete(stranger.key(part))
    await put(driver, "one")  # it was not there
    assert await take_ids(driver) == ["one"]


@pytest.mark.parametrize("part", PARTS)
async def test_a_key_that_becomes_somebody_elses_later_lets_no_settlement_be_half_done(
    driver: RedisDriver, stranger: Stranger, part: str
) -> None:
    await put(driver, "one", "two")
    claims = await take(driver)
    theirs, ours = stranger.key(part), stranger.key("kept")
    was_there = await stranger.client.exists(theirs)
    if was_there:
        await stranger.client.rename(theirs, ours)
    await stranger.client.set(theirs, "theirs")
    settlements = [
        Settlement(claim=claims[0], verdict=Retry(delay=0, error="E")),
        Settlement(claim=claims[1], verdict=DeadLetter(reason="test", error="")),
    ]
    for answer in await driver.settle(settlements):
        assert isinstance(answer.error, ConfigurationError)
    await stranger.client.delete(theirs)
    if was_there:
        await stranger.client.rename(ours, theirs)
    assert [answer.status for answer in await driver.settle(settlements)] == [SettleStatus.DONE, SettleStatus.DONE]
    assert await take_ids(driver) == ["one"]


async def test_a_queue_that_cannot_be_served_holds_up_no_other(
    driver: RedisDriver, stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    await put(driver, "first")
    (held,) = await take(driver)
    await put(driver, "one")
    for part in ("due", "states"):
        await stranger.do("SET", part, "theirs", queue=OTHER)
    answers = await driver.enqueue([Message(id="lost", queue=OTHER, body=b""), message("two")])
    assert [answer.status for answer in answers] == [EnqueueStatus.FAILED, EnqueueStatus.CREATED]

    claims = await driver.claim([QUEUE, OTHER], limit=10, lease=30, wait=0, worker="test")
    assert [claim.message.id for claim in claims] == ["one", "two"]
    assert await driver.claim([OTHER, QUEUE], limit=10, lease=30, wait=0.01, worker="test") == []
    assert [f"queue {OTHER} cannot be served" in record.message for record in caplog.records] == [True]

    foreign = Settlement(claim=_elsewhere(held), verdict=ACK)
    settled = await driver.settle([foreign, *(Settlement(claim=claim, verdict=ACK) for claim in claims)])
    assert [answer.status for answer in settled] == [SettleStatus.FAILED, SettleStatus.DONE, SettleStatus.DONE]


def _elsewhere(claim: Claim) -> Claim:
    return replace(claim, message=replace(claim.message, queue=OTHER))
