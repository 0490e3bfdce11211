"""An optional part of the driver port: what has become of one message."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMessage:
    """A message that is ready, delayed or leased. For people: it may have changed when it is read.

    Attributes:
        id: the message's id.
        queue: where it is.
        body: its bytes.
        state: "ready", "delayed" or "leased"; a lease that has ended leaves it ready.
        attempts: how many were counted.
        expiries: how many leases ended without a settlement.
        enqueued_at: seconds since the epoch, broker's clock.
        due_in: seconds until its delay or its lease ends; negative once it is ready.
    """

    id: str
    queue: str
    body: bytes
    state: Literal["ready", "delayed", "leased"]
    attempts: int
    expiries: int
    enqueued_at: float
    due_in: float


@runtime_checkable
class Searchable(Protocol):
    """Optional: a message that is alive can be found by its id. Dead ones are found by `DeadLetters.get_dead`."""

    @abstractmethod
    async def find(self, ids: Sequence[str]) -> Sequence[LiveMessage | None]:
        """The messages of these ids, in order; None where there is none alive. Changes nothing.

        Raises:
            DriverUnavailable: the broker could not be asked.
        """


def live_message(
    *, id: str, queue: str, body: bytes, leased: bool, attempts: int, expiries: int, enqueued_at: float, due_in: float
) -> LiveMessage:
    """A message as a broker keeps it: its state follows from when it is due, and from whether a receipt was given."""
    state: Literal["ready", "delayed", "leased"] = "ready" if due_in <= 0 else "leased" if leased else "delayed"
    return LiveMessage(
        id=id,
        queue=queue,
        body=body,
        state=state,
        attempts=attempts,
        expiries=expiries,
        enqueued_at=enqueued_at,
        due_in=due_in,
    )
