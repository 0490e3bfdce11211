"""The limit on MariaDB: aiomysql; a transaction claims 100 with SKIP LOCKED and a lease, one statement deletes them."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiomysql
import uvloop
import work

TABLE = "CREATE TABLE IF NOT EXISTS queue (id BIGINT AUTO_INCREMENT PRIMARY KEY, body BLOB NOT NULL, lease DATETIME)"
PUT = "INSERT INTO queue (body) VALUES (%s)"
CLAIM = "SELECT id, body FROM queue WHERE lease IS NULL ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED"
LEASE = "UPDATE queue SET lease = UTC_TIMESTAMP() + INTERVAL 30 SECOND WHERE id IN %s"
SETTLE = "DELETE FROM queue WHERE id IN %s"
BODY = b"x" * 40


async def run(_body: bytes) -> None:
    work.noop()


async def put(pool: aiomysql.Pool, bodies: list[bytes]) -> None:
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.executemany(PUT, bodies)  # one statement


async def settle(cursor: aiomysql.Cursor, ids: list[int]) -> None:
    await cursor.execute(SETTLE, (ids,))


async def serve(pool: aiomysql.Pool) -> None:
    async with pool.acquire() as claims, pool.acquire() as settles, claims.cursor() as taken, settles.cursor() as done:
        await taken.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        settling: asyncio.Task[None] | None = None
        while True:
            await claims.begin()
            await taken.execute(CLAIM)
            rows = await taken.fetchall()
            if not rows:
                await claims.commit()
                await asyncio.sleep(0.01)
                continue
            ids = [row[0] for row in rows]
            await taken.execute(LEASE, (ids,))
            await claims.commit()
            await asyncio.gather(*(asyncio.create_task(run(row[1])) for row in rows))
            if settling:
                await settling
            settling = asyncio.create_task(settle(done, ids))


async def main(command: str, *arguments: str) -> None:
    at = urlsplit(work.URL)
    options = {"host": at.hostname, "port": at.port, "user": at.username, "db": at.path[1:], "autocommit": True}
    async with aiomysql.create_pool(minsize=2, maxsize=10, **options) as pool:
        async with pool.acquire() as connection:
            await connection.query(TABLE)
        if command == "worker":
            await serve(pool)
        elif command == "dispatch":
            way, n, _ = arguments

            async def many(n: int) -> None:
                for begin in range(0, n, 100):
                    await put(pool, [BODY] * min(100, n - begin))

            await work.dispatch(way, int(n), lambda: put(pool, [BODY]), many)


if __name__ == "__main__":
    uvloop.run(main(*work.asked()))
