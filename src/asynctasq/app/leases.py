"""Leases are kept by a thread of their own, with its own loop and connection, so that a blocked event loop does not lose them.

A thread and not a process: a process would go on renewing for a worker that is stopped or dead-locked.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from asynctasq.app.seams import Seams
from asynctasq.domain.errors import DriverError
from asynctasq.domain.message import Claim
from asynctasq.ports.driver import ExtendStatus, QueueDriver

logger = logging.getLogger("asynctasq.worker")

DUE = 0.7
"""A lease is renewed once less than this share of it is left. Looked at every third of it: two looks before it ends."""


class LeaseKeeper:
    """Renews the leases of one worker's claims, in batches.

    Args:
        driver: a sibling of the worker's driver, not connected; connected at the first renewal.
        lease: seconds.
        seams: the clock.
        lost: told, on the worker's loop, of each claim whose lease is gone.
        in_thread: False lets it run on the worker's own loop, for a test that owns the clock.
    """

    def __init__(
        self, driver: QueueDriver, *, lease: float, seams: Seams, lost: Callable[[Claim], None], in_thread: bool = True
    ) -> None:
        self._driver = driver
        self._lease = lease
        self._seams = seams
        self._lost = lost
        self._in_thread = in_thread
        self._held: dict[str, tuple[Claim, float | None]] = {}
        self._deadlines: dict[str, float | None] = {}
        self._stop = asyncio.Event()
        self._keeping: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def keep(self, claim: Claim, *, until: float | None = None) -> None:
        """Renew this claim's lease from now on, but not past `until` (monotonic): a hung task is not leased for ever."""
        self._held[claim.receipt] = (claim, until)

    def drop(self, claim: Claim) -> None:
        """Renew it no longer."""
        self._held.pop(claim.receipt, None)
        if self._deadlines:
            self._deadlines.pop(claim.receipt, None)

    def keeps(self, claim: Claim) -> bool:
        """Whether this claim's lease is renewed: nobody has dropped it, and the broker has not said that it is lost."""
        return claim.receipt in self._held

    def holds(self, claim: Claim) -> bool:
        """Whether a claim's lease has not ended, by our own clock."""
        deadline = self._deadlines.get(claim.receipt, claim.deadline)
        return deadline is None or self._seams.monotonic() < deadline

    async def start(self) -> None:
        """Begin to keep leases. Call it on the worker's loop."""
        loop = asyncio.get_running_loop()

        def tell_lost(claim: Claim) -> None:
            loop.call_soon_threadsafe(self._lost, claim)

        if not self._in_thread:
            self._loop = loop
            self._keeping = asyncio.create_task(self._keep(tell_lost))
            return
        ended: asyncio.Future[None] = loop.create_future()

        async def keep() -> None:
            self._loop = asyncio.get_running_loop()
            running.set()
            try:
                await self._keep(tell_lost)
            finally:
                loop.call_soon_threadsafe(ended.set_result, None)

        running = threading.Event()
        self._keeping = ended
        threading.Thread(target=lambda: asyncio.run(keep()), name="asynctasq-leases", daemon=True).start()
        running.wait()

    async def stop(self) -> None:
        """Stop renewing and close the connection."""
        if self._loop is not None and self._keeping is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            await self._keeping

    async def _keep(self, tell_lost: Callable[[Claim], None]) -> None:
        period = self._lease / 3
        wait = period
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), wait)
            except TimeoutError:
                try:
                    wait = period if await self._renew(tell_lost) else min(1.0, period / 4)
                except Exception:  # whatever it is, the other leases still need keeping
                    logger.exception("renewing leases failed")
        await self._driver.close()

    async def _renew(self, tell_lost: Callable[[Claim], None]) -> bool:
        """One look at all leases; False if the broker could not be asked."""
        due = self._due()
        if not self._driver.capabilities.fencing:
            # The broker would renew for us what somebody else holds by now.
            self._fence(due, tell_lost)
            due = [claim for claim in due if self.holds(claim)]
        if not due:
            return True
        try:
            await self._driver.connect()
            answers = await self._driver.extend(due, lease=self._lease)
        except DriverError as error:
            logger.warning("%d leases could not be renewed: %s", len(due), error)
            self._fence(due, tell_lost)
            return False
        for claim, answer in zip(due, answers, strict=True):
            if answer.status is ExtendStatus.KEPT:
                if claim.receipt in self._held:  # else it was settled meanwhile
                    self._deadlines[claim.receipt] = answer.deadline
            elif answer.status is not ExtendStatus.FAILED and self._held.pop(claim.receipt, None) is not None:
                tell_lost(claim)
        failed = [claim for claim, answer in zip(due, answers, strict=True) if answer.status is ExtendStatus.FAILED]
        self._fence(failed, tell_lost)
        return not failed

    def _due(self) -> list[Claim]:
        now = self._seams.monotonic()
        due: list[Claim] = []
        for claim, until in list(self._held.values()):
            deadline = self._deadlines.get(claim.receipt, claim.deadline)
            over = until is not None and now > until
            if not over and (deadline is None or deadline - now <= DUE * self._lease):
                due.append(claim)
        return due

    def _fence(self, claims: list[Claim], tell_lost: Callable[[Claim], None]) -> None:
        """Give up what is past its deadline: it may run elsewhere by now, and the broker does not say."""
        for claim in claims:
            if not self.holds(claim) and self._held.pop(claim.receipt, None) is not None:
                tell_lost(claim)
