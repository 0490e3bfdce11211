"""A worker's intake: how many claims are asked for, when, and which of them start when.

The worker says when a slot has become free; the intake keeps the slots filled, in batches.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import sys
from collections.abc import Collection, Sequence
from typing import Protocol

from asynctasq.app import failpoints
from asynctasq.app.leases import LeaseKeeper
from asynctasq.app.outage import Outage
from asynctasq.app.seams import Seams
from asynctasq.app.settler import Settler
from asynctasq.app.worker_options import WorkerOptions
from asynctasq.domain.errors import DriverError
from asynctasq.domain.message import Claim
from asynctasq.ports.driver import QueueDriver

LONGEST_WAIT = 5.0
"""Seconds that an empty claim waits at most: the bound on what a lost wake-up costs."""

BURST_WAIT = 0.1
"""Seconds that an empty claim of a burst waits while tasks run: how much later than the last of them it may end."""

GATHER = 0.002
"""Seconds to wait for more free slots when only a few are free: keeps batches large under load."""

AHEAD = 1.0
"""Seconds that claims ahead wait for a slot at most, and a quarter of the lease: then another worker may have them."""

WORTH_HIDING = 0.0005
"""Seconds from which the broker's answer is worth waiting for while tasks run: keeping claims for later costs something too."""

SUSPECT = 2
"""Expiries from which a claim runs alone: its worker died holding it, twice. The third time it shall take no neighbour along."""

SUSPECT_STAGGER = 0.05
"""Seconds between the returns of suspects that were released because another one runs."""


class Slots(Protocol):
    """What the intake asks of the worker whose slots it fills."""

    @property
    def taken(self) -> Collection[str]:
        """The receipts of the claims that have a slot."""
        ...

    def start(self, claim: Claim) -> None:
        """Give a claim a slot and start it."""

    def give_back(self, claim: Claim, *, delay: float = 0.0) -> None:
        """Release a claim that has not started."""

    async def change(self) -> None:
        """Return when a slot has become free or a claim was settled."""


