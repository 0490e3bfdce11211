"""Reading messages that are due, and setting aside stored rows that are not messages.

Anyone can write to the file with any tool. What cannot be read must neither stop the queue nor be lost: it becomes a dead letter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from asynctasq.adapters.drivers.sqlite.connection import Connection
from asynctasq.adapters.drivers.sqlite.statements import statement

_DUE = statement("due")
_DUE_SEQS = statement("due_seqs")
_TEXTS = statement("texts")
_QUARANTINE = statement("quarantine")
_DISCARD = statement("discard")


class DueMessage(NamedTuple):
    """A row of `message` that may be claimed."""

    seq: int
    id: str
    body: bytes
    attempt: int
    enqueued_at: int
    expiries: int
    expired: int


def due_messages(connection: Connection, queue: str, at: int, limit: int) -> list[DueMessage]:
    """Up to `limit` messages of a queue that are due at `at`, in order. Within a transaction."""
    while True:
        try:
            rows = connection.execute(_DUE, (queue, at, limit)).fetchall()
        except UnicodeDecodeError:
            _quarantine_bad_text(connection, queue, at, limit)
            continue
        corrupt = [(row[0], row[1], fault) for row in rows if (fault := _fault(row))]
        if not corrupt:
            return [DueMessage(*row[:7]) for row in rows]
        for seq, id, fault in corrupt:
            _quarantine(connection, seq, id, fault, at)


def _fault(row: tuple[Any, ...]) -> str:
    """What is wrong with a row of due.sql; empty if nothing is."""
    _, id, body, attempt, enqueued_at, expiries, _, readable_history = row
    if type(id) is not str:
        return f"id is {_kind(id)}, not text"
    if type(body) is not bytes:
        return f"body is {_kind(body)}, not a blob"
    for name, value in (("attempt", attempt), ("enqueued_at", enqueued_at), ("expiries", expiries)):
        if type(value) is not int or value < 0:
            return f"{name} is {value!r:.100}, not a whole number from 0"
    return "" if readable_history else "history is not a JSON array"


def _quarantine_bad_text(connection: Connection, queue: str, at: int, limit: int) -> None:
    """Find, one by one, the rows that hold text which is not UTF-8."""
    for (seq,) in connection.execute(_DUE_SEQS, (queue, at, limit)).fetchall():
        try:
            connection.execute(_TEXTS, (seq,)).fetchall()
        except UnicodeDecodeError as error:
            _quarantine(connection, seq, None, f"text is not UTF-8 ({error})", at)


def _quarantine(connection: Connection, seq: int, id: object, fault: str, at: int) -> None:
    name = id if isinstance(id, str) else f"corrupt-{seq}-{at}"
    connection.execute(_QUARANTINE, (seq, name, f"corrupt: {fault}", f"row {seq} of table message: {fault}", at))
    connection.execute(_DISCARD, (seq,))


def _kind(value: object) -> str:
    return "null" if value is None else "a blob" if isinstance(value, bytes) else f"{value!r:.100}"
