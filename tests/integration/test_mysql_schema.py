"""The tables: installed by `asynctasq migrate`, at any time and by several at once, and verified by whoever connects."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pymysql
import pytest
from pymysql.constants import CLIENT
from tests.services.mariadb import connection, execute

from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import DeadLetter, Retry, Settlement
from asynctasq.drivers.mysql_driver import MySQLDriver
from asynctasq.ports.driver import Installable, SettleStatus

pytestmark = pytest.mark.asyncio


@pytest.fixture
def prefix(mysql_url: str) -> Generator[str]:
    """Of tables that are not there yet. It needs its quotes, as a user's may."""
    name = f"1{uuid4().hex[:12]}_"
    yield name
    execute(mysql_url, f"DROP TABLE IF EXISTS `{name}message`, `{name}version`")


@pytest.fixture
def driver(mysql_url: str, prefix: str) -> MySQLDriver:
    return MySQLDriver(mysql_url, table_prefix=prefix)


async def test_without_its_tables_a_driver_names_the_command_that_installs_them(driver: MySQLDriver) -> None:
    with pytest.raises(ConfigurationError, match="asynctasq migrate"):
        await driver.connect()


async def test_ten_installations_at_once_are_one(driver: MySQLDriver) -> None:
    await asyncio.gather(*(driver.sibling().install() for _ in range(10)))
    await driver.connect()
    await driver.close()


async def test_installing_again_leaves_tasks_where_they_are(driver: MySQLDriver) -> None:
    await driver.install()
    await driver.connect()
    await driver.enqueue([Message(id="m", queue="q", body=b"kept")])
    await driver.install()
    (claim,) = await driver.claim(["q"], limit=1, lease=30, wait=0, worker="test")
    assert claim.message.body == b"kept"
    await driver.close()


async def test_older_tables_name_the_command_that_upgrades_them(
    driver: MySQLDriver, mysql_url: str, prefix: str
) -> None:
    await driver.install()
    execute(mysql_url, f"UPDATE `{prefix}version` SET version = 0")
    with pytest.raises(ConfigurationError, match=r"version 0.* needs 1.*asynctasq migrate"):
        await driver.connect()
    await driver.install()
    await driver.connect()
    await driver.close()


async def test_newer_tables_are_refused_and_stay_newer(driver: MySQLDriver, mysql_url: str, prefix: str) -> None:
    await driver.install()
    execute(mysql_url, f"INSERT INTO `{prefix}version` (version) VALUES (99)")
    await driver.install()
    with pytest.raises(ConfigurationError, match=r"version 99.* knows 1: upgrade asynctasq"):
        await driver.connect()


async def test_two_prefixes_know_nothing_of_each_other(mysql_url: str) -> None:
    first, second = (MySQLDriver(mysql_url, table_prefix=f"side_{name}_") for name in "ab")
    for driver in (first, second):
        await driver.install()
        await driver.connect()
    await first.enqueue([Message(id="m", queue="q", body=b"")])
    assert [stats.ready for driver in (first, second) for stats in await driver.stats(["q"])] == [1, 0]
    for driver in (first, second):
        await driver.close()
    execute(mysql_url, "DROP TABLE side_a_message, side_a_version, side_b_message, side_b_version")


@pytest.mark.parametrize(
    "change",
    [
        *({name: "NULL"} for name in ("queue", "id", "body", "visible_at", "enqueued_at")),
        {"enqueued_at": "-1"},
        {"attempt": "-1"},
        {"expiries": "-1"},
        {"history": "'{}'"},
        {"history": "'[1'"},
        {"id": "REPEAT('x', 256)"},
    ],
    ids=str,
)
async def test_rows_that_are_no_messages_cannot_be_written(
    driver: MySQLDriver, mysql_url: str, prefix: str, change: dict[str, str]
) -> None:
    await driver.install()
    row = {"queue": "'q'", "id": "'m'", "body": "''", "visible_at": "0", "enqueued_at": "0"} | change
    # Not pymysql.err: where Django has loaded pymysql as MySQLdb, that names a second copy of its errors.
    with pytest.raises(pymysql.MySQLError):
        execute(mysql_url, f"INSERT INTO `{prefix}message` ({', '.join(row)}) VALUES ({', '.join(row.values())})")


