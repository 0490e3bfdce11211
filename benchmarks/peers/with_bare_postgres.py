"""The limit on PostgreSQL: asyncpg; one statement claims 100 with SKIP LOCKED and a lease, one deletes them."""

from __future__ import annotations

import asyncio

import asyncpg
import uvloop
import work

TABLE = "CREATE TABLE IF NOT EXISTS queue (id bigserial PRIMARY KEY, body bytea NOT NULL, lease timestamptz)"
PUT = "INSERT INTO queue (body) SELECT unnest($1::bytea[])"
CLAIM = """
UPDATE queue SET lease = now() + interval '30 s' WHERE id IN
  (SELECT id FROM queue WHERE lease IS NULL ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id, body
"""
SETTLE = "DELETE FROM queue WHERE id = ANY($1::bigint[])"
BODY = b"x" * 40


async def run(_body: bytes) -> None:
    work.noop()


async def serve(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as claims, pool.acquire() as settles:
        settling: asyncio.Task[str] | None = None
        while True:
            rows = await claims.fetch(CLAIM)
            if not rows:
                await asyncio.sleep(0.01)
                continue
            await asyncio.gather(*(asyncio.create_task(run(row[1])) for row in rows))
            if settling:
                await settling
            settling = asyncio.create_task(settles.execute(SETTLE, [row[0] for row in rows]))


async def main(command: str, *arguments: str) -> None:
    async with asyncpg.create_pool(work.URL, min_size=2, max_size=10) as pool:
        await pool.execute(TABLE)
        if command == "worker":
            await serve(pool)
        elif command == "dispatch":
            way, n, _ = arguments

            async def many(n: int) -> None:
                for begin in range(0, n, 100):
                    await pool.execute(PUT, [BODY] * min(100, n - begin))

            await work.dispatch(way, int(n), lambda: pool.execute(PUT, [BODY]), many)


if __name__ == "__main__":
    uvloop.run(main(*work.asked()))
