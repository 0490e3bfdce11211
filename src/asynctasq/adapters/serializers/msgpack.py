"""The msgpack serializer: plain values in msgpack's own types, everything else as Ext codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import msgpack

from asynctasq.adapters.serializers import msgpack_limits as limits
from asynctasq.adapters.serializers import msgpack_types as types
from asynctasq.domain.errors import SerializationError, UndecodableTask, UnknownFrame
from asynctasq.domain.message import ModelRef
from asynctasq.ports.serializer import Serializer

PLAIN: Final = 0x01
"""The frame kind of a body that is neither signed nor sealed."""

RESERVED: Final = range(0x02, 0x20)
"""The frame kinds of later versions."""

# msgpack writes these without asking `default`, as bytes or as whatever their code says.
_LOOKALIKES: Final = frozenset({bytearray, memoryview, msgpack.ExtType, msgpack.Timestamp})
_BLOB_OR_EXT: Final = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
_NOT_BLOB_OR_EXT: Final = bytes(set(range(256)) - set(_BLOB_OR_EXT))
_has_blob_or_ext: Final = re.compile(b"[%b]" % _BLOB_OR_EXT).search

_SHORT: Final = 1_000
"""Bytes up to which a search is faster than a translation, which takes 0.2 µs to begin with and is ten times as fast then."""


class MsgpackSerializer(Serializer):
    """Exact, bounded and without a choice of class in the payload; docs/payload.md draws every byte.

    It keeps None, bool, int (to about 4,300 digits), float, complex, str, bytes, list, tuple, dict (any key that travels), set,
    frozenset, Decimal, UUID, datetime, date, time, timedelta, paths and `ModelRef`, each as that very type. Subclasses
    and everything else are refused.
    """

    def dumps(self, value: object, *, id: str, queue: str) -> bytes:  # noqa: ARG002 a plain frame is bound to neither
        """Encode a value.

        Raises:
            SerializationError: something in it would not come back as it is, nests too deeply or holds too much.
        """
        try:
            packed = _pack(value)
            limits.check(packed)
        except (ValueError, OverflowError, RuntimeError) as error:
            raise SerializationError(
                f"the value cannot be encoded ({_reason(error)}): pass less, or flatter, data"
            ) from error
        return b"\x01" + packed

    def loads(self, body: bytes, *, id: str, queue: str, refs: list[ModelRef] | None = None) -> object:  # noqa: ARG002
        """Decode a body; every `ModelRef` in it is also appended to `refs`.

        Raises:
            UnknownFrame: its frame kind is one of a later version.
            UndecodableTask: anything else is wrong with it.
        """
        kind = body[0] if body else None
        if kind != PLAIN:
            if kind in RESERVED:
                raise UnknownFrame(f"frame kind {kind:#04x} is of a later asynctasq: upgrade this worker")
            raise UndecodableTask("the body is empty" if kind is None else f"{kind:#04x} is not a frame kind")
        packed = body[1:]
        try:
            limits.check(packed)
            return _unpack(packed, _ext if refs is None else partial(_ext, refs=refs))
        except Exception as error:
            raise UndecodableTask(f"the body cannot be decoded: {_reason(error)}") from error


def _pack(value: object) -> bytes:
    packed = _packer().pack(value)
    if _has_blob_or_ext(packed) if len(packed) < _SHORT else packed.translate(None, _NOT_BLOB_OR_EXT):
        _refuse_lookalikes(value)
    return packed


def _refuse_lookalikes(value: object) -> None:
    items: list[Any] = [value]
    for item in items:  # which grows meanwhile
        kind = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind is list:
            items += item
        elif kind is dict:
            if item:
                items += item
                items += item.values()
        elif kind in _LOOKALIKES:
            types.refuse(item)


def _default(value: object) -> msgpack.ExtType:
    kind = type(value)
    if scalar := types.ENCODERS.get(kind):
        code, encode = scalar
        return msgpack.ExtType(code, encode(value))
    if array := types.ARRAY_ENCODERS.get(kind):
        code, as_list = array
        return msgpack.ExtType(code, _pack(as_list(value)))
    types.refuse(value)


# A packer is not re-entrant, and one that is shared would need a lock; a new one with a small buffer costs 0.15 µs. The stubs
# do not know the size, without which every packer takes 256 KiB first.
_packer: Final[Callable[[], msgpack.Packer]] = partial(
    cast("Any", msgpack.Packer), default=_default, strict_types=True, buf_size=512
)


def _unpack(packed: bytes, ext: Callable[[int, bytes], object]) -> object:
    most = min(
        len(packed), limits.MAX_ITEMS
    )  # a list's room is taken by what its header claims, before its items are read
    return msgpack.unpackb(
        packed, ext_hook=ext, strict_map_key=False, timestamp=3, max_array_len=most, max_map_len=most
    )


def _ext(code: int, payload: bytes, refs: list[ModelRef] | None = None) -> object:
    if decode := types.DECODERS.get(code):
        return decode(payload)
    if build := types.ARRAY_DECODERS.get(code):
        items: Any = _unpack(payload, _ext if refs is None else partial(_ext, refs=refs))
        if type(items) is not list:
            raise ValueError("a container's payload is not an array")
        value = build(items)
        if refs is not None and type(value) is ModelRef:
            refs.append(value)
        return value
    raise ValueError(f"unknown type code {code}")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