async def test_the_oddest_row_that_can_be_written_stops_nothing(
    driver: MySQLDriver, mysql_url: str, prefix: str
) -> None:
    await driver.install()
    await driver.connect()
    execute(
        mysql_url,
        f"INSERT INTO `{prefix}message` (queue, id, body, visible_at, enqueued_at, attempt, expiries, receipt, history)"
        """ VALUES ('q', x'ff00', '', 0, 9223372036854775807, 2147483647, 2147483647, -1, '[{"a": null}]')""",
    )
    await driver.enqueue([Message(id="m", queue="q", body=b"")])
    odd, plain = await driver.claim(["q"], limit=10, lease=30, wait=0, worker="test")
    assert (odd.message.id, plain.message.id) == ("\\xff\0", "m")
    settlements = [
        Settlement(claim=odd, verdict=Retry(delay=0, error="odd")),
        Settlement(claim=plain, verdict=DeadLetter(reason="done")),
    ]
    assert [settled.status for settled in await driver.settle(settlements)] == [SettleStatus.DONE] * 2
    (odd,) = await driver.claim(["q"], limit=10, lease=30, wait=0, worker="test")
    await driver.settle([Settlement(claim=odd, verdict=DeadLetter(reason="odd"))])
    assert [letter.reason for letter in await driver.list_dead("q", limit=10)] == ["odd", "done"]
    await driver.stats(["q"])
    await driver.close()


async def test_a_row_that_a_stranger_has_buried_is_a_dead_letter_of_few_words(
    driver: MySQLDriver, mysql_url: str, prefix: str
) -> None:
    await driver.install()
    await driver.connect()
    execute(
        mysql_url,
        f"INSERT INTO `{prefix}message` (queue, id, body, visible_at, enqueued_at) VALUES ('q', 'm', 'body', -1, 0)",
    )
    (letter,) = await driver.list_dead("q", limit=10)
    assert (letter.body, letter.reason, letter.error, letter.history) == (b"body", "", "", ())
    assert list(await driver.requeue_dead(["m"])) == [True]
    (claim,) = await driver.claim(["q"], limit=1, lease=30, wait=0, worker="test")
    assert (claim.message.id, claim.attempt) == ("m", 1)
    await driver.close()


async def test_names_that_collations_take_for_each_other_are_kept_apart(driver: MySQLDriver) -> None:
    names = ["m", "M", "m ", "ḿ", "m\0"]
    await driver.install()
    await driver.connect()
    await driver.enqueue([Message(id=id, queue="q", body=id.encode()) for id in names])
    claims = await driver.claim(["q"], limit=10, lease=30, wait=0, worker="test")
    assert [(claim.message.id, claim.message.body.decode()) for claim in claims] == [(id, id) for id in names]
    assert [stats.leased for stats in await driver.stats(["q", "Q", "q "])] == [5, 0, 0]
    await driver.close()


async def test_texts_of_any_character_are_kept(driver: MySQLDriver) -> None:
    odd = "é'\"\\\0\x1b\n\t%s :name `é` 🙃 \ud800"
    await driver.install()
    await driver.connect()
    await driver.enqueue([Message(id="m", queue="q", body=b"")])
    for verdict in (Retry(delay=0, error=odd), DeadLetter(reason=odd, error=odd)):
        (claim,) = await driver.claim(["q"], limit=1, lease=30, wait=0, worker=odd)
        await driver.settle([Settlement(claim=claim, verdict=verdict)])
    (letter,) = await driver.list_dead("q", limit=1)
    kept = odd.encode("utf-8", "backslashreplace").decode()
    assert [letter.reason, letter.error, *(failed.error for failed in letter.history)] == [kept] * 3
    await driver.close()


async def test_a_body_of_every_byte_value_to_the_limit_is_kept(driver: MySQLDriver) -> None:
    await driver.install()
    await driver.connect()
    assert driver.capabilities.max_body is not None
    body = (bytes(range(256)) * (driver.capabilities.max_body // 256 + 1))[: driver.capabilities.max_body]
    await driver.enqueue([Message(id="m", queue="q", body=body)])
    (claim,) = await driver.claim(["q"], limit=1, lease=30, wait=0, worker="test")
    assert claim.message.body == body
    await driver.close()


def migrate(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asynctasq", "migrate", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


async def test_the_command_installs_and_verifies_and_may_be_given_again(
    mysql_url: str, prefix: str, driver: MySQLDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(driver, Installable)
    monkeypatch.setenv("ASYNCTASQ_MYSQL_TABLE_PREFIX", prefix)
    for _ in range(2):
        done = await asyncio.to_thread(migrate, tmp_path, "--driver", mysql_url)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{driver.location} is ready\n", "")
    await driver.connect()
    await driver.close()


async def test_the_command_prints_the_script_that_it_would_run(
    mysql_url: str, prefix: str, driver: MySQLDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCTASQ_MYSQL_TABLE_PREFIX", prefix)
    printed = await asyncio.to_thread(migrate, tmp_path, "--driver", mysql_url, "--sql")
    with pytest.raises(ConfigurationError):
        await driver.connect()
    with connection(mysql_url, client_flag=CLIENT.MULTI_STATEMENTS) as admin, admin.cursor() as cursor:
        cursor.execute(printed.stdout)
        while cursor.nextset():
            pass
    await driver.connect()
    await driver.close()
