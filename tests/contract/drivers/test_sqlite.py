from collections.abc import AsyncGenerator
from pathlib import Path

import apsw
import pytest
import pytest_asyncio

from asynctasq.adapters.drivers.sqlite import SQLiteDriver
from asynctasq.testing.contract.driver import DriverContract, Harness


class SQLiteHarness(Harness):
    """An hour passes by moving the stored times back by an hour."""

    unit = 3600.0

    def __init__(self) -> None:
        self.driver: SQLiteDriver

    async def age(self, seconds: float) -> None:
        back = round(seconds * 1_000_000)

        def move(connection: apsw.Connection) -> None:
            connection.execute(
                "UPDATE message SET visible_at = visible_at - ?, enqueued_at = enqueued_at - ?", (back, back)
            )
            connection.execute("UPDATE dead SET died_at = died_at - ?, enqueued_at = enqueued_at - ?", (back, back))

        # Through the driver's own connection: it takes any other for a second SQLite library.
        await self.driver._writer.ask(move, brings_work=True)


class TestSQLiteDriver(DriverContract):
    @pytest.fixture
    def harness(self) -> SQLiteHarness:
        return SQLiteHarness()

    @pytest_asyncio.fixture
    async def driver(self, harness: SQLiteHarness, tmp_path: Path) -> AsyncGenerator[SQLiteDriver, None]:
        harness.driver = driver = SQLiteDriver(tmp_path / "queue.db")
        await driver.connect()
        yield driver
        await driver.close()
