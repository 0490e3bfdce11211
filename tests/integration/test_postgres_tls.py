"""PostgreSQL over TLS: whom we trust, and what is said where we cannot."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.services import Server
from tests.services import postgres as service
from tests.services.tls import authority

from asynctasq.domain.errors import ConfigurationError, DriverUnavailable
from asynctasq.domain.message import Message
from asynctasq.drivers.postgres_driver import PostgresDriver

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and the server's certificate of it."""
    return authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(tls: Path) -> Generator[Server]:
    """One that speaks TLS, and with strangers nothing else."""
    with service.server(settings=service.UNSAFE) as server:
        asyncio.run(PostgresDriver(service.url(server)).install())
        data = server.folder / "data"
        for name in ("server.crt", "server.key"):
            shutil.copy(tls / name, data / name)
            (data / name).chmod(0o600)
            if (user := service.unprivileged()) is not None:
                shutil.chown(data / name, user)
        rules = data / "pg_hba.conf"
        rules.write_text("hostssl all all 127.0.0.1/32 trust\n")
        service.execute(service.url(server), "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
        yield server


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that has signed nothing for the server."""
    return authority(tmp_path_factory.mktemp("stranger")) / "ca.crt"


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_whose_authority_is_named_is_trusted_in_every_mode(server: Server, tls: Path, mode: str) -> None:
    driver = PostgresDriver(f"{service.url(server)}?sslmode={mode}&sslrootcert={tls / 'ca.crt'}")
    await driver.connect()
    await driver.enqueue([Message(id=mode, queue="q", body=b"")])
    # One more that listens: it, too, needs the certificate.
    claims = await driver.claim(["q"], limit=10, lease=30, wait=1, worker="w")
    assert [claim.message.id for claim in claims] == [mode]
    await driver.close()


async def test_a_server_of_an_unknown_authority_is_a_matter_of_configuration(server: Server, stranger: Path) -> None:
    driver = PostgresDriver(f"{service.url(server)}?sslmode=verify-full&sslrootcert={stranger}")
    with pytest.raises(ConfigurationError, match=r"is not trusted.*sslrootcert"):
        await driver.connect()


async def test_a_server_by_a_name_that_its_certificate_does_not_have_is_a_matter_of_configuration(
    server: Server, tls: Path
) -> None:
    url = service.url(server).replace("127.0.0.1", "localhost")
    driver = PostgresDriver(f"{url}?sslmode=verify-full&sslrootcert={tls / 'ca.crt'}")
    with pytest.raises(ConfigurationError, match="is not trusted"):
        await driver.connect()


async def test_a_file_that_is_not_there_is_a_matter_of_configuration(server: Server) -> None:
    driver = PostgresDriver(f"{service.url(server)}?sslmode=verify-full&sslrootcert=/nowhere.crt")
    with pytest.raises(ConfigurationError, match="sslrootcert: no such file"):
        await driver.connect()


async def test_a_mode_that_does_not_exist_is_a_matter_of_configuration(server: Server) -> None:
    with pytest.raises(ConfigurationError, match=r"postgres\.dsn asks for what cannot be"):
        await PostgresDriver(f"{service.url(server)}?sslmode=perhaps").connect()


async def test_a_server_without_tls_where_it_is_insisted_on_is_a_matter_of_configuration(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError, match="does not speak TLS"):
        await PostgresDriver(f"{postgres_url}?sslmode=require").connect()


async def test_a_socket_that_is_not_there_is_still_a_server_that_does_not_run() -> None:
    with pytest.raises(DriverUnavailable):
        await PostgresDriver("postgresql://postgres@/postgres?host=/nowhere&sslrootcert=").connect()