class Intake:
    """Claims for one worker, from its driver, until cancelled.

    Args:
        options: how the worker works.
        slots: where claims start.
        driver: where they come from; connected by the first claim.
        keeper: keeps the leases of claims that have not started.
        settler: asked how much is unsettled, since no more is claimed above twice the concurrency.
        outage: told when the broker is away and when it is back.
        seams: the worker's sleep.
    """

    def __init__(
        self,
        options: WorkerOptions,
        slots: Slots,
        *,
        driver: QueueDriver,
        keeper: LeaseKeeper,
        settler: Settler,
        outage: Outage,
        seams: Seams,
    ) -> None:
        self._options = options
        self._slots = slots
        self._driver = driver
        self._keeper = keeper
        self._settler = settler
        self._outage = outage
        self._seams = seams
        self._ahead: collections.deque[Claim] = collections.deque()
        self._eager = False
        self._returning: asyncio.TimerHandle | None = None
        self._left = options.max_tasks or sys.maxsize
        self._claims = 0
        self._first_queue = 0
        self._wary = False

    async def run(self) -> None:
        """Claim until cancelled, or until as many have started as may; in burst, until nothing is ready and nothing runs.

        Raises:
            ConfigurationError: the broker can be reached but never be used as configured.
        """
        taken, options = self._slots.taken, self._options
        while self._left > 0:
            # Where there was one suspect there are often more, of which all but one would only be given back.
            room = await self._room()
            limit = 1 if self._wary else room
            idle = not taken and not self._settler.backlog
            asked = self._seams.monotonic()
            try:
                await self._driver.connect()
                claims = await self._driver.claim(
                    self._queues_in_turn(),
                    limit=limit,
                    lease=options.lease,
                    wait=self._patience(idle=idle),
                    worker=options.id,
                )
            except DriverError as error:
                await self._outage.wait(error)
                continue
            self._outage.over()
            if failpoints.ACTIVE and claims:
                failpoints.hit("worker.after_claim")
            starved = not taken and self._seams.monotonic() - asked > WORTH_HIDING
            suspects = [claim for claim in claims if claim.expiries >= SUSPECT]
            self._wary = bool(suspects)
            # As long as tasks end sooner than the broker answers, and there is more, the next claim asks ahead: the broker works
            # while the tasks run, not while the worker waits.
            self._eager = (
                not suspects  # which run alone: what was claimed beside them starts at once, or not at all
                and len(claims) == limit
                and len(claims) <= options.concurrency - len(taken) - len(self._ahead)
                and self._may_ask_ahead()
                and (self._eager or starved)
            )
            self._take([claim for claim in claims if claim.expiries < SUSPECT] if suspects else claims)
            if suspects:
                await self._run_alone(suspects)
            elif options.burst and idle and not claims:
                return

    def slot_freed(self) -> None:
        """Start a claim that waits for a slot, if there is one."""
        if self._ahead:
            self._start(self._ahead.popleft())

    def give_back(self) -> None:
        """Release what was claimed ahead and has found no slot: others may have it."""
        while self._ahead:
            self._slots.give_back(self._ahead.popleft())

    def _start(self, claim: Claim) -> None:
        self._left -= 1
        self._slots.start(claim)

    def _may_ask_ahead(self) -> bool:
        """Whether what is claimed on a guess costs nothing: its attempt can be given back, and it may be started here."""
        return self._driver.capabilities.refunds_release and self._options.max_tasks is None

    def _take(self, claims: Sequence[Claim]) -> None:
        """Start the claims, and keep for later those that have no slot."""
        self._ahead.extend(claims)
        if self._eager:
            # The loop sends nothing until it has run what is ready: the next claim goes first, or it would wait for these to run.
            asyncio.get_running_loop().call_soon(self._fill)
        else:
            self._fill()

    def _fill(self) -> None:
        """Start what was claimed, as far as there are slots."""
        taken, most, ahead = self._slots.taken, self._options.concurrency, self._ahead
        while ahead and len(taken) < most:
            self._start(ahead.popleft())
        if ahead:
            for claim in ahead:
                self._keeper.keep(claim)
            if self._returning is not None:
                self._returning.cancel()
            patience = min(AHEAD, self._options.lease / 4)
            self._returning = asyncio.get_running_loop().call_later(patience, self.give_back)

    async def _room(self) -> int:
        """How many claims to ask for; waits until it is one at least."""
        most = self._options.concurrency
        while (room := self._free()) < 1 or self._settler.backlog > 2 * most:
            await self._slots.change()
        if room <= most // 8:
            await self._seams.sleep(GATHER)
            room = self._free()
        return min(room, most, self._left)

    def _free(self) -> int:
        """How many more claims can be held: the free slots, and as many again while tasks are quick."""
        most = self._options.concurrency
        return (2 * most if self._eager else most) - len(self._slots.taken) - len(self._ahead)

    def _patience(self, *, idle: bool) -> float:
        """How long an empty claim waits. In a burst what runs may bring more, a retry say, and nothing else is waited for."""
        if not self._options.burst:
            return min(LONGEST_WAIT, self._options.lease / 2)
        return 0 if idle else BURST_WAIT

    def _queues_in_turn(self) -> Sequence[str]:
        """The queues, the most urgent first; every tenth claim starts at the next one, so that none starves."""
        queues = self._options.queues
        self._claims += 1
        if self._claims % 10 or len(queues) == 1:
            return queues
        self._first_queue = self._first_queue % (len(queues) - 1) + 1
        return [*queues[self._first_queue :], *queues[: self._first_queue]]

    async def _run_alone(self, suspects: Sequence[Claim]) -> None:
        """Run one claim that may be what kills workers, with nothing beside it, and give the others back for later.

        What runs already gets one lease's time to end; longer would let a long task starve the suspect.
        """
        alone, *others = suspects
        self.give_back()
        for position, claim in enumerate(others, start=1):
            self._slots.give_back(claim, delay=position * SUSPECT_STAGGER)
        self._keeper.keep(alone)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.lease):
                    while self._slots.taken or self._settler.backlog:
                        await self._slots.change()
        except asyncio.CancelledError:  # the worker was stopped meanwhile
            self._slots.give_back(alone)
            raise
        if not self._keeper.keeps(alone):  # its lease was lost meanwhile: it is another's
            self._keeper.drop(alone)
            return
        self._start(alone)
        while alone.receipt in self._slots.taken:
            await self._slots.change()
