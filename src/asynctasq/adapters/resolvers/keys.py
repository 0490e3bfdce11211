"""What the keys of all ORMs have in common: plain types, one check, and the grouping of references by what is asked for."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from datetime import UTC, date, datetime, timezone
from types import NoneType
from typing import Any, Final, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from asynctasq.domain.errors import UndecodableTask
from asynctasq.domain.message import ModelRef

G = TypeVar("G", bound=Hashable)
T = TypeVar("T")

BATCH: Final = 500
"""The most keys of one statement: some databases take no more than a thousand parameters."""

COMPOSITE_BATCH: Final = 100
"""The same for composite keys, which are compared one by one, column by column: MariaDB finds nothing by `(a, b) IN (...)` where
a text outside ASCII has to be converted to the column's character set."""

_BASES: Final[tuple[tuple[type[Any], Callable[[Any], object]], ...]] = (
    (UUID, lambda it: UUID(bytes=it.bytes)),
    (str, str.__str__),
    (int, int.__int__),
    (bytes, bytes),
    (datetime, lambda it: datetime.combine(it.date(), it.timetz())),
    (date, lambda it: date(it.year, it.month, it.day)),
)


def plain(value: object) -> object:
    """The same value of a plain type: database clients give subclasses, asyncpg's UUID for one, that would not travel.

    Of a member of an enumeration, what it stands for.
    """
    if type(value) is tuple:
        return tuple(map(plain, cast("tuple[object, ...]", value)))
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, bool):
        return value
    if isinstance(value, datetime) and type(value.tzinfo) not in (NoneType, timezone, ZoneInfo):
        value = value.astimezone(UTC)  # equal, and of a time zone that travels
    for base, make in _BASES:
        if isinstance(value, base):
            return value if type(value) is base else make(cast("Any", value))
    return value


def wrong_key(ref: ModelRef, why: str) -> UndecodableTask:
    """The refusal of a reference for its key, without the key: errors end up in logs."""
    return UndecodableTask(
        f"the key of a reference to {ref.label!r} {why}: dispatch the row anew, if its key was changed"
    )


def unknown_label(ref: ModelRef, advice: str) -> UndecodableTask:
    """The refusal of a reference whose label is no model's here."""
    return UndecodableTask(f"this worker knows no {ref.orm} model {ref.label!r}: {advice}")


async def fetch_each(
    wanted: Sequence[tuple[G, Any]], fetch: Callable[[G, Sequence[Any]], Coroutine[Any, Any, Mapping[Any, object]]]
) -> list[object | None]:
    """What is wanted, in order, with each group fetched once and all groups at the same time.

    When one fails, or the caller is cancelled, the others are cancelled too, and have ended when this ends.

    Args:
        wanted: groups and keys within them, any of them more than once.
        fetch: the rows of one group that are there, by key; it is given each key once.
    """
    groups: dict[G, dict[Any, None]] = {}
    for group, key in wanted:
        groups.setdefault(group, {})[key] = None
    if len(groups) == 1:
        (group,) = groups
        rows = {group: await fetch(group, list(groups[group]))}
    else:
        rows = dict(
            zip(groups, await _together([fetch(group, list(keys)) for group, keys in groups.items()]), strict=True)
        )
    return [rows[group].get(key) for group, key in wanted]


async def _together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
    running = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*running)
    finally:
        late = [each for each in running if each.cancel()]
        if late:
            await asyncio.wait(late)
