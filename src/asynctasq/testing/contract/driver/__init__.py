"""What every driver promises: see `asynctasq.ports.driver`.

A third party writes this much, and adds a fixture `harness` where its broker lets time be shifted:

    class TestMyDriver(DriverContract):
        @pytest_asyncio.fixture
        async def driver(self):
            driver = MyDriver("my://broker")
            await driver.connect()
            yield driver
            await driver.close()
"""

from asynctasq.testing.contract.driver.carry import Carry, Identity
from asynctasq.testing.contract.driver.claim import Claiming, Time, Waiting
from asynctasq.testing.contract.driver.dead_letters import DeadLettering
from asynctasq.testing.contract.driver.inspection import Counting, Examining, Inspecting, Searching
from asynctasq.testing.contract.driver.lease import Fencing, Leasing
from asynctasq.testing.contract.driver.life import Life
from asynctasq.testing.contract.driver.limits import Limits, Reserved
from asynctasq.testing.contract.driver.settle import Settling
from asynctasq.testing.contract.driver.steps import Harness

__all__ = ["DriverContract", "Harness"]


class DriverContract(
    Carry,
    Identity,
    Limits,
    Reserved,
    Claiming,
    Waiting,
    Time,
    Leasing,
    Fencing,
    Settling,
    DeadLettering,
    Counting,
    Inspecting,
    Examining,
    Searching,
    Life,
):
    """Every promise of the driver port. Subclass it as `Test...` and give it a fixture `driver`."""
