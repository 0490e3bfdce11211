"""How each type that msgpack itself does not know travels: one Ext code per type, and one pair of functions.

An Ext code stands outside the data, so that nothing a user can put into a dict or a string is ever taken for one. Codes
1 to 15 hold one array, so that their nesting is seen before they are decoded; codes from 16 hold bytes. The bytes of each are
drawn in docs/payload.md; a code is never given a second meaning.
"""

from __future__ import annotations

import enum
import io
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, InvalidOperation
from inspect import isclass, isroutine
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

from asynctasq.domain.errors import SerializationError
from asynctasq.domain.message import ModelRef

MAX_INT_BYTES: Final = 1785
"""Of an integer beyond 64 bits. Within it every integer has fewer than 4,300 digits, so that Python will also print it."""

_DATETIME, _DATE, _TIME, _TIMEDELTA = (struct.Struct(f"!{it}") for it in ("HBBBBBIB", "HBB", "BBBIB", "iII"))
_COMPLEX, _OFFSET = struct.Struct("!dd"), struct.Struct("!q")
_MICROSECOND: Final = timedelta(microseconds=1)
# A worker may have switched traps off in its own context, where a malformed text would quietly become NaN.
_STRICT: Final = Context(traps=[InvalidOperation])
_PATHS: Final[tuple[type[PurePath], ...]] = (PurePosixPath, PosixPath, PureWindowsPath, WindowsPath)
# Narrower than what the zone database accepts: no dot, no leading slash, nothing that leads out of its directory.
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,3}").fullmatch


def _int_out(value: int) -> bytes:
    length = value.bit_length() // 8 + 1
    if length > MAX_INT_BYTES:
        raise SerializationError(f"an integer of {value.bit_length():,} bits is too long: pass it as text or as bytes")
    return value.to_bytes(length, "big", signed=True)


def _int_in(payload: bytes) -> int:
    if len(payload) > MAX_INT_BYTES:
        raise ValueError(f"an integer of {len(payload):,} bytes")
    return int.from_bytes(payload, "big", signed=True)


def _complex_out(value: complex) -> bytes:
    return _COMPLEX.pack(value.real, value.imag)


def _complex_in(payload: bytes) -> complex:
    return complex(*_COMPLEX.unpack(payload))


def _decimal_out(value: Decimal) -> bytes:
    return str(value).encode()


def _decimal_in(payload: bytes) -> Decimal:
    return Decimal(payload.decode("ascii"), _STRICT)


def _datetime_out(value: datetime) -> bytes:
    fields = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.fold)
    return _DATETIME.pack(*fields) + _zone_out(value.tzinfo)


def _datetime_in(payload: bytes) -> datetime:
    year, month, day, hour, minute, second, microsecond, fold = _DATETIME.unpack_from(payload)
    zone = _zone_in(payload[_DATETIME.size :])
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _date_out(value: date) -> bytes:
    return _DATE.pack(value.year, value.month, value.day)


def _date_in(payload: bytes) -> date:
    return date(*_DATE.unpack(payload))


def _time_out(value: time) -> bytes:
    fields = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return _TIME.pack(*fields) + _zone_out(value.tzinfo)


def _time_in(payload: bytes) -> time:
    hour, minute, second, microsecond, fold = _TIME.unpack_from(payload)
    return time(hour, minute, second, microsecond, _zone_in(payload[_TIME.size :]), fold=fold)


