"""What SQS tells of queues, and what an operator should make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from asynctasq.adapters.drivers.sqs.faults import NotAllowed
from asynctasq.domain.errors import AsyncTasQError, InvalidName
from asynctasq.ports.examination import Finding

ATTRIBUTES = ("MaximumMessageSize", "MessageRetentionPeriod", "RedrivePolicy")
"""What is asked of SQS about each queue. Leases and delays are told with each request: the queue's own matter to nobody."""

KEPT = 1_209_600
"""Seconds that SQS keeps a message at most: fourteen days."""

KEPT_BY_DEFAULT = 345_600
"""Seconds that it keeps one unless told otherwise: four days."""

FEW_RECEIPTS = 10
"""A redrive policy that allows fewer takes tasks away that would have been run again."""

Told = Mapping[str, str] | AsyncTasQError | None
"""A queue's attributes; why they are not known; None if there is no such queue."""


def troubles(attributes: Mapping[str, str], *, dead: bool) -> list[tuple[str, str]]:
    """What may lose tasks in a queue, each with its mend.

    Args:
        attributes: as SQS gives them; one that it does not give is as it should be.
        dead: whether dead letters are in it.
    """
    found: list[tuple[str, str]] = []
    kept = int(attributes.get("MessageRetentionPeriod", KEPT))
    if kept < KEPT_BY_DEFAULT:
        what = "dead letters" if dead else "tasks"
        found.append((f"it forgets {what} after {kept / 3600:g} hours", "raise its MessageRetentionPeriod"))
    receipts = int(json.loads(attributes.get("RedrivePolicy") or "{}").get("maxReceiveCount", FEW_RECEIPTS))
    if receipts < FEW_RECEIPTS:
        found.append(
            (
                f"SQS itself takes tasks away from it after {receipts} receipts",
                f"remove its RedrivePolicy, or raise maxReceiveCount to {FEW_RECEIPTS} or more",
            )
        )
    return found


def findings(queues: Mapping[tuple[str, bool], Told] | NotAllowed, *, prefix: str, creates: bool) -> list[Finding]:
    """What to say of all queues under a prefix.

    Args:
        queues: by their names in SQS, and whether dead letters are in them; or why they cannot be listed.
        prefix: what their names begin with.
        creates: whether one that is missing is created when it is needed.
    """
    untried = Finding(
        subject="permissions",
        said="what sending, receiving and deleting would be answered cannot be seen without doing it; docs/sqs.md lists "
        "what credentials must be allowed",
    )
    if isinstance(queues, NotAllowed):
        return [
            Finding(
                subject="listing",
                said="these credentials may not list queues, so none was looked at",
                mend="allow sqs:ListQueues, or run the doctor with credentials that have it",
            ),
            untried,
        ]
    found = [_of_queue(name, dead, told, creates=creates) for (name, dead), told in queues.items()]
    if not queues:
        missing = f"there is none whose name begins with {prefix!r}"
        found.append(
            Finding(subject="queues", said=f"{missing}; each is created when it is needed")
            if creates
            else Finding(
                subject="queues",
                said=missing,
                mend="create those that docs/sqs.md names, correct sqs.queue_prefix or sqs.region, or set "
                "sqs.create_queues to true",
            )
        )
    return [*found, untried]


def _of_queue(name: str, dead: bool, told: Told, *, creates: bool) -> Finding:
    subject = f"queue {name}"
    match told:
        case None if creates:
            return Finding(subject=subject, said="not there yet; it is created when it is needed")
        case None:
            lost = "dead letters cannot be put away" if dead else "dispatches to it are refused"
            mend = f"create it with a MessageRetentionPeriod of {KEPT}, or set sqs.create_queues to true"
            return Finding(subject=subject, said=f"there is none: {lost}", mend=mend)
        case NotAllowed():
            mend = "allow sqs:GetQueueUrl and sqs:GetQueueAttributes on it"
            return Finding(subject=subject, said="these credentials may not look at it", mend=mend)
        case InvalidName():
            return Finding(subject=subject, said="dead letters cannot be put away", mend=str(told))
        case AsyncTasQError():
            return Finding(subject=subject, said=str(told), mend="try again: the others have answered")
        case attributes:
            found = troubles(attributes, dead=dead)
            days = int(attributes.get("MessageRetentionPeriod", KEPT)) / 86_400
            said = f"keeps {'dead letters' if dead else 'tasks'} for {days:g} days"
            return Finding(
                subject=subject,
                said="; ".join(what for what, _ in found) or said,
                mend="; ".join(mend for _, mend in found),
            )
