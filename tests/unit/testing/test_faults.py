from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from asynctasq.adapters.drivers.memory import MemoryDriver
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable, Indeterminate
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.ports.driver import EnqueueStatus, SettleStatus
from asynctasq.testing.faults import FaultyDriver

pytestmark = pytest.mark.asyncio

MESSAGE = Message(id="one", queue="q", body=b"body")


@pytest_asyncio.fixture
async def driver() -> AsyncGenerator[FaultyDriver, None]:
    driver = FaultyDriver(MemoryDriver())
    await driver.connect()
    yield driver
    await driver.close()


async def test_a_failure_before_leaves_nothing_applied(driver: FaultyDriver) -> None:
    driver.fail_next("enqueue", DriverUnavailable("gone"))
    with pytest.raises(DriverUnavailable, match="gone"):
        await driver.enqueue([MESSAGE])
    assert [answer.status for answer in await driver.enqueue([MESSAGE])] == [EnqueueStatus.CREATED]


async def test_a_failure_after_leaves_all_of_it_applied(driver: FaultyDriver) -> None:
    driver.fail_next("enqueue", Indeterminate("no reply"), when="after")
    with pytest.raises(Indeterminate, match="no reply"):
        await driver.enqueue([MESSAGE])
    assert [answer.status for answer in await driver.enqueue([MESSAGE])] == [EnqueueStatus.DUPLICATE]


async def test_a_settlement_whose_reply_was_lost_is_lost_when_sent_again(driver: FaultyDriver) -> None:
    await driver.enqueue([MESSAGE])
    (claim,) = await driver.claim(["q"], limit=1, lease=60, wait=0, worker="w")
    driver.fail_next("settle", Indeterminate("no reply"), when="after")
    with pytest.raises(Indeterminate):
        await driver.settle([Settlement(claim=claim, verdict=ACK)])
    assert [a.status for a in await driver.settle([Settlement(claim=claim, verdict=ACK)])] == [SettleStatus.LOST]


async def test_failures_come_in_the_order_planned_and_on_siblings_too(driver: FaultyDriver) -> None:
    driver.fail_next("stats", DriverUnavailable("first"), times=2)
    driver.fail_next("stats", Indeterminate("second"))
    sibling = driver.sibling()
    await sibling.connect()
    for own, message in ((driver, "first"), (sibling, "first"), (driver, "second")):
        with pytest.raises((DriverUnavailable, Indeterminate), match=message):
            await own.stats(["q"])
    assert len(await sibling.stats(["q"])) == 1
    await sibling.close()


async def test_a_failure_of_one_verb_leaves_the_others_alone(driver: FaultyDriver) -> None:
    driver.fail_next("settle", DriverUnavailable("gone"))
    await driver.enqueue([MESSAGE])
    assert len(await driver.claim(["q"], limit=1, lease=60, wait=0, worker="w")) == 1


async def test_an_unknown_verb_is_refused(driver: FaultyDriver) -> None:
    with pytest.raises(ConfigurationError, match="verb='setle': use one of connect, close, enqueue"):
        driver.fail_next("setle", DriverUnavailable("gone"))  # type: ignore[arg-type]
