"""Values for the promises of serialization: all that must come back, all that must be refused, and what "the same" means."""

from __future__ import annotations

import enum
import io
import math
import socket
import struct
import threading
from array import array
from collections import OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from asynctasq.domain.message import ModelRef


def assert_exact(got: object, wanted: object) -> None:
    """Fail unless two values are equal and of the same types, at every depth.

    Stricter than `==`: `True` is not 1, -0.0 is not 0.0, NaN is itself, 1.0 and 1.00 are two decimals, an instant in
    another zone is another value, and a dict's order counts.
    """
    assert _exact(got, wanted), f"{got!r} is not exactly {wanted!r}"


def _exact(one: Any, other: Any) -> bool:
    kind = cast("Any", type(one))
    if kind is not type(other):
        return False
    if kind in (set, frozenset):
        return len(one) == len(other) and all(any(_exact(it, its) for its in other) for it in one)
    if parts := _PARTS.get(kind):
        mine, theirs = parts(one), parts(other)
        return len(mine) == len(theirs) and all(map(_exact, mine, theirs))
    if kind is float:
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


_PARTS: Mapping[type, Callable[[Any], Sequence[Any]]] = {
    list: list,
    tuple: list,
    dict: lambda it: list(it.items()),
    complex: lambda it: (it.real, it.imag),
    Decimal: lambda it: it.as_tuple()[:],
    datetime: lambda it: (it.date(), it.timetz()),
    time: lambda it: (it.hour, it.minute, it.second, it.microsecond, it.fold, it.tzinfo),
    timezone: lambda it: (it.utcoffset(None), it.tzname(None)),
    ZoneInfo: lambda it: (it.key,),
    ModelRef: lambda it: (it.orm, it.label, it.pk, it.alias),
}
"""What a value is made of, where its own `==` would overlook something of it."""


_offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
_zones = (
    st.none()
    | st.just(UTC)
    | st.builds(timezone, _offsets)
    | st.builds(timezone, _offsets, st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
    | st.sampled_from(["Europe/Prague", "America/Argentina/Buenos_Aires", "Etc/GMT+1", "UTC"]).map(ZoneInfo)
)
_folds = st.sampled_from([0, 1])


def _placed(at: Any, zone: tzinfo | None, fold: int) -> Any:
    return at.replace(tzinfo=zone, fold=fold)


_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    st.builds(_placed, st.datetimes(), _zones, _folds),
    st.builds(_placed, st.times(), _zones, _folds),
    st.builds(Path, _names, _names),
    st.builds(PurePosixPath, _names),
    st.builds(PureWindowsPath, st.sampled_from(["", "c:", "c:\\", "\\\\host\\share\\"]), st.just("name")),
)
_hashable_scalars = _scalars.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan()))

HASHABLE: st.SearchStrategy[Any] = st.recursive(
    _hashable_scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
"""Values that may be a key, or in a set."""

VALUES: st.SearchStrategy[Any] = st.recursive(
    _scalars
    | st.builds(ModelRef, orm=st.text(), label=st.text(), pk=_hashable_scalars, alias=st.none() | st.text())
    | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=8,
)
"""Every value that a task may be given, in every kind of container."""


class _Colour(enum.Enum):
    RED = "red"


class _Number(enum.IntEnum):
    ONE = 1


class _Word(enum.StrEnum):
    YES = "yes"


@dataclass(frozen=True)
class _Point:
    x: int = 0


class _Pair(NamedTuple):
    left: int = 1
    right: int = 2


class _Text(str):
    __slots__ = ()


class _Whole(int):
    pass


class _Real(float):
    pass


class _Blob(bytes):
    pass


class _Items(list[Any]):
    pass


class _Fixed(tuple[Any, ...]):
    __slots__ = ()


class _Unique(frozenset[Any]):
    pass


class _Day(date):
    pass


class _Moment(datetime):
    pass


class _Money(Decimal):
    pass


class _OwnZone(tzinfo):
    def utcoffset(self, when: datetime | None, /) -> timedelta:  # noqa: ARG002
        return timedelta(hours=1)

    def dst(self, when: datetime | None, /) -> None:  # noqa: ARG002
        return None

    def tzname(self, when: datetime | None, /) -> str:  # noqa: ARG002
        return "own"


OWN_ZONE: tzinfo = _OwnZone()
"""A time zone that no worker knows."""


def strangers(open_things: ExitStack) -> list[Any]:
    """One value of each kind that must be refused."""
    return [
        lambda: None,
        strangers,
        print,
        object(),
        object,
        open_things.enter_context(io.BytesIO()),
        open_things.enter_context(socket.socket()),
        threading.Lock(),
        (it for it in range(3)),
        iter([1]),
        range(3),
        deque([1]),
        array("i", [1]),
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        Fraction(1, 3),
        ValueError("an error"),
        _Colour.RED,
        _Number.ONE,
        _Word.YES,
        _Point(),
        _Pair(),
        _Text("text"),
        _Whole(1),
        _Real(1.0),
        _Blob(b"bytes"),
        _Items(),
        _Fixed(),
        _Unique(),
        _Day(2024, 1, 1),
        _Moment(2024, 1, 1),
        _Money("1.5"),
        OrderedDict(a=1),
        defaultdict(list),
        UserDict(a=1),
    ]
