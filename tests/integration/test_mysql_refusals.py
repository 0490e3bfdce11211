"""A MariaDB that cannot be used as it is, or as we are told to: said at once, with its address and without the password."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.services import Server, free_port, tls
from tests.services import mariadb as service

from asynctasq.adapters.drivers.mysql.suitability import Fitness, fitness_of
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable
from asynctasq.domain.message import Message
from asynctasq.drivers.mysql_driver import MySQLDriver
from asynctasq.ports.driver import EnqueueStatus

ODD = "s3cret@:/?#[]% é'\"\\"
"""A password with all that a URL and SQL give a meaning to."""

AS_ODD = quote(ODD, safe="")


@pytest.fixture(scope="module")
def certificates() -> Generator[Path]:
    """A folder in which `ca.pem` has signed the certificate of our server, and `other.pem` has not."""
    # Not pytest's: the server, which is another user's, may not look into that.
    with tempfile.TemporaryDirectory(prefix="asynctasq-tls-") as folder:
        certify(Path(folder))
        yield Path(folder)


@pytest.fixture(scope="module")
def server(certificates: Path) -> Generator[Server]:
    """One with TLS, users `shop` and `guarded` who need the password, the latter TLS as well, and `guest` who may only read."""
    tls = [f"ssl-cert={certificates}/server.pem", f"ssl-key={certificates}/server.key", f"ssl-ca={certificates}/ca.pem"]
    with service.server(options=[*service.UNSAFE, *tls]) as server:
        password = ODD.replace("\\", "\\\\").replace("'", "''")
        service.execute(
            service.url(server),
            f"CREATE USER shop@'%' IDENTIFIED BY '{password}'",
            f"CREATE USER guarded@'%' IDENTIFIED BY '{password}' REQUIRE SSL",
            f"CREATE USER guest@'%' IDENTIFIED BY '{password}'",
            "GRANT ALL ON asynctasq.* TO shop@'%', guarded@'%'",
            "CREATE DATABASE empty",
            "GRANT SELECT ON empty.* TO guest@'%'",
            "CREATE TABLE empty.asynctasq_version (version INT)",
            "INSERT INTO empty.asynctasq_version VALUES (1)",
            "CREATE TABLE empty.asynctasq_message (seq INT)",
        )
        asyncio.run(MySQLDriver(service.url(server)).install())
        yield server


def certify(folder: Path) -> None:
    """An authority, a server's certificate for the name localhost by it, and another authority."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]
        openssl("req", "-x509", *key, "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2", *tls.SIGNS)
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"
    )
    (folder / "names").write_text(tls.NAMES.format("DNS:localhost"))
    signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signer)
    for file in (folder, *folder.iterdir()):
        file.chmod(0o755)  # the server is another user's


async def refusal(dsn: str, expected: type[Exception], **options: int | str) -> str:
    """What connecting says, within the five seconds of the port and half a one for a crowded machine."""
    began = time.monotonic()
    with pytest.raises(expected) as refused:
        await MySQLDriver(dsn, **options).connect()
    assert time.monotonic() - began <= 5.5
    assert "s3cret" not in str(refused.value)
    return str(refused.value)


def as_user(server: Server, user: str = "shop", *, host: str = "127.0.0.1", options: str = "") -> str:
    return f"mysql://{user}:{AS_ODD}@{host}:{server.port}/asynctasq{options}"


@pytest.mark.asyncio
async def test_nobody_at_the_address_is_unavailable() -> None:
    port = free_port()
    said = await refusal(f"mysql://shop:s3cret@127.0.0.1:{port}/shop", DriverUnavailable)
    assert f"127.0.0.1:{port}" in said


@pytest.mark.asyncio
async def test_an_address_that_does_not_exist_is_unavailable() -> None:
    assert "nowhere.invalid" in await refusal("mysql://shop:s3cret@nowhere.invalid/shop", DriverUnavailable)


