"""How the cost of a claim grows: its p99 on a full queue beside an empty one, on asynctasq's own driver.

`python -m benchmarks.scale BROKER [--ready N --delayed N --dead N]` fills one queue and claims and acknowledges one at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid

import asynctasq
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import Ack, DeadLetter, Settlement
from asynctasq.ports.driver import QueueDriver
from benchmarks.brokers import started

CHUNK = 1_000
LEASE = 60.0
HOUR = 3_600.0
QUEUE = "scale"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("broker", choices=("sqlite", "redis", "postgres"))
    parser.add_argument("--ready", type=int, default=1_000_000)
    parser.add_argument("--delayed", type=int, default=100_000)
    parser.add_argument("--dead", type=int, default=10_000)
    parser.add_argument("--claims", type=int, default=1_000)
    given = parser.parse_args()
    with started(given.broker) as place:
        print(json.dumps(asyncio.run(measured(place.clean(), given)), indent=1))


async def measured(url: str, given: argparse.Namespace) -> dict[str, float]:
    """p99 of a claim in milliseconds, empty and full, and their ratio; the target is 2."""
    app = asynctasq.init(url)
    driver = app.drivers.get().sibling()
    await driver.connect()
    try:
        empty = await _p99(driver, given.claims)
        await _fill(driver, given)
        full = await _p99(driver, given.claims)
    finally:
        await driver.close()
        await app.close()
    return {"claim p99 empty, ms": empty * 1e3, "claim p99 full, ms": full * 1e3, "full : empty": full / empty}


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
