"""How values of the port are written down: times as whole microseconds since the epoch, texts as bounded characters."""

from __future__ import annotations

import json
import math
from typing import Any

from asynctasq.domain.message import Claim, Message
from asynctasq.domain.retry import LONGEST_SECONDS
from asynctasq.domain.verdict import Ack, DeadLetter, Release, Retry, Verdict
from asynctasq.ports.driver import AttemptError, DeadMessage
from asynctasq.ports.search import LiveMessage, live_message

TEXT_KEPT = 8192
"""How many bytes of an error's text, or of a reason, are kept."""


Key = tuple[int, int]
"""What a receipt stands for: the number of a row, and one that it got when it was claimed."""

_NOBODYS = (-1, -1)


def in_microseconds(seconds: float) -> int:
    """A duration, rounded up past the clock's own rounding down, so that nothing is shown early."""
    return math.ceil(min(seconds, LONGEST_SECONDS) * 1_000_000) + 1 if seconds > 0 else 0


def in_seconds(microseconds: int) -> float:
    """A time or duration as the port has it."""
    return microseconds / 1_000_000


def bounded(text: str) -> str:
    """As much of a text as is kept, in characters that can be stored: PostgreSQL has no NUL, and UTF-8 no lone surrogates."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")[:TEXT_KEPT].decode("utf-8", "ignore")


def storable(text: str) -> bool:
    """Whether a text can be stored as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def claim_of(row: Any, receipt: int, deadline: float) -> Claim:
    """A claim as claim.sql gives it."""
    return Claim(
        message=Message(id=row["id"], queue=row["queue"], body=row["body"]),
        attempt=row["attempt"],
        receipt=f"{row['seq']}-{receipt}",
        deadline=deadline,
        enqueued_at=in_seconds(row["enqueued_at"]),
        expiries=row["expiries"],
    )


def key_of(claim: Claim) -> Key:
    """The row and the number that a claim's receipt stands for; what no row has if it is not one of ours."""
    seq, _, number = claim.receipt.partition("-")
    try:
        key = int(seq), int(number)
    except ValueError:
        return _NOBODYS
    return key if max(map(abs, key)) < 2**63 else _NOBODYS


def step_of(verdict: Verdict) -> tuple[str, int, str, str]:
    """What settle.sql is to do: a word, the delay, the reason, the error."""
    match verdict:
        case Ack():
            return "ack", 0, "", ""
        case Retry():
            return "retry", in_microseconds(verdict.delay), "", bounded(verdict.error)
        case Release():
            return "release", in_microseconds(verdict.delay), "", ""
        case DeadLetter():
            return "dead", 0, bounded(verdict.reason), bounded(verdict.error)


def dead_message(row: Any) -> DeadMessage:
    """A row of `dead`."""
    return DeadMessage(
        id=row["id"],
        queue=row["queue"],
        body=row["body"],
        reason=row["reason"],
        error=row["error"],
        attempts=row["attempts"],
        enqueued_at=in_seconds(row["enqueued_at"]),
        died_at=in_seconds(row["died_at"]),
        history=_history(row["history"]),
    )


def found_message(row: Any) -> LiveMessage:
    """A row of find.sql."""
    return live_message(
        id=row["id"],
        queue=row["queue"],
        body=row["body"],
        leased=row["receipt"] is not None,
        attempts=row["attempt"],
        expiries=row["expiries"],
        enqueued_at=in_seconds(row["enqueued_at"]),
        due_in=in_seconds(row["due_in"]),
    )


def _history(stored: str | None) -> tuple[AttemptError, ...]:
    try:
        entries = json.loads(stored or "[]")
        return tuple(AttemptError(attempt=attempt, at=in_seconds(at), error=error) for attempt, at, error in entries)
    except (ValueError, TypeError):
        return ()  # written by other hands; the letter itself can still be read
