"""PostgreSQL behind a PgBouncer that pools transactions: what must be set, what is said if it is not, and what survives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from tests.integration.fleet import Broker, Fleet
from tests.integration.ledger_tasks import work
from tests.integration.outages import LEASE, lose_nothing_over_restarts
from tests.services import Server
from tests.services import pgbouncer as service

from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.message import Message
from asynctasq.drivers.postgres_driver import PostgresDriver

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(150)]

SEED = 20_261_128
IGNORES = "enable_bitmapscan, enable_seqscan, jit, extra_float_digits"


@pytest.fixture(scope="module")
def server(postgres_url: str) -> Generator[Server]:
    with service.server(postgres_url, ignore_startup_parameters=IGNORES) as server:
        yield server


@pytest.fixture(scope="module")
def schema(pgbouncer_url: str) -> str:
    """Tables that were installed by way of the pooler."""
    name = f"pooled_{uuid4().hex[:12]}"
    asyncio.run(PostgresDriver(pgbouncer_url, schema=name, notify=False).install())
    return name


async def test_hints_behind_a_pooler_that_refuses_our_settings_are_a_matter_of_configuration(
    pgbouncer_url: str, schema: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"set postgres\.notify to false"):
        await PostgresDriver(pgbouncer_url, schema=schema).connect()


async def test_hints_behind_a_pooler_that_ignores_our_settings_are_a_matter_of_configuration(
    server: Server, schema: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"ignores them.*set postgres\.notify to false"):
        await PostgresDriver(service.url(server), schema=schema).connect()


async def messages_through(url: str, schema: str, *, statement_cache_size: int | None) -> None:
    """Enqueue from many connections at once, several times, so that each connection meets each server."""
    drivers = [
        PostgresDriver(url, schema=schema, notify=False, statement_cache_size=statement_cache_size) for _ in range(3)
    ]
    try:
        for driver in drivers:
            await driver.connect()
        for _ in range(10):
            batches = [[Message(id=uuid4().hex, queue="q", body=b"")] for _ in range(6 * len(drivers))]
            await asyncio.gather(*(drivers[n % 3].enqueue(batch) for n, batch in enumerate(batches)))
    finally:
        for driver in drivers:
            await driver.close()


async def test_by_default_no_statement_is_prepared_that_the_pooler_could_lose(pgbouncer_url: str, schema: str) -> None:
    await messages_through(pgbouncer_url, schema, statement_cache_size=None)


async def test_statements_prepared_where_the_pooler_loses_them_are_a_matter_of_configuration(
    postgres_url: str, schema: str
) -> None:
    keeps_none = {"max_prepared_statements": 0} if service.version() >= (1, 21) else {}
    with (
        service.server(postgres_url, **keeps_none) as server,
        pytest.raises(ConfigurationError, match=r"set postgres\.statement_cache_size to 0"),
    ):
        await messages_through(service.url(server), schema, statement_cache_size=100)


@pytest.mark.skipif(service.version() < (1, 21), reason="PgBouncer keeps prepared statements since 1.21")
async def test_statements_can_be_prepared_where_the_pooler_keeps_them(postgres_url: str, schema: str) -> None:
    with service.server(postgres_url, max_prepared_statements=100) as server:
        await messages_through(service.url(server), schema, statement_cache_size=100)


async def test_a_connection_leaves_the_servers_of_the_pooler_as_they_were(postgres_url: str, schema: str) -> None:
    # PgBouncer itself tells the server what the client's encoding is.
    show = """SELECT string_agg(name || '=' || setting, ' ') FROM pg_settings
              WHERE source = 'session' AND name <> 'client_encoding'"""
    with service.server(postgres_url, default_pool_size=1) as server:
        await messages_through(service.url(server), schema, statement_cache_size=None)
        connection = await asyncpg.connect(service.url(server), statement_cache_size=0)
        jit, changed = await connection.fetchval("SHOW jit"), await connection.fetchval(show)
        await connection.close()
    connection = await asyncpg.connect(postgres_url)
    expected = await connection.fetchval("SHOW jit")
    await connection.close()
    assert (jit, changed) == (expected, f"jit={expected}")


def behind(url: str, schema: str) -> Broker:
    environ = {
        "ASYNCTASQ_DRIVER": url,
        "ASYNCTASQ_POSTGRES_SCHEMA": schema,
        "ASYNCTASQ_POSTGRES_NOTIFY": "false",
    }
    return Broker("postgres behind pgbouncer", lambda _: environ)


async def test_workers_that_are_killed_behind_a_pooler_lose_nothing(
    pgbouncer_url: str, schema: str, tmp_path: Path
) -> None:
    async with Fleet(behind(pgbouncer_url, schema), tmp_path, options=["--concurrency", "8"]) as fleet:
        await fleet.dispatch(*(work(seconds=0.1) for _ in range(400)))
        for _ in range(2):
            fleet.spawn()
        await fleet.until(lambda: bool(fleet.starts()), "the first task")
        await fleet.nemesis(random.Random(SEED), kills=4, between=(0.2, 0.6))
        await fleet.drained()
        await fleet.stop()
        assert not await fleet.dead()
        await fleet.verify()


async def test_a_pooler_killed_and_restarted_under_load_loses_nothing_and_the_workers_go_on(
    postgres_url: str, tmp_path: Path
) -> None:
    schema = f"restarted_{uuid4().hex[:12]}"
    await PostgresDriver(postgres_url, schema=schema).install()
    with service.server(postgres_url) as server:
        async with Fleet(
            behind(service.url(server), schema), tmp_path, lease=LEASE, options=["--concurrency", "10"]
        ) as fleet:
            await lose_nothing_over_restarts(fleet, kill=server.kill, start=server.start)
