"""Django set up for the contract, and the world of its models. One process, several databases: each is an alias."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created

from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.testing.contract.resolver import PATIENCE, ResolverWorld

if not settings.configured:
    settings.configure(
        DATABASES={DEFAULT_DB_ALIAS: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["tests.contract.resolvers.django_app.apps.WorldConfig"],
    )
    django.setup()

from tests.contract.resolvers.django_app import models

from asynctasq.adapters.resolvers.django import DjangoResolver

_numbers = itertools.count(os.getpid() % 100_000 * 100)

MODELS: dict[str, Any] = {
    "int": models.Note,
    "uuid": models.Ticket,
    "str": models.Country,
    "date": models.Day,
    "child": models.Reply,
    "composite": models.Seat,
}


def use_database(alias: str, database: dict[str, Any]) -> None:
    """Make a database known by an alias, the default one included."""
    connections.close_all()
    settings.DATABASES = {**settings.DATABASES, alias: database}
    connections.settings = connections.configure_settings(settings.DATABASES)
    if hasattr(connections._connections, alias):
        del connections[alias]


def add_database(alias: str, database: dict[str, Any]) -> None:
    """Make a database known by an alias, and create the tables in it."""
    use_database(alias, database)
    with connections[alias].schema_editor() as editor:
        for model in (*MODELS.values(), models.Secret, models.Badge, models.Paint, models.Moment):
            editor.create_model(model)
    connections.close_all()


def _key(kind: str) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "str": {"code": f"é'{number}"},
        "date": {"day": date(1, 1, 1) + timedelta(number % 3_000_000)},
        "composite": {"row": number, "letter": f"é'{number}"},
    }.get(kind, {})


class DjangoWorld(ResolverWorld):
    """The rows of one database.

    Args:
        alias: which.
    """

    def __init__(self, alias: str) -> None:
        self.resolver = DjangoResolver(ThreadExecutor(8))
        self.alias = alias
        self.opened: set[Any] = set()
        self.barrier: threading.Barrier | None = None
        self.have_met = set[int]()
        connection_created.connect(self._on_connection)

    async def close(self) -> None:
        await self.resolver.close()
        connection_created.disconnect(self._on_connection)
        for connection in self.opened:
            connection.execute_wrappers.clear()

    async def write(self, change: Callable[[], Any]) -> Any:
        """Have the ORM change something in its own thread, and leave no connection open there."""

        def changed() -> Any:
            try:
                return change()
            finally:
                connections.close_all()

        return await sync_to_async(changed)()

    async def save(self, kind: str, *, text: str = "") -> Any:
        def save() -> Any:
            more = _key(kind)
            if kind == "child":
                more["ticket"] = models.Ticket.objects.using(self.alias).create(text="behind the relation")
            row = MODELS[kind](**more, text=text)
            row.save(using=self.alias, force_insert=True)
            return row

        return await self.write(save)

    def build(self, kind: str) -> Any:
        return MODELS[kind](**_key(kind), text="")

    async def change(self, row: Any, text: str) -> None:
        await self.write(lambda: type(row).objects.using(self.alias).filter(pk=row.pk).update(text=text))

    async def delete(self, row: Any) -> None:
        await self.write(row.delete)

    def text(self, row: Any) -> str:
        return str(row.text)

    def relation(self, child: Any) -> object:
        return child.ticket.text

    def held(self) -> int:
        return sum(connection.connection is not None for connection in list(self.opened))

    @asynccontextmanager
    async def meeting(self, statements: int) -> AsyncGenerator[None]:
        self.barrier = threading.Barrier(statements)
        self.have_met = set()
        yield
        self.barrier = None

    def _on_connection(self, connection: Any, **_: object) -> None:
        self.opened.add(connection)
        if self._meet not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._meet)

    def _meet(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        # Once in each thread: one that has no connection yet asks the server about itself before it asks for a row.
        thread = threading.get_ident()
        if self.barrier is not None and thread not in self.have_met:
            self.have_met.add(thread)
            self.barrier.wait(PATIENCE)
        return execute(sql, params, many, context)


__all__ = ["MODELS", "DjangoWorld", "add_database", "models", "use_database"]
