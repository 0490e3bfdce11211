"""An event loop on a clock of its own: where a loop would sleep, time jumps. Hours of leases and delays pass in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Looks for I/O without waiting, and lets the time that the loop would have slept pass at once."""

    now = 1_000.0
    stands_still = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Where nothing is scheduled, or no time passes, only a real event can wake the loop.
        if timeout is None or (self.stands_still and timeout > 0):
            return super().select(None)
        events = super().select(0)
        if not events and timeout > 0:
            self.now += timeout
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose `time()` is virtual."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    @contextlib.contextmanager
    def standing_still(self) -> Generator[None]:
        """No time passes within the block, which waits for what a thread does: that takes real time, and would be overtaken."""
        self._virtual.stands_still = True
        try:
            yield
        finally:
            self._virtual.stands_still = False


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def now() -> float:
    """The running loop's virtual time: what `Seams.monotonic`, `Seams.wall` and a memory driver's clock are set to."""
    return asyncio.get_running_loop().time()