def _timedelta_out(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _timedelta_in(payload: bytes) -> timedelta:
    return timedelta(*_TIMEDELTA.unpack(payload))


def _uuid_out(value: UUID) -> bytes:
    return value.bytes


def _uuid_in(payload: bytes) -> UUID:
    return UUID(bytes=payload)


def _path_out(value: PurePath) -> bytes:
    kind, text = type(value), str(value)
    if kind(text) != value:
        raise SerializationError(f"{value!r} is not what its own text stands for: pass the text")
    # File names are bytes to a POSIX system, and those that are not UTF-8 are surrogates in Python.
    return bytes([_PATHS.index(kind)]) + text.encode("utf-8", "surrogateescape")


def _path_in(payload: bytes) -> PurePath:
    return _PATHS[payload[0]](payload[1:].decode("utf-8", "surrogateescape"))


def _zone_out(zone: tzinfo | None) -> bytes:
    if zone is None:
        return b""
    if zone is UTC:
        return b"Z"
    if type(zone) is timezone:
        offset, name = zone.utcoffset(None), zone.tzname(None)
        packed = _OFFSET.pack(offset // _MICROSECOND)
        return b"O" + packed if name == timezone(offset).tzname(None) else b"N" + packed + name.encode()
    if type(zone) is ZoneInfo and zone.key:
        key = zone.key.encode()
        try:
            _zone_in(b"K" + key)
        except (ValueError, OSError, LookupError) as error:
            raise SerializationError(
                f"the time zone {zone.key!r} is not in the zone database: pass the time in UTC"
            ) from error
        return b"K" + key
    raise SerializationError(
        f"a time zone of type {_name(type(zone))} would not arrive as it is: "
        "use zoneinfo.ZoneInfo or datetime.timezone, or pass the time in UTC"
    )


def _zone_in(payload: bytes) -> tzinfo | None:
    kind, rest = payload[:1], payload[1:]
    if not kind:
        return None
    if kind == b"K":
        key = rest.decode("ascii")
        if not _ZONE_KEY(key):
            raise ValueError("not the name of a time zone")
        return ZoneInfo(key)
    if kind == b"O":
        return timezone(_OFFSET.unpack(rest)[0] * _MICROSECOND)
    if kind == b"N":
        return timezone(_OFFSET.unpack_from(rest)[0] * _MICROSECOND, rest[_OFFSET.size :].decode())
    if payload == b"Z":
        return UTC
    raise ValueError("not a time zone")


def _model_ref_out(value: ModelRef) -> list[object]:
    return [value.orm, value.label, value.pk, value.alias]


def _model_ref_in(items: list[Any]) -> ModelRef:
    orm, label, pk, alias = items
    if not (isinstance(orm, str) and isinstance(label, str) and isinstance(alias, str | None)):
        raise TypeError("a reference whose ORM, label or alias is not text")
    return ModelRef(orm=orm, label=label, pk=pk, alias=alias)


ARRAY_ENCODERS: Final[Mapping[type, tuple[int, Callable[[Any], list[Any]]]]] = {
    tuple: (1, list),
    set: (2, list),
    frozenset: (3, list),
    ModelRef: (4, _model_ref_out),
}
"""Type to Ext code, and what gives the array that stands for a value."""

ARRAY_DECODERS: Final[Mapping[int, Callable[[Any], object]]] = {1: tuple, 2: set, 3: frozenset, 4: _model_ref_in}
"""Ext code to what builds the value from its array."""

ENCODERS: Final[Mapping[type, tuple[int, Callable[[Any], bytes]]]] = {
    int: (16, _int_out),
    complex: (17, _complex_out),
    Decimal: (18, _decimal_out),
    datetime: (19, _datetime_out),
    date: (20, _date_out),
    time: (21, _time_out),
    timedelta: (22, _timedelta_out),
    UUID: (23, _uuid_out),
    **dict.fromkeys(_PATHS, (24, _path_out)),
}
"""Type to Ext code, and what gives a value's bytes."""

DECODERS: Final[Mapping[int, Callable[[bytes], object]]] = {
    16: _int_in,
    17: _complex_in,
    18: _decimal_in,
    19: _datetime_in,
    20: _date_in,
    21: _time_in,
    22: _timedelta_in,
    23: _uuid_in,
    24: _path_in,
}
"""Ext code to what rebuilds the value from its bytes."""

_BASES: Final = (str, bool, int, float, list, dict, bytes, set, *ENCODERS, *ARRAY_ENCODERS)


def refuse(value: object) -> NoReturn:
    """Say that a value does not travel, and what to pass instead.

    Raises:
        SerializationError: always.
    """
    raise SerializationError(f"a value of type {_name(type(value))} would not arrive as it is: {_instead(value)}")


def _instead(value: object) -> str:  # noqa: PLR0911 one sentence per kind of value
    kind = type(value)
    if isinstance(value, enum.Enum):
        return "annotate the parameter with its class, imported at run time, or pass its value"
    if is_dataclass(kind) or hasattr(kind, "_fields") or hasattr(kind, "model_fields"):
        return "annotate the parameter with its class, imported at run time, or pass a dict"
    if isinstance(value, bytearray | memoryview):
        return "pass bytes(value)"
    if isclass(value) or isroutine(value):
        return "pass a name that the task looks up"
    if isinstance(value, io.IOBase):
        return "pass its path, and open it in the task"
    for base in _BASES:
        if isinstance(value, base):
            return f"pass a plain {base.__name__}"
    if isinstance(value, Iterator):
        return "pass list(value)"
    return "pass plain data that the task can build or find it from, such as an id"


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
