"""How values of the port are written down in Redis: ids, times, receipts, dead letters."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgpack

from asynctasq.domain.errors import CorruptMessage
from asynctasq.domain.retry import LONGEST_SECONDS
from asynctasq.ports.driver import AttemptError, DeadMessage
from asynctasq.ports.search import LiveMessage, live_message

TEXT_KEPT = 8192
"""How many bytes of an error's text, or of a reason, are kept."""

_FOR_EVER = 2**53
"""Microseconds since the epoch that no time of ours reaches: the last that a double counts one by one."""

_ENQUEUED_AT = struct.Struct(">d")


def packed_id(id: str) -> bytes:
    """An id as short as it can be: 17 bytes where it is a UUID, which most are, as there are two of each queued task."""
    if len(id) == 36 and id[8:24:5] == "----" and id == id.lower():
        try:
            digits = bytes.fromhex(id.replace("-", ""))
        except ValueError:
            digits = b""
        if len(digits) == 16:  # fewer where there is white space, or a fifth dash
            return b"u" + digits
    return b"s" + id.encode("utf-8", "surrogateescape")


def unpacked_id(packed: bytes) -> str:
    """What `packed_id` was given."""
    if packed[:1] == b"u" and len(packed) == 17:
        return _as_uuid(packed[1:])
    return packed[1:].decode("utf-8", "surrogateescape")


def packed_arguments(arguments: Iterable[Any]) -> bytes:
    """What a script is told, as one value; in the old form of msgpack, which every server's Lua can read."""
    return msgpack.packb(list(arguments), use_bin_type=False)


def _as_uuid(digits: bytes) -> str:
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def unpacked_record(record: bytes) -> tuple[float, bytes]:
    """When a message was enqueued, in seconds since the epoch, and its body."""
    return _ENQUEUED_AT.unpack_from(record)[0] / 1_000_000, record[8:]


def in_microseconds(seconds: float) -> int:
    """A duration, rounded up past the clock's own rounding down, so that nothing is shown early."""
    return math.ceil(min(seconds, LONGEST_SECONDS) * 1_000_000) + 1 if seconds > 0 else 0


def in_seconds(microseconds: float) -> float:
    """A time or duration as the port has it."""
    return microseconds / 1_000_000


def bounded(text: str) -> bytes:
    """As much of a text as is kept."""
    return text.encode("utf-8", "backslashreplace")[:TEXT_KEPT]


def dead_message(queue: str, id: bytes, packed: bytes) -> DeadMessage:
    """A dead letter as `settle.lua` packs it.

    Raises:
        CorruptMessage: a stranger has written something else there.
    """
    try:
        reason, error, attempts, enqueued_at, died_at, body, history = _unpacked(packed)
        if not isinstance(body, bytes) or not all(0 <= at < _FOR_EVER for at in (enqueued_at, died_at)):
            raise ValueError("neither a body nor times")  # noqa: TRY301 -- as whatever else is wrong with it
        return DeadMessage(
            id=unpacked_id(id),
            queue=queue,
            body=body,
            reason=_text(reason),
            error=_text(error),
            attempts=int(attempts),
            enqueued_at=in_seconds(enqueued_at),
            died_at=in_seconds(died_at),
            history=tuple(
                AttemptError(attempt=int(attempt), at=in_seconds(at), error=_text(text))
                for attempt, at, text in (_unpacked(history) if history else ())
            ),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, msgpack.UnpackException) as error:
        raise CorruptMessage(f"dead letter {unpacked_id(id)!r} of queue {queue!r} cannot be read") from error


def found_message(id: str, queue: str, told: Sequence[Any]) -> LiveMessage:
    """A message as `find.lua` tells of it, behind its place."""
    enqueued_at, body, leased, attempts, expiries, due_in = told
    return live_message(
        id=id,
        queue=queue,
        body=body,
        leased=bool(leased),
        attempts=attempts,
        expiries=expiries,
        enqueued_at=in_seconds(int(enqueued_at)),
        due_in=in_seconds(int(due_in)),
    )


def _unpacked(packed: bytes) -> Sequence[Any]:
    return cast("Sequence[Any]", msgpack.unpackb(packed, raw=True, strict_map_key=False))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
