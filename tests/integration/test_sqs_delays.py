"""Delays, retries and leases on SQS that are longer than SQS holds or hides a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from tests.services import sqs as service

from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.tasks import task
from asynctasq.domain.errors import ConfigurationError, UnsupportedByDriver
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, Release, Retry, Settlement, Verdict
from asynctasq.drivers.sqs_driver import SQSDriver
from asynctasq.ports.driver import SettleStatus

pytestmark = pytest.mark.asyncio

HOUR = 3600.0
QUEUE = "default"


@pytest_asyncio.fixture
async def driver(moto_url: str) -> AsyncGenerator[SQSDriver]:
    driver = service.driver(moto_url)
    await driver.connect()
    yield driver
    await driver.close()


async def look(driver: SQSDriver) -> list[Claim]:
    return list(await driver.claim([QUEUE], limit=10, lease=60, wait=0, worker="test"))


async def settle(driver: SQSDriver, claim: Claim, verdict: Verdict) -> None:
    (answer,) = await driver.settle([Settlement(claim=claim, verdict=verdict)])
    assert answer.status is SettleStatus.DONE


async def pass_(url: str, seconds: float) -> None:
    await asyncio.to_thread(service.age, url, seconds)


async def test_a_delay_of_an_hour_is_four_hops_and_one_attempt(moto_url: str, driver: SQSDriver) -> None:
    await driver.enqueue([Message(id="a", queue=QUEUE, body=b"late", delay=HOUR)])
    for _ in range(3):
        await pass_(moto_url, 899)
        assert await look(driver) == []
        await pass_(moto_url, 2)  # SQS shows it, and it is not due
        assert await look(driver) == []
    (stats,) = await driver.stats([QUEUE])
    assert (stats.ready, stats.delayed, stats.leased) == (0, 1, 0)
    await pass_(moto_url, 890)
    assert await look(driver) == []
    await pass_(moto_url, 10)
    (claim,) = await look(driver)
    assert (claim.message.id, claim.message.body, claim.attempt, claim.expiries) == ("a", b"late", 1, 0)
    await settle(driver, claim, ACK)
    (stats,) = await driver.stats([QUEUE])
    assert (stats.ready, stats.delayed, stats.leased) == (0, 0, 0)


async def test_a_message_that_nobody_sent_on_in_time_is_due_at_once(moto_url: str, driver: SQSDriver) -> None:
    await driver.enqueue([Message(id="a", queue=QUEUE, body=b"", delay=HOUR)])
    await pass_(moto_url, 2 * HOUR)
    (claim,) = await look(driver)
    assert claim.attempt == 1


async def test_the_time_of_the_enqueue_is_kept_through_the_hops(moto_url: str, driver: SQSDriver) -> None:
    await driver.enqueue(
        [Message(id="now", queue="other", body=b""), Message(id="a", queue=QUEUE, body=b"", delay=1800)]
    )
    (now,) = await driver.claim(["other"], limit=1, lease=60, wait=0, worker="test")
    await pass_(moto_url, 901)
    assert await look(driver) == []
    await pass_(moto_url, 900)
    (claim,) = await look(driver)
    # What was sent before the pass has been made older by it, and what was written down has not.
    assert claim.enqueued_at == pytest.approx(now.enqueued_at - 901, abs=2)


@pytest.mark.parametrize(
    "verdict", [Retry(delay=13 * HOUR, error="later"), Release(delay=13 * HOUR)], ids=["retry", "release"]
)
async def test_what_is_given_back_may_wait_longer_than_sqs_hides_a_message(
    moto_url: str, driver: SQSDriver, verdict: Verdict
) -> None:
    await driver.enqueue([Message(id="a", queue=QUEUE, body=b"")])
    (claim,) = await look(driver)
    await settle(driver, claim, verdict)
    for _ in range(3):
        await pass_(moto_url, 4 * HOUR)
        assert await look(driver) == []
    await pass_(moto_url, HOUR + 1)
    (again,) = await look(driver)
    assert (again.attempt, again.expiries) == (2 if isinstance(verdict, Retry) else 1, 0)


async def test_a_hop_that_was_received_and_not_sent_on_is_sent_on_later(moto_url: str, driver: SQSDriver) -> None:
    await driver.enqueue([Message(id="a", queue=QUEUE, body=b"", delay=1800)])
    await pass_(moto_url, 901)
    sqs = driver._broker.client._client  # as a worker that is killed before it has sent it on
    url = (await sqs.get_queue_url(QueueName=driver._broker.queues.name(QUEUE)))["QueueUrl"]
    assert len((await sqs.receive_message(QueueUrl=url, VisibilityTimeout=30))["Messages"]) == 1
    await pass_(moto_url, 31)
    assert await look(driver) == []
    await pass_(moto_url, 900)
    (claim,) = await look(driver)
    assert (claim.attempt, claim.expiries) == (1, 0)


@task(name="sqs:later", retry_delay=1000, max_attempts=2)
async def later() -> None:
    raise LookupError("not yet")


@pytest_asyncio.fixture
async def app(moto_url: str) -> AsyncGenerator[App]:
    registry = Registry()
    registry.add(later)
    app = App(load_settings({"driver": service.driver(moto_url)}, environ={}), registry=registry)
    yield app
    await app.close()


async def work(app: App) -> dict[str, int]:
    worker = build_worker(app, Serving(burst=True))
    await worker.run()
    return dict(worker.counts)


async def test_a_task_may_be_dispatched_for_in_an_hour_and_retried_after_more_than_a_quarter(
    moto_url: str, app: App
) -> None:
    await app.dispatch(later().delay(3600).retry_after(2000))
    for _ in range(4):
        assert await work(app) == {}
        await pass_(moto_url, 901)
    assert await work(app) == {"Retry": 1}
    for _ in range(2):
        await pass_(moto_url, 901)
        assert await work(app) == {}
    await pass_(moto_url, 901)
    assert await work(app) == {"DeadLetter": 1}


async def test_a_dispatch_for_in_more_than_seven_days_is_refused(app: App) -> None:
    await app.dispatch(later().delay(7 * 86_400))
    with pytest.raises(UnsupportedByDriver, match="604800 s"):
        await app.dispatch(later().delay(7 * 86_400 + 1))


async def test_a_worker_whose_lease_is_longer_than_sqs_hides_a_message_does_not_start(app: App) -> None:
    with pytest.raises(ConfigurationError, match="43200"):
        build_worker(app, Serving(lease=43_201))
