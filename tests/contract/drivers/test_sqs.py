from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from hypothesis import settings
from tests.services import given
from tests.services import sqs as service

from asynctasq.adapters.drivers.sqs import SQSDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model


class SQSHarness(Harness):
    """Minutes pass by moving the stored times back; elsewhere than on our own server they really pass, as seconds.

    A delay of the contract's is longer than a hop: two of them, and what is left.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.ours = given("sqs") is None
        self.unit = 60.0 if self.ours else 2.0

    def driver(self) -> SQSDriver:
        return service.driver(self.url, hop=int(self.unit))

    async def age(self, seconds: float) -> None:
        if self.ours:
            await asyncio.to_thread(service.age, self.url, seconds)
        else:
            await super().age(seconds)

    async def spoil(self, queue: str) -> bool:
        if self.ours:
            await asyncio.to_thread(service.forbid, self.url, queue)
        return self.ours


known: list[str] = []
"""Where the model's driver finds its server: a unittest.TestCase takes no fixture's value."""


@pytest.fixture(scope="module", autouse=True)
def _known(sqs_url: str) -> None:
    known[:] = [sqs_url]


@contextmanager
def broker() -> Generator[tuple[SQSDriver, SQSHarness]]:
    harness = SQSHarness(*known)
    yield harness.driver(), harness


TestSQSDriverAgainstTheModel = pytest.mark.timeout(300)(against_the_model(broker))
# A step is several requests over HTTP to a server in Python: a twentieth of what the other brokers get.
TestSQSDriverAgainstTheModel.settings = settings(
    TestSQSDriverAgainstTheModel.settings,
    max_examples=max(5, settings().max_examples // 20),
    stateful_step_count=30,
)


class TestSQSDriver(DriverContract):
    @pytest.fixture
    def harness(self, sqs_url: str) -> SQSHarness:
        return SQSHarness(sqs_url)

    @pytest_asyncio.fixture
    async def driver(self, harness: SQSHarness) -> AsyncGenerator[SQSDriver]:
        driver = harness.driver()
        await driver.connect()
        yield driver
        await driver.close()
