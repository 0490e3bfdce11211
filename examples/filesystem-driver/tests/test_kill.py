"""Processes that are killed with -9, in the middle of whatever they do, lose nothing."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import asynctasq
from asynctasq.ports import QueueStats
from asynctasq_filesystem import FilesystemDriver

HERE = Path(__file__).parent
TASKS = 400
KILLS = 10
PATIENCE = 90.0
"""Seconds until what takes a few is taken for what never comes: the machine may be crowded."""

PRODUCER = """
import asyncio, os, sys
from asynctasq_filesystem import FilesystemDriver
from asynctasq.ports import Message

async def produce():
    driver = FilesystemDriver(sys.argv[1])
    await driver.connect()
    for number in range(1_000_000):
        batch = [Message(id=f"{os.getpid()}-{number}-{n}", queue="default", body=b"x" * 1000) for n in range(5)]
        await driver.enqueue(batch)
        print(*(message.id for message in batch), flush=True)

asyncio.run(produce())
"""


def worker(folder: Path) -> subprocess.Popen[bytes]:
    environ = os.environ | {
        "ASYNCTASQ_DRIVER": "filesystem",
        "ASYNCTASQ_DRIVERS_FILESYSTEM_PATH": str(folder / "queues"),
        "ASYNCTASQ_WORKER_LEASE": "2",
        "LEDGER": str(folder / "ledger"),
    }
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "asynctasq", "worker", "killed_tasks", "--concurrency", "4"],
            cwd=HERE,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


async def stats(folder: Path) -> QueueStats:
    driver = FilesystemDriver(folder / "queues")
    await driver.connect()
    (answer,) = await driver.stats(["default"])
    await driver.close()
    return answer


def runs(folder: Path) -> Counter[tuple[str, str]]:
    """How often each task began and ended."""
    lines = (folder / "ledger").read_text().splitlines() if (folder / "ledger").exists() else []
    return Counter((word, id) for word, id, _ in map(str.split, lines))


@pytest.mark.asyncio
async def test_every_task_runs_to_its_end_though_workers_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE)
    from killed_tasks import work

    app = asynctasq.init({"driver": "filesystem", "drivers": {"filesystem": {"path": str(tmp_path / "queues")}}})
    ids = await asynctasq.dispatch_many([work(number) for number in range(TASKS)])
    await app.close()
    chance = random.Random(20261128)
    workers = [worker(tmp_path) for _ in range(3)]
    deadline = time.monotonic() + PATIENCE
    try:
        for number in range(KILLS):
            # A kill counts where it can interrupt something: once more tasks have ended than at the one before.
            while sum(word == "ended" for word, _ in runs(tmp_path)) < (number + 1) * TASKS // (2 * KILLS):
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
                await asyncio.sleep(0.02)
            victim = workers.pop(chance.randrange(len(workers)))
            victim.kill()
            victim.wait()
            workers.append(worker(tmp_path))
        while (left := await stats(tmp_path)).ready + left.delayed + left.leased:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            await asyncio.sleep(0.1)
    finally:
        for each in workers:
            each.kill()
            each.wait()
    ended = {id for word, id in runs(tmp_path) if word == "ended"}
    assert ended == set(ids)
    assert (await stats(tmp_path)).dead == 0


def killed_while_producing(folder: Path) -> set[str]:
    """The ids that a producer was told are stored, before it was killed."""
    producer = subprocess.Popen([sys.executable, "-c", PRODUCER, folder], stdout=subprocess.PIPE, text=True)
    assert producer.stdout is not None
    told = {id for _ in range(20) for id in producer.stdout.readline().split()}
    producer.kill()
    told.update(producer.stdout.read().rpartition("\n")[0].split())  # a last line that was cut short told nothing
    producer.stdout.close()
    producer.wait()
    return told


@pytest.mark.asyncio
async def test_whatever_a_killed_producer_was_told_is_stored_is_stored_whole_and_once(tmp_path: Path) -> None:
    told = {id for _ in range(3) for id in killed_while_producing(tmp_path)}
    driver = FilesystemDriver(tmp_path)
    await driver.connect()
    claims = await driver.claim(["default"], limit=1_000_000, lease=60, wait=0, worker="w")
    await driver.close()
    stored = Counter(claim.message.id for claim in claims)
    assert told
    assert told <= stored.keys()
    assert set(stored.values()) == {1}
    assert {claim.message.body for claim in claims} == {b"x" * 1000}
