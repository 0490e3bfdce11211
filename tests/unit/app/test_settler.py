"""The settler: what the broker refuses for now is offered again, but not at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.unit.app.bench import virtual
from tests.virtual_time import now

from asynctasq.app.outage import Outage
from asynctasq.app.seams import Seams
from asynctasq.app.settler import Settler
from asynctasq.domain.errors import DriverUnavailable
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.verdict import ACK, Settlement
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.ports.driver import Settled, SettleStatus


class HalfAway(MemoryDriver):
    """Cannot settle what is on the queue `away` before its time."""

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Settled]:
        self.asked = getattr(self, "asked", 0) + 1
        refused = Settled(SettleStatus.FAILED, DriverUnavailable("one of its servers is gone"))
        answers = await super().settle(settlements)
        return [
            refused if each.claim.message.queue == "away" and now() < self.back_at else answer
            for each, answer in zip(settlements, answers, strict=True)
        ]

    back_at = 0.0


@virtual
async def test_a_settlement_that_is_refused_alone_waits_before_it_is_offered_again() -> None:
    driver = HalfAway(clock=now, monotonic=now)
    driver.back_at = now() + 60
    await driver.connect()
    await driver.enqueue([Message(id=name, queue=name, body=b"") for name in ("here", "away")])
    settled: list[str] = []

    def note(claim: Claim) -> None:
        settled.append(claim.message.id)

    outage = Outage("worker", driver.location, Seams(monotonic=now, wall=now, random=lambda: 0.5))
    settler = Settler(driver, outage=outage, settled=note, holds=lambda _: True)
    for claim in await driver.claim(["here", "away"], limit=2, lease=1_000, wait=0, worker="w"):
        settler.add(Settlement(claim=claim, verdict=ACK))
    settler.close()
    async with asyncio.timeout(100):
        await settler.run()
    assert sorted(settled) == ["away", "here"]
    assert driver.asked < 60, "it spins"
