"""A worker outlives its broker: how long to wait before the next try, and what to say about it."""

from __future__ import annotations

import logging

from asynctasq.app.seams import Seams
from asynctasq.domain.errors import DriverError

logger = logging.getLogger("asynctasq.worker")

FIRST = 0.1
LONGEST = 10.0
"""Seconds between two tries: decorrelated jitter between these, so that a fleet does not come back in step."""

REMINDER = 60.0
"""Seconds until an outage that lasts is mentioned again."""


class Outage:
    """The broker's absence as one worker sees it: one warning when it begins, one line when it ends."""

    def __init__(self, what: str, location: str, seams: Seams) -> None:
        self._what = what
        self._location = location
        self._seams = seams
        self._wait = FIRST
        self._since: float | None = None
        self._mentioned = 0.0

    async def wait(self, error: DriverError) -> None:
        """Wait before the next try, longer each time."""
        now = self._seams.monotonic()
        if self._since is None:
            self._since = now
        if self._wait == FIRST or now - self._mentioned >= REMINDER:
            self._mentioned = now
            logger.warning("%s: %s; trying again until it works", self._what, error)
        self._wait = min(LONGEST, FIRST + (self._wait * 3 - FIRST) * self._seams.random())
        await self._seams.sleep(self._wait)

    def over(self) -> None:
        """It worked."""
        if self._since is not None:
            seconds = self._seams.monotonic() - self._since
            logger.info("%s works again after %.1f s (%s)", self._what, seconds, self._location)
            self._since, self._wait = None, FIRST
