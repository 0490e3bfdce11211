from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from tests.services.postgres import execute

from asynctasq.adapters.drivers.postgres import PostgresDriver
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model


class PostgresHarness(Harness):
    """An hour passes by moving the stored times back by an hour."""

    unit = 3600.0

    def __init__(self, url: str, schema: str, *, pooler: str | None = None) -> None:
        self.url = url
        self.schema = schema
        self.pooler = pooler

    def driver(self) -> PostgresDriver:
        if self.pooler is not None:
            return PostgresDriver(self.pooler, schema=self.schema, notify=False)
        return PostgresDriver(self.url, schema=self.schema)

    async def age(self, seconds: float) -> None:
        back = round(seconds * 1_000_000)
        connection = await asyncpg.connect(self.url)
        await connection.execute(
            f"UPDATE {self.schema}.message SET visible_at = visible_at - {back}, enqueued_at = enqueued_at - {back};"
            f"UPDATE {self.schema}.dead SET died_at = died_at - {back}, enqueued_at = enqueued_at - {back}"
        )
        await connection.close()


@pytest.fixture(scope="module")
def schema(postgres_url: str) -> Generator[str]:
    """Tables of this module's own."""
    name = f"contract_{uuid4().hex[:12]}"
    asyncio.run(PostgresDriver(postgres_url, schema=name).install())
    yield name
    execute(postgres_url, f"DROP SCHEMA {name} CASCADE")


known: list[PostgresHarness] = []
"""Where the model's driver finds its tables: a unittest.TestCase takes no fixture's value."""


@pytest.fixture(scope="module")
def _known(postgres_url: str, schema: str) -> None:
    known[:] = [PostgresHarness(postgres_url, schema)]


@pytest.fixture(scope="module")
def _known_pooled(postgres_url: str, pgbouncer_url: str, schema: str) -> None:
    known_pooled[:] = [PostgresHarness(postgres_url, schema, pooler=pgbouncer_url)]


known_pooled: list[PostgresHarness] = []


def broker(
    known: list[PostgresHarness],
) -> Callable[[], AbstractContextManager[tuple[PostgresDriver, PostgresHarness]]]:
    @contextmanager
    def broker() -> Generator[tuple[PostgresDriver, PostgresHarness]]:
        (harness,) = known
        execute(harness.url, f"TRUNCATE {harness.schema}.message, {harness.schema}.dead")
        yield harness.driver(), harness

    return broker


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_known")
class TestPostgresDriverAgainstTheModel(against_the_model(broker(known))):
    pass


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_known_pooled")
class TestPostgresDriverBehindPgBouncerAgainstTheModel(against_the_model(broker(known_pooled))):
    pass


class TestPostgresDriver(DriverContract):
    @pytest.fixture
    def harness(self, postgres_url: str, schema: str) -> PostgresHarness:
        return PostgresHarness(postgres_url, schema)

    @pytest_asyncio.fixture
    async def driver(self, harness: PostgresHarness) -> AsyncGenerator[PostgresDriver]:
        driver = harness.driver()
        await driver.connect()
        yield driver
        await driver.close()


class TestPostgresDriverBehindPgBouncer(TestPostgresDriver):
    """One that pools transactions, with fewer connections than are asked for."""

    @pytest.fixture
    def harness(self, postgres_url: str, pgbouncer_url: str, schema: str) -> PostgresHarness:
        return PostgresHarness(postgres_url, schema, pooler=pgbouncer_url)
