"""How cost grows, on asynctasq alone: of a claim with what is queued, of a worker with what it has run, of work with workers.

`python -m benchmarks.scale BROKER` prints three things: the p99 of a claim on a full queue beside an empty one; the memory of a
worker while it runs a million tasks; and what two workers do beside one when each task takes a millisecond of a core.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
import uuid

import asynctasq
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import Ack, DeadLetter, Settlement
from asynctasq.ports.driver import Installable, QueueDriver
from benchmarks import measure
from benchmarks.brokers import started
from benchmarks.peers import HERE, PEERS

CHUNK = 1_000
BULK = 50_000
"""Tasks that one client dispatches, for it to be done within its time."""
LEASE = 60.0
HOUR = 3_600.0
QUEUE = "scale"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("broker", choices=("sqlite", "redis", "postgres", "mysql"))
    parser.add_argument("--ready", type=int, default=1_000_000)
    parser.add_argument("--delayed", type=int, default=100_000)
    parser.add_argument("--dead", type=int, default=10_000)
    parser.add_argument("--claims", type=int, default=1_000)
    parser.add_argument(
        "--runs", type=int, default=1_000_000, help="tasks that one worker runs while its memory is looked at"
    )
    parser.add_argument("--busy", type=int, default=4_000, help="tasks of a millisecond for one worker and for two")
    given = parser.parse_args()
    with started(given.broker) as place:
        figures = asyncio.run(measured(place.clean(), given))
        bench = measure.Bench(next(peer for peer in PEERS if peer.name == HERE), sys.executable, place)
        print(json.dumps(figures | memory(bench, given.runs) | workers(bench, given.busy), indent=1))


async def measured(url: str, given: argparse.Namespace) -> dict[str, float]:
    """p99 of a claim in milliseconds, empty and full, and their ratio; the target is 2."""
    app = asynctasq.init(url)
    driver = app.drivers.get().sibling()
    if isinstance(driver, Installable):
        await driver.install()
    await driver.connect()
    try:
        empty = await _p99(driver, given.claims)
        await _fill(driver, given)
        full = await _p99(driver, given.claims)
    finally:
        await driver.close()
        await app.close()
    return {"claim p99 empty, ms": empty * 1e3, "claim p99 full, ms": full * 1e3, "full : empty": full / empty}


def memory(bench: measure.Bench, n: int) -> dict[str, float]:
    """Megabytes of a worker that has run a tenth of n tasks, and all of them."""
    url = bench.broker.clean()
    with measure.notes() as runs:
        for _ in range(0, n, BULK):
            bench.client(url, "dispatch", "many", str(min(BULK, n)), "async", runs=runs)
        with bench.worker(url, runs, "async") as worker:
            worker.wait(lambda: worker.count() >= n // 10, "a tenth", patience=HOUR)
            early = worker.rss()
            worker.wait(lambda: worker.count() >= n, "all of them", patience=HOUR)
            late = worker.rss()
    return {f"worker RSS after {n // 10:,}, MB": early, f"worker RSS after {n:,}, MB": late}


def workers(bench: measure.Bench, n: int) -> dict[str, float]:
    """How much faster two workers are than one, at tasks that need a core."""
    rates = [_rate(bench, n, workers) for workers in (1, 2)]
    return {"one worker, tasks/s": rates[0], "two workers, tasks/s": rates[1], "two : one": rates[1] / rates[0]}


def _rate(bench: measure.Bench, n: int, workers: int) -> float:
    url = bench.broker.clean()
    with measure.notes() as runs, contextlib.ExitStack() as stack:
        bench.client(url, "dispatch", "many", str(n), "busy", runs=runs)
        running = [stack.enter_context(bench.worker(url, runs, "async")) for _ in range(workers)]
        running[0].wait(lambda: running[0].count() >= n, "all of them")  # of both: they count in one folder
        first, last = running[0].span()
    return (n - 1) / (last - first)


async def _p99(driver: QueueDriver, claims: int) -> float:
    took: list[float] = []
    for _ in range(claims):
        await driver.enqueue([_message()])  # thus an empty queue has the one that is claimed
        begin = time.perf_counter()
        claimed = await driver.claim([QUEUE], limit=1, lease=LEASE, wait=0, worker="scale")
        took.append(time.perf_counter() - begin)
        await driver.settle([Settlement(claim=claim, verdict=Ack()) for claim in claimed])
    return sorted(took)[int(claims * 0.99)]


async def _fill(driver: QueueDriver, given: argparse.Namespace) -> None:
    for _ in range(0, given.dead, CHUNK):
        await driver.enqueue([_message() for _ in range(CHUNK)])
        claimed = await driver.claim([QUEUE], limit=CHUNK, lease=LEASE, wait=0, worker="scale")
        await driver.settle([Settlement(claim=claim, verdict=DeadLetter(reason="filled")) for claim in claimed])
    for count, delay in ((given.delayed, HOUR), (given.ready, 0.0)):
        for _ in range(0, count, CHUNK):
            await driver.enqueue([_message(delay) for _ in range(CHUNK)])


def _message(delay: float = 0.0) -> Message:
    return Message(id=uuid.uuid4().hex, queue=QUEUE, body=b"x" * 60, delay=delay)


if __name__ == "__main__":
    main()
