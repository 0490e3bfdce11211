"""Claims that may be what kills workers: they run alone, and are not handed to and fro meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.unit.app.bench import Bench, virtual

from asynctasq.domain.message import Claim
from asynctasq.drivers.memory_driver import MemoryDriver

MANY = 20


@virtual
async def test_many_suspects_run_one_by_one_and_are_given_back_once() -> None:
    bench = Bench()
    at_once, most = 0, 0

    async def work() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.1)
        at_once -= 1

    made = bench.task(work)
    for _ in range(MANY):
        await bench.dispatch(made())
    for _ in range(2):
        assert len(await bench.memory.claim(["default"], limit=MANY, lease=1, wait=0, worker="dies")) == MANY
        await asyncio.sleep(2)
    async with bench.working() as worker:
        await asyncio.sleep(60)
    assert worker.counts["Ack"] == MANY
    assert most == 1
    assert worker.counts["Release"] <= MANY - 1


@virtual
async def test_what_was_claimed_beside_a_suspect_starts_although_the_tasks_are_quick() -> None:
    class Distant(MemoryDriver):
        async def claim(self, queues: Sequence[str], **asked: Any) -> Sequence[Claim]:
            claims = await super().claim(queues, **asked)
            await asyncio.sleep(1)
            return claims

    bench = Bench(memory=Distant)

    async def work() -> None:
        await asyncio.sleep(0.1)

    made = bench.task(work)
    await bench.dispatch(made())
    for _ in range(2):
        assert len(await bench.memory.claim(["default"], limit=9, lease=1, wait=0, worker="dies")) == 1
        await asyncio.sleep(2)
    for _ in range(2):
        await bench.dispatch(made())
    worker = await bench.drain(concurrency=3)
    assert worker.counts == {"Ack": 3}
