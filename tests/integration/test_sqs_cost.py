"""What the SQS driver costs: requests, which are paid for one by one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.services import Server
from tests.services import sqs as service

from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.tasks import task
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, DeadLetter, Release, Retry, Settlement, Verdict
from asynctasq.drivers.sqs_driver import SQSDriver

pytestmark = pytest.mark.asyncio

MANY = 500
PRICE = 0.35
"""Requests that a task which succeeds may cost."""


@pytest.fixture(scope="module")
def server(_aws_environ: None) -> Generator[Server]:
    """One whose requests are ours alone."""
    with service.server() as server:
        yield server


@contextmanager
def counted(server: Server) -> Generator[Counter[str]]:
    """The requests meanwhile, by action."""
    counts: Counter[str] = Counter()
    service.requests(service.url(server))
    yield counts
    counts.update(service.requests(service.url(server)))


@pytest_asyncio.fixture
async def driver(server: Server) -> AsyncGenerator[SQSDriver]:
    """One that knows its queues already."""
    driver = service.driver(service.url(server))
    await driver.connect()
    await driver.enqueue([message()])
    await settle_all(driver, ACK)
    yield driver
    await driver.close()


def message(body: bytes = b"x" * 200) -> Message:
    return Message(id=str(uuid4()), queue="default", body=body)


async def settle_all(driver: SQSDriver, verdict: Verdict) -> int:
    claims = await driver.claim(["default"], limit=100, lease=60, wait=0, worker="test")
    await driver.settle([Settlement(claim=claim, verdict=verdict) for claim in claims])
    return len(claims)


@task(name="sqs:nothing")
async def nothing() -> None: ...


async def test_a_task_under_load_costs_a_third_of_a_request_from_its_dispatch_to_its_end(server: Server) -> None:
    registry = Registry()
    registry.add(nothing)
    app = App(load_settings({"driver": service.driver(service.url(server))}, environ={}), registry=registry)
    await app.dispatch(nothing())  # so that the queue is known
    with counted(server) as counts:
        await asyncio.gather(*(app.dispatch(nothing()) for _ in range(MANY - 1)))
        worker = build_worker(app, Serving(burst=True, concurrency=100))
        await worker.run()
    await app.close()
    assert worker.counts == {"Ack": MANY}
    assert counts.total() <= PRICE * MANY, counts


async def test_each_verb_asks_once_for_ten_messages(driver: SQSDriver, server: Server) -> None:
    with counted(server) as counts:
        await driver.enqueue([message() for _ in range(95)])
        claims = await driver.claim(["default"], limit=95, lease=60, wait=0, worker="test")
        await driver.extend(claims, lease=60)
        await driver.settle([Settlement(claim=claim, verdict=ACK) for claim in claims])
    assert len(claims) == 95
    assert counts == {
        "SendMessageBatch": 10,
        "ReceiveMessage": 10,
        "ChangeMessageVisibilityBatch": 10,
        "DeleteMessageBatch": 10,
    }


@pytest.mark.parametrize(
    "verdict",
    [Retry(delay=0, error="again"), Release(), DeadLetter(reason="bad")],
    ids=lambda each: type(each).__name__,
)
async def test_what_is_sent_anew_costs_a_copy_and_a_deletion(
    driver: SQSDriver, server: Server, verdict: Verdict
) -> None:
    await driver.enqueue([message() for _ in range(20)])
    claims = await driver.claim(["default"], limit=20, lease=60, wait=0, worker="test")
    settlements = [Settlement(claim=claim, verdict=verdict) for claim in claims]
    await driver.settle(settlements[:1])  # its dead letters' queue is known then
    with counted(server) as counts:
        await driver.settle(settlements[1:])
    assert counts == {"SendMessageBatch": 2, "DeleteMessageBatch": 2}
    await settle_all(driver, ACK)


async def test_large_messages_share_a_request_as_far_as_sqs_lets_them(driver: SQSDriver, server: Server) -> None:
    with counted(server) as counts:
        answers = await driver.enqueue([message(b"x" * 250_000) for _ in range(7)])  # a third more in base64
    assert [answer.error for answer in answers] == [None] * 7
    assert counts == {"SendMessageBatch": 3}
    assert await settle_all(driver, ACK) == 7


async def test_a_claim_that_waits_asks_each_queue_once(server: Server) -> None:
    driver = service.driver(service.url(server), shortest_poll=1)
    await driver.connect()
    queues = ["first", "second"]
    await driver.claim(queues, limit=10, lease=30, wait=0, worker="test")
    with counted(server) as counts:
        began = asyncio.get_running_loop().time()
        assert await driver.claim(queues, limit=10, lease=30, wait=3, worker="test") == []
        took = asyncio.get_running_loop().time() - began
    await driver.close()
    assert counts == {"ReceiveMessage": 2}
    assert took >= 2.8
