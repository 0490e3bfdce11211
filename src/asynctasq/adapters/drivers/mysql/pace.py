"""How soon to look again: MySQL tells nobody of new work, so whoever waits must ask."""

from __future__ import annotations

SHORTEST, LONGEST = 0.02, 0.56
"""Seconds between two looks. The longest is what a task that comes after a long silence may wait; it makes for nine looks in the
five seconds of a worker's claim, the one with which it begins included."""

SHARE = 0.25
"""Of the silence so far that the next pause may take: half of the tasks come while it is still short."""


class Pace:
    """The pauses of one driver's waiting claims: short after work was found, and longer with the silence since.

    Args:
        now: by the loop's clock.
    """

    def __init__(self, now: float) -> None:
        self._found_at = now

    def found(self, now: float) -> None:
        """There was work."""
        self._found_at = now

    def pause(self, now: float) -> float:
        """Seconds until the next look."""
        return min(max((now - self._found_at) * SHARE, SHORTEST), LONGEST)
