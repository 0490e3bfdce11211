"""Where the counts go: one row per path, so that a task which runs twice cannot count twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from census.measure import Figures

SCHEMA = """
    CREATE TABLE census (
        path TEXT PRIMARY KEY,
        attempt INTEGER NOT NULL,
        pid INTEGER NOT NULL,
        lines INTEGER, parsed INTEGER, functions INTEGER, classes INTEGER, longest INTEGER, longest_name TEXT
    ) WITHOUT ROWID
"""
START = """
    INSERT INTO census (path, attempt, pid) VALUES (?, ?, ?)
    ON CONFLICT (path) DO UPDATE SET attempt = excluded.attempt, pid = excluded.pid
"""
FINISH = """
    UPDATE census SET (lines, parsed, functions, classes, longest, longest_name) = (?, ?, ?, ?, ?, ?) WHERE path = ?
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """A finished row: the attempt that ran last, and what it counted."""

    attempt: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Results:
    """The results table, in an SQLite file of its own: the queue's file belongs to the queue."""

    file: Path

    def create(self) -> None:
        """Make the empty table."""
        with self._transaction() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(SCHEMA)

    def start(self, path: str, *, attempt: int, pid: int) -> None:
        """An attempt has begun in process `pid`."""
        with self._transaction() as connection:
            connection.execute(START, (path, attempt, pid))

    def finish(self, path: str, figures: Figures) -> None:
        """An attempt has counted; a second one writes the same row again."""
        with self._transaction() as connection:
            connection.execute(FINISH, (*astuple(figures), path))

    def finished(self) -> int:
        """How many files have been counted."""
        with self._transaction() as connection:
            (count,) = connection.execute("SELECT count(lines) FROM census").fetchone()
            return int(count)

    def running(self) -> dict[str, int]:
        """The paths that were begun and not finished, with the process that began them."""
        with self._transaction() as connection:
            return dict(connection.execute("SELECT path, pid FROM census WHERE lines IS NULL"))

    def counted(self) -> dict[str, Counted]:
        """Every finished row, by path."""
        columns = "path, attempt, lines, parsed, functions, classes, longest, longest_name"
        with self._transaction() as connection:
            rows = connection.execute(f"SELECT {columns} FROM census WHERE lines IS NOT NULL").fetchall()
        return {
            path: Counted(
                attempt,
                Figures(
                    lines=lines,
                    parsed=bool(parsed),
                    functions=functions,
                    classes=classes,
                    longest=longest,
                    longest_name=longest_name,
                ),
            )
            for path, attempt, lines, parsed, functions, classes, longest, longest_name in rows
        }

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        try:
            # Without waiting for the disk: what has been written survives a killed process, and no power cut is part of the demo.
            connection.execute("PRAGMA synchronous = OFF")
            yield connection
        finally:
            connection.close()
