"""A message in SQS never changes: whatever becomes of it, other than its end, is a new copy that is sent before it is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from asynctasq.adapters.drivers.sqs.envelope import Death, Envelope
from asynctasq.adapters.drivers.sqs.received import Received
from asynctasq.domain.errors import CorruptMessage
from asynctasq.domain.message import Claim
from asynctasq.domain.verdict import DeadLetter, Release, Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What is to be sent in place of a message.

    Attributes:
        queue: ours, of the message.
        receipt: of the message, which is deleted once the copy is sent.
        envelope: the copy.
        delay: seconds until it is due.
    """

    queue: str
    receipt: str
    envelope: Envelope
    delay: float = 0.0


def copy_after(claim: Claim, verdict: Retry | Release | DeadLetter) -> Copy:
    """What takes a message's place after a verdict."""
    match verdict:
        case Retry():
            return _copy(claim, attempts=claim.attempt, expiries=claim.expiries, delay=verdict.delay)
        case Release():
            return _copy(claim, attempts=claim.attempt - 1, expiries=claim.expiries, delay=verdict.delay)
        case DeadLetter():
            # No past: it begins again wherever it is moved to.
            return _copy(claim, dead=Death(reason=verdict.reason, error=verdict.error, attempts=claim.attempt))
        case _:
            assert_never(verdict)


def copy_of_early(early: Received) -> Copy:
    """What takes the place of a message that has come before it is due, because SQS could not hold it longer."""
    claim, envelope = early.claim, early.envelope
    return _copy(claim, attempts=envelope.attempts, expiries=envelope.expiries, delay=early.early)


def copy_of_foreign(raw: Mapping[str, Any], queue: str, problem: CorruptMessage) -> Copy:
    """The dead letter of a message that cannot be read."""
    death = Death(reason=str(problem), error="", attempts=0)
    body = str(raw["Body"]).encode("utf-8", "surrogateescape")
    return Copy(
        queue=queue, receipt=raw["ReceiptHandle"], envelope=Envelope(id=raw["MessageId"], body=body, dead=death)
    )


def _copy(claim: Claim, *, attempts: int = 0, expiries: int = 0, delay: float = 0.0, dead: Death | None = None) -> Copy:
    envelope = Envelope(
        id=claim.message.id,
        body=claim.message.body,
        attempts=attempts,
        expiries=expiries,
        enqueued_at=claim.enqueued_at,
        dead=dead,
    )
    return Copy(queue=claim.message.queue, receipt=claim.receipt, envelope=envelope, delay=delay)
