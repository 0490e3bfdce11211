"""Tortoise for the contract: initialised for each test by the resolver itself, on one database."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any, ClassVar
from uuid import uuid4

from tests.contract.resolvers import tortoise_models as models
from tortoise import Tortoise

from asynctasq.adapters.resolvers.tortoise import TortoiseResolver
from asynctasq.testing.contract.resolver import ResolverWorld

_numbers = itertools.count(os.getpid() % 100_000 * 100)

MODELS: dict[str, Any] = {
    "int": models.Note,
    "uuid": models.Ticket,
    "str": models.Country,
    "date": models.Day,
    "child": models.Reply,
}


def config(url: str) -> dict[str, Any]:
    """What Tortoise is initialised with: connections are called by their kind, since it caches statements by that name."""
    name = url.partition(":")[0]
    return {
        "connections": {name: url},
        "apps": {"world": {"models": [models.__name__], "default_connection": name}},
    }


def _key(kind: str) -> dict[str, Any]:
    number = next(_numbers)
    return {"str": {"code": f"é'{number}"}, "date": {"day": date(1, 1, 1) + timedelta(number % 3_000_000)}}.get(
        kind, {}
    )


_with_tables: set[str] = set()


class TortoiseWorld(ResolverWorld):
    """The rows of one database.

    Args:
        url: which.
    """

    composite_keys: ClassVar[bool] = False
    notes_deletions: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.resolver = TortoiseResolver(config(url))

    async def open(self) -> None:
        await self.resolver.open()
        self.client: Any = Tortoise.get_connection(self.url.partition(":")[0])
        if self.url not in _with_tables:  # MariaDB warns of tables that exist
            await Tortoise.generate_schemas()
            _with_tables.add(self.url)

    async def save(self, kind: str, *, text: str = "") -> Any:
        more = _key(kind)
        if kind == "child":
            more["ticket"] = await models.Ticket.create(text="behind the relation")
        return await MODELS[kind].create(**more, text=text)

    def build(self, kind: str) -> Any:
        return MODELS[kind](**(_key(kind) or {"pk": uuid4() if kind == "uuid" else 1}), text="")

    async def change(self, row: Any, text: str) -> None:
        await type(row).filter(pk=row.pk).update(text=text)

    async def delete(self, row: Any) -> None:
        await row.delete()

    def text(self, row: Any) -> str:
        return str(row.text)

    def relation(self, child: Any) -> object:
        return child.ticket.text

    def held(self) -> int:
        pool = getattr(self.client, "_pool", None)
        if pool is None:  # closed; or SQLite's, which is one connection and a lock
            return int(self.client._lock.locked() if hasattr(self.client, "_lock") else 0)
        if hasattr(pool, "get_idle_size"):
            return int(pool.get_size() - pool.get_idle_size())
        return int(pool.size - pool.freesize)

    @asynccontextmanager
    async def meeting(self, statements: int) -> AsyncGenerator[None]:
        barrier, client = asyncio.Barrier(statements), self.client
        execute = client.execute_query

        async def meet(*args: Any, **kwargs: Any) -> Any:
            await barrier.wait()
            return await execute(*args, **kwargs)

        client.execute_query = meet
        yield
        del client.execute_query


__all__ = ["MODELS", "TortoiseWorld", "config", "models"]
