from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections
from tests.contract.resolvers.django_world import DjangoWorld, add_database, models

from asynctasq.testing.contract.resolver import ResolverContract, travelled

pymysql.install_as_MySQLdb()


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mysql"])
def alias(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The alias of a database with the tables in it; SQLite is the default one."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("rows") / "rows.db"
        add_database(DEFAULT_DB_ALIAS, {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)})
        return DEFAULT_DB_ALIAS
    engine = {"postgres": "postgresql", "mysql": "mysql"}[request.param]
    url = urlsplit(request.getfixturevalue(f"{request.param}_url"))
    database: dict[str, Any] = {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": url.path.removeprefix("/"),
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.hostname or "",
        "PORT": url.port or "",
    }
    add_database(request.param, database)
    return str(request.param)


class TestDjangoResolver(ResolverContract):
    @pytest_asyncio.fixture
    async def world(self, alias: str) -> AsyncGenerator[DjangoWorld]:
        world = DjangoWorld(alias)
        yield world
        await world.close()


# What only Django has


@pytest_asyncio.fixture
async def other(alias: str) -> AsyncGenerator[DjangoWorld]:
    """The same database, under a name that is never the default's."""
    world = DjangoWorld(alias)
    yield world
    await world.close()


async def saved(world: DjangoWorld, row: Any) -> Any:
    await world.write(lambda: row.save(using=world.alias, force_insert=True))
    return row


@pytest.mark.asyncio
async def test_the_database_of_a_row_travels_unless_it_is_the_default(other: DjangoWorld) -> None:
    ref = other.resolver.reference(await saved(other, models.Note(text="")))
    assert ref.alias == (None if other.alias == DEFAULT_DB_ALIAS else other.alias)
    (found,) = await other.resolver.resolve([ref])
    assert found is not None
    assert found._state.db == other.alias


@pytest.mark.asyncio
async def test_a_row_that_the_default_manager_hides_is_found(other: DjangoWorld) -> None:
    secret = await saved(other, models.Secret())
    assert None not in await other.resolver.resolve([other.resolver.reference(secret)])


@pytest.mark.asyncio
async def test_a_key_that_is_another_rows_and_a_proxy_come_back(other: DjangoWorld) -> None:
    badge = await saved(other, models.Badge(ticket=await saved(other, models.Ticket(text=""))))
    proxy = await saved(other, models.Alias(text="of a proxy"))
    found = await other.resolver.resolve([other.resolver.reference(row) for row in (badge, proxy)])
    assert [type(row) for row in found] == [models.Badge, models.Alias]


@pytest.mark.asyncio
async def test_a_key_that_is_a_time_or_of_choices_comes_back(other: DjangoWorld) -> None:
    paint = await saved(other, models.Paint(colour=models.Paint.Colour.RED))
    moment = await saved(other, models.Moment(at=datetime(2026, 3, 29, 2, 30, tzinfo=UTC)))
    refs = [travelled(other.resolver.reference(row)) for row in (paint, moment)]
    assert [(type(row), row.pk) for row in await other.resolver.resolve(refs)] == [
        (models.Paint, "red"),
        (models.Moment, datetime(2026, 3, 29, 2, 30, tzinfo=UTC)),
    ]


@pytest.mark.asyncio
async def test_a_task_closes_the_connections_that_it_has_opened(other: DjangoWorld) -> None:
    note = await saved(other, models.Note(text=""))

    def plain() -> str:
        found = models.Note.objects.using(other.alias).get(pk=note.pk).text
        assert other.held() == 1
        return str(found)

    async def coroutine() -> None:
        await models.Note.objects.using(other.alias).aget(pk=note.pk)
        assert other.held() == 1

    await asyncio.to_thread(other.resolver.surround(plain))
    assert other.held() == 0
    await other.resolver.surround(coroutine)()
    await sync_to_async(lambda: None)()  # the closing is ahead of this in the same thread
    assert other.held() == 0


@pytest.mark.asyncio
async def test_a_task_that_failed_or_was_cancelled_has_its_connections_closed(other: DjangoWorld) -> None:
    note = await saved(other, models.Note(text=""))
    opened = asyncio.Event()

    def plain() -> None:
        models.Note.objects.using(other.alias).get(pk=note.pk)
        raise LookupError

    async def coroutine() -> None:
        await models.Note.objects.using(other.alias).aget(pk=note.pk)
        assert other.held() == 1
        opened.set()
        await asyncio.Event().wait()

    with pytest.raises(LookupError):
        await asyncio.to_thread(other.resolver.surround(plain))
    assert other.held() == 0
    running = asyncio.ensure_future(other.resolver.surround(coroutine)())
    await opened.wait()
    running.cancel()
    await asyncio.wait([running])
    await sync_to_async(lambda: None)()  # the closing is ahead of this in the same thread
    assert other.held() == 0


@pytest.mark.asyncio
async def test_a_connection_that_lives_on_is_closed_with_the_resolver(other: DjangoWorld) -> None:
    ref = other.resolver.reference(await saved(other, models.Note(text="")))
    connections.settings[other.alias]["CONN_MAX_AGE"] = None
    try:
        await other.resolver.resolve([ref])
        assert other.held() == 1
        await other.resolver.close()
        assert other.held() == 0
    finally:
        connections.settings[other.alias]["CONN_MAX_AGE"] = 0


def test_django_is_set_up_by_its_own_variable(tmp_path: Path) -> None:
    (tmp_path / "shop_settings.py").write_text("INSTALLED_APPS = []\nDATABASES = {}\n")
    script = "from asynctasq.app.container import set_orms_up; set_orms_up(); from django.apps import apps; print(apps.ready)"
    for settings, said in (
        ("shop_settings", "True"),
        ("no_such_settings", "cannot set up Django: correct DJANGO_SETTINGS_MODULE"),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert said in ran.stdout + ran.stderr
