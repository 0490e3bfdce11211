"""A PostgreSQL that cannot be used as it is, or as we are told to: said at once, with its address and without the password."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Generator
from urllib.parse import quote

import pytest
from tests.services import Server, free_port
from tests.services import postgres as service

from asynctasq.domain.errors import ConfigurationError, DriverUnavailable
from asynctasq.domain.message import Message
from asynctasq.drivers.postgres_driver import PostgresDriver

ODD = "s3cret@:/?#[]% é'\""
"""A password with all that a URL gives a meaning to."""


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """One with a user `shop` who needs the password, unlike the others."""
    with service.server(settings=service.UNSAFE) as server:
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text("host all shop 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        password = ODD.replace("'", "''")
        service.execute(service.url(server), f"CREATE ROLE shop LOGIN PASSWORD '{password}'", "SELECT pg_reload_conf()")
        asyncio.run(PostgresDriver(service.url(server)).install())
        yield server


async def refusal(dsn: str, expected: type[Exception], **options: int | bool) -> str:
    """What connecting says, within the five seconds of the port and half a one for a crowded machine."""
    began = time.monotonic()
    with pytest.raises(expected) as refused:
        await PostgresDriver(dsn, **options).connect()
    assert time.monotonic() - began <= 5.5
    assert "s3cret" not in str(refused.value)
    return str(refused.value)


@pytest.mark.asyncio
async def test_nobody_at_the_address_is_unavailable() -> None:
    port = free_port()
    said = await refusal(f"postgresql://shop:s3cret@127.0.0.1:{port}/shop", DriverUnavailable)
    assert f"127.0.0.1:{port}" in said


@pytest.mark.asyncio
async def test_an_address_that_does_not_exist_is_unavailable() -> None:
    assert "nowhere.invalid" in await refusal("postgresql://shop:s3cret@nowhere.invalid/shop", DriverUnavailable)


@pytest.mark.asyncio
async def test_a_server_that_never_answers_is_unavailable_in_five_seconds() -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    assert f"127.0.0.1:{port}" in await refusal(f"postgresql://shop:s3cret@127.0.0.1:{port}/shop", DriverUnavailable)
    silent.close()


@pytest.mark.asyncio
async def test_a_server_with_no_connection_left_is_unavailable(server: Server) -> None:
    service_url = service.url(server)
    await asyncio.to_thread(service.execute, service_url, "ALTER ROLE shop CONNECTION LIMIT 0")
    try:
        await refusal(as_shop(server), DriverUnavailable)
    finally:
        await asyncio.to_thread(service.execute, service_url, "ALTER ROLE shop CONNECTION LIMIT -1")


@pytest.mark.asyncio
async def test_a_wrong_password_is_a_mistake_in_the_configuration(server: Server) -> None:
    said = await refusal(f"postgresql://shop:s3cret@127.0.0.1:{server.port}/postgres", ConfigurationError)
    assert "postgres.dsn" in said


@pytest.mark.asyncio
async def test_a_missing_database_is_a_mistake_in_the_configuration(server: Server) -> None:
    assert "nothing_here" in await refusal(service.url(server, "nothing_here"), ConfigurationError)


@pytest.mark.asyncio
async def test_a_database_that_cannot_hold_every_text_is_a_mistake_in_the_configuration(server: Server) -> None:
    create = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    await asyncio.to_thread(service.execute, service.url(server), create)
    await PostgresDriver(service.url(server, "latin")).install()
    assert "LATIN1" in await refusal(service.url(server, "latin"), ConfigurationError)


@pytest.mark.asyncio
async def test_a_user_who_may_not_touch_the_tables_is_a_mistake_in_the_configuration(server: Server) -> None:
    assert "may not" in await refusal(as_shop(server), ConfigurationError)


@pytest.mark.asyncio
async def test_odd_characters_of_a_password_are_understood_where_they_are_encoded(server: Server) -> None:
    grants = ["GRANT USAGE ON SCHEMA asynctasq TO shop", "GRANT ALL ON ALL TABLES IN SCHEMA asynctasq TO shop"]
    revokes = ["REVOKE ALL ON SCHEMA asynctasq FROM shop", "REVOKE ALL ON ALL TABLES IN SCHEMA asynctasq FROM shop"]
    await asyncio.to_thread(service.execute, service.url(server), *grants)
    driver = PostgresDriver(as_shop(server))
    assert driver.location == f"postgresql://127.0.0.1:{server.port}/postgres"
    await driver.connect()
    await driver.enqueue([Message(id="m", queue="q", body=b"")])
    await driver.close()
    await asyncio.to_thread(service.execute, service.url(server), *revokes)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://shop:s3cret/x@host/shop",
        "postgresql://shop:s3cret#x@host/shop",
        "postgresql://shop:12#s3cret@host/shop",
        "postgresql://shop:12?s3cret@host/shop",
        "postgresql://shop:s3cret[@host/shop",
        "postgresql://shop:s3cret@host:port/shop",
        "mysql://shop:s3cret@host/shop",
        "host=localhost password=s3cret",
    ],
)
async def test_a_dsn_that_cannot_be_read_is_refused_when_it_is_given_and_never_shown(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"postgres\.dsn") as refused:
        PostgresDriver(dsn)
    assert "s3cret" not in str(refused.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options", [{"max_connections": 0}, {"schema": 'a"b'}, {"schema": ""}, {"statement_cache_size": -1}]
)
async def test_an_option_that_cannot_be_is_refused_with_its_value(options: dict[str, int | str]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        PostgresDriver(**options)


def test_without_its_package_the_driver_names_the_extra() -> None:
    without = "import sys; sys.modules['asyncpg'] = None; import asynctasq.drivers.postgres_driver"
    run = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert "MissingDependency" in run.stderr
    assert "extra 'postgres'" in run.stderr


def as_shop(server: Server) -> str:
    return f"postgresql://shop:{quote(ODD, safe='')}@127.0.0.1:{server.port}/postgres"
