"""The limit on Redis: redis-py and hiredis; one round trip settles 100 and claims the next 100 with a lease."""

from __future__ import annotations

import asyncio
import os

import redis.asyncio
import uvloop
import work

CLAIM = """
local bodies = redis.call('LPOP', KEYS[1], 100)
if not bodies then return {} end
for _, body in ipairs(bodies) do redis.call('ZADD', KEYS[2], ARGV[1], body) end
return bodies
"""
ID = 16


async def run(_body: bytes) -> None:
    work.noop()


async def serve(client: redis.asyncio.Redis) -> None:
    claim = client.register_script(CLAIM)
    await client.script_load(CLAIM)
    settled: list[bytes] = []
    while True:
        async with client.pipeline(transaction=False) as pipeline:
            if settled:
                pipeline.zrem("leases", *settled)
            await claim(keys=["queue", "leases"], args=[30], client=pipeline)
            settled = (await pipeline.execute())[-1]
        if settled:
            await asyncio.gather(*(asyncio.create_task(run(body)) for body in settled))
        elif pushed := await client.blpop(["queue"], timeout=1):
            await run(pushed[1])


async def main(command: str, *arguments: str) -> None:
    client = redis.asyncio.Redis.from_url(work.URL)
    if command == "worker":
        await serve(client)
    elif command == "dispatch":
        way, n, _ = arguments

        async def many(n: int) -> None:
            for begin in range(0, n, 100):
                await client.rpush("queue", *(os.urandom(ID) for _ in range(min(100, n - begin))))

        await work.dispatch(way, int(n), lambda: client.rpush("queue", os.urandom(ID)), many)


if __name__ == "__main__":
    uvloop.run(main(*work.asked()))
