"""The SQLite driver on a file that is locked, full, read-only, broken or gone."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
import pytest_asyncio
from tests.integration.sqlite_neighbour import QUEUE, Neighbour, message, put, take, take_ids

from asynctasq.adapters.drivers.sqlite import SQLiteDriver
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable, Indeterminate
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.ports.driver import SettleStatus

pytestmark = pytest.mark.asyncio

FIVE_SECONDS = 5.0
"""What the port allows a verb; the driver plans with less, so that no tolerance is needed on a crowded machine."""


@pytest_asyncio.fixture
async def driver(tmp_path: Path) -> AsyncGenerator[SQLiteDriver, None]:
    driver = SQLiteDriver(tmp_path / "queue.db")
    await driver.connect()
    yield driver
    await driver.close()


LOCK = """
import apsw, sys
holder = apsw.Connection(sys.argv[1])
holder.pragma("locking_mode", sys.argv[2])
holder.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
holder.execute("ROLLBACK")
holder.close()
print("free", flush=True)
"""


async def test_every_verb_on_a_locked_file_says_so_within_five_seconds_and_works_again_afterwards(
    driver: SQLiteDriver,
) -> None:
    await put(driver, "one", "two")
    (claim,) = await take(driver, limit=1)
    with Neighbour(LOCK, driver.location, "normal") as neighbour:
        assert neighbour.hear() == "locked"
        began = time.monotonic()
        answers = await asyncio.gather(
            driver.enqueue([message("three")]),
            take(driver),
            driver.extend([claim], lease=30),
            driver.settle([Settlement(claim=claim, verdict=ACK)]),
            driver.purge(QUEUE),
            return_exceptions=True,
        )
        assert time.monotonic() - began < FIVE_SECONDS
        for answer in answers:
            assert isinstance(answer, DriverUnavailable)
            assert driver.location in str(answer)
            assert "locked" in str(answer)
            assert isinstance(answer.__cause__, apsw.BusyError)
        neighbour.say()
        assert neighbour.hear() == "free"
    (settled,) = await driver.settle([Settlement(claim=claim, verdict=ACK)])
    assert settled.status is SettleStatus.DONE
    assert await take_ids(driver) == ["two"]


async def test_connecting_to_a_file_that_nobody_may_even_read_says_so_within_five_seconds(driver: SQLiteDriver) -> None:
    await driver.close()
    with Neighbour(LOCK, driver.location, "exclusive") as neighbour:
        assert neighbour.hear() == "locked"
        began = time.monotonic()
        with pytest.raises(DriverUnavailable, match="locked"):
            await driver.connect()
        assert time.monotonic() - began < FIVE_SECONDS
        neighbour.say()
        assert neighbour.hear() == "free"
    await driver.connect()


async def test_a_short_lock_is_waited_for(driver: SQLiteDriver) -> None:
    with Neighbour(LOCK, driver.location, "normal") as neighbour:
        assert neighbour.hear() == "locked"
        enqueueing = asyncio.create_task(put(driver, "one"))
        await asyncio.sleep(0.1)  # so that it meets the lock; that it waits cannot be seen from outside
        neighbour.say()
        await enqueueing
    assert await take_ids(driver) == ["one"]


async def test_a_disk_that_never_answers_is_given_up_and_what_was_not_begun_is_not_done_later(
    driver: SQLiteDriver,
) -> None:
    stuck = threading.Event()
    began = time.monotonic()
    answers = await asyncio.gather(
        driver._writer.ask(lambda _: stuck.wait()), driver.enqueue([message("late")]), return_exceptions=True
    )
    assert time.monotonic() - began < FIVE_SECONDS
    assert isinstance(answers[0], Indeterminate)
    assert type(answers[1]) is DriverUnavailable
    stuck.set()
    assert await take_ids(driver) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Generator[Path, None, None]:
    """A file system of one megabyte."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("needs the right to mount a tmpfs; run as root, or see the test of a full database instead")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(file: Path) -> None:
    """Take all the space that is left."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)


async def test_a_full_disk_says_so_and_the_driver_works_again_when_there_is_space(tiny_disk: Path) -> None:
    driver = SQLiteDriver(tiny_disk / "queue.db")
    await driver.connect()
    await put(driver, "before")
    filler = tiny_disk / "filler"
    fill(filler)
    with pytest.raises(DriverUnavailable, match="disk is full") as refusal:
        await driver.enqueue([message("too much", bytes(100_000))])
    assert driver.location in str(refusal.value)
    filler.unlink()
    await put(driver, "after")
    assert await take_ids(driver) == ["before", "after"]
    await driver.close()


async def test_a_database_at_its_size_limit_says_so_and_takes_again_what_fits(driver: SQLiteDriver) -> None:
    pages = await driver._writer.ask(lambda connection: connection.pragma("page_count"))
    await driver._writer.ask(lambda connection: connection.pragma("max_page_count", pages))
    with pytest.raises(DriverUnavailable, match="disk is full"):
        await driver.enqueue([message("too much", bytes(100_000)), message("and its neighbour")])
    await put(driver, "small")
    assert await take_ids(driver) == ["small"]


async def test_a_write_that_fails_during_the_commit_is_indeterminate_and_the_driver_recovers(
    driver: SQLiteDriver,
) -> None:
    await put(driver, "before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(Indeterminate) as error:
            await driver.enqueue([message("perhaps", bytes(400_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert driver.location in str(error.value)
    assert isinstance(error.value.__cause__, apsw.IOError)
    assert set(await take_ids(driver)) >= {"before"}


async def test_a_read_only_disk_says_so_and_the_same_driver_connects_when_it_can_be_written(tiny_disk: Path) -> None:
    driver = SQLiteDriver(tiny_disk / "queue.db")
    await driver.connect()
    await put(driver, "kept")
    await driver.close()
    remount(tiny_disk, "ro")
    with pytest.raises(DriverUnavailable) as refusal:
        await driver.connect()
    assert driver.location in str(refusal.value)
    remount(tiny_disk, "rw")
    await driver.connect()
    assert await take_ids(driver) == ["kept"]
    await driver.close()


async def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    driver = SQLiteDriver(tmp_path / "file" / "queue.db")
    with pytest.raises(DriverUnavailable) as refusal:
        await driver.connect()
    assert driver.location in str(refusal.value)


async def test_a_file_that_is_no_database_is_refused_for_good_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_bytes(b"a letter to a friend, of more than a hundred bytes " * 40)
    with pytest.raises(ConfigurationError, match="not a usable SQLite database") as refusal:
        await SQLiteDriver(path).connect()
    assert str(path) in str(refusal.value)
    assert path.read_bytes().startswith(b"a letter")


async def test_pages_that_have_been_overwritten_are_reported_with_the_file(driver: SQLiteDriver) -> None:
    await put(driver, *(str(number) for number in range(1000)))
    await driver.close()
    with open(driver.location, "r+b") as file:  # noqa: ASYNC230 - nobody else is waiting
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(ConfigurationError, match="restore it from a backup") as refusal:  # noqa: PT012 -- whichever meets it
        await driver.connect()
        await take(driver)
    assert driver.location in str(refusal.value)


async def test_a_newer_schema_is_refused(driver: SQLiteDriver) -> None:
    await driver._writer.ask(lambda connection: connection.pragma("user_version", 2))
    await driver.close()
    with pytest.raises(ConfigurationError, match="schema version 2, and this asynctasq knows 1") as refusal:
        await driver.connect()
    assert driver.location in str(refusal.value)


async def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "blog.sqlite3"
    blog = sqlite3.connect(path)
    blog.execute("CREATE TABLE post (title TEXT)")
    blog.close()
    with pytest.raises(ConfigurationError, match="another program"):
        await SQLiteDriver(path).connect()
    blog = sqlite3.connect(path)
    assert blog.execute("SELECT name FROM sqlite_master").fetchall() == [("post",)]
    blog.close()


async def test_a_file_that_this_process_has_open_through_sqlite3_is_refused_until_it_is_closed(
    driver: SQLiteDriver,
) -> None:
    foreign = sqlite3.connect(driver.location)
    foreign.execute("SELECT count(*) FROM message").fetchall()
    sibling = driver.sibling()
    with pytest.raises(ConfigurationError, match="sqlite3 module") as refusal:
        await sibling.connect()
    assert driver.location in str(refusal.value)
    foreign.close()
    await sibling.connect()
    await sibling.close()


async def test_siblings_come_and_go_without_being_taken_for_strangers(driver: SQLiteDriver) -> None:
    for _ in range(3):
        first, second = driver.sibling(), driver.sibling()
        await first.connect()
        await second.connect()
        await put(first, "one")
        await first.close()
        (claim,) = await take(second)
        await second.settle([Settlement(claim=claim, verdict=ACK)])
        await second.close()


async def test_a_deleted_file_is_made_anew_instead_of_being_written_where_nobody_looks(driver: SQLiteDriver) -> None:
    await put(driver, "lost with the file")
    for file in Path(driver.location).parent.glob("queue.db*"):
        file.unlink()
    await put(driver, "kept")
    other = driver.sibling()
    await other.connect()
    assert await take_ids(other) == ["kept"]
    await other.close()


WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE message SET " + sys.argv[2] + " WHERE id = 'bad'")
connection.commit()
"""


