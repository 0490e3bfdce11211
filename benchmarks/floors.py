"""What a missed target would be without a line of ours: the bare clients doing what a driver has to do, beside what a peer does.

`python -m benchmarks.floors` prints three pairs, medians of interleaved rounds: on Redis, how long a message takes to a process
that waits, by a hint and a claim and by a stream, and what the script of an enqueue takes one after the other beside an LPUSH; on
SQLite, what a commit takes through a thread and where one stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import sqlite3
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import redis.asyncio
import uvloop

from asynctasq.adapters.drivers.redis import scripts
from asynctasq.adapters.drivers.redis.batches import Batches
from asynctasq.adapters.drivers.redis.keys import Keys
from asynctasq.adapters.drivers.redis.values import packed_id
from asynctasq.app.seams import uuid7
from benchmarks.brokers import started

ROUNDS = 5
PINGS, APART = 200, 0.01
CALLS = 3_000
BODY = b"x" * 29


def main() -> None:
    with started("redis") as place:
        ways = {"hint and claim": by_hint, "stream": by_stream}
        figures = _medians({f"{way}, p50 ms": lambda way=way: latency(place.clean(), ways[way]) for way in ways})
        calls = {"script of an enqueue, us": _enqueued, "LPUSH, us": _pushed}
        figures |= _medians(
            {what: lambda what=what: uvloop.run(one_by_one(place.clean(), calls[what])) for what in calls}
        )
    with started("sqlite") as place:
        file = place.clean().removeprefix("sqlite:///")
        where = {"commit through a thread, us": True, "commit where one stands, us": False}
        figures |= _medians(
            {what: lambda what=what: uvloop.run(commits(file, in_thread=where[what])) for what in where}
        )
    print(json.dumps(figures, indent=1))


def _medians(measured: dict[str, Callable[[], float]]) -> dict[str, float]:
    rounds = [{what: measure() for what, measure in measured.items()} for _ in range(ROUNDS)]
    return {what: statistics.median(figures[what] for figures in rounds) for what in measured}


Receive = Callable[[redis.asyncio.Redis, redis.asyncio.Redis], AsyncGenerator[bytes | None, None]]
"""Waits for messages, after a None when it does."""


async def by_hint(client: redis.asyncio.Redis, listener: redis.asyncio.Redis) -> AsyncGenerator[bytes | None, None]:
    """What is sent is stored and told of; who is told takes it."""
    async with listener.pubsub() as hints:
        await hints.subscribe("hint")
        await hints.get_message(timeout=5)
        yield None
        while True:
            if await hints.get_message(timeout=5) is not None:
                for body, _ in await client.zpopmin("due", 100):
                    yield body


async def by_stream(client: redis.asyncio.Redis, _: redis.asyncio.Redis) -> AsyncGenerator[bytes | None, None]:
    """What is sent is handed to who waits."""
    await client.xgroup_create("stream", "group", id="$", mkstream=True)
    yield None
    while True:
        found: Any = await client.xreadgroup("group", "one", {"stream": ">"}, count=100, block=5_000)
        for _, entries in found:
            for id, fields in entries:
                yield fields[b"body"]
                await client.xack("stream", "group", id)


async def _send(client: redis.asyncio.Redis, receive: Receive) -> None:
    body = repr(time.monotonic())
    if receive is by_stream:
        await client.xadd("stream", {"body": body})
    else:
        await client.pipeline(transaction=False).zadd("due", {body: 0}).publish("hint", b"").execute()


def latency(url: str, receive: Receive) -> float:
    """Milliseconds, the median, from before a message is sent to when another process, which waits, has it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=_receiver, args=(url, receive, theirs))
    other.start()
    ours.recv()
    uvloop.run(_sender(url, receive))
    took: list[float] = ours.recv()
    other.join()
    return statistics.median(took) * 1e3


async def _sender(url: str, receive: Receive) -> None:
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.ping()
        for _ in range(PINGS):
            await asyncio.sleep(APART)
            await _send(client, receive)


def _receiver(url: str, receive: Receive, parent: Connection) -> None:
    async def all_that_came() -> list[float]:
        took: list[float] = []
        async with redis.asyncio.Redis.from_url(url) as client, redis.asyncio.Redis.from_url(url) as listener:
            await client.ping()
            async with contextlib.aclosing(receive(client, listener)) as received:
                async for body in received:
                    if body is None:
                        parent.send("waits")
                    else:
                        took.append(time.monotonic() - float(body))
                    if len(took) == PINGS:
                        break
        return took

    parent.send(uvloop.run(all_that_came()))


async def _enqueued(client: redis.asyncio.Redis, batches: Batches) -> None:
    await client.execute_command(*batches.run(scripts.ENQUEUE, "default", [packed_id(uuid7()), 0, BODY]))


async def _pushed(client: redis.asyncio.Redis, _: Batches) -> None:
    await client.execute_command("LPUSH", "list", BODY)


async def one_by_one(url: str, call: Callable[[redis.asyncio.Redis, Batches], Awaitable[None]]) -> float:
    """Microseconds that a call takes, each after the one before."""
    batches = Batches(Keys("floor"))
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.script_load(scripts.ENQUEUE.text)
        begin = time.perf_counter()
        for _ in range(CALLS):
            await call(client, batches)
        return (time.perf_counter() - begin) / CALLS * 1e6


async def commits(file: str, *, in_thread: bool) -> float:
    """Microseconds that a row takes, each in a transaction of its own after the one before."""
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, body BLOB)")

    def commit() -> None:
        database.execute("INSERT INTO row (body) VALUES (?)", (BODY,))

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        begin = time.perf_counter()
        for _ in range(CALLS):
            if in_thread:
                await loop.run_in_executor(thread, commit)
            else:
                commit()
        took = (time.perf_counter() - begin) / CALLS
    database.close()
    return took * 1e6


if __name__ == "__main__":
    main()
