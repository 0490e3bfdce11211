"""How a message of ours is written down in SQS: one text, a header in JSON and the body in base64.

SQS carries text, and no control characters. The header is what the queue itself does not keep: it forgets a message's past
whenever we send it anew. A dead letter is a message of the same form with its death in the header, so that moving it back to
its queue, by whatever tool, requeues it.
"""

from __future__ import annotations

import binascii
import json
import math
from base64 import b64decode, b64encode
from bisect import bisect
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from asynctasq.domain.errors import CorruptMessage

VERSION = 1

REASON_KEPT = 8192
"""How many characters of a reason are kept, as JSON writes them."""

ERROR_KEPT = 2 * 8192
"""How many of an error's text: the 8 KiB that every driver keeps, if they are ASCII, whatever JSON has to escape of it."""

GAP = "\n[...]\n"
"""Stands for what was left out."""

MOST = 1_048_576
"""Bytes of a message of SQS, and of all messages of one request."""

LARGEST_BODY = 720 * 1024
"""Bytes of a body: in base64 they leave 64 KiB of a message to the header."""

ROOM_TO_DIE = REASON_KEPT + ERROR_KEPT + 512
"""Bytes by which a message may grow: a past, a reason and an error are added to its header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Why a message was set aside.

    Attributes:
        reason: one line.
        error: the text of the last failure.
        attempts: how many there were.
    """

    reason: str
    error: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message with its past.

    Attributes:
        id: the message's id.
        body: its bytes.
        attempts: those spent before it was sent in this form; SQS counts the others.
        expiries: how many of those ended with their lease.
        left: seconds, counted from this sending, until it is due, where SQS cannot hold it that long; else 0.
        enqueued_at: when it was first sent, in seconds since the epoch by SQS's clock; None in that first form.
        dead: why it was set aside, in a dead letter.
    """

    id: str
    body: bytes
    attempts: int = 0
    expiries: int = 0
    left: float = 0.0
    enqueued_at: float | None = None
    dead: Death | None = None


def written(envelope: Envelope) -> str:
    """The text of a message: ASCII, nothing that SQS refuses."""
    past = {
        "attempts": envelope.attempts,
        "expiries": envelope.expiries,
        "left": envelope.left,
        "at": envelope.enqueued_at,
    }
    header: dict[str, Any] = {"v": VERSION, "id": envelope.id, **{name: value for name, value in past.items() if value}}
    if envelope.dead is not None:
        header["dead"] = {
            "reason": bounded(envelope.dead.reason, REASON_KEPT),
            "error": bounded(envelope.dead.error, ERROR_KEPT),
            "attempts": envelope.dead.attempts,
        }
    return json.dumps(header, separators=(",", ":")) + b64encode(envelope.body).decode("ascii")


def read(text: str) -> Envelope:
    """What `written` was given.

    Raises:
        CorruptMessage: somebody else wrote it.
    """
    try:
        header, end = json.JSONDecoder().raw_decode(text)
        if header["v"] != VERSION:
            raise ValueError(f"version {header['v']}")  # noqa: TRY301 -- as whatever else is wrong with it
        at, dead = header.get("at"), header.get("dead")
        return Envelope(
            id=_a(str, header["id"]),
            body=b64decode(text[end:], validate=True),
            attempts=_a(int, header.get("attempts", 0)),
            expiries=_a(int, header.get("expiries", 0)),
            left=float(header.get("left", 0)),
            enqueued_at=None if at is None else float(at),
            dead=dead
            and Death(reason=_a(str, dead["reason"]), error=_a(str, dead["error"]), attempts=_a(int, dead["attempts"])),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, binascii.Error) as error:
        raise CorruptMessage(f"not a message of asynctasq ({type(error).__name__})") from error


def bounded(text: str, room: int) -> str:
    """As much of a text as has room in JSON, where a character may take twelve.

    Of what is too long the middle goes: a traceback's end tells what was raised, and where.
    """
    if _size(text) <= room:
        return text
    beginning = room // 4
    end = room - beginning - _size(GAP)
    return _beginning(text, beginning) + GAP + _beginning(text[::-1], end)[::-1]


def _beginning(text: str, room: int) -> str:
    return text[: bisect(list(accumulate(map(_size, text[:room]))), room)]


def _size(text: str) -> int:
    return len(json.dumps(text)) - 2


def waiting(envelope: Envelope, delay: float, hop: int) -> tuple[Envelope, int]:
    """An envelope to be sent so that it is due after `delay` seconds, and for how many SQS is to hold it.

    Args:
        envelope: what is sent.
        delay: seconds.
        hop: the most seconds that SQS is asked to hold a message.
    """
    if delay > hop:
        return replace(envelope, left=delay), hop
    # Whole seconds, rounded up: nothing is shown early.
    return replace(envelope, left=0.0), math.ceil(delay)


def _a(kind: type[Any], value: object) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
