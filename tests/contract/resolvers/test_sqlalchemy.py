from __future__ import annotations

import enum
import sqlite3
import sys
import types
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import Engine, String, TypeDecorator, create_engine, inspect
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)
from sqlmodel import Field, SQLModel
from tests.contract.resolvers.sqlalchemy_world import Base, Note, Reply, SQLAlchemyWorld, Ticket

from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.adapters.resolvers.sqlalchemy import SQLAlchemyResolver
from asynctasq.domain.errors import ConfigurationError, SerializationError, UndecodableTask
from asynctasq.testing.contract.resolver import ResolverContract, travelled

CLIENTS = {
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
    "postgres": ("postgresql+psycopg", "postgresql+asyncpg"),
    "mysql": ("mysql+pymysql", "mysql+aiomysql"),
}
"""Per database: a client that blocks, and one that does not."""


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Which database, and its URL behind the name of a client."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("rows") / "rows.db"
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=wal")  # a reader that was just cancelled keeps no writer waiting
        return request.param, f":///{file}"
    _, colon, rest = request.getfixturevalue(f"{request.param}_url").partition(":")
    return request.param, f"{colon}{rest}"


@pytest.fixture(scope="module")
def writer(database: tuple[str, str]) -> Generator[Engine]:
    name, place = database
    engine = create_engine(f"{CLIENTS[name][0]}{place}")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


class TestSQLAlchemyResolver(ResolverContract):
    @pytest_asyncio.fixture(params=["asynchronous", "synchronous"])
    async def world(
        self,
        request: pytest.FixtureRequest,
        database: tuple[str, str],
        writer: Engine,
        monkeypatch: pytest.MonkeyPatch,
    ) -> AsyncGenerator[SQLAlchemyWorld]:
        name, place = database
        world = SQLAlchemyWorld(f"{CLIENTS[name][request.param == 'asynchronous']}{place}", writer)
        monkeypatch.setattr(Base, "_asynctasq_session_factory", world.factory, raising=False)
        yield world
        await world.close()


# What only SQLAlchemy has


@pytest.fixture
def rows(tmp_path: Path) -> Generator[sessionmaker[Session]]:
    """Sessions on a database of the test's own."""
    engine = create_engine(f"sqlite:///{tmp_path / 'rows.db'}")
    Base.metadata.create_all(engine)
    Local.metadata.create_all(engine)
    SQLModel.metadata.create_all(engine)
    yield sessionmaker(engine)
    engine.dispose()


@pytest_asyncio.fixture
async def resolver() -> AsyncGenerator[SQLAlchemyResolver]:
    resolver = SQLAlchemyResolver(ThreadExecutor(2))
    yield resolver
    await resolver.close()


class Local(MappedAsDataclass, DeclarativeBase):
    pass


class Point(Local):
    """A model that is a dataclass too."""

    __tablename__ = "point"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    text: Mapped[str]


class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    text: str


