"""Settlements go to the broker together, as soon as the previous ones are through: no timer, one round trip per batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asynctasq.app import failpoints
from asynctasq.app.outage import Outage
from asynctasq.domain.errors import DriverError
from asynctasq.domain.message import Claim
from asynctasq.domain.verdict import Ack, Settlement
from asynctasq.ports.driver import QueueDriver, SettleStatus

logger = logging.getLogger("asynctasq.worker")


class Settler:
    """Carries out the verdicts of one worker.

    `run()` must not be cancelled while settlements wait: a finished task whose settlement is lost runs twice.

    Where the broker does not fence, the worker does: past the end of a lease nothing is settled any more but what is done. That
    stays done, whoever holds the message now.

    Args:
        driver: what settles.
        outage: told when the broker is away and when it is back.
        settled: told of each claim that needs nothing more.
        holds: whether a claim's lease has not ended.
    """

    def __init__(
        self,
        driver: QueueDriver,
        *,
        outage: Outage,
        settled: Callable[[Claim], None],
        holds: Callable[[Claim], bool],
    ) -> None:
        self._driver = driver
        self._outage = outage
        self._settled = settled
        self._holds = holds
        self._waiting: list[Settlement] = []
        self._flying = 0
        self._wake = asyncio.Event()
        self._closing = False

    @property
    def backlog(self) -> int:
        """Settlements that the broker has not confirmed."""
        return len(self._waiting) + self._flying

    def add(self, settlement: Settlement) -> None:
        """Hand over a settlement; never blocks."""
        if not self._waiting:
            self._wake.set()
        self._waiting.append(settlement)

    def close(self) -> None:
        """Let `run()` return once everything is settled."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Settle what is handed over, until closed."""
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch, self._waiting = self._waiting, []
            self._flying = len(batch)
            await self._settle(batch)
            self._flying = 0
            for settlement in batch:
                self._settled(settlement.claim)

    async def _settle(self, batch: list[Settlement]) -> None:
        while batch:
            if failpoints.ACTIVE:
                failpoints.hit("worker.before_settle")
            if not self._driver.capabilities.fencing:
                batch = self._fenced(batch)
            try:
                answers = await self._driver.settle(batch)
            except DriverError as error:
                await self._outage.wait(error)
                continue
            if failpoints.ACTIVE:
                failpoints.hit("worker.after_settle")
            again: list[Settlement] = []
            unavailable: DriverError | None = None
            for settlement, answer in zip(batch, answers, strict=True):
                if answer.status is SettleStatus.LOST:
                    _log_lost(settlement)
                elif isinstance(answer.error, DriverError):
                    again.append(settlement)
                    unavailable = answer.error
                elif answer.error is not None:
                    logger.error(
                        "task %s: the broker refused its settlement: %s", settlement.claim.message.id, answer.error
                    )
            batch = again
            if unavailable is None:
                self._outage.over()
            else:
                await self._outage.wait(unavailable)

    def _fenced(self, batch: list[Settlement]) -> list[Settlement]:
        """What may still be settled."""
        kept: list[Settlement] = []
        for settlement in batch:
            if isinstance(settlement.verdict, Ack) or self._holds(settlement.claim):
                kept.append(settlement)
            else:
                _log_lost(settlement)
        return kept


def _log_lost(settlement: Settlement) -> None:
    claim = settlement.claim
    logger.warning(
        "task %s: attempt %d had lost its lease when it was settled (%s); another attempt decides",
        claim.message.id,
        claim.attempt,
        type(settlement.verdict).__name__,
    )
