"""Where the broker cannot tell who holds a message, the worker does not touch what may be another's by now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.app.bench import Bench, virtual
from tests.virtual_time import now

from asynctasq.domain.errors import DriverUnavailable
from asynctasq.domain.message import Claim
from asynctasq.domain.verdict import Settlement
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.ports.driver import Extended, ExtendStatus, Settled

LEASE = 10.0


class Unfenced(MemoryDriver):
    """Renews and settles for anybody, and is away for a while."""

    away: tuple[float, float] = (0.0, 0.0)
    sent: list[tuple[int, str]]
    renewed: list[float]

    def __init__(self, **clocks):
        super().__init__(**clocks)
        self.capabilities = replace(self.capabilities, fencing=False)
        self.sent, self.renewed = [], []

    def sibling(self):
        sibling = super().sibling()
        sibling.away = self.away
        sibling.sent, sibling.renewed = self.sent, self.renewed
        return sibling

    def here(self) -> None:
        if self.away[0] <= now() < self.away[1]:
            raise DriverUnavailable("away")

    async def claim(self, queues, **how) -> Sequence[Claim]:
        self.here()
        return await super().claim(queues, **how)

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        self.here()
        self.renewed.append(now())
        await super().extend(claims, lease=lease)
        return [Extended(ExtendStatus.KEPT, now() + lease) for _ in claims]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        self.here()
        self.sent += [(settlement.claim.attempt, type(settlement.verdict).__name__) for settlement in settlements]
        return await super().settle(settlements)


class Refusing(MemoryDriver):
    """Renews nothing: SQS hides a message for twelve hours, and no longer."""

    async def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Extended]:
        return [Extended(ExtendStatus.FAILED, error=DriverUnavailable("no longer")) for _ in claims]


@pytest.mark.parametrize(("fails", "sent"), [(True, []), (False, [(1, "Ack")])])
def test_past_the_end_of_its_lease_a_task_that_is_done_is_settled_and_nothing_else(
    fails: bool, sent: list[tuple[int, str]]
) -> None:
    async def scenario() -> None:
        bench = Bench(memory=Unfenced)
        bench.memory.away = (now() + 1, now() + 3 * LEASE)

        async def work() -> None:
            await asyncio.sleep(2)
            if fails:
                raise ValueError

        await bench.dispatch(bench.task(work, max_attempts=5)())
        async with bench.working(lease=LEASE, concurrency=1):
            await asyncio.sleep(5 * LEASE)
        assert [each for each in bench.memory.sent if each[0] == 1] == sent

    virtual_of(scenario)


def test_a_lease_that_the_broker_will_not_renew_any_longer_ends_and_its_task_is_stopped() -> None:
    async def scenario() -> None:
        bench = Bench(memory=Refusing)
        ended: list[float] = []

        async def work() -> None:
            try:
                await asyncio.sleep(1_000)
            except asyncio.CancelledError:
                ended.append(now())
                raise

        began = now()
        await bench.dispatch(bench.task(work)())
        async with bench.working(lease=LEASE, concurrency=1):
            await asyncio.sleep(LEASE + 5)
        assert began + LEASE <= ended[0] <= began + LEASE + 3

    virtual_of(scenario)


def test_a_worker_that_stood_still_past_its_lease_does_not_renew_it() -> None:
    """As after SIGSTOP: the clock has jumped, and the keeper is the first to look."""

    async def scenario() -> None:
        bench = Bench(memory=Unfenced)

        async def work() -> None:
            await asyncio.sleep(1_000)

        await bench.dispatch(bench.task(work)())
        async with bench.working(lease=LEASE, concurrency=1) as worker:
            await asyncio.sleep(1)
            asyncio.get_running_loop()._virtual.now += 5 * LEASE  # type: ignore[attr-defined]
            renewed = len(bench.memory.renewed)
            await asyncio.sleep(0.5)
            assert len(bench.memory.renewed) == renewed
            assert worker.counts["Lost"] == 1

    virtual_of(scenario)


def virtual_of(scenario) -> None:
    virtual(scenario)()
