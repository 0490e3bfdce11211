"""Where a claimer with much to do goes on: behind what it has just claimed.

InnoDB takes its time to remove what an index no longer says. Each claim would read over all that was claimed before, and a
hundred that took 1.4 ms at first took 6 after ten thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asynctasq.domain.message import Claim

MANY = 50
"""From how many messages a claim goes on where the last one ended. Smaller ones look at all, and keep the order to the letter."""

LOOKS_BACK = 1.0
"""Seconds until all is looked at again: what was stored late, or given up by others, waits no longer while the queue flows."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A queue whose last claim filled up, so that there may be more in it.

    Attributes:
        queue: its name.
        behind: what is due from then on is left, in microseconds since the epoch by the server's clock.
        until: when all is looked at again, by this process's monotonic clock.
    """

    queue: str
    behind: int
    until: float

    def first(self, limit: int, now: float) -> int:
        """From which due time on a claim of `limit` messages looks; 0 for all."""
        return self.behind if limit >= MANY and now < self.until else 0


def after(claims: Sequence[Claim], limit: int, *, until: float) -> Flow | None:
    """What follows from a claim of `limit` messages; None if it did not fill up."""
    if len(claims) < limit:
        return None
    last = claims[-1]
    # No message is due before it was enqueued, and nearly all are due then; a microsecond may be lost in a float.
    return Flow(last.message.queue, int(last.enqueued_at * 1_000_000) - 1, until)
