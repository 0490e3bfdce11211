"""The resolver keeps the contract, is found where its ORM is imported, and is told by the settings where the database is."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

import asynctasq
from asynctasq.errors import ConfigurationError, SerializationError
from asynctasq.testing import Rehearsal
from asynctasq.testing.contract.resolver import PATIENCE, ResolverContract, ResolverWorld
from asynctasq_sqlite_records import SqliteRecordsResolver
from sqlite_records import Database, Record


@dataclass
class Note(Record):
    number: int
    text: str = ""


@dataclass
class Reply(Note):
    @property
    def note(self) -> Note:
        raise LookupError("this ORM loads no relations: fetch the note by its number")


@dataclass
class Ticket(Record):
    number: UUID
    text: str = ""


@dataclass
class Country(Record):
    code: str
    text: str = ""


@dataclass
class Day(Record):
    day: date
    text: str = ""


MODELS: dict[str, Any] = {"int": Note, "uuid": Ticket, "str": Country, "date": Day, "child": Reply}


class World(ResolverWorld):
    composite_keys: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self.resolver = SqliteRecordsResolver(path=path)
        self.writer = Database(path)  # another than the resolver's, whose connections are counted
        self.writer.create(*MODELS.values())
        self.numbers = itertools.count(1)

    def build(self, kind: str) -> Any:
        number = next(self.numbers)
        keys = {"uuid": uuid4(), "str": f"é'{number}", "date": date(2024, 1, 1) + timedelta(number)}
        return MODELS[kind](keys.get(kind, number))

    async def save(self, kind: str, *, text: str = "") -> Any:
        row = replace(self.build(kind), text=text)
        self.writer.save(row)
        return row

    async def change(self, row: Any, text: str) -> None:
        self.writer.save(replace(row, text=text))

    async def delete(self, row: Any) -> None:
        self.writer.delete(row)

    def text(self, row: Any) -> str:
        return str(row.text)

    def relation(self, child: Any) -> object:
        return child.note

    def held(self) -> int:
        return self.resolver.database.connections

    @asynccontextmanager
    async def meeting(self, statements: int) -> AsyncGenerator[None]:
        database, barrier = self.resolver.database, threading.Barrier(statements)
        get_many = database.get_many

        def meet(*given: Any) -> Any:
            barrier.wait(PATIENCE)
            return get_many(*given)

        database.get_many = meet  # type: ignore[method-assign]
        yield
        database.get_many = get_many  # type: ignore[method-assign]


class TestSqliteRecordsResolver(ResolverContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        return World(tmp_path / "rows.db")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "notes.db")
    database.create(Note)
    return database


read: list[str] = []


@asynctasq.task(name="records.read", max_attempts=1)
async def reading(note: Note) -> None:
    read.append(note.text)


def init(database: Database, **options: object) -> None:
    settings = {"path": str(database.path), **options}
    asynctasq.init({"driver": "memory", "resolvers": {"sqlite_records": settings}})


def test_it_is_found_by_the_app_and_a_task_gets_the_row_as_it_is_when_it_runs(database: Database) -> None:
    init(database, timeout="2")
    note = Note(1, "as it was dispatched")
    database.save(note)
    with Rehearsal() as tasks:

        async def whole() -> None:
            await reading(note).dispatch()
            database.save(Note(1, "as it is now"))
            await tasks.drain()

        asyncio.run(whole())
    assert read == ["as it is now"]


def test_a_row_that_is_gone_is_told_by_its_model(database: Database) -> None:
    init(database)
    note = Note(2)
    database.save(note)
    with Rehearsal() as tasks:

        async def whole() -> str:
            id = await reading(note).dispatch()
            database.delete(replace(note))
            await tasks.drain()
            (letter,) = await tasks.driver.get_dead([id])
            assert letter is not None
            return letter.error

        assert "Note 2" in asyncio.run(whole())


def test_a_model_that_no_worker_could_find_is_refused() -> None:
    @dataclass
    class Hidden(Record):
        number: int

    row = Hidden(1)
    row.is_saved = True
    with pytest.raises(SerializationError, match="Hidden: define it at the top of a module"):
        SqliteRecordsResolver(path=Path("any")).reference(row)


async def test_a_file_that_is_not_there_is_refused_before_a_worker_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"resolvers\.sqlite_records\.path: there is no file"):
        await SqliteRecordsResolver(path=tmp_path / "nothing.db").open()


def test_an_option_that_it_does_not_have_is_refused_by_name(database: Database) -> None:
    note = Note(3)
    database.save(note)
    init(database, timeuot=1)
    with (
        pytest.raises(ConfigurationError, match=r"did you mean resolvers\.sqlite_records\.timeout\?"),
        Rehearsal(),
    ):
        asyncio.run(reading(note).dispatch())
