"""Rows of Tortoise models."""

# What is private by its underscore is what Tortoise offers: `_meta`, `_saved_in_db`, `Tortoise._inited`.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from tortoise import Tortoise
from tortoise.models import Model
from tortoise.queryset import QuerySet

from asynctasq.adapters.resolvers.keys import BATCH, fetch_each, plain, unknown_label, wrong_key
from asynctasq.domain.errors import ConfigurationError, SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.ports.resolver import ModelResolver


class TortoiseResolver(ModelResolver):
    """Finds models among those that Tortoise was initialised with, and fetches rows without regard to their managers.

    Args:
        config: what a worker initialises Tortoise with: its configuration, with "connections" and "apps", or the keyword
            arguments of `Tortoise.init`. None where the app does that by itself, in the worker's own loop.
    """

    orm = "tortoise"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self._config = config
        self._context: Any = None
        self._opened = False

    def owns(self, kind: type) -> bool:
        """Whether `kind` is a model."""
        return issubclass(kind, Model)

    def reference(self, row: object) -> ModelRef:
        """`app.Model` and the row's key; see the port. Tortoise does not note that a row was deleted."""
        assert isinstance(row, Model)
        model = type(row)
        key = plain(row.pk)
        if not row._saved_in_db or key is None:
            raise SerializationError(f"this {model.__name__} has no primary key yet: save it, then dispatch")
        label = f"{model._meta.app}.{model.__name__}"
        if _model(label) is not model:
            raise SerializationError(
                f"no worker could find the model {model.__module__}.{model.__name__}: "
                "add its module to those that Tortoise is initialised with"
            )
        ref = ModelRef(orm=self.orm, label=label, pk=key)
        try:
            _checked_key(model, ref)
        except UndecodableTask as error:
            raise SerializationError(f"{error}: refresh the row, so that it has the database's own") from error
        return ref

    async def open(self) -> None:
        """Initialise Tortoise, if there is a configuration and the app has not done it. Creates no table."""
        if self._config is None or _initialised():
            return
        config = dict(self._config)
        try:
            self._context = await (
                Tortoise.init(config=config) if {"connections", "apps"} <= config.keys() else Tortoise.init(**config)
            )
        except Exception as error:
            raise ConfigurationError(
                f"correct tortoise_config, with which Tortoise cannot be initialised ({type(error).__name__}: {error})"
            ) from error
        self._opened = True

    async def resolve(self, refs: Sequence[ModelRef]) -> Sequence[object | None]:
        """The rows; see the port."""
        if refs and not _initialised():
            raise ConfigurationError(
                "Tortoise is not initialised in this worker: add it to the app's init, as in\n"
                "    asynctasq.init(..., tortoise_config={'db_url': '...', 'modules': {'models': ['app.models']}})"
            )
        wanted: list[tuple[type[Model], object]] = []
        for ref in refs:
            model = _model(ref.label)
            if model is None:
                raise unknown_label(ref, "add its module to those of tortoise_config")
            if ref.alias is not None:
                raise UndecodableTask(f"a reference to {ref.label!r} names a database, which Tortoise's do not")
            wanted.append((model, _checked_key(model, ref)))
        return await fetch_each(wanted, _fetch)

    def surround(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing: connections go back to their pool by themselves."""
        return function

    async def close(self) -> None:
        """Close the connections, if they are ours."""
        if not self._opened:
            return
        self._opened = False
        context, self._context = self._context, None
        if context is None:
            await _end_the_only_one()
            return
        await context.close_connections()
        with contextlib.suppress(ValueError):  # entered in another context of ours, which ends without us
            context.__exit__(None, None, None)


async def _fetch(model: type[Model], keys: Sequence[Any]) -> Mapping[Any, object]:
    among = f"{model._meta.pk_attr}__in"  # not `pk__in`, which knows no key that is another row's
    found: dict[Any, object] = {}
    for start in range(0, len(keys), BATCH):
        rows = await QuerySet(model).filter(**{among: keys[start : start + BATCH]})
        found |= {plain(row.pk): row for row in rows}
    return found


async def _end_the_only_one() -> None:
    """Before version 1 there is one initialisation for all, and its connections are of one loop: the next begins afresh."""
    await Tortoise.close_connections()
    only: Any = Tortoise
    await only._reset_apps()
    only._inited = False


def _initialised() -> bool:
    return bool(Tortoise._inited)


def _model(label: str) -> type[Model] | None:
    app, _, name = label.partition(".")
    known: Any = Tortoise.apps
    if not known or app not in known:
        return None
    return cast("type[Model] | None", known[app].get(name))


def _checked_key(model: type[Model], ref: ModelRef) -> object:
    """The key of a reference, if it is of the type that the model's key has."""
    wanted = cast("type", cast("Any", model._meta.pk).field_type)
    if type(ref.pk) is not wanted:
        raise wrong_key(ref, f"has a {type(ref.pk).__name__} where a {wanted.__name__} is expected")
    return ref.pk