@pytest.mark.parametrize(
    "damage",
    [
        "body = NULL",
        "body = 'text'",
        "id = NULL",
        "id = x'00ff'",
        "id = CAST(x'ff' AS TEXT)",
        "attempt = 'three'",
        "attempt = NULL",
        "expiries = -1",
        "enqueued_at = 'yesterday'",
        "history = '{'",
        "history = '{}'",
        "history = CAST(x'ff' AS TEXT)",
    ],
)
async def test_a_row_that_is_no_message_becomes_a_dead_letter_and_its_neighbours_are_delivered(
    driver: SQLiteDriver, damage: str
) -> None:
    await put(driver, "before", "bad", "after")
    with Neighbour(WRITE, driver.location, damage) as neighbour:
        neighbour.run()
    assert await take_ids(driver) == ["before", "after"]
    (dead,) = await driver.list_dead(QUEUE, limit=10)
    assert dead.reason.startswith("corrupt: ")
    (stats,) = await driver.stats([QUEUE])
    assert (stats.ready, stats.leased, stats.dead) == (0, 2, 1)
    assert list(await driver.purge_dead([dead.id])) == [True]


async def test_more_corrupt_rows_than_the_limit_do_not_hide_a_good_one(driver: SQLiteDriver) -> None:
    await put(driver, *(f"bad {number}" for number in range(5)), "good")
    await driver._writer.ask(lambda connection: connection.execute("UPDATE message SET body = NULL WHERE id != 'good'"))
    assert [claim.message.id for claim in await take(driver, limit=2)] == ["good"]


async def test_dead_letters_whose_history_is_damaged_can_still_be_read_and_requeued(driver: SQLiteDriver) -> None:
    await put(driver, "bad")
    await driver._writer.ask(lambda connection: connection.execute("UPDATE message SET body = NULL"))
    assert await take(driver) == []
    await driver._writer.ask(lambda connection: connection.execute("UPDATE dead SET history = '[[1]]', body = x'01'"))
    (dead,) = await driver.get_dead(["bad"])
    assert dead is not None
    assert (dead.body, dead.history) == (b"\x01", ())
    assert list(await driver.requeue_dead(["bad"])) == [True]
    assert await take_ids(driver) == ["bad"]


def modes_of(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in [folder, *folder.glob("*")]}


async def test_the_folder_and_the_file_are_the_owners_alone(tmp_path: Path) -> None:
    private = tmp_path / "private"
    driver = SQLiteDriver(private / "queue.db")
    await driver.connect()
    modes = modes_of(private)
    assert modes == {"private": "0o700", "queue.db": "0o600", "queue.db-shm": "0o600", "queue.db-wal": "0o600"}
    await driver.close()
