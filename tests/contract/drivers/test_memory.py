from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from asynctasq.adapters.drivers.memory import MemoryDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model
from asynctasq.testing.memory import MemoryHarness


@contextmanager
def broker() -> Generator[tuple[MemoryDriver, MemoryHarness], None, None]:
    harness = MemoryHarness()
    yield MemoryDriver(clock=harness.clock), harness


TestMemoryDriverAgainstTheModel = pytest.mark.timeout(300)(against_the_model(broker))


class TestMemoryDriver(DriverContract):
    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()

    @pytest_asyncio.fixture
    async def driver(self, harness: MemoryHarness) -> AsyncGenerator[MemoryDriver, None]:
        driver = MemoryDriver(clock=harness.clock)
        await driver.connect()
        yield driver
        await driver.close()


class TestMemoryDriverInRealTime(DriverContract):
    """Nothing shifted, everything waited for, as a third party begins."""

    @pytest.fixture
    def harness(self) -> Harness:
        harness = Harness()
        harness.unit = 0.3  # less than what a stranger's broker is given: nothing here is far away
        return harness

    @pytest_asyncio.fixture
    async def driver(self) -> AsyncGenerator[MemoryDriver, None]:
        driver = MemoryDriver()
        await driver.connect()
        yield driver
        await driver.close()
