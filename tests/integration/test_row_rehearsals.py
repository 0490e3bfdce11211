"""Rows of each ORM in a rehearsal: dispatched, recognised however they were loaded, and read anew when the test drains."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from tests.contract.resolvers import django_world, sqlalchemy_world, tortoise_world
from tortoise import Tortoise

from asynctasq.adapters.resolvers.tortoise import TortoiseResolver
from asynctasq.tasks import task
from asynctasq.testing import Rehearsal

pytestmark = pytest.mark.asyncio


@task(max_attempts=1)
async def read(note: Any, others: Any = ()) -> list[str]:
    return [note.text, *(other.text for other in others)]


class Notes(Protocol):
    """The notes of one ORM."""

    async def new(self, text: str) -> Any:
        """A new one, committed."""

    async def again(self, note: Any) -> Any:
        """The same one, loaded apart from it."""

    async def change(self, note: Any, text: str) -> None:
        """Another text for it in the database."""

    def unsaved(self) -> Any:
        """One that was never saved."""


class OfSQLAlchemy:
    def __init__(self, engine: AsyncEngine) -> None:
        self.sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def new(self, text: str) -> Any:
        async with self.sessions.begin() as session:
            note = sqlalchemy_world.Note(text=text)
            session.add(note)
        return note

    async def again(self, note: Any) -> Any:
        async with self.sessions() as session:
            return await session.get(sqlalchemy_world.Note, note.id)

    async def change(self, note: Any, text: str) -> None:
        async with self.sessions.begin() as session:
            (await session.get_one(sqlalchemy_world.Note, note.id)).text = text

    def unsaved(self) -> Any:
        return sqlalchemy_world.Note(text="")


class OfDjango:
    note = django_world.models.Note

    async def new(self, text: str) -> Any:
        return await self.note.objects.acreate(text=text)

    async def again(self, note: Any) -> Any:
        return await self.note.objects.aget(pk=note.pk)

    async def change(self, note: Any, text: str) -> None:
        await self.note.objects.filter(pk=note.pk).aupdate(text=text)

    def unsaved(self) -> Any:
        return self.note(text="")


class OfTortoise:
    note = tortoise_world.models.Note

    async def new(self, text: str) -> Any:
        return await self.note.create(text=text)

    async def again(self, note: Any) -> Any:
        return await self.note.get(pk=note.pk)

    async def change(self, note: Any, text: str) -> None:
        await self.note.filter(pk=note.pk).update(text=text)

    def unsaved(self) -> Any:
        return self.note(text="")


@pytest_asyncio.fixture(params=["sqlalchemy", "django", "tortoise"])
async def notes(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Notes]:
    if request.param == "sqlalchemy":
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'rows.db'}")
        async with engine.begin() as connection:
            await connection.run_sync(sqlalchemy_world.Base.metadata.create_all)
        of_sqlalchemy = OfSQLAlchemy(engine)
        monkeypatch.setattr(sqlalchemy_world.Base, "_asynctasq_session_factory", of_sqlalchemy.sessions, raising=False)
        yield of_sqlalchemy
        await engine.dispose()
    elif request.param == "django":
        place = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "rows.db")}
        before = settings.DATABASES[DEFAULT_DB_ALIAS]  # of tests that run around these in the same process
        await sync_to_async(django_world.add_database)(DEFAULT_DB_ALIAS, place)
        yield OfDjango()
        await sync_to_async(django_world.use_database)(DEFAULT_DB_ALIAS, before)
    else:
        app = TortoiseResolver(tortoise_world.config(f"sqlite://{tmp_path / 'rows.db'}"))
        await app.open()
        await Tortoise.generate_schemas()
        yield OfTortoise()
        await app.close()


async def test_a_row_is_recognised_however_it_was_loaded(notes: Notes) -> None:
    one, two = await notes.new("one"), await notes.new("two")
    with Rehearsal() as rehearsal:
        await read(one, others=[two]).dispatch()
        (call,) = rehearsal.assert_dispatched(read, note=await notes.again(one), others=[await notes.again(two)])
        assert call.arguments["note"] is one
        rehearsal.assert_not_dispatched(read, note=two)
        rehearsal.assert_not_dispatched(read, others=[one])
        rehearsal.assert_not_dispatched(read, others=[two, two])
        rehearsal.assert_not_dispatched(read, note=notes.unsaved())
        with pytest.raises(AssertionError, match=r"(?s)Note.* was not dispatched.*Note"):
            rehearsal.assert_dispatched(read, note=two)


async def test_a_row_is_read_anew_when_the_test_drains(notes: Notes) -> None:
    one, two = await notes.new("one"), await notes.new("two")
    with Rehearsal() as rehearsal:
        await read(one, others=[two, one]).dispatch()
        await notes.change(two, "changed")
        (ran,) = await rehearsal.drain()
        assert (ran.result, ran.error) == (["one", "changed", "one"], None)


async def test_a_row_is_read_within_its_dispatch_where_tasks_run_inline(notes: Notes) -> None:
    one = await notes.new("one")
    await notes.change(one, "changed")
    with Rehearsal(inline=True) as rehearsal:
        await read(one).dispatch()
        (ran,) = rehearsal.ran
        assert ran.result == ["changed"]
