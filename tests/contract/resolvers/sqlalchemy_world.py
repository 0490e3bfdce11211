"""Models of SQLAlchemy for the contract, and the databases they are in."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, ForeignKey, String, Text, Uuid, create_engine, event, update
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker
from sqlalchemy.util import await_only

from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.adapters.resolvers.sqlalchemy import SQLAlchemyResolver
from asynctasq.testing.contract.resolver import PATIENCE, ResolverWorld

_numbers = itertools.count(os.getpid() % 100_000 * 100)


LONG = Text().with_variant(MEDIUMTEXT(), "mysql")


class Base(DeclarativeBase):
    """What these models share. No other ORM's tests have tables of these names in the same database."""


class Note(Base):
    __tablename__ = "alchemy_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), default="note")
    text: Mapped[str] = mapped_column(LONG)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "note"}  # noqa: RUF012 SQLAlchemy's own


class Reply(Note):
    __tablename__ = "alchemy_reply"
    id: Mapped[int] = mapped_column(ForeignKey("alchemy_note.id"), primary_key=True)
    ticket_id: Mapped[UUID | None] = mapped_column(ForeignKey("alchemy_ticket.id"))
    ticket: Mapped[Ticket | None] = relationship()
    __mapper_args__ = {"polymorphic_identity": "reply"}  # noqa: RUF012


class Ticket(Base):
    __tablename__ = "alchemy_ticket"
    # The attribute is not named as its column is.
    number: Mapped[UUID] = mapped_column("id", Uuid, primary_key=True, default=uuid4)
    text: Mapped[str] = mapped_column(LONG)


class Country(Base):
    __tablename__ = "alchemy_country"
    code: Mapped[str] = mapped_column(String(60), primary_key=True)
    text: Mapped[str] = mapped_column(LONG)


class Day(Base):
    __tablename__ = "alchemy_day"
    day: Mapped[date] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(LONG)


class Seat(Base):
    __tablename__ = "alchemy_seat"
    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    letter: Mapped[str] = mapped_column(String(60), primary_key=True)
    text: Mapped[str] = mapped_column(LONG)


MODELS: dict[str, Any] = {"int": Note, "uuid": Ticket, "str": Country, "date": Day, "child": Reply, "composite": Seat}


def _key(kind: str) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "str": {"code": f"é'{number}"},
        "date": {"day": date(1, 1, 1) + timedelta(number % 3_000_000)},
        "composite": {"row": number, "letter": f"é'{number}"},
    }.get(kind, {})


class SQLAlchemyWorld(ResolverWorld):
    """Sessions of one kind on one database. An engine of our own writes the rows, so that the pool is the resolver's.

    Args:
        url: the database, for the resolver.
        writer: the same database, for us.
    """

    def __init__(self, url: str, writer: Engine) -> None:
        self.resolver = SQLAlchemyResolver(ThreadExecutor(8))
        self.writer = writer
        self.write = sessionmaker(writer, expire_on_commit=False)
        self.engine: Engine | AsyncEngine
        is_async = any(driver in url for driver in ("aiosqlite", "asyncpg", "aiomysql"))
        if is_async:
            self.engine = create_async_engine(url)
            self.sync_engine = self.engine.sync_engine
            self.factory: Any = async_sessionmaker(self.engine)
        else:
            self.engine = self.sync_engine = create_engine(url)
            self.factory = sessionmaker(self.engine)
        self.is_async = is_async

    async def close(self) -> None:
        await self.resolver.close()
        if isinstance(self.engine, AsyncEngine):
            await self.engine.dispose()
        else:
            self.engine.dispose()

    async def save(self, kind: str, *, text: str = "") -> Any:
        row = MODELS[kind](**_key(kind), text=text)
        with self.write.begin() as session:
            if kind == "child":
                row.ticket = Ticket(text="behind the relation")
            session.add(row)
        return row

    def build(self, kind: str) -> Any:
        key = {"int": {"id": 1}, "child": {"id": 1}, "uuid": {"number": uuid4()}}.get(kind)
        return MODELS[kind](**(key or _key(kind)), text="")

    async def change(self, row: Any, text: str) -> None:
        with self.write.begin() as session:
            session.execute(update(type(row)).where(type(row).id == row.id).values(text=text))

    async def delete(self, row: Any) -> None:
        with self.write.begin() as session:
            session.delete(row)

    def text(self, row: Any) -> str:
        return str(row.text)

    def relation(self, child: Any) -> object:
        return child.ticket

    def held(self) -> int:
        pool: Any = self.sync_engine.pool
        return int(pool.checkedout())

    @asynccontextmanager
    async def meeting(self, statements: int) -> AsyncGenerator[None]:
        in_threads, on_loop = threading.Barrier(statements), asyncio.Barrier(statements)

        def meet(*_: object) -> None:
            if self.is_async:
                await_only(on_loop.wait())
            else:
                in_threads.wait(PATIENCE)

        event.listen(self.sync_engine, "before_cursor_execute", meet)
        yield
        event.remove(self.sync_engine, "before_cursor_execute", meet)
