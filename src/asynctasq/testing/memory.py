"""The memory driver's harness."""

from __future__ import annotations

import time

from asynctasq.testing.contract.driver import Harness


class MemoryHarness(Harness):
    """Lets hours pass in no time, for a `MemoryDriver(clock=harness.clock)`."""

    unit = 3_600.0

    def __init__(self) -> None:
        self._ahead = 0.0

    def clock(self) -> float:
        """Seconds since the epoch, ahead of time by what was passed to `age`."""
        return time.time() + self._ahead

    async def age(self, seconds: float) -> None:
        """Move the clock."""
        self._ahead += seconds
