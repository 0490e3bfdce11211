"""ORM rows among a task's arguments: to references at dispatch, and back, fetched fresh, on the worker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from asynctasq.domain.errors import ModelNotFound, SerializationError, TaskTimeout, UndecodableTask
from asynctasq.domain.message import ModelRef

if TYPE_CHECKING:
    from asynctasq.app.resolvers import Resolvers
    from asynctasq.domain.task import OnMissing
    from asynctasq.ports.resolver import ModelResolver

IsRow = Callable[[type], bool]

PATIENCE: Final = 60.0
"""Seconds that a task's rows may take to come, where its own timeout does not say less: a database that hangs holds no slot."""

_PLAIN: Final = frozenset({str, int, float, bool, type(None), bytes})
_CONTAINERS: Final[frozenset[Any]] = frozenset({list, tuple, set, frozenset})


class Rows:
    """The rows of every ORM that the app uses.

    Args:
        resolvers: what knows them.
    """

    def __init__(self, resolvers: Resolvers) -> None:
        self._resolvers = resolvers

    def known(self) -> IsRow | None:
        """What tells whether a type is a model; None where no ORM is in use, and nothing has to be looked at."""
        return self._is_row if self._resolvers.in_use() else None

    def refer(self, value: object) -> object:
        """The same value with references for its rows; the very same object where there is none in it.

        Raises:
            SerializationError: a row that nothing can stand for, or a value that contains itself.
        """
        resolvers = self._resolvers.in_use()

        def reference(item: object) -> object:
            for resolver in resolvers:
                if resolver.owns(type(item)):
                    return resolver.reference(item)
            return item

        try:
            return _replaced(value, reference)
        except RecursionError as error:
            raise SerializationError("it nests too deeply, or contains itself: pass flatter data") from error

    async def open(self) -> None:
        """Make ready what workers open by themselves.

        Raises:
            ConfigurationError: an ORM cannot be used as configured.
        """
        for resolver in self._resolvers.in_use():
            await resolver.open()

    async def fetch(
        self, refs: Sequence[ModelRef], *, timeout: float | None = None, on_missing: OnMissing = "dead"
    ) -> Mapping[int, object | None]:
        """What the references stand for, by their `id()`. All at the same time.

        Args:
            refs: all that one task was given.
            timeout: seconds that the task may take; the rows get no more, and never more than a minute.
            on_missing: with "none", that is what stands for a row that is gone.

        Raises:
            ModelNotFound: a row is gone.
            UndecodableTask: a reference that cannot be followed here, before anything is fetched.
            TaskTimeout: they did not come in time.
            Exception: what the ORM raised.
        """
        by_orm: defaultdict[str, list[ModelRef]] = defaultdict(list)
        for ref in refs:
            by_orm[ref.orm].append(ref)
        asked = [(self._resolver(orm), of_orm) for orm, of_orm in by_orm.items()]
        limit = PATIENCE if timeout is None else min(timeout, PATIENCE)
        found: dict[int, object | None] = {}
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                for resolver, of_orm in asked:  # two ORMs in one task: nobody's hurry
                    found |= zip(map(id, of_orm), await resolver.resolve(of_orm), strict=True)
        except TimeoutError as error:
            if not clock.expired():
                raise
            raise TaskTimeout(
                f"the rows among its arguments were not fetched within {limit:g} s: "
                "look at the database, or give the task a longer timeout"
            ) from error
        if on_missing != "none" and (gone := [ref for ref in refs if found[id(ref)] is None]):
            told = ", ".join(dict.fromkeys(f"{ref.label} {ref.pk!r}" for ref in gone[:3]))
            raise ModelNotFound(
                f"no longer in the database: {told}{' and others' if len(gone) > 3 else ''}; "
                "set on_missing, if the task can do without"
            )
        return found

    def surround(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A task's function with what the ORMs in use need before and after it."""
        for resolver in self._resolvers.in_use():
            function = resolver.surround(function)
        return function

    async def close(self) -> None:
        """Let go of what was opened."""
        for resolver in self._resolvers.in_use():
            await resolver.close()

    def _is_row(self, kind: type) -> bool:
        return any(resolver.owns(kind) for resolver in self._resolvers.in_use())

    def _resolver(self, orm: str) -> ModelResolver:
        resolver = self._resolvers.get(orm)
        if resolver is None:
            raise UndecodableTask(
                f"an argument is a row of {orm!r}, of which this worker has imported no model: import it in the app"
            )
        return resolver


def restored(value: Any, found: Mapping[int, object | None]) -> Any:
    """The same value with what was found in the place of its references."""
    return _replaced(value, lambda item: found[id(item)] if type(item) is ModelRef else item)


def _replaced(value: object, replace: Callable[[object], object]) -> object:  # noqa: PLR0911 one return per kind of value
    """`value` with every leaf replaced, dict keys and members of sets included; itself where nothing was."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _CONTAINERS:
        items = cast("Sequence[object]", value)
        if _PLAIN.issuperset(map(type, items)):  # without a look at each: most lists have many members and no rows
            return value
        replaced = [_replaced(item, replace) for item in items]
        if all(map(_is, replaced, items)):
            return value
        return cast("Any", kind)(replaced)
    if kind is dict:
        pairs = cast("dict[object, object]", value)
        if _PLAIN.issuperset(map(type, pairs)) and _PLAIN.issuperset(map(type, pairs.values())):
            return pairs
        changed = [(_replaced(key, replace), _replaced(item, replace)) for key, item in pairs.items()]
        if all(key is old and item is pairs[old] for (key, item), old in zip(changed, pairs, strict=True)):
            return pairs
        return dict(changed)
    return replace(value)


def _is(one: object, other: object) -> bool:
    return one is other
