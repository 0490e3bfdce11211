"""Rows of `sqlite_records` as arguments of tasks: what travels is the model's name and a key, and the worker fetches the row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asynctasq.errors import ConfigurationError, SerializationError, UndecodableTask
from asynctasq.ports import ModelRef, ModelResolver
from sqlite_records import MODELS, Database, Record, columns


class SqliteRecordsResolver(ModelResolver):
    """Finds models among those that were defined in this process, and fetches their rows in threads, model beside model.

    Args:
        path: the database's file.
        timeout: seconds to wait for a writer.
    """

    orm = "sqlite_records"

    def __init__(self, *, path: Path, timeout: float = 5.0) -> None:
        self.database = Database(path, timeout=timeout)

    def owns(self, kind: type) -> bool:
        """Whether it is a model; see the port."""
        return issubclass(kind, Record) and kind is not Record

    def reference(self, row: object) -> ModelRef:
        """The model's `module:qualname` and the key; see the port."""
        assert isinstance(row, Record)
        model = type(row)
        label = f"{model.__module__}:{model.__qualname__}"
        if not row.is_saved:
            raise SerializationError(
                f"this {model.__qualname__} was never saved, or was deleted: save it, then dispatch"
            )
        if model.__module__ == "__main__" or MODELS.get(label) is not model or "<" in label:
            raise SerializationError(f"no worker could find the model {label}: define it at the top of a module")
        if type(row.key) is not _type_of_key(model):
            raise SerializationError(
                f"the key of this {model.__qualname__} is a {type(row.key).__name__}, which no column is"
            )
        return ModelRef(orm=self.orm, label=label, pk=row.key)

    async def open(self) -> None:
        """Look whether the file is there; see the port."""
        if not self.database.path.is_file():
            raise ConfigurationError(f"resolvers.{self.orm}.path: there is no file {str(self.database.path)!r}")

    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object | None]:
        """The rows as they are now; see the port."""
        wanted = [(_model(ref), ref.pk) for ref in refs]
        keys: dict[type[Record], dict[object, None]] = {}
        for model, key in wanted:
            keys.setdefault(model, {})[key] = None
        if not keys:
            return []
        fetching = {
            model: asyncio.ensure_future(asyncio.to_thread(self.database.get_many, model, list(of_model)))
            for model, of_model in keys.items()
        }
        try:
            await asyncio.wait(fetching.values())
        except asyncio.CancelledError:
            await asyncio.wait(fetching.values())  # a thread cannot be stopped, and no file is left open behind
            raise
        for error in [each.exception() for each in fetching.values()]:
            if error is not None:
                raise error
        return [fetching[model].result().get(key) for model, key in wanted]

    def surround(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing: what a task does with the database is the task's."""
        return function

    async def close(self) -> None:
        """Nothing: no file stays open."""


def _model(ref: ModelRef) -> type[Record]:
    """The model of a reference, whose key is one that it can have."""
    model = MODELS.get(ref.label)
    if model is None:
        raise UndecodableTask(f"this worker knows no {ref.orm} model {ref.label!r}: import the module that defines it")
    if ref.alias is not None:
        raise UndecodableTask(f"a reference to {ref.label!r} names a database: there is one, and it has no name")
    if type(ref.pk) is not _type_of_key(model):
        raise UndecodableTask(f"the key of a reference to {ref.label!r} is a {type(ref.pk).__name__}")
    return model


def _type_of_key(model: type[Record]) -> type:
    return next(iter(columns(model).values()))
