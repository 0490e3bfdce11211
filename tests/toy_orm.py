"""An ORM of dicts and its resolver: all that the app sees of one, in a few lines."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from asynctasq.domain.errors import SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.ports.resolver import ModelResolver
from asynctasq.testing.contract.resolver import ResolverWorld


class Row:
    """A row; the table is its class. It is never equal to another, and a dataclass or pydantic model may hold it."""

    key_type: type = int

    def __init__(self, pk: Any = None, text: str = "") -> None:
        self.pk = pk
        self.text = text
        self.saved = False

    @property
    def relation(self) -> object:
        raise LookupError("the relation was not loaded")


class Ticket(Row):
    key_type = UUID


class Country(Row):
    key_type = str


class Day(Row):
    key_type = date


class Child(Row): ...


class Seat(Row):
    key_type = tuple


MODELS: dict[str, type[Row]] = {
    "int": Row,
    "uuid": Ticket,
    "str": Country,
    "date": Day,
    "child": Child,
    "composite": Seat,
}
_labels = {f"toy.{model.__name__}": model for model in MODELS.values()}


class ToyDatabase:
    """Rows by model and key. A connection is held for two turns of the loop, or until as many others have come as shall meet."""

    def __init__(self) -> None:
        self.stored: dict[tuple[type[Row], Any], Row] = {}
        self.held = 0
        self.barrier: asyncio.Barrier | None = None
        self.error: BaseException | None = None
        self.fetches = 0

    def save(self, row: Row) -> Row:
        row.saved = True
        self.stored[type(row), row.pk] = copy.copy(row)
        return row

    def delete(self, row: Row) -> None:
        del self.stored[type(row), row.pk]
        row.pk = None
        row.saved = False

    async def fetch(self, model: type[Row], keys: Sequence[Any]) -> dict[Any, Row]:
        self.held += 1
        self.fetches += 1
        try:
            for _ in range(2):
                await asyncio.sleep(0)
            if self.barrier is not None:
                await self.barrier.wait()
            if self.error is not None:
                raise self.error
            return {key: copy.copy(self.stored[model, key]) for key in keys if (model, key) in self.stored}
        finally:
            self.held -= 1


class ToyResolver(ModelResolver):
    orm = "toy"

    def __init__(self, database: ToyDatabase) -> None:
        self.database = database
        self.opened = False

    def owns(self, kind: type) -> bool:
        return issubclass(kind, Row)

    def reference(self, row: object) -> ModelRef:
        assert isinstance(row, Row)
        if not row.saved:
            raise SerializationError(f"this {type(row).__name__} was never saved: save it")
        return ModelRef(orm=self.orm, label=f"toy.{type(row).__name__}", pk=row.pk)

    async def open(self) -> None:
        self.opened = True

    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object | None]:
        by_model: dict[type[Row], dict[Any, None]] = {}
        for ref in refs:
            by_model.setdefault(self.checked(ref), {})[ref.pk] = None
        found = dict(zip(by_model, await self.gathered(by_model), strict=True))
        return [found[self.checked(ref)].get(ref.pk) for ref in refs]

    def checked(self, ref: ModelRef) -> type[Row]:
        model = _labels.get(ref.label)
        if model is None:
            raise UndecodableTask(f"this worker knows no toy model {ref.label!r}")
        if ref.alias is not None:
            raise UndecodableTask("no such database")
        if type(ref.pk) is not model.key_type:
            raise UndecodableTask("wrong key")
        if model is Seat and tuple(map(type, ref.pk)) != (int, str):
            raise UndecodableTask("wrong key")
        return model

    async def gathered(self, by_model: dict[type[Row], dict[Any, None]]) -> Sequence[dict[Any, Row]]:
        return await asyncio.gather(*(self.database.fetch(model, list(keys)) for model, keys in by_model.items()))

    def surround(self, function: Any) -> Any:
        return function

    async def close(self) -> None:
        self.opened = False


@dataclass
class ToyWorld(ResolverWorld):
    database: ToyDatabase
    resolver: ToyResolver  # type: ignore[mutable-override]

    def __post_init__(self) -> None:
        self.numbers = count(1)

    def key(self, kind: str) -> Any:
        number = next(self.numbers)
        return {
            "uuid": uuid4(),
            "str": f"{number}",
            "date": date(2024, 1, 1) + timedelta(number),
            "composite": (number, f"{number}"),
        }.get(kind, number)

    async def save(self, kind: str, *, text: str = "") -> Row:
        return self.database.save(MODELS[kind](self.key(kind), text))

    def build(self, kind: str) -> Row:
        return MODELS[kind](self.key(kind))

    async def change(self, row: Row, text: str) -> None:
        self.database.stored[type(row), row.pk].text = text

    async def delete(self, row: Row) -> None:
        self.database.delete(row)

    def text(self, row: Row) -> str:
        return row.text

    def relation(self, child: Row) -> object:
        return child.relation

    def held(self) -> int:
        return self.database.held

    @asynccontextmanager
    async def meeting(self, statements: int) -> AsyncGenerator[None]:
        self.database.barrier = asyncio.Barrier(statements)
        yield
        self.database.barrier = None
