"""Messages that are alive, found by their ids. Runs in the writer thread, on an open connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asynctasq.adapters.drivers.sqlite.connection import Connection
from asynctasq.adapters.drivers.sqlite.statements import statement
from asynctasq.adapters.drivers.sqlite.values import in_seconds, now
from asynctasq.ports.search import LiveMessage, live_message

_FIND = statement("find")


def find(connection: Connection, ids: Sequence[str]) -> list[LiveMessage | None]:
    """Those of these ids, in order."""
    at = now()
    found = [connection.execute(_FIND, (id,)).fetchall() for id in ids]
    return [_live_message(rows[0], at) if rows else None for rows in found]


def _live_message(row: tuple[Any, ...], at: int) -> LiveMessage:
    id, queue, body, receipt, attempt, expiries, enqueued_at, visible_at = row
    return live_message(
        id=id,
        queue=queue,
        body=body if isinstance(body, bytes) else b"",  # written by other hands; a claim will quarantine it
        leased=receipt is not None,
        attempts=attempt or 0,
        expiries=expiries or 0,
        enqueued_at=in_seconds(enqueued_at or 0),
        due_in=in_seconds(visible_at - at),
    )
