"""Where the queue file lies, and how its tables are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from asynctasq.adapters.drivers.sqlite import SQLiteDriver, default_path
from asynctasq.adapters.drivers.sqlite.connection import Connection
from asynctasq.adapters.drivers.sqlite.statements import statement
from asynctasq.domain.errors import ConfigurationError


@pytest.mark.parametrize("root", ["pyproject.toml", ".git"])
def test_the_default_file_lies_beside_the_nearest_project_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    project = tmp_path / "project"
    (project / "src" / "app").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()  # of an outer project: further away
    (project / root).touch()
    monkeypatch.chdir(project / "src" / "app")
    assert default_path() == project / ".asynctasq" / "queue.db"
    assert SQLiteDriver().location == str(project / ".asynctasq" / "queue.db")


def test_without_a_project_root_the_default_file_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_path() == tmp_path / ".asynctasq" / "queue.db"


def test_a_relative_path_is_fixed_when_the_driver_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    driver = SQLiteDriver("queue.db")
    monkeypatch.chdir("/")
    assert driver.location == driver.sibling().location == str(tmp_path / "queue.db")


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="name a file"):
        SQLiteDriver(path)


def test_an_unknown_synchronous_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="synchronous='off'"):
        SQLiteDriver("queue.db", synchronous="off")  # type: ignore[arg-type]


@pytest.mark.asyncio
@pytest.mark.parametrize(("setting", "pragma"), [("full", 2), ("normal", 1)])
async def test_synchronous_reaches_sqlite(tmp_path: Path, setting: str, pragma: int) -> None:
    driver = SQLiteDriver(tmp_path / "queue.db", synchronous=setting)  # type: ignore[arg-type]
    await driver.connect()
    assert await driver._writer.ask(lambda connection: connection.pragma("synchronous")) == pragma
    await driver.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "values", "searches"),
    [
        ("due", ("default", 1, 100), 1),
        ("due_seqs", ("default", 1, 100), 1),
        ("next_due", ('["default"]',), 1),
        ("stats", ('["default"]', 1), 5),
        ("list_dead", ("default", None, 100), 2),
        ("live_ids", ('["id"]',), 2),
        ("ack", (0, 1, 1), 1),
    ],
)
async def test_every_statement_searches_an_index_and_sorts_nothing(
    tmp_path: Path, name: str, values: tuple[object, ...], searches: int
) -> None:
    driver = SQLiteDriver(tmp_path / "queue.db")
    await driver.connect()

    def plan(connection: Connection) -> list[str]:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement(name)}", values)]

    steps = await driver._writer.ask(plan)
    await driver.close()
    tables = [step for step in steps if " message" in step or " dead" in step]
    assert len(tables) == searches, steps
    assert all(step.startswith("SEARCH") and ("INDEX" in step or "PRIMARY KEY" in step) for step in tables), steps
    # json_each() gives its rows in order, so only a table's rows could need it.
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


@pytest.mark.asyncio
async def test_claims_stay_fast_beside_a_great_many_other_messages(tmp_path: Path) -> None:
    driver = SQLiteDriver(tmp_path / "queue.db", synchronous="normal")
    await driver.connect()

    def fill(connection: Connection) -> None:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
            "INSERT INTO message (id, queue, body, visible_at, enqueued_at) "
            "SELECT i, 'default', x'00', iif(i % 2, i, 9000000000000000 + i), i FROM n"
        )

    def steps(connection: Connection) -> int:
        """How many steps SQLite's machine takes to find a hundred due messages."""
        counted = 0

        def count() -> bool:
            nonlocal counted
            counted += 1
            return False

        connection.set_progress_handler(count, 1)  # type: ignore[attr-defined]
        rows = connection.execute(statement("due"), ("default", 10**15, 100)).fetchall()
        connection.set_progress_handler(None)  # type: ignore[attr-defined]
        assert len(rows) == 100
        return counted

    await driver._writer.ask(fill)
    # About twenty steps a row, however many rows there are: a count, so that it needs no tolerance for slow machines.
    assert await driver._writer.ask(steps) < 5_000
    await driver.close()
