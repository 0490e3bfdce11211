"""What rows as arguments cost: `python -m benchmarks rows [--url URL]`, with SQLAlchemy, on SQLite and on a PostgreSQL of its
own, unless a URL says where.

Bytes with a row against the row itself; the time to fetch 1, 2 and 100 rows, and 100 one by one at the same time instead of by
one `IN`; and a task that is given a row beside one that is given its key and fetches it by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgpack
from sqlalchemy import Text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import asynctasq
from asynctasq.app.bootstrap import App
from asynctasq.app.serve import Serving, build_worker
from asynctasq.tasks import dispatch_many, task
from asynctasq.utils.loop import run
from benchmarks.brokers import started
from benchmarks.environments import Unavailable

TASKS = 500
TIMES = 200


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "asynctasq_benchmark_user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class Order(Base):
    __tablename__ = "asynctasq_benchmark_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)


@task
async def with_row(user: User) -> None:
    assert user.name


@task
async def with_key(key: int) -> None:
    async with Base._asynctasq_session_factory() as session:
        user = await session.get(User, key)
    assert user.name


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks rows", description=__doc__)
    parser.add_argument("--url", help="of SQLAlchemy, with an asynchronous client")
    given = parser.parse_args(words)
    if given.url:
        run(_measure(given.url))
        return
    with tempfile.TemporaryDirectory() as folder:
        print("SQLite")
        run(_measure(f"sqlite+aiosqlite:///{Path(folder) / 'rows.db'}"))
    try:
        with started("postgres") as postgres:
            print(f"\nPostgreSQL: {postgres.setting}")
            run(_measure(postgres.clean().replace("postgresql:", "postgresql+asyncpg:")))
    except Unavailable as why:
        print(f"\nPostgreSQL: not measured, {why}")


async def _measure(url: str) -> None:
    engine = create_async_engine(url, pool_size=20)
    Base._asynctasq_session_factory = sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = asynctasq.init("memory")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    try:
        async with sessions() as session:
            users = [User(name=f"user {n}" * 10) for n in range(100)]
            order = Order(text="x" * 100_000)
            session.add_all([*users, order])
            await session.commit()
        _sizes(app, users[0], order)
        await _fetches(app, users, order)
        await _tasks(app, users)
    finally:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        await engine.dispose()


def _sizes(app: App, user: User, order: Order) -> None:
    codec = app.container.codec()
    for row, data in ((user, [user.id, user.name]), (order, [order.id, order.text])):
        pending = with_row(row)
        body = codec.encode(pending.task(app.defaults), with_row.parameters, id="1", max_body=None)
        print(f"a task with a {type(row).__name__}: {len(body)} bytes; the row itself {len(msgpack.packb(data)):,}")


async def _fetches(app: App, users: list[User], order: Order) -> None:
    rows, resolver = app.container.rows(), app.container.resolvers().get("sqlalchemy")
    assert resolver is not None
    refs = [resolver.reference(user) for user in users]

    async def one_by_one() -> None:
        await asyncio.gather(*(rows.fetch([ref]) for ref in refs))

    many: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("1 row", lambda: rows.fetch(refs[:1])),
        ("2 rows of one model", lambda: rows.fetch(refs[:2])),
        ("2 rows of two models", lambda: rows.fetch([refs[0], resolver.reference(order)])),
        ("100 rows", lambda: rows.fetch(refs)),
        ("100 rows, a session each", one_by_one),
    ]
    for name, fetch in many:
        times = TIMES if fetch is not one_by_one else TIMES // 10
        print(f"{name}: {await _median(fetch, times) * 1e3:.2f} ms")


async def _median(call: Callable[[], Awaitable[object]], times: int) -> float:
    spans = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        spans.append(time.perf_counter() - began)
    return statistics.median(spans)


async def _tasks(app: App, users: list[User]) -> None:
    spans: dict[str, list[float]] = {"key": [], "row": []}
    for _ in range(5):
        for name, calls in (
            ("key", [with_key(users[n % 100].id) for n in range(TASKS)]),
            ("row", [with_row(users[n % 100]) for n in range(TASKS)]),
        ):
            await dispatch_many(calls)
            began = time.perf_counter()
            await build_worker(app, Serving(burst=True, concurrency=20)).run()
            spans[name].append((time.perf_counter() - began) / TASKS * 1e6)
    ratio = statistics.median(row / key for key, row in zip(spans["key"], spans["row"], strict=True))
    key, row = (statistics.median(spans[name]) for name in ("key", "row"))
    print(
        f"a task that fetches by key: {key:.0f} us; one that is given the row: {row:.0f} us; {ratio:.2f} times, within a round"
    )
