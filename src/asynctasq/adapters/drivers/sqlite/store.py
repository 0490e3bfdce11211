"""What the verbs do to the tables, each in one transaction. Runs in the writer thread, on an open connection."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from asynctasq.adapters.drivers.sqlite.connection import Connection, transaction
from asynctasq.adapters.drivers.sqlite.due import due_messages
from asynctasq.adapters.drivers.sqlite.statements import statement
from asynctasq.adapters.drivers.sqlite.values import bounded, in_microseconds, in_seconds, now
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Ack, DeadLetter, Release, Retry, Settlement, Verdict
from asynctasq.ports.driver import Extended, ExtendStatus, QueueStats, Settled, SettleStatus
from asynctasq.ports.refusals import refusal_of_follow_ups

HISTORY_KEPT = 10
"""How many errors of earlier attempts are kept with a message, the latest ones."""

_LIVE_IDS = statement("live_ids")
_ENQUEUE = statement("enqueue")
_NEXT_DUE = statement("next_due")
_LEASE = statement("lease")
_EXTEND = statement("extend")
_ACK = statement("ack")
_RETRY = statement("retry")
_RELEASE = statement("release")
_DEAD_LETTER = statement("dead_letter")
_STATS = statement("stats")
_QUEUES = statement("queues")
_PURGE = statement("purge")

_DONE, _LOST, _GONE = Settled(SettleStatus.DONE), Settled(SettleStatus.LOST), Extended(ExtendStatus.LOST)


def enqueue(connection: Connection, messages: Sequence[Message]) -> set[str]:
    """Store messages, each id once, and say which ids were taken already: those are left as they were."""
    ids = json.dumps([message.id for message in messages])
    with transaction(connection):
        taken = {id for (id,) in connection.execute(_LIVE_IDS, (ids,))}
        at = now()
        connection.executemany(
            _ENQUEUE,
            [(m.id, m.queue, m.body, at + in_microseconds(m.delay), at) for m in messages if m.id not in taken],
        )
    return taken


def claim(
    connection: Connection, queues: Sequence[str], *, limit: int, lease: float, worker: str
) -> tuple[list[Claim], float | None]:
    """Lease due messages; if none is due, say in how many seconds the next one will be (None: there is none)."""
    # Looking first keeps claimers that wait from taking the write lock again and again.
    soonest = _soonest(connection, queues)
    if soonest is None:
        return [], None
    if (left := soonest - now()) > 0:
        return [], in_seconds(left)
    with transaction(connection):
        deadline = time.monotonic() + lease
        at = now()
        token = secrets.randbits(62)
        seqs: list[int] = []
        claims: list[Claim] = []
        for queue in dict.fromkeys(queues):
            for due in due_messages(connection, queue, at, limit - len(claims)):
                seqs.append(due.seq)
                claims.append(
                    Claim(
                        message=Message(id=due.id, queue=queue, body=due.body),
                        attempt=due.attempt + 1,
                        receipt=f"{due.seq}-{token + due.seq}",
                        deadline=deadline,
                        enqueued_at=in_seconds(due.enqueued_at),
                        expiries=due.expiries + due.expired,
                    )
                )
        connection.execute(_LEASE, (at + in_microseconds(lease), token, bounded(worker), json.dumps(seqs)))
    return claims, 0.0


def extend(connection: Connection, claims: Sequence[Claim], *, lease: float) -> list[Extended]:
    """Move the ends of leases."""
    with transaction(connection):
        kept = Extended(ExtendStatus.KEPT, time.monotonic() + lease)
        until = now() + in_microseconds(lease)
        held = _fenced(connection, _EXTEND, [(n, *_key(claim), until) for n, claim in enumerate(claims)])
    return [kept if n in held else _GONE for n in range(len(claims))]


def settle(connection: Connection, settlements: Sequence[Settlement]) -> list[Settled]:
    """Carry out verdicts in order, neighbours of one kind together."""
    answers = [_refused(settlement) or _LOST for settlement in settlements]
    wanted = [(n, s.claim, s.verdict) for n, s in enumerate(settlements) if answers[n] is _LOST]
    with transaction(connection):
        at = now()
        for kind, run in groupby(wanted, key=lambda each: type(each[2])):
            for n in _carry_out[kind](connection, list(run), at):
                answers[n] = _DONE
    return answers


def stats(connection: Connection, queues: Sequence[str]) -> list[QueueStats]:
    """Count, exactly."""
    at = now()
    return [
        QueueStats(
            queue=queue,
            ready=ready,
            delayed=later - leased,
            leased=leased,
            dead=dead,
            oldest_age=in_seconds(at - oldest) if ready else None,
            exact=True,
        )
        for queue, ready, later, leased, dead, oldest in connection.execute(_STATS, (json.dumps(list(queues)), at))
    ]


def queues(connection: Connection) -> list[str]:
    """The names of all queues that hold anything, sorted."""
    return [name for (name,) in connection.execute(_QUEUES)]


def purge(connection: Connection, queue: str) -> int:
    """Remove what is not dead of a queue, and say how many."""
    with transaction(connection):
        connection.execute(_PURGE, (queue,))
        return connection.changes()


Wanted = list[tuple[int, Claim, Any]]


def _ack(connection: Connection, wanted: Wanted, _: int) -> set[int]:
    return _fenced(connection, _ACK, [(n, *_key(claim)) for n, claim, _ in wanted])


def _retry(connection: Connection, wanted: Wanted, at: int) -> set[int]:
    return _fenced(
        connection,
        _RETRY,
        [
            (n, *_key(claim), at + in_microseconds(verdict.delay), at, bounded(verdict.error), HISTORY_KEPT)
            for n, claim, verdict in wanted
        ],
    )


def _release(connection: Connection, wanted: Wanted, at: int) -> set[int]:
    rows = [(n, *_key(claim), at + in_microseconds(verdict.delay)) for n, claim, verdict in wanted]
    return _fenced(connection, _RELEASE, rows)


def _dead_letter(connection: Connection, wanted: Wanted, at: int) -> set[int]:
    # The rows leave together, afterwards, so a receipt that comes twice would still be valid the second time.
    first = {each[1].receipt: each for each in reversed(wanted)}
    buried = _fenced(
        connection,
        _DEAD_LETTER,
        [
            (n, *_key(claim), bounded(verdict.reason), bounded(verdict.error), at)
            for n, claim, verdict in first.values()
        ],
    )
    return _ack(connection, [each for each in wanted if each[0] in buried], at)


_carry_out: dict[type[Verdict], Callable[[Connection, Wanted, int], set[int]]] = {
    Ack: _ack,
    Retry: _retry,
    Release: _release,
    DeadLetter: _dead_letter,
}


def _fenced(connection: Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> set[int]:
    """Run a statement per row (a number, then the key of a claim, ...); the numbers of those whose receipt was valid."""
    return {n for (n,) in connection.executemany(sql, rows)}


def _key(claim: Claim) -> tuple[int | None, int | None]:
    """The row and the number that a claim's receipt stands for; nothing that any row has if it is not one of ours."""
    seq, _, number = claim.receipt.partition("-")
    try:
        return int(seq), int(number)
    except ValueError:
        return None, None


def _refused(settlement: Settlement) -> Settled | None:
    if not settlement.then:
        return None
    return Settled(SettleStatus.FAILED, refusal_of_follow_ups("SQLite"))


def _soonest(connection: Connection, queues: Sequence[str]) -> int | None:
    soonest: int | None
    ((soonest,),) = connection.execute(_NEXT_DUE, (json.dumps(list(queues)),))
    return soonest
