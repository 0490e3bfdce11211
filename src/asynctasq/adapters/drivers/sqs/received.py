"""What SQS hands out, as claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asynctasq.adapters.drivers.sqs.envelope import Envelope, read
from asynctasq.domain.message import Claim, Message

ATTRIBUTES = ("ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp")
"""What is asked of SQS about each message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message of ours that was received.

    Attributes:
        claim: on it.
        envelope: as it was sent.
        early: by how many seconds it is not due yet; 0 or less if it is.
    """

    claim: Claim
    envelope: Envelope
    early: float


def received(raw: Mapping[str, Any], queue: str, deadline: float) -> Received:
    """A message in an answer of SQS.

    Args:
        raw: as the client gives it.
        queue: ours, in which it was.
        deadline: when its lease ends.

    Raises:
        CorruptMessage: it is none of ours.
    """
    envelope = read(raw["Body"])
    receipts, first, sent = (int(raw["Attributes"][name]) for name in ATTRIBUTES)
    claim = Claim(
        message=Message(id=envelope.id, queue=queue, body=envelope.body),
        attempt=envelope.attempts + receipts,
        receipt=raw["ReceiptHandle"],
        deadline=deadline,
        enqueued_at=sent / 1000 if envelope.enqueued_at is None else envelope.enqueued_at,
        # Whatever else ends a claim deletes the message: it was received before, so a lease has ended.
        expiries=envelope.expiries + receipts - 1,
    )
    # Both times are of SQS's clock. What was early at its first receipt has been, or is being, sent anew.
    return Received(claim=claim, envelope=envelope, early=envelope.left - (first - sent) / 1000)