@pytest.mark.asyncio
async def test_a_server_that_never_answers_is_unavailable_in_five_seconds() -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    assert f"127.0.0.1:{port}" in await refusal(f"mysql://shop:s3cret@127.0.0.1:{port}/shop", DriverUnavailable)
    silent.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9\r\n", b"\x01\x00\x00\x00\x0a", b"\x00\x00\x00\x00", b""])
async def test_who_is_no_mysql_at_all_is_unavailable(said: bytes) -> None:
    async def say_it(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    stranger = await asyncio.start_server(say_it, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    await refusal(f"mysql://shop:s3cret@127.0.0.1:{port}/shop", DriverUnavailable)
    stranger.close()


@pytest.mark.asyncio
async def test_a_server_with_no_connection_left_for_the_user_is_unavailable(server: Server) -> None:
    limit = "ALTER USER shop@'%' WITH MAX_USER_CONNECTIONS {}"
    service.execute(service.url(server), limit.format(1))
    try:
        with contextlib.closing(service.connection(as_user(server))):
            await refusal(as_user(server), DriverUnavailable)
    finally:
        service.execute(service.url(server), limit.format(0))


@pytest.mark.asyncio
async def test_a_wrong_password_is_a_mistake_in_the_configuration(server: Server) -> None:
    said = await refusal(f"mysql://shop:s3cret@127.0.0.1:{server.port}/asynctasq", ConfigurationError)
    assert "mysql.dsn" in said


@pytest.mark.asyncio
async def test_a_missing_database_is_a_mistake_in_the_configuration(server: Server) -> None:
    assert "nothing_here" in await refusal(service.url(server, "nothing_here"), ConfigurationError)


@pytest.mark.asyncio
async def test_a_user_who_may_not_use_the_database_is_a_mistake_in_the_configuration(server: Server) -> None:
    assert "may not use" in await refusal(as_user(server, "guest"), ConfigurationError)


@pytest.mark.asyncio
async def test_a_user_who_may_not_write_is_a_mistake_in_the_configuration(server: Server) -> None:
    driver = MySQLDriver(as_user(server, "guest").replace("/asynctasq", "/empty"))
    await driver.connect()
    with pytest.raises(ConfigurationError, match="may not do what a queue needs"):
        await driver.enqueue([Message(id="m", queue="q", body=b"")])
    await driver.close()


@pytest.mark.asyncio
async def test_tables_of_other_columns_name_the_command_that_makes_them_ours(server: Server) -> None:
    driver = MySQLDriver(service.url(server, "empty"))
    await driver.connect()
    with pytest.raises(ConfigurationError, match="asynctasq migrate"):
        await driver.enqueue([Message(id="m", queue="q", body=b"")])
    await driver.close()


@pytest.mark.asyncio
async def test_odd_characters_of_a_password_are_understood_where_they_are_encoded(server: Server) -> None:
    driver = MySQLDriver(as_user(server))
    assert driver.location == f"mysql://127.0.0.1:{server.port}/asynctasq"
    await driver.connect()
    await driver.enqueue([Message(id="m", queue="q", body=b"")])
    await driver.close()


@pytest.mark.asyncio
async def test_a_socket_file_serves_as_an_address(server: Server) -> None:
    driver = MySQLDriver(f"mysql://root@localhost/asynctasq?socket={quote(str(server.folder / 'sock'))}")
    await driver.connect()
    await driver.queues()
    await driver.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://shop:s3cret/x@host/shop",
        "mysql://shop:s3cret#x@host/shop",
        "mysql://shop:12#s3cret@host/shop",
        "mysql://shop:12?s3cret@host/shop",
        "mysql://shop:s3cret[@host/shop",
        "mysql://shop:s3cret@host:port/shop",
        "mysql://shop:s3cret@host",
        "mysql://shop:s3cret@host/a/b",
        "mysql://shop:s3cret@host/shop?ssl-mode",
        "postgresql://shop:s3cret@host/shop",
        "host=localhost password=s3cret",
    ],
)
async def test_a_dsn_that_cannot_be_read_is_refused_when_it_is_given_and_never_shown(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mysql\.dsn") as refused:
        MySQLDriver(dsn)
    assert "s3cret" not in str(refused.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("ssl=true", "options ssl: known are ssl-mode"),
        ("ssl-mode=maybe", "ssl-mode=maybe: use disabled, required"),
        ("ssl-mode=verify-ca&ssl-ca=/nowhere.pem", "cannot be read"),
        ("ssl-mode=disabled&ssl-ca=ca.pem", "keep one of the two"),
        ("ssl-mode=required&socket=/tmp/sock", "keep one of the two"),
    ],
)
async def test_an_option_of_the_dsn_that_cannot_be_is_refused(options: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        MySQLDriver(f"mysql://shop@host/shop?{options}")


@pytest.mark.asyncio
@pytest.mark.parametrize("options", [{"max_connections": 0}, {"table_prefix": "a`b"}, {"table_prefix": "x" * 41}])
async def test_an_option_that_cannot_be_is_refused_with_its_value(options: dict[str, int | str]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        MySQLDriver(**options)


# TLS


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("user", "options"),
    [
        ("guarded", "?ssl-mode=required"),
        ("guarded", "?ssl-mode=VERIFY_CA&ssl-ca={}/ca.pem"),
        ("guarded", "?ssl-ca={}/ca.pem"),
        ("guarded", "?ssl-mode=verify-identity&ssl-ca={}/ca.pem"),
    ],
)
async def test_whoever_demands_tls_gets_it(server: Server, certificates: Path, user: str, options: str) -> None:
    driver = MySQLDriver(as_user(server, user, host="localhost", options=options.format(certificates)))
    await driver.connect()
    await driver.enqueue([Message(id="m", queue="q", body=b"x" * 100_000)])
    connections = "SELECT id FROM information_schema.processlist WHERE user = 'guarded'"
    assert len(service.execute(service.url(server), connections)) == 1
    await driver.purge("q")
    await driver.close()


@pytest.mark.asyncio
async def test_a_user_who_must_use_tls_is_refused_without(server: Server) -> None:
    await refusal(as_user(server, "guarded"), ConfigurationError)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [
        "?ssl-mode=verify-ca&ssl-ca={}/other.pem",
        "?ssl-mode=verify-ca",
        "?ssl-mode=verify-identity&ssl-ca={}/ca.pem",  # it is localhost's, not 127.0.0.1's
    ],
)
async def test_a_server_that_cannot_be_trusted_is_refused(server: Server, certificates: Path, options: str) -> None:
    dsn = as_user(server, host="127.0.0.1", options=options.format(certificates))
    assert "certificate" in await refusal(dsn, ConfigurationError)


