"""Rows of Django models."""

# Django has no types of its own. What is private by its underscore is documented: Model._meta, Model._state, _base_manager.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportPrivateUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

import functools
import inspect
import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import django  # type: ignore[import-untyped]
from asgiref.sync import SyncToAsync
from django.apps import apps  # type: ignore[import-untyped]
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections  # type: ignore[import-untyped]
from django.db.models import Model, Q  # type: ignore[import-untyped]

from asynctasq.adapters.resolvers.keys import BATCH, COMPOSITE_BATCH, fetch_each, plain, unknown_label, wrong_key
from asynctasq.domain.errors import ConfigurationError, SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.ports.executor import LocalExecutor
from asynctasq.ports.resolver import ModelResolver

logger = logging.getLogger("asynctasq.rows")


class DjangoResolver(ModelResolver):
    """Finds models in the app registry, and fetches rows through their base managers, as Django itself follows a foreign key.

    Rows are fetched in threads of our own, with connections of theirs: a slow query of a task does not keep the rows of
    others waiting, as it would in the one thread in which Django runs all that is `thread_sensitive`. `CONN_MAX_AGE` says
    how long such a connection lives: by default not longer than one fetch.

    Args:
        threads: where queries wait for their database.
    """

    orm = "django"

    def __init__(self, threads: LocalExecutor) -> None:
        self._threads = threads
        self._opened: set[Any] = set()

    def owns(self, kind: type) -> bool:
        """Whether `kind` is a model."""
        return issubclass(kind, Model)

    def reference(self, row: object) -> ModelRef:
        """The model's label and the row's key, and the alias of its database unless that is the default; see the port."""
        assert isinstance(row, Model)
        meta, key = row._meta, plain(row.pk)
        if row._state.adding or key is None:
            raise SerializationError(
                f"this {meta.object_name} has no primary key in the database: save it, then dispatch (or it was deleted)"
            )
        if _model(meta.label) is not type(row):
            raise SerializationError(
                f"no worker could find the model {type(row).__module__}.{meta.object_name} by its label {meta.label!r}: "
                "it is not the one that Django's app registry has; define it once, in the models of an app of INSTALLED_APPS"
            )
        alias = cast("str", row._state.db)
        ref = ModelRef(orm=self.orm, label=meta.label, pk=key, alias=None if alias == DEFAULT_DB_ALIAS else alias)
        try:
            _checked_key(type(row), ref)
        except UndecodableTask as error:
            raise SerializationError(f"{error}: refresh the row, so that it has the database's own") from error
        return ref

    async def open(self) -> None:
        """Nothing to make ready: see `set_up`."""

    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object | None]:
        """The rows; see the port."""
        wanted: list[tuple[tuple[type[Model], str], object]] = []
        for ref in refs:
            model = _model(ref.label)
            if model is None:
                raise unknown_label(ref, "add its app to INSTALLED_APPS")
            alias = DEFAULT_DB_ALIAS if ref.alias is None else ref.alias
            if alias not in tuple(connections):
                raise UndecodableTask(
                    f"a reference to {ref.label!r} is to a database that is not in DATABASES: add it to this worker's settings"
                )
            wanted.append(((model, alias), _checked_key(model, ref)))
        return await fetch_each(wanted, self._fetch)

    def surround(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Close connections that are too old or broken before and after a task, as Django does around a request."""
        if not inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            def around(*args: Any, **kwargs: Any) -> Any:
                _close_old_connections()
                try:
                    return function(*args, **kwargs)
                finally:
                    _close_old_connections()

            return around

        @functools.wraps(function)
        async def around_coroutine(*args: Any, **kwargs: Any) -> Any:
            _close_old_connections_of_async_code()
            try:
                return await function(*args, **kwargs)
            finally:
                _close_old_connections_of_async_code()

        return around_coroutine

    async def close(self) -> None:
        """Close the connections that live on, and let the threads go."""
        if self._opened:
            await self._threads.run(self._close_opened, (), {}, timeout=None)
        await self._threads.close()

    async def _fetch(self, of: tuple[type[Model], str], keys: Sequence[Any]) -> Mapping[Any, object]:
        found: Any = await self._threads.run(self._fetch_in_thread, (*of, keys), {}, timeout=None)
        return cast("Mapping[Any, object]", found)

    def _fetch_in_thread(self, model: type[Model], alias: str, keys: Sequence[Any]) -> Mapping[Any, object]:
        close_old_connections()
        try:
            rows = model._base_manager.using(alias)
            found: dict[Any, object] = {}
            if len(model._meta.pk_fields) == 1:
                for start in range(0, len(keys), BATCH):
                    found |= {row.pk: row for row in rows.filter(pk__in=keys[start : start + BATCH])}
            else:
                for start in range(0, len(keys), COMPOSITE_BATCH):
                    batch = keys[start : start + COMPOSITE_BATCH]
                    among = functools.reduce(operator.or_, (Q(pk=key) for key in batch))
                    found |= {row.pk: row for row in rows.filter(among)}
            return found
        finally:
            self._opened |= set(connections.all(initialized_only=True))
            close_old_connections()

    def _close_opened(self) -> None:
        opened, self._opened = self._opened, set()
        for connection in opened:
            connection.inc_thread_sharing()  # its own thread is idle, and has no other use for it
            connection.close()


def set_up() -> None:
    """Set Django up by DJANGO_SETTINGS_MODULE, as its own commands do.

    Raises:
        ConfigurationError: it cannot be set up.
    """
    try:
        django.setup()
    except Exception as error:
        raise ConfigurationError(
            f"cannot set up Django: correct DJANGO_SETTINGS_MODULE or its module ({type(error).__name__}: {error})"
        ) from error


def _close_old_connections() -> None:
    if apps.ready:  # an app may have imported Django and never set it up
        close_old_connections()


def _close_old_connections_of_async_code() -> None:
    """In the one thread in which `sync_to_async` and the asynchronous ORM run: before what comes there next, and not waited for.

    A task that uses no database must not wait until that thread has time.
    """
    SyncToAsync.single_thread_executor.submit(_close_or_tell)


def _close_or_tell() -> None:
    try:
        _close_old_connections()
    except Exception:
        logger.warning("closing the old database connections of asynchronous code failed", exc_info=True)


def _model(label: str) -> type[Model] | None:
    try:
        return cast("type[Model]", apps.get_model(label))
    except (LookupError, ValueError):
        return None


def _checked_key(model: type[Model], ref: ModelRef) -> object:
    """The key of a reference, if it is just what the model's key makes of it."""
    fields: Sequence[Any] = model._meta.pk_fields
    key = cast("tuple[object, ...]", ref.pk) if len(fields) > 1 else (ref.pk,)
    if type(key) is not tuple or len(key) != len(fields):
        raise wrong_key(ref, f"is not {len(fields)} values in a tuple")
    for field, value in zip(fields, key, strict=True):
        try:
            made = None if value is None else field.to_python(value)
        except Exception as error:  # a field's conversion raises what it likes
            raise wrong_key(ref, f"has a {type(value).__name__}, which a {type(field).__name__} cannot be") from error
        if made is None or type(made) is not type(value) or made != value:
            raise wrong_key(ref, f"has a {type(value).__name__}, which is no value of a {type(field).__name__}")
    return ref.pk
