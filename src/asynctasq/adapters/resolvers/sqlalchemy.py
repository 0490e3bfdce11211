"""Rows of SQLAlchemy models, those of SQLModel included."""

from __future__ import annotations

import asyncio
import enum
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import and_, inspect, or_, select
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import InstanceState, Mapper, Session, scoped_session
from sqlalchemy.types import TypeDecorator

from asynctasq.adapters.resolvers.keys import BATCH, COMPOSITE_BATCH, fetch_each, plain, unknown_label, wrong_key
from asynctasq.domain.errors import ConfigurationError, SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.domain.script import script_name
from asynctasq.ports.executor import LocalExecutor
from asynctasq.ports.resolver import ModelResolver

FACTORY = "_asynctasq_session_factory"
"""The attribute of a model, or of a base of it, that makes its sessions."""


class SQLAlchemyResolver(ModelResolver):
    """Finds models by module and name among those that are imported, and fetches rows in sessions of the model's factory.

    Every model of a task has a session of its own, so that they are fetched side by side; the rows of one model come with one
    `IN`. Sessions are closed, and rows detached from them, before the task begins.

    Args:
        threads: where synchronous sessions wait for their database.
    """

    orm = "sqlalchemy"

    def __init__(self, threads: LocalExecutor) -> None:
        self._threads = threads

    def owns(self, kind: type) -> bool:
        """Whether `kind` is mapped."""
        return isinstance(inspect(kind, raiseerr=False), Mapper)

    def reference(self, row: object) -> ModelRef:
        """The model's `module:qualname` and the row's identity, which is known without loading anything; see the port."""
        state = cast("InstanceState[Any]", inspect(row))
        model = type(row)
        if state.key is None:
            raise SerializationError(
                f"this {model.__qualname__} has no primary key yet: add it to a session and commit, then dispatch"
            )
        if state.deleted or state.was_deleted:
            raise SerializationError(
                f"this {model.__qualname__} was deleted: pass its values instead, as there will be no row to fetch"
            )
        label = _label(model)
        if label is None:
            raise SerializationError(
                f"no worker could find the model {model.__module__}.{model.__qualname__} by its name: "
                "define it at the top of a module"
            )
        key = [value.name if isinstance(value, enum.Enum) else plain(value) for value in state.key[1]]
        ref = ModelRef(orm=self.orm, label=label, pk=tuple(key) if len(key) > 1 else key[0])
        try:
            _checked_key(state.mapper, ref)
        except UndecodableTask as error:
            raise SerializationError(
                f"{error}: commit and refresh the row, so that it has the database's own"
            ) from error
        return ref

    async def open(self) -> None:
        """Nothing to make ready: engines are the app's."""

    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object | None]:
        """The rows; see the port."""
        wanted: list[tuple[type, tuple[object, ...]]] = []
        for ref in refs:
            model = _model(ref.label)
            if model is None:
                raise unknown_label(ref, "import its module in the app, and map it")
            if ref.alias is not None:
                raise UndecodableTask(f"a reference to {ref.label!r} names a database, which SQLAlchemy's do not")
            wanted.append((model, _checked_key(_mapper(model), ref)))
        return await fetch_each(wanted, self._fetch)

    def surround(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing: a task's own sessions are the task's."""
        return function

    async def close(self) -> None:
        """Let the threads go."""
        await self._threads.close()

    async def _fetch(self, model: type, keys: Sequence[Any]) -> Mapping[Any, object]:
        session = _session(model)
        try:
            if isinstance(session, Session):
                found: Any = await self._threads.run(_fetch_and_close, (session, model, keys), {}, timeout=None)
                return cast("Mapping[Any, object]", found)
            async with session:
                return await session.run_sync(_fetch, model, keys)
        except StatementError as error:
            if isinstance(error, DBAPIError):
                raise
            # Not the database refused the key, but the type of its column, before anything was sent.
            raise UndecodableTask(
                f"a key of {model.__qualname__} does not fit its column's type: dispatch the row anew, if that was changed"
            ) from error


def _fetch_and_close(session: Session, model: type, keys: Sequence[Any]) -> Mapping[Any, object]:
    with session:
        return _fetch(session, model, keys)


def _fetch(session: Session, model: type[Any], keys: Sequence[Any]) -> Mapping[Any, object]:
    if len(keys) == 1:
        row = session.get(model, keys[0])
        return {} if row is None else {keys[0]: row}
    columns: Any = _mapper(model).primary_key
    size = BATCH if len(columns) == 1 else COMPOSITE_BATCH
    found: dict[Any, object] = {}
    for start in range(0, len(keys), size):
        batch = keys[start : start + size]
        if len(columns) == 1:
            among = columns[0].in_([key for (key,) in batch])
        else:
            among = or_(*(and_(*map(operator.eq, columns, key)) for key in batch))
        for row in session.execute(select(model).where(among)).unique().scalars():
            found[inspect(row).identity] = row
    return found


def _session(model: type) -> Session | AsyncSession:
    factory: Any = getattr(model, FACTORY, None)
    if factory is None:
        base = _base(model)
        raise ConfigurationError(
            f"no session factory for the model {model.__qualname__}: below the engine, add the line\n"
            f"    {base.__name__}.{FACTORY} = async_sessionmaker(engine)"
        )
    if isinstance(factory, (scoped_session, async_scoped_session)):
        # What the scope holds belongs to whoever opened it.
        factory = cast("Any", factory).session_factory
    session: object = factory()
    if not isinstance(session, (Session, AsyncSession)):
        if asyncio.iscoroutine(session):
            session.close()
        raise ConfigurationError(
            f"{FACTORY} of the model {model.__qualname__} made a {type(session).__name__}: "
            "use a sessionmaker(engine) or async_sessionmaker(engine)"
        )
    return session


def _base(model: type) -> type:
    """What a session factory would best be set on: the outermost class that has a registry of models."""
    return next((base for base in reversed(model.__mro__) if {"registry", "_sa_registry"} & vars(base).keys()), model)


def _mapper(model: type) -> Mapper[Any]:
    return cast("Mapper[Any]", inspect(model))


def _checked_key(mapper: Mapper[Any], ref: ModelRef) -> tuple[object, ...]:
    """The key of a reference as a tuple, if it is of the types that the model's key has. Enumerations travel by name."""
    columns = mapper.primary_key
    key = cast("tuple[object, ...]", ref.pk) if len(columns) > 1 else (ref.pk,)
    if type(key) is not tuple or len(key) != len(columns):
        raise wrong_key(ref, f"is not {len(columns)} values in a tuple")
    return tuple(_checked_value(column, value, ref) for column, value in zip(columns, key, strict=True))


def _checked_value(column: Any, value: object, ref: ModelRef) -> object:
    wanted = _python_type(column.type)
    if wanted is None:
        if value is None or type(value) in (list, dict, set):
            raise wrong_key(ref, f"has a {type(value).__name__}, which is no key")
    elif issubclass(wanted, enum.Enum):
        if type(value) is not str or value not in wanted.__members__:
            raise wrong_key(ref, f"has a {type(value).__name__} that names no {wanted.__name__}")
        return wanted[value]
    elif type(value) is not wanted:
        raise wrong_key(ref, f"has a {type(value).__name__} where a {wanted.__name__} is expected")
    return value


def _python_type(column_type: Any) -> type | None:
    """What values of a column are in Python; None where only the column's type itself knows."""
    if isinstance(column_type, TypeDecorator):
        return None
    try:
        return cast("type", column_type.python_type)
    except NotImplementedError:
        return None


def _label(model: type) -> str | None:
    """What a model is called in references; None if no other process could find it by that."""
    module = script_name() if model.__module__ == "__main__" else model.__module__
    label = f"{module}:{model.__qualname__}"
    return label if _model(label) is model else None


def _model(label: str) -> type | None:
    """The mapped class of that label, if it is imported. Looks and never runs anything, a module's `__getattr__` included."""
    module, _, qualname = label.partition(":")
    exact = _within(sys.modules.get(module), qualname)
    if exact is not None:
        return exact
    if script_name() == module:
        return _within(sys.modules["__main__"], qualname)
    # A script calls its models by its stem, while the worker may have imported the file as `package.stem`.
    ending = f".{module}"
    models = [_within(found, qualname) for name, found in list(sys.modules.items()) if name.endswith(ending)]
    matches = {model for model in models if model is not None}
    return matches.pop() if len(matches) == 1 else None


def _within(module: object, qualname: str) -> type | None:
    found: Any = module
    for name in qualname.split("."):
        try:
            found = cast("dict[str, Any]", vars(found)).get(name)
        except TypeError:
            return None
    return found if isinstance(found, type) and isinstance(inspect(found, raiseerr=False), Mapper) else None
