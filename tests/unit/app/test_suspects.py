"""Claims that may be what kills workers: they run alone, and are not handed to and fro meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.app.bench import Bench, virtual
from tests.virtual_time import now, run_virtually

from asynctasq.app.intake import SUSPECT_STAGGER
from asynctasq.domain.message import Claim
from asynctasq.drivers.memory_driver import MemoryDriver

MANY = 20


async def made_suspect(bench: Bench, many: int) -> None:
    """Have the workers of so many claims die, twice."""
    for _ in range(2):
        assert len(await bench.memory.claim(["default"], limit=many, lease=1, wait=0, worker="dies")) == many
        await asyncio.sleep(2)


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
    await made_suspect(bench, MANY)
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
    await made_suspect(bench, 1)
    for _ in range(2):
        await bench.dispatch(made())
    worker = await bench.drain(concurrency=3)
    assert worker.counts == {"Ack": 3}


@virtual
async def test_suspects_that_are_given_back_come_one_by_one_and_their_attempt_with_them() -> None:
    bench = Bench()

    async def work() -> None:
        await asyncio.sleep(1_000)

    made = bench.task(work)
    for _ in range(4):
        await bench.dispatch(made())
    await made_suspect(bench, 4)
    async with bench.working() as worker:
        began = now()
        await asyncio.sleep(0.01)
        assert await bench.ready() == (0, 3, 1)
        assert worker.counts == {"Release": 3}
        came: list[float] = []
        for _ in range(3):
            (claim,) = await bench.memory.claim(["default"], limit=9, lease=1_000, wait=60, worker="another")
            came.append(now() - began)
            assert (claim.attempt, claim.expiries) == (3, 2)
    assert came == pytest.approx([SUSPECT_STAGGER * position for position in (1, 2, 3)], abs=SUSPECT_STAGGER / 4)


@virtual
async def test_a_suspect_waits_for_what_runs_no_longer_than_a_lease() -> None:
    bench = Bench()
    starts: list[tuple[str, float]] = []

    async def work(name: str) -> None:
        starts.append((name, now()))
        await asyncio.sleep(1_000)

    made = bench.task(work)
    await bench.dispatch(made("suspect"))
    await made_suspect(bench, 1)
    await bench.dispatch(made("beside"))
    began = now()
    async with bench.working(lease=10, shutdown_grace=0) as worker:
        await asyncio.sleep(30)
        assert len(worker.running()) == 2, "the other one runs on"
    assert starts == [("beside", pytest.approx(began, abs=0.1)), ("suspect", pytest.approx(began + 10, abs=0.1))]


def test_a_suspect_whose_lease_is_lost_while_it_waits_is_not_started(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()
        starts: list[str] = []

        async def work(name: str) -> None:
            starts.append(name)
            await asyncio.sleep(50)

        made = bench.task(work)
        await bench.dispatch(made("suspect"))
        await made_suspect(bench, 1)
        await bench.dispatch(made("beside"))
        async with bench.working(lease=90) as worker:
            await asyncio.sleep(10)
            assert await bench.ready() == (0, 0, 2)
            await bench.memory.purge("default")
            await asyncio.sleep(100)
            await bench.dispatch(made("next"))
            await asyncio.sleep(100)
        assert starts == ["beside", "next"]
        assert worker.counts == {"Lost": 1, "Ack": 1}

    with caplog.at_level(logging.WARNING):
        run_virtually(scenario())
    assert ["has lost its lease" in record.getMessage() for record in caplog.records] == [True], "that of the other"
