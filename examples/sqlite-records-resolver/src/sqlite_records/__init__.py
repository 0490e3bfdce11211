"""Rows of SQLite as dataclasses: as little as can be called an ORM, and nothing of asynctasq.

@dataclass
class Note(Record):
    number: int          # the first field is the key
    text: str = ""

database = Database("notes.db")
database.create(Note)
database.save(Note(1, "hello"))
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from uuid import UUID

R = TypeVar("R", bound="Record")

MODELS: dict[str, type[Record]] = {}
"""Every model that was defined in this process, by `module:qualname`."""

BATCH = 500
"""The most keys of one statement: an old SQLite takes no more than 999 parameters."""


class Record:
    """A row of the table that is named like its class. Subclasses are dataclasses of int, str, bytes, UUID and date."""

    is_saved = False
    """Whether it came from a database, or was put there, and was not deleted by means of this object."""

    def __init_subclass__(cls) -> None:
        MODELS[f"{cls.__module__}:{cls.__qualname__}"] = cls

    @property
    def key(self) -> object:
        """The value of its key."""
        row: Any = self
        return getattr(row, fields(row)[0].name)


class Database:
    """A file of SQLite. Each call opens it, and closes it again.

    Args:
        path: the file.
        timeout: seconds to wait for a writer.
    """

    def __init__(self, path: str | Path, *, timeout: float = 5.0) -> None:
        self.path = Path(path)
        self.connections = 0
        self._timeout = timeout
        self._counting = threading.Lock()

    def create(self, *models: type[Record]) -> None:
        """Create the file and the tables of these models, where they are not there."""
        with self._open("rwc") as connection:
            for model in models:
                names = ", ".join(f'"{name}"{"" if n else " PRIMARY KEY"}' for n, name in enumerate(columns(model)))
                connection.execute(f'CREATE TABLE IF NOT EXISTS "{model.__name__}" ({names})')

    def save(self, record: Record) -> None:
        """Insert a row, or replace the one with its key."""
        model = type(record)
        values = [_stored(getattr(record, name)) for name in columns(model)]
        marks = ", ".join("?" * len(values))
        with self._open() as connection:
            connection.execute(f'INSERT OR REPLACE INTO "{model.__name__}" VALUES ({marks})', values)
        record.is_saved = True

    def delete(self, record: Record) -> None:
        """Delete a row."""
        model = type(record)
        with self._open() as connection:
            key = next(iter(columns(model)))
            connection.execute(f'DELETE FROM "{model.__name__}" WHERE "{key}" = ?', [_stored(record.key)])
        record.is_saved = False

    def get_many(self, model: type[R], keys: Sequence[object]) -> dict[object, R]:
        """The rows of these keys that are there, by key, each a new object."""
        types = columns(model)
        key, *_ = types
        found: dict[object, R] = {}
        with self._open() as connection:
            for first in range(0, len(keys), BATCH):
                part = [_stored(each) for each in keys[first : first + BATCH]]
                names, marks = ", ".join(f'"{name}"' for name in types), ", ".join("?" * len(part))
                rows = connection.execute(f'SELECT {names} FROM "{model.__name__}" WHERE "{key}" IN ({marks})', part)
                for row in rows:
                    record = model(*(_loaded(value, kind) for value, kind in zip(row, types.values(), strict=True)))
                    record.is_saved = True
                    found[record.key] = record
        return found

    @contextmanager
    def _open(self, mode: str = "rw") -> Generator[sqlite3.Connection]:
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, timeout=self._timeout)
        with self._counting:
            self.connections += 1
        try:
            with connection:
                yield connection
        finally:
            connection.close()
            with self._counting:
                self.connections -= 1


def columns(model: type[Record]) -> dict[str, type]:
    """The types of a model's columns by name, the key first."""
    hints: dict[str, type] = get_type_hints(model)
    declared: Any = model
    return {field.name: hints[field.name] for field in fields(declared)}


def _stored(value: object) -> Any:
    return str(value) if isinstance(value, UUID | date) else value


def _loaded(value: Any, kind: type) -> object:
    if kind is UUID:
        return UUID(value)
    return date.fromisoformat(value) if kind is date else value
