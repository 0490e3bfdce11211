"""A broker that says nothing any more: every verb of a driver ends within the port's bound, says so, and names the broker."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.fleet import Broker, Fleet, mysql_at, postgres_at, redis_at, sqs_at
from tests.services.proxy import Proxy, Watch, containing, executing

from asynctasq.domain.errors import DriverUnavailable, Indeterminate
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, DeadLetter, Release, Retry, Settlement, Verdict
from asynctasq.ports.driver import QueueDriver

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(90)]

ALLOWED = 5.5
"""Seconds for a verb: what the port allows, and half a second for a crowded machine."""

QUEUE = "q"
WAIT = 1.0
"""Seconds that a claim waits, beyond what it has for its verb."""

BROKERS: Mapping[str, tuple[str, Callable[[str], Broker], Callable[[], Watch]]] = {
    "redis": ("redis_url", redis_at, containing(b"\r\nINFO\r\n")),
    "postgres": ("postgres_url", postgres_at, executing(b"server_version_num")),
    "mysql": ("mysql_url", mysql_at, containing(b"MAX(version)")),
    "sqs": ("moto_url", sqs_at, containing(b"GetQueueUrl")),
}
"""The brokers that are reached by a network: the fixture that gives the URL, what makes one of it, and what a driver asks first
once it is connected."""

Call = Callable[[QueueDriver], Awaitable[object]]


def verbs(claim: Claim) -> Mapping[str, list[Call]]:
    """How each verb of the port is called, some in several ways. Of the optional ones a driver has what it declares."""

    def settle(verdict: Verdict) -> Call:
        return lambda driver: driver.settle([Settlement(claim=claim, verdict=verdict)])

    def claim_for(wait: float) -> Call:
        return lambda driver: driver.claim([QUEUE], limit=1, lease=30, wait=wait, worker="test")

    def of(verb: str, *arguments: object, **named: object) -> list[Call]:
        return [lambda driver: getattr(driver, verb)(*arguments, **named)]

    return {
        "enqueue": of("enqueue", [Message(id="silent", queue=QUEUE, body=b"")]),
        "claim": [claim_for(0), claim_for(WAIT)],
        "extend": of("extend", [claim], lease=30),
        "settle": [settle(verdict) for verdict in (ACK, Retry(delay=0, error=""), Release(), DeadLetter(reason=""))],
        "stats": of("stats", [QUEUE]),
        "list_dead": of("list_dead", QUEUE, limit=1),
        "get_dead": of("get_dead", ["dead"]),
        "requeue_dead": of("requeue_dead", ["dead"]),
        "purge_dead": of("purge_dead", ["dead"]),
        "queues": of("queues"),
        "purge": of("purge", QUEUE),
        "install": of("install"),
        "examine": of("examine"),
        "clock": of("clock"),
        "find": of("find", ["held"]),
    }


def declared(driver: QueueDriver) -> set[str]:
    """The names of all that may be awaited of the ports that a driver declares."""
    ports = [port for port in type(driver).__mro__ if getattr(port, "_is_protocol", False)]
    names = {name for port in ports for name in getattr(port, "__abstractmethods__", ())}
    return {name for name in names if inspect.iscoroutinefunction(getattr(driver, name))}


async def timed(call: Awaitable[object]) -> tuple[object, float]:
    """What a call answers or raises, and how many seconds it took."""
    began = time.monotonic()
    (answer,) = await asyncio.gather(call, return_exceptions=True)
    return answer, time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Silenced:
    """What a broker lies behind, a driver that is connected to it, and what another would ask when it has connected."""

    proxy: Proxy
    driver: QueueDriver
    question: Callable[[], Watch]

    def is_named_by(self, error: object) -> bool:
        """Whether people are told which broker it is."""
        return f"127.0.0.1:{self.proxy.port}" in str(error)


@pytest_asyncio.fixture(params=BROKERS)
async def silenced(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Silenced]:
    fixture, at, question = BROKERS[request.param]
    async with (
        Proxy.before(request.getfixturevalue(fixture)) as proxy,
        Fleet(await asyncio.to_thread(at, proxy.url), tmp_path) as fleet,
    ):
        yield Silenced(proxy, fleet.driver, question)


async def test_every_verb_at_a_broker_that_has_fallen_silent_ends_in_time_and_names_it_and_works_again_afterwards(
    silenced: Silenced,
) -> None:
    proxy, driver = silenced.proxy, silenced.driver
    await driver.enqueue([Message(id="held", queue=QUEUE, body=b"")])
    (claim,) = await driver.claim([QUEUE], limit=1, lease=30, wait=2, worker="test")
    calls = {verb: ways for verb, ways in verbs(claim).items() if hasattr(driver, verb)}
    assert calls.keys() == declared(driver) - {"connect", "close"}
    with proxy.blackhole():
        each = [(verb, call) for verb, ways in calls.items() for call in ways]
        answers = await asyncio.gather(*(timed(call(driver)) for _, call in each))
    for (verb, _), (answer, seconds) in zip(each, answers, strict=True):
        assert isinstance(answer, (DriverUnavailable, Indeterminate)), f"{verb}: {answer!r}"
        assert silenced.is_named_by(answer), f"{verb}: {answer!r}"
        assert seconds <= ALLOWED + (WAIT if verb == "claim" else 0), f"{verb}: {seconds:.1f} s"
    (stats,) = await driver.stats([QUEUE])
    assert stats.queue == QUEUE


async def test_connecting_to_a_silent_broker_says_in_time_that_nothing_was_done_and_closing_ends_in_time(
    silenced: Silenced,
) -> None:
    proxy, driver = silenced.proxy, silenced.driver
    with proxy.blackhole():
        new = driver.sibling()
        (answer, seconds), (closed, closing) = await asyncio.gather(timed(new.connect()), timed(driver.close()))
    assert isinstance(answer, DriverUnavailable)
    assert silenced.is_named_by(answer)
    assert seconds <= ALLOWED
    assert closed is None
    assert closing <= ALLOWED
    await new.connect()
    await new.close()


async def test_a_driver_that_connects_and_is_answered_no_more_says_that_nothing_was_done(silenced: Silenced) -> None:
    # Else whoever dispatches would be told that the task may have been stored.
    lost = silenced.proxy.lose_reply_to(silenced.question, breaking=True)
    with pytest.raises(DriverUnavailable) as refused:
        await silenced.driver.sibling().connect()
    assert lost.is_set()
    assert silenced.is_named_by(refused.value)
