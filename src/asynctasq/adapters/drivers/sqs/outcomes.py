"""What requests of ten came to, as the answers of a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from asynctasq.adapters.drivers.sqs.faults import Superseded
from asynctasq.domain.errors import AsyncTasQError, DriverError, Indeterminate
from asynctasq.domain.message import Claim
from asynctasq.ports.driver import Settled, SettleStatus


def settled(error: AsyncTasQError | None, *, copied: bool) -> Settled:
    """The answer to a settlement.

    Args:
        error: what SQS has against the deletion.
        copied: whether a copy had been sent before: it was carried out then, whoever holds the original.
    """
    match error:
        case None:
            return Settled(SettleStatus.DONE)
        case Superseded():
            return Settled(SettleStatus.DONE if copied else SettleStatus.LOST)
        case _:
            return Settled(SettleStatus.FAILED, error)


def by_queue(claims: Sequence[Claim]) -> dict[str, list[int]]:
    """The places of the claims of each queue: a request is of one."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for n, claim in enumerate(claims):
        places[claim.message.queue].append(n)
    return places


def raise_if_nothing_is_known(errors: Sequence[AsyncTasQError | None]) -> None:
    """Raise if the broker failed for each item, and say that it may have been carried out if that is so for any."""
    failures = [error for error in errors if isinstance(error, DriverError) and not isinstance(error, Superseded)]
    if errors and len(failures) == len(errors):
        raise next((error for error in failures if isinstance(error, Indeterminate)), failures[0])