class Prefixed(TypeDecorator[Any]):
    """A key that only its column's type can read."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> str:
        return f"prefix-{value.hex}"

    def process_result_value(self, value: Any, dialect: object) -> UUID:
        return UUID(value.removeprefix("prefix-"))


class Odd(Base):
    __tablename__ = "odd"
    id: Mapped[UUID] = mapped_column(Prefixed(60), primary_key=True)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Paint(Base):
    __tablename__ = "paint"
    colour: Mapped[Colour] = mapped_column(primary_key=True)
    coat: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Nested:
    class Model(Base):
        __tablename__ = "nested"
        id: Mapped[int] = mapped_column(primary_key=True)


def saved(rows: sessionmaker[Session], row: Any) -> Any:
    with rows(expire_on_commit=False) as session:
        session.add(row)
        session.commit()
    return row


def test_a_row_that_is_expired_and_detached_still_has_its_key(rows, resolver):
    row = Note(text="text")
    with rows() as session:
        session.add(row)
        session.commit()
    assert isinstance(resolver.reference(row).pk, int)


def test_a_row_that_is_flushed_has_its_key_before_the_commit(rows, resolver):
    with rows() as session:
        row = Note(text="text")
        session.add(row)
        with pytest.raises(SerializationError, match="Note has no primary key yet: add it to a session and commit"):
            resolver.reference(row)
        session.flush()
        assert isinstance(resolver.reference(row).pk, int)


def test_a_key_that_was_set_with_another_type_is_refused_at_dispatch(rows, resolver):
    with rows() as session:
        row = Note(id="7", text="text")
        session.add(row)
        session.flush()
        with pytest.raises(SerializationError, match=r"has a str where a int is expected.*refresh"):
            resolver.reference(row)


def test_a_model_that_is_local_to_a_function_is_refused_at_dispatch(rows, resolver):
    class Hidden(Base):
        __tablename__ = "hidden"
        id: Mapped[int] = mapped_column(primary_key=True)

    Hidden.metadata.tables["hidden"].create(rows.kw["bind"])
    try:
        with pytest.raises(SerializationError, match=r"no worker could find the model .*Hidden.*top of a module"):
            resolver.reference(saved(rows, Hidden()))
    finally:
        Base.registry._dispose_cls(Hidden)
        Base.metadata.remove(Hidden.__table__)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "make",
    [lambda: Point(text="text"), lambda: Hero(text="text"), Nested.Model, lambda: Odd(id=UUID(int=7))],
    ids=["dataclass", "SQLModel", "nested", "TypeDecorator"],
)
@pytest.mark.parametrize("sessions", ["synchronous", "asynchronous"])
async def test_other_kinds_of_models_come_back(make, sessions, rows, resolver, monkeypatch):
    row = saved(rows, make())
    engine = create_async_engine(f"sqlite+aiosqlite:///{rows.kw['bind'].url.database}")
    factory = rows if sessions == "synchronous" else async_sessionmaker(engine)
    monkeypatch.setattr(type(row), "_asynctasq_session_factory", factory, raising=False)
    try:
        (found,) = await resolver.resolve([resolver.reference(row)])
        assert type(found) is type(row)
        assert inspect(found).identity == inspect(row).identity
    finally:
        await engine.dispose()


@pytest.mark.asyncio
async def test_a_key_of_an_enumeration_comes_back_by_the_name_of_its_member(rows, resolver, monkeypatch):
    monkeypatch.setattr(Paint, "_asynctasq_session_factory", rows, raising=False)
    paints = [saved(rows, Paint(colour=colour, coat=1)) for colour in (Colour.RED, Colour.BLUE)]
    refs = [travelled(resolver.reference(paint)) for paint in paints]
    assert refs[0].pk == ("RED", 1)
    assert [paint.colour for paint in await resolver.resolve(refs)] == [Colour.RED, Colour.BLUE]
    for other in ("r", "GREEN", 1):
        with pytest.raises(UndecodableTask, match=r"that names no Colour"):
            await resolver.resolve([replace(refs[0], pk=(other, 1))])


@pytest.mark.asyncio
async def test_a_key_that_its_columns_type_cannot_take_is_refused(rows, resolver, monkeypatch):
    monkeypatch.setattr(Odd, "_asynctasq_session_factory", rows, raising=False)
    ref = resolver.reference(saved(rows, Odd(id=UUID(int=8))))
    with pytest.raises(UndecodableTask, match="does not fit its column's type"):
        await resolver.resolve([replace(ref, pk="text")])
    with pytest.raises(UndecodableTask, match="a list, which is no key"):
        await resolver.resolve([replace(ref, pk=["text"])])


@pytest.mark.asyncio
async def test_the_factory_of_the_nearest_class_is_used(rows, resolver, monkeypatch):
    used = []
    monkeypatch.setattr(Base, "_asynctasq_session_factory", lambda: used.append("base") or rows(), raising=False)
    monkeypatch.setattr(Note, "_asynctasq_session_factory", lambda: used.append("note") or rows(), raising=False)
    refs = [resolver.reference(saved(rows, row)) for row in (Note(text=""), Reply(text=""), Ticket(text=""))]
    assert None not in await resolver.resolve(refs)
    assert sorted(used) == ["base", "note", "note"]


@pytest.mark.asyncio
async def test_without_a_session_factory_the_line_to_add_is_shown(rows, resolver):
    for row, line in (
        (Note(text=""), "Base._asynctasq_session_factory = async_sessionmaker(engine)"),
        (Hero(text=""), "SQLModel._asynctasq_session_factory = async_sessionmaker(engine)"),
    ):
        with pytest.raises(ConfigurationError) as refusal:
            await resolver.resolve([resolver.reference(saved(rows, row))])
        assert f"no session factory for the model {type(row).__name__}" in str(refusal.value)
        assert line in str(refusal.value)


@pytest.mark.asyncio
async def test_a_factory_that_makes_something_else_is_refused(rows, resolver, monkeypatch):
    async def coroutine() -> None: ...

    ref = resolver.reference(saved(rows, Note(text="")))
    for factory, made in ((lambda: rows.kw["bind"], "Engine"), (coroutine, "coroutine")):
        monkeypatch.setattr(Base, "_asynctasq_session_factory", factory, raising=False)
        with pytest.raises(ConfigurationError, match=rf"of the model Note made a {made}: use a sessionmaker"):
            await resolver.resolve([ref])


@pytest.mark.asyncio
async def test_the_session_of_a_scope_is_left_alone(rows, resolver, monkeypatch):
    scope = scoped_session(rows)
    monkeypatch.setattr(Base, "_asynctasq_session_factory", scope, raising=False)
    mine = scope()
    row = Note(text="text")
    mine.add(row)
    mine.commit()
    (found,) = await resolver.resolve([resolver.reference(row)])
    assert found is not row
    assert row in mine
    assert scope() is mine
    scope.remove()


@pytest.mark.asyncio
async def test_no_code_of_a_module_runs_when_a_label_is_looked_up(rows, resolver, monkeypatch):
    module = types.ModuleType("lazy_module")
    module.__getattr__ = lambda name: pytest.fail(f"asked for {name}")  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy_module", module)
    ref = resolver.reference(saved(rows, Note(text="")))
    with pytest.raises(UndecodableTask):
        await resolver.resolve([replace(ref, label="lazy_module:Model")])


@pytest.mark.asyncio
async def test_a_models_module_may_be_called_by_its_last_name_if_there_is_one_such(rows, resolver, monkeypatch):
    monkeypatch.setattr(Base, "_asynctasq_session_factory", rows, raising=False)
    ref = resolver.reference(saved(rows, Note(text="")))
    assert ref.label == "tests.contract.resolvers.sqlalchemy_world:Note"
    short = replace(ref, label="sqlalchemy_world:Note")
    assert None not in await resolver.resolve([short])
    other = types.ModuleType("other.sqlalchemy_world")
    other.Note = Reply  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "other.sqlalchemy_world", other)
    with pytest.raises(UndecodableTask):
        await resolver.resolve([short])