GREETING = (
    b"\x0a"
    + b"10.11.18-MariaDB\0"
    + bytes(4)
    + b"x" * 8
    + b"\0"
    + b"%b"
    + b"-\x02\0%b\x15"
    + bytes(10)
    + b"x" * 12
    + b"\0%b\0"
)
"""A server's: what it can, in two halves, and how it logs users in."""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "abilities", "plugin", "said"),
    [
        ("?ssl-mode=required", b"\xff\xf7", b"mysql_native_password", "cannot encrypt"),
        ("", b"\xff\xff", b"mysql_clear_password", "shown on the way"),
    ],
)
async def test_a_server_that_would_have_the_password_shown_on_the_way_is_told_nothing(
    options: str, abilities: bytes, plugin: bytes, said: str
) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = GREETING % (abilities, b"\xff\x81", plugin)
        writer.write(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
        heard.set_result(await reader.read())
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert said in await refusal(f"mysql://shop:s3cret@127.0.0.1:{port}/shop{options}", ConfigurationError)
    assert await heard == b""
    listener.close()


# Servers

GOOD = {"version": "10.11.18-MariaDB-0+deb12u1", "max_allowed_packet": "16777216"}


@pytest.mark.parametrize(
    "version",
    ["10.5.29-MariaDB", "5.5.5-10.3.39-MariaDB-log", "5.7.44", "8.0.0-dmr", "5.5.5", "unknown"],
)
def test_a_server_that_is_too_old_is_refused_with_its_version(version: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{version}: use MariaDB 10\.6\.0, MySQL 8\.0\.1 or newer"):
        fitness_of(GOOD | {"version": version}, "MySQL at mysql://host/shop")


@pytest.mark.parametrize(
    "version",
    ["10.6.0-MariaDB", "11.8.3-MariaDB-log", "5.5.5-10.11.18-MariaDB", "8.0.1", "8.4.6", "8.0.35-27", "9.5.0"],
)
def test_a_server_that_is_new_enough_is_not(version: str) -> None:
    fitness = fitness_of(GOOD | {"version": version}, "MySQL at mysql://host/shop")
    assert fitness == Fitness(max_packet=16 * 1024 * 1024, durable=True)


def test_a_body_is_at_most_half_a_packet_and_a_blob() -> None:
    fitness = Fitness(max_packet=16 * 1024 * 1024, durable=True)
    assert 8_000_000 < fitness.max_body < 8 * 1024 * 1024
    assert replace(fitness, max_packet=1 << 30).max_body == 2**24 - 1


def test_a_server_that_replicates_statements_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"binlog_format=STATEMENT.*set it to ROW"):
        fitness_of(GOOD | {"log_bin": "ON", "binlog_format": "STATEMENT"}, "MySQL at mysql://host/shop")


@pytest.mark.asyncio
async def test_an_old_server_is_refused_when_it_is_connected_or_installed(tmp_path: Path) -> None:
    with service.server(options=[*service.UNSAFE, "version=10.5.8-MariaDB"]) as old:
        assert "10.5.8-MariaDB" in await refusal(service.url(old), ConfigurationError)
        with pytest.raises(ConfigurationError, match=r"10\.5\.8-MariaDB"):
            await MySQLDriver(service.url(old)).install()


@pytest.mark.asyncio
async def test_a_server_that_loses_the_last_second_is_told_of_once_and_declared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with service.server(options=["innodb-flush-log-at-trx-commit=0"]) as hasty:
        driver = MySQLDriver(service.url(hasty))
        await driver.install()
        for _ in range(2):
            await driver.connect()
            assert not driver.capabilities.durable
            await driver.close()
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "asynctasq.mysql"]
    assert "innodb_flush_log_at_trx_commit 0" in warning


@pytest.mark.asyncio
async def test_a_server_that_takes_little_at_once_declares_smaller_bodies_and_takes_them(server: Server) -> None:
    service.execute(service.url(server), "SET GLOBAL max_allowed_packet = 1048576")
    try:
        driver = MySQLDriver(service.url(server))
        await driver.connect()
    finally:
        service.execute(service.url(server), "SET GLOBAL max_allowed_packet = 16777216")
    assert driver.capabilities.max_body is not None
    bodies = [b"\xff" * (driver.capabilities.max_body + more) for more in (0, 1)]
    answers = await driver.enqueue([Message(id=str(len(body)), queue="little", body=body) for body in bodies])
    assert [answer.status for answer in answers] == [EnqueueStatus.CREATED, EnqueueStatus.FAILED]
    (claim,) = await driver.claim(["little"], limit=2, lease=30, wait=0, worker="test")
    assert claim.message.body == bodies[0]
    await driver.close()


def test_without_its_package_the_driver_names_the_extra() -> None:
    without = "import sys; sys.modules['aiomysql'] = None; import asynctasq.drivers.mysql_driver"
    run = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert "MissingDependency" in run.stderr
    assert "extra 'mysql'" in run.stderr
