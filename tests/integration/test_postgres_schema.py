"""The tables: installed by `asynctasq migrate`, at any time and by several at once, and verified by whoever connects."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.message import Message
from asynctasq.drivers.postgres_driver import PostgresDriver
from asynctasq.drivers.sqlite_driver import SQLiteDriver
from asynctasq.ports.driver import Installable

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def admin(postgres_url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def schema(admin: asyncpg.Connection) -> AsyncGenerator[str]:
    """The name of tables that are not there yet. It needs its quotes, as a user's may."""
    name = f"Schema-{uuid4().hex[:12]}"
    yield name
    await admin.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture
def driver(postgres_url: str, schema: str) -> PostgresDriver:
    return PostgresDriver(postgres_url, schema=schema)


async def test_without_its_tables_a_driver_names_the_command_that_installs_them(driver: PostgresDriver) -> None:
    with pytest.raises(ConfigurationError, match="asynctasq migrate"):
        await driver.connect()


async def test_ten_installations_at_once_are_one(driver: PostgresDriver) -> None:
    await asyncio.gather(*(driver.sibling().install() for _ in range(10)))
    await driver.connect()
    await driver.close()


async def test_installing_again_leaves_tasks_where_they_are(driver: PostgresDriver) -> None:
    await driver.install()
    await driver.connect()
    await driver.enqueue([Message(id="m", queue="q", body=b"kept")])
    await driver.install()
    (claim,) = await driver.claim(["q"], limit=1, lease=30, wait=0, worker="test")
    assert claim.message.body == b"kept"
    await driver.close()


async def test_older_tables_name_the_command_that_upgrades_them(
    driver: PostgresDriver, admin: asyncpg.Connection, schema: str
) -> None:
    await driver.install()
    await admin.execute(f'UPDATE "{schema}".version SET version = 0')
    with pytest.raises(ConfigurationError, match=r"version 0.* needs 1.*asynctasq migrate"):
        await driver.connect()
    await driver.install()
    await driver.connect()
    await driver.close()


async def test_newer_tables_are_refused_and_stay_newer(
    driver: PostgresDriver, admin: asyncpg.Connection, schema: str
) -> None:
    await driver.install()
    await admin.execute(f'INSERT INTO "{schema}".version VALUES (99)')
    await driver.install()
    with pytest.raises(ConfigurationError, match=r"version 99.* knows 1: upgrade asynctasq"):
        await driver.connect()


async def test_two_schemas_know_nothing_of_each_other(postgres_url: str, admin: asyncpg.Connection) -> None:
    first, second = (PostgresDriver(postgres_url, schema=f"side_{name}") for name in "ab")
    for driver in (first, second):
        await driver.install()
        await driver.connect()
    await first.enqueue([Message(id="m", queue="q", body=b"")])
    assert [stats.ready for driver in (first, second) for stats in await driver.stats(["q"])] == [1, 0]
    for driver in (first, second):
        await driver.close()
    await admin.execute("DROP SCHEMA side_a CASCADE; DROP SCHEMA side_b CASCADE")


async def test_rows_that_are_no_messages_cannot_be_written(
    driver: PostgresDriver, admin: asyncpg.Connection, schema: str
) -> None:
    await driver.install()
    good = {"queue": "'q'", "id": "'m'", "body": "''", "visible_at": "0", "enqueued_at": "0"}
    bad = [
        *({name: "NULL"} for name in good),
        {"visible_at": "-1"},
        {"enqueued_at": "-1"},
        {"attempt": "-1"},
        {"expiries": "-1"},
        {"history": "'{}'"},
    ]
    for change in bad:
        row = good | change
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await admin.execute(f'INSERT INTO "{schema}".message ({", ".join(row)}) VALUES ({", ".join(row.values())})')


async def test_the_oddest_row_that_can_be_written_stops_nothing(
    driver: PostgresDriver, admin: asyncpg.Connection, schema: str
) -> None:
    await driver.install()
    await driver.connect()
    await admin.execute(
        f'INSERT INTO "{schema}".message (queue, id, body, visible_at, enqueued_at, attempt, expiries, receipt, history)'
        """ VALUES ('q', '', '', 0, 9223372036854775807, 2147483647, 2147483647, -1, '[{"a": null}]')"""
    )
    await driver.enqueue([Message(id="m", queue="q", body=b"")])
    claims = await driver.claim(["q"], limit=10, lease=30, wait=0, worker="test")
    assert [claim.message.id for claim in claims] == ["", "m"]
    await driver.stats(["q"])
    await driver.close()


async def test_only_drivers_with_tables_are_installable(driver: PostgresDriver) -> None:
    assert isinstance(driver, Installable)
    assert not isinstance(SQLiteDriver("queue.db"), Installable)


def migrate(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asynctasq", "migrate", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


async def test_the_command_installs_and_verifies_and_may_be_given_again(
    postgres_url: str, schema: str, driver: PostgresDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCTASQ_POSTGRES_SCHEMA", schema)
    for _ in range(2):
        done = await asyncio.to_thread(migrate, tmp_path, "--driver", postgres_url)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{driver.location} is ready\n", "")
    await driver.connect()
    await driver.close()


async def test_the_command_prints_the_script_that_it_would_run(
    postgres_url: str,
    schema: str,
    driver: PostgresDriver,
    admin: asyncpg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASYNCTASQ_POSTGRES_SCHEMA", schema)
    printed = await asyncio.to_thread(migrate, tmp_path, "--driver", postgres_url, "--sql")
    with pytest.raises(ConfigurationError):
        await driver.connect()
    await admin.execute(printed.stdout)
    await driver.connect()
    await driver.close()


async def test_the_command_says_so_where_there_is_nothing_to_install(tmp_path: Path) -> None:
    refused = await asyncio.to_thread(migrate, tmp_path, "--driver", "sqlite")
    assert refused.returncode == 2
    assert "needs no tables" in refused.stderr
