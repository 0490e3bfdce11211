"""What the scripts are given for messages, claims and verdicts, and the claims in what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asynctasq.adapters.drivers.redis.values import bounded, in_microseconds, packed_id, unpacked_id, unpacked_record
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import Ack, DeadLetter, Release, Retry, Settlement, Verdict


def stored(message: Message) -> tuple[Any, ...]:
    """A message for enqueue.lua: its id, its delay, its body."""
    return packed_id(message.id), in_microseconds(message.delay), message.body


def claims_of(claimed: list[Any], queues: Sequence[str], token: bytes, deadline: float) -> list[Claim]:
    """The claims in an answer of claim.lua.

    Args:
        claimed: the answer: five values per message.
        queues: those that were asked for, in order.
        token: what the leases are fenced by.
        deadline: when they end.
    """
    receipt = token.hex()
    claims: list[Claim] = []
    for n in range(0, len(claimed), 5):
        place, packed, record, attempt, expiries = claimed[n : n + 5]
        enqueued_at, body = unpacked_record(record)
        id = unpacked_id(packed)
        claims.append(
            Claim(
                message=Message(id=id, queue=queues[int(place)], body=body),
                attempt=attempt,
                # The token alone would fence, but a receipt is one message's.
                receipt=f"{receipt}-{id}",
                deadline=deadline,
                enqueued_at=enqueued_at,
                expiries=expiries,
            )
        )
    return claims


def fence(claim: Claim) -> tuple[bytes, bytes]:
    """The id and the token that prove a claim; a token that nobody has if the receipt is not one of ours."""
    token, _, id = claim.receipt.partition("-")
    try:
        return packed_id(claim.message.id), bytes.fromhex(token) if id == claim.message.id else b""
    except ValueError:
        return packed_id(claim.message.id), b""


def verdict(settlement: Settlement) -> tuple[Any, ...]:
    """A settlement for settle.lua: what proves the claim, and what to do."""
    return (*fence(settlement.claim), *_step(settlement.verdict))


def _step(verdict: Verdict) -> tuple[Any, Any, Any, Any]:
    """What settle.lua is to do: a word, the delay, the reason, the error."""
    match verdict:
        case Ack():
            return b"ack", 0, b"", b""
        case Retry():
            return b"retry", in_microseconds(verdict.delay), b"", bounded(verdict.error)
        case Release():
            return b"release", in_microseconds(verdict.delay), b"", b""
        case DeadLetter():
            return b"dead", 0, bounded(verdict.reason), bounded(verdict.error)
