"""A Redis that cannot be reached, says nothing, or lets us not in."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import closing, contextmanager

import pytest
import pytest_asyncio
import redis.asyncio
from tests.integration.sqlite_neighbour import QUEUE, message, put, take, take_ids
from tests.services import Server, free_port
from tests.services import redis as service

from asynctasq.adapters.drivers.redis import doorbell
from asynctasq.adapters.drivers.redis import driver as module
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable, Indeterminate
from asynctasq.drivers.redis_driver import RedisDriver

pytestmark = pytest.mark.asyncio

FIVE_SECONDS = 5.0
"""What the port allows a verb; the driver plans with less, so that no tolerance is needed on a crowded machine."""


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with service.server() as server:
        yield server


@pytest_asyncio.fixture
async def admin(server: Server) -> AsyncGenerator[redis.asyncio.Redis]:
    """Who may change everything; afterwards the server is empty and as it was."""
    async with redis.asyncio.Redis.from_url(service.url(server)) as admin:
        before = await admin.config_get("maxmemory-policy", "requirepass", "appendonly")
        yield admin
        for name, value in before.items():
            await admin.config_set(name, value)
        await admin.flushall()


@pytest_asyncio.fixture
async def driver(server: Server, admin: redis.asyncio.Redis) -> AsyncGenerator[RedisDriver]:
    driver = RedisDriver(service.url(server))
    await driver.connect()
    yield driver
    await driver.close()


@contextmanager
def frozen(server: Server) -> Generator[None]:
    """It takes connections and requests, and does nothing with them."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_server_that_is_not_there_is_named_without_its_password_within_five_seconds() -> None:
    driver = RedisDriver(f"redis://user:s3cret@127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    with pytest.raises(DriverUnavailable, match="cannot be reached") as refusal:
        await driver.connect()
    assert time.monotonic() - began < FIVE_SECONDS
    assert driver.location in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert isinstance(refusal.value.__cause__, redis.exceptions.ConnectionError)


async def test_a_server_that_accepts_and_never_answers_is_given_up_within_five_seconds() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        driver = RedisDriver(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(DriverUnavailable, match="does not answer"):
            await driver.connect()
        assert time.monotonic() - began < FIVE_SECONDS


INFO = b"$20\r\nredis_version:7.0.15\r\n" + b"*2\r\n$1\r\nx\r\n$3\r\nyes\r\n" * 2


async def test_a_verb_that_asks_twice_has_no_longer_than_one_that_asks_once() -> None:
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65_536):
            if b"SMEMBERS" in asked:
                await asyncio.sleep(3)  # within what one question has, and beyond half of it
                writer.write(b"*1\r\n$7\r\ndefault\r\n")
            elif b"HMGET" not in asked:
                writer.write(INFO if b"\nINFO" in asked else b"+OK\r\n" * asked.count(b"*"))
        writer.close()
        gone.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as slow:
        driver = RedisDriver(f"redis://127.0.0.1:{slow.sockets[0].getsockname()[1]}")
        await driver.connect()
        began = time.monotonic()
        with pytest.raises(Indeterminate):
            await driver.get_dead(["one"])
        assert 3 <= time.monotonic() - began < FIVE_SECONDS
        await driver.close()
        await gone.wait()


WRONG_LOGINS = {
    "a wrong password": ("redis://:wrong@", "refuses the user name or password"),
    "no password": ("redis://", "wants a password"),
    "an unknown user": ("redis://nobody:right@", "refuses the user name or password"),
}


@pytest.mark.parametrize(("login", "says"), WRONG_LOGINS.values(), ids=WRONG_LOGINS)
async def test_a_login_that_is_refused_is_a_matter_of_configuration(
    server: Server, admin: redis.asyncio.Redis, login: str, says: str
) -> None:
    await admin.config_set("requirepass", "right")
    driver = RedisDriver(f"{login}127.0.0.1:{server.port}")
    with pytest.raises(ConfigurationError, match=says) as refusal:
        await driver.connect()
    assert driver.location in str(refusal.value)
    assert "wrong" not in str(refusal.value)


async def test_a_password_where_there_is_none_is_a_matter_of_configuration(server: Server) -> None:
    driver = RedisDriver(service.url(server), password="too much")
    with pytest.raises(ConfigurationError, match=r"take redis\.password away"):
        await driver.connect()


async def test_a_database_that_is_not_there_is_a_matter_of_configuration(server: Server) -> None:
    driver = RedisDriver(f"redis://127.0.0.1:{server.port}/99")
    with pytest.raises(ConfigurationError, match="no such database"):
        await driver.connect()


async def user(admin: redis.asyncio.Redis, name: str, *rules: str) -> None:
    await admin.execute_command("ACL", "SETUSER", name, "reset", "on", ">p", *rules)


async def test_a_user_who_may_not_touch_our_keys_is_told_what_to_allow(
    server: Server, admin: redis.asyncio.Redis
) -> None:
    await user(admin, "poor", "+@all", "&*", "~somebody-elses:*")
    driver = RedisDriver(f"redis://poor:p@127.0.0.1:{server.port}")
    await driver.connect()
    (answer,) = await driver.enqueue([message("one")])
    assert isinstance(answer.error, ConfigurationError)
    assert "allow it @all on the keys" in str(answer.error)
    with pytest.raises(ConfigurationError, match="allow it @all"):
        await take(driver)
    await driver.close()


async def test_a_user_who_may_not_subscribe_or_publish_still_works_and_is_warned_once(
    server: Server, admin: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "FORBIDDEN_PAUSE", 0.01)
    await user(admin, "deaf", "+@all", "resetchannels", "~*")
    driver = RedisDriver(f"redis://deaf:p@127.0.0.1:{server.port}")
    await driver.connect()
    assert await take(driver, wait=0.2) == []
    await put(driver, "one")
    began = time.monotonic()
    assert [claim.message.id for claim in await take(driver, wait=4)] == ["one"]
    # Not after having waited for a subscription, which takes all of the 4 s.
    assert time.monotonic() - began < 2
    assert await take(driver, wait=0.5) == []  # in which it is refused a few times more
    assert [record.levelno for record in caplog.records if "subscribe" in record.message] == [logging.WARNING]
    await driver.close()


async def test_a_user_who_may_not_look_at_the_configuration_can_connect(
    server: Server, admin: redis.asyncio.Redis
) -> None:
    await user(admin, "modest", "+@all", "-config", "-info", "&*", "~*")
    driver = RedisDriver(f"redis://modest:p@127.0.0.1:{server.port}")
    await driver.connect()
    await put(driver, "one")
    assert await take_ids(driver) == ["one"]
    await driver.close()


async def test_a_server_that_may_lose_tasks_is_warned_of_once(
    server: Server, admin: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_told", set())
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    await admin.config_set("appendonly", "no")
    for _ in range(2):
        driver = RedisDriver(f"redis://127.0.0.1:{server.port}")
        await driver.connect()
        await driver.close()
    assert [record.getMessage().partition(" has ")[2] for record in caplog.records] == [
        "maxmemory-policy allkeys-lru: it may throw tasks away when memory is short: set noeviction",
        "appendonly no: it loses its tasks when it is restarted: set it to yes",
    ]


async def test_more_requests_than_connections_wait_for_one_and_say_so_when_none_comes_free(
    server: Server, admin: redis.asyncio.Redis
) -> None:
    driver = RedisDriver(service.url(server), max_connections=2)
    await driver.connect()
    await asyncio.gather(*(driver.enqueue([message(str(number))]) for number in range(50)))
    assert len([each for each in await admin.client_list() if each["name"] == "asynctasq"]) == 2
    with frozen(server):
        began = time.monotonic()
        answers = await asyncio.gather(*(driver.stats([QUEUE]) for _ in range(3)), return_exceptions=True)
        assert time.monotonic() - began < FIVE_SECONDS
        assert any("redis.max_connections" in str(answer) for answer in answers)
    (stats,) = await driver.stats([QUEUE])
    assert stats.ready == 50
    await driver.close()


async def test_what_is_no_answer_is_taken_for_none_and_nothing_more_is_read_from_there(
    server: Server, admin: redis.asyncio.Redis
) -> None:
    """What comes behind it, which would be taken for the answer to the next request, is that to this one."""
    spoils = False

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        nonlocal spoils
        while data := await reader.read(65_536):
            if answers and spoils:
                spoils, data = False, b"no answer\r\n" + data
            writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pump(reader, there[1], answers=False), pump(there[0], writer, answers=True))

    async with await asyncio.start_server(between, "127.0.0.1", 0) as listening:
        driver = RedisDriver(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        await driver.connect()
        await put(driver, "sound")  # after which the server knows the script, and does as it is asked the first time
        spoils = True
        with pytest.raises(Indeterminate):
            await put(driver, "spoilt")
        (stats,) = await driver.stats([QUEUE])
        assert stats.ready == 2
        await driver.close()
