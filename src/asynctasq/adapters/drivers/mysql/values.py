"""How values of the port are written down: times as whole microseconds since the epoch, texts as bounded characters."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from asynctasq.domain.message import Claim, Message
from asynctasq.domain.retry import LONGEST_SECONDS
from asynctasq.ports.driver import AttemptError, DeadMessage
from asynctasq.ports.search import LiveMessage, live_message

TEXT_KEPT = 8192
"""How many bytes of an error's text, or of a reason, are kept."""

ID_KEPT = 255
"""How many bytes an id may have."""

Key = tuple[int, int]
"""What a receipt stands for: the number of a row, and one that it got when it was claimed."""

NOBODYS: Key = (-1, -1)

BEYOND = 2**63
"""What no BIGINT reaches."""


def in_microseconds(seconds: float) -> int:
    """A duration, rounded up past the clock's own rounding down, so that nothing is shown early."""
    return math.ceil(min(seconds, LONGEST_SECONDS) * 1_000_000) + 1 if seconds > 0 else 0


def in_seconds(microseconds: int) -> float:
    """A time or duration as the port has it."""
    return microseconds / 1_000_000


def bounded(text: str) -> str:
    """As much of a text as is kept, in characters that UTF-8 has: it has no lone surrogates."""
    return text.encode("utf-8", "backslashreplace")[:TEXT_KEPT].decode("utf-8", "ignore")


def storable(id: str) -> bool:
    """Whether an id can be stored as it is."""
    try:
        return len(id.encode()) <= ID_KEPT
    except UnicodeEncodeError:
        return False


def claim_of(queue: str, row: tuple[Any, ...], receipt: int, deadline: float) -> Claim:
    """A claim on what take.sql has locked and lease.sql has leased."""
    head, body = row
    seq, attempt, enqueued_at, expiries, was_leased, id = text(head).split(" ", 5)
    return Claim(
        message=Message(id=id, queue=queue, body=body),
        attempt=min(int(attempt), 2**31 - 2) + 1,
        receipt=f"{seq}-{receipt}",
        deadline=deadline,
        enqueued_at=in_seconds(int(enqueued_at)),
        expiries=min(int(expiries), 2**31 - 2) + int(was_leased),
    )


def key_of(receipt: str) -> Key:
    """The row and the number that a receipt stands for; what no row has if it is not one of ours."""
    seq, _, number = receipt.partition("-")
    try:
        row, claim = int(seq), int(number)
    except ValueError:
        return NOBODYS
    return (row, claim) if -BEYOND < row < BEYOND and -BEYOND < claim < BEYOND else NOBODYS


def fence(keys: Iterable[Key]) -> str:
    """The condition that is true of the rows whose receipts these are."""
    by_receipt = groupby(sorted((receipt, seq) for seq, receipt in keys), lambda pair: pair[0])
    return " OR ".join(
        f"receipt = {receipt} AND seq IN ({', '.join(str(seq) for _, seq in pairs)})" for receipt, pairs in by_receipt
    )


def dead_message(row: tuple[Any, ...]) -> DeadMessage:
    """A row of list_dead.sql or get_dead.sql."""
    id, queue, body, reason, error, attempts, enqueued_at, died_at, history = row
    return DeadMessage(
        id=text(id),
        queue=text(queue),
        body=body,
        reason=reason or "",
        error=error or "",
        attempts=attempts,
        enqueued_at=in_seconds(enqueued_at),
        died_at=in_seconds(died_at),
        history=_history(history),
    )


def found_message(row: tuple[Any, ...]) -> LiveMessage:
    """A row of find.sql."""
    id, queue, body, leased, attempts, expiries, enqueued_at, due_in = row
    return live_message(
        id=text(id),
        queue=text(queue),
        body=body,
        leased=bool(leased),
        attempts=attempts,
        expiries=expiries,
        enqueued_at=in_seconds(enqueued_at),
        due_in=in_seconds(due_in),
    )


def text(stored: bytes) -> str:
    """An id or the name of a queue. What is not UTF-8 was written by other hands, and can be read all the same."""
    return stored.decode("utf-8", "backslashreplace")


def _history(stored: str | None) -> tuple[AttemptError, ...]:
    try:
        entries = json.loads(stored or "[]")
        return tuple(AttemptError(attempt=attempt, at=in_seconds(at), error=error) for attempt, at, error in entries)
    except (ValueError, TypeError):
        return ()  # written by other hands; the letter itself can still be read
