from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
import pytest_asyncio

from asynctasq.adapters.drivers.sqlite import SQLiteDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model


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

        # Through a driver: it takes any other connection for a second SQLite library. A sibling, as the first may be closed.
        mover = self.driver.sibling()
        await mover.connect()
        await mover._writer.ask(move, brings_work=True)
        await mover.close()


@contextmanager
def broker() -> Generator[tuple[SQLiteDriver, SQLiteHarness], None, None]:
    harness = SQLiteHarness()
    with TemporaryDirectory() as folder:
        harness.driver = SQLiteDriver(Path(folder) / "queue.db")
        yield harness.driver, harness


TestSQLiteDriverAgainstTheModel = pytest.mark.timeout(300)(against_the_model(broker))


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
