from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.services import given
from tests.services.mariadb import execute

from asynctasq.adapters.drivers.mysql import MySQLDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model


class MySQLHarness(Harness):
    """An hour passes by moving the stored times back by an hour."""

    unit = 3600.0

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def driver(self) -> MySQLDriver:
        return MySQLDriver(self.url, table_prefix=self.prefix)

    async def age(self, seconds: float) -> None:
        back = round(seconds * 1_000_000)
        # The time of a death is negative.
        execute(
            self.url,
            f"UPDATE {self.prefix}message SET enqueued_at = enqueued_at - {back},"
            f" visible_at = IF(visible_at < 0, visible_at + {back}, GREATEST(visible_at - {back}, 0))",
        )


@contextmanager
def tables(url: str) -> Generator[str]:
    """Tables of one's own, by their prefix."""
    prefix = f"contract_{uuid4().hex[:12]}_"
    asyncio.run(MySQLDriver(url, table_prefix=prefix).install())
    yield prefix
    execute(url, f"DROP TABLE {prefix}message, {prefix}version")


@pytest.fixture(scope="module")
def prefix(mysql_url: str) -> Generator[str]:
    """Tables of this module's own."""
    with tables(mysql_url) as prefix:
        yield prefix


known: dict[str, tuple[str, str]] = {}
"""Where the model's drivers find their tables: a unittest.TestCase takes no fixture's value."""


@pytest.fixture(scope="module", autouse=True)
def _known(mysql_url: str, prefix: str) -> None:
    known["here"] = (mysql_url, prefix)


def broker(name: str) -> Callable[[], AbstractContextManager[tuple[MySQLDriver, MySQLHarness]]]:
    @contextmanager
    def broker() -> Generator[tuple[MySQLDriver, MySQLHarness]]:
        url, prefix = known[name]
        execute(url, f"DELETE FROM {prefix}message")
        harness = MySQLHarness(url, prefix)
        yield harness.driver(), harness

    return broker


TestMySQLDriverAgainstTheModel = pytest.mark.timeout(300)(against_the_model(broker("here")))


class TestMySQLDriver(DriverContract):
    @pytest.fixture
    def harness(self, mysql_url: str, prefix: str) -> MySQLHarness:
        return MySQLHarness(mysql_url, prefix)

    @pytest_asyncio.fixture
    async def driver(self, harness: MySQLHarness) -> AsyncGenerator[MySQLDriver]:
        driver = harness.driver()
        await driver.connect()
        yield driver
        await driver.close()


if (mysql8 := given("mysql8")) is not None:

    @pytest.fixture(scope="module")
    def mysql8_prefix() -> Generator[str]:
        with tables(mysql8) as prefix:
            known["MySQL 8"] = (mysql8, prefix)
            yield prefix

    class TestMySQLDriverOnMySQL8(TestMySQLDriver):
        @pytest.fixture
        def harness(self, mysql8_prefix: str) -> MySQLHarness:
            return MySQLHarness(mysql8, mysql8_prefix)

    @pytest.mark.timeout(300)
    @pytest.mark.usefixtures("mysql8_prefix")
    class TestMySQLDriverOnMySQL8AgainstTheModel(against_the_model(broker("MySQL 8"))):
        pass

else:

    @pytest.mark.skip(
        reason="no MySQL 8: no stable Debian has one; set ASYNCTASQ_TEST_MYSQL8_URL to run the contract on one"
    )
    def test_the_contract_on_mysql_8() -> None: ...
