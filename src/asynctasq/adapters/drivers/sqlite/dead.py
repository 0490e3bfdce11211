"""Dead letters in the tables: reading, requeueing, purging. Runs in the writer thread, on an open connection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from asynctasq.adapters.drivers.sqlite.connection import Connection, Rows, transaction
from asynctasq.adapters.drivers.sqlite.statements import statement
from asynctasq.adapters.drivers.sqlite.values import in_seconds, now
from asynctasq.ports.driver import AttemptError, DeadMessage

_LIST = statement("list_dead")
_GET = statement("get_dead")
_REQUEUE = statement("requeue_dead")
_PURGE = statement("purge_dead")


def list_dead(connection: Connection, queue: str, *, limit: int, after: str | None) -> list[DeadMessage]:
    """The most recently dead first, behind `after`."""
    return [_dead_message(row) for row in connection.execute(_LIST, (queue, after, limit))]


def get_dead(connection: Connection, ids: Sequence[str]) -> list[DeadMessage | None]:
    """Those of these ids, in order."""
    found = [connection.execute(_GET, (id,)).fetchall() for id in ids]
    return [_dead_message(rows[0]) if rows else None for rows in found]


def requeue_dead(connection: Connection, ids: Sequence[str]) -> list[bool]:
    """Move them back; whether there was one, for each."""
    with transaction(connection):
        at = now()
        return [_any(connection.execute(_REQUEUE, (id, at))) and _any(connection.execute(_PURGE, (id,))) for id in ids]


def purge_dead(connection: Connection, ids: Sequence[str]) -> list[bool]:
    """Remove them; whether there was one, for each."""
    with transaction(connection):
        return [_any(connection.execute(_PURGE, (id,))) for id in ids]


def _any(rows: Rows) -> bool:
    return bool(rows.fetchall())


def _dead_message(row: tuple[Any, ...]) -> DeadMessage:
    id, queue, body, reason, error, attempts, enqueued_at, died_at, history = row
    return DeadMessage(
        id=id,
        queue=queue,
        body=body if isinstance(body, bytes) else b"" if body is None else str(body).encode(),
        reason=reason,
        error=error,
        attempts=attempts,
        enqueued_at=in_seconds(enqueued_at),
        died_at=in_seconds(died_at),
        history=_history(history),
    )


def _history(stored: str | None) -> tuple[AttemptError, ...]:
    try:
        entries = json.loads(stored or "[]")
        return tuple(AttemptError(attempt=attempt, at=in_seconds(at), error=error) for attempt, at, error in entries)
    except (ValueError, TypeError):
        return ()  # written by other hands; the letter itself can still be read
