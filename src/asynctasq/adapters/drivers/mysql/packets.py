"""What is sent for each verb: the statements of `sql/` put together into packets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from asynctasq.adapters.drivers.mysql.statements import binary, listed, name_of, statement, words
from asynctasq.adapters.drivers.mysql.suitability import AROUND_A_BODY
from asynctasq.adapters.drivers.mysql.values import Key, bounded, fence, in_microseconds
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import Ack, DeadLetter, Release, Retry, Settlement

BEGIN, COMMIT, ROLLBACK = "START TRANSACTION", "COMMIT", "ROLLBACK"

HISTORY_KEPT = 10
"""How many errors of earlier attempts are kept of a message."""

ACKED = 1_000
"""How many acks one statement carries out without asking first which of their receipts are valid."""

GIVEN = 100
"""How many verdicts other than acks one statement carries out: each is a SELECT of a UNION."""

T = TypeVar("T")


class Packets:
    """The packets for tables of one prefix.

    Args:
        prefix: what the names of the tables begin with.
        max_packet: the most bytes that the server takes at once.
    """

    def __init__(self, prefix: str, max_packet: int) -> None:
        self._prefix = prefix
        self._room = max_packet - AROUND_A_BODY

    def of(self, name: str, **literals: object) -> str:
        """The statement `sql/<name>.sql`."""
        return statement(name, self._prefix)(**literals)

    def of_each(self, name: str, queues: Iterable[str]) -> str:
        """One statement that asks `sql/<name>.sql` of each queue; its rows begin with the queue's place."""
        return " UNION ALL ".join(f"({self.of(name, n=n, queue=name_of(queue))})" for n, queue in enumerate(queues))

    def enqueue(self, messages: Iterable[Message], batch: int) -> list[str]:
        """Statements that store messages; several only where one would be too long."""
        rows = [
            f"({name_of(message.queue)}, {name_of(message.id)}, {binary(message.body)}, "
            f"@now + {in_microseconds(message.delay)}, @now, {batch})"
            for message in messages
        ]
        return [self.of("enqueue", rows=listed(piece)) for piece in self._pieces(rows, len)]

    def take(self, queue: str, limit: int, *, begins: bool, first: int = 0) -> str:
        """Lock due messages of a queue, in a transaction that goes on."""
        take = self.of("take", queue=name_of(queue), limit=limit, first=first)
        return f"{BEGIN}; {take}" if begins else take

    def lease(self, seqs: Iterable[object], *, lease: float, receipt: int, worker: str) -> str:
        """Lease what was taken, which ends the transaction."""
        lease_ = self.of(
            "lease", lease=in_microseconds(lease), receipt=receipt, worker=words(bounded(worker)), seqs=listed(seqs)
        )
        return f"{lease_}; {COMMIT}"

    def acks(self, keys: Collection[Key]) -> str:
        """A transaction that acks all of these, or is refused before it has an end."""
        acks = self.of("ack", fence=fence(keys))
        return "; ".join([BEGIN, acks, self.of("all", count=len(keys)), COMMIT])

    def settle(self, settlements: Mapping[Key, Settlement]) -> Iterator[str]:
        """Transactions that carry out verdicts. The second statement of each answers the receipts that are valid."""
        steps = [(key, self._given(n, key, settlement)) for n, (key, settlement) in enumerate(settlements.items())]
        for piece in self._pieces(steps, lambda step: len(step[1]) + 64):
            held = self.of("held", fence=fence(key for key, _ in piece))
            statements = [BEGIN, f"{held} FOR UPDATE"]
            if acked := [key for key, given in piece if not given]:
                statements.append(self.of("ack", fence=fence(acked)))
            others = [given for _, given in piece if given]
            for first in range(0, len(others), GIVEN):
                given = " UNION ALL ".join(others[first : first + GIVEN])
                statements.append(self.of("settle", given=given, kept=HISTORY_KEPT))
            yield "; ".join([*statements, COMMIT])

    def _given(self, n: int, key: Key, settlement: Settlement) -> str:
        """What settle.sql is to do with a claim; empty for an ack, which is ack.sql's."""
        verdict = settlement.verdict
        delay, reason, error = 0, "NULL", "NULL"
        match verdict:
            case Ack():
                return ""
            case Retry():
                word, delay, error = "retry", in_microseconds(verdict.delay), words(bounded(verdict.error))
            case Release():
                word, delay = "release", in_microseconds(verdict.delay)
            case DeadLetter():
                word, reason, error = "dead", words(bounded(verdict.reason)), words(bounded(verdict.error))
        seq, receipt = key
        return self.of(
            "given", seq=seq, receipt=receipt, n=n, verdict=f"'{word}'", delay=delay, reason=reason, error=error
        )

    def _pieces(self, items: Sequence[T], size: Callable[[T], int]) -> Iterator[Sequence[T]]:
        """Items in turn, as many at a time as one packet can hold."""
        begin = taken = 0
        for n, item in enumerate(items):
            if taken + size(item) > self._room and n > begin:
                yield items[begin:n]
                begin, taken = n, 0
            taken += size(item) + 2  # what stands between them
        if begin < len(items):
            yield items[begin:]
