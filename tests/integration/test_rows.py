"""Rows of SQLAlchemy in a real worker: what is open while a task runs and after it, and what is imported for it."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import TaskFunction
from asynctasq.domain.task import ExecutionMode
from asynctasq.drivers.memory_driver import MemoryDriver

pytestmark = pytest.mark.asyncio


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Shop:
    """An app of its own, a table with one row, and the pool that the worker's sessions use."""

    def __init__(self, engine: AsyncEngine, row: User) -> None:
        self.driver = MemoryDriver()
        self.registry = Registry()
        self.app = App(load_settings({"driver": self.driver}, environ={}), registry=self.registry)
        self.engine = engine
        self.row = row
        self.held: list[int] = []

    def hold(self) -> None:
        pool: Any = self.engine.pool
        self.held.append(pool.checkedout())

    async def run(self, function: Any, **options: Any) -> None:
        mode = ExecutionMode.of(is_async=inspect.iscoroutinefunction(function), process=False)
        task = TaskFunction(function, name="t:it", named=True, options=options, mode=mode)
        self.registry.add(task)
        await self.driver.connect()
        await self.app.dispatch(task([self.row]))
        await build_worker(self.app, Serving(burst=True)).run()
        self.hold()


@pytest_asyncio.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Shop]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    monkeypatch.setattr(Base, "_asynctasq_session_factory", sessions, raising=False)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        row = User(name="Ada")
        session.add(row)
        await session.commit()
    yield Shop(engine, row)
    await engine.dispose()


async def test_no_connection_is_held_while_a_task_runs_and_after_it_returned(shop: Shop) -> None:
    async def task(users: list[User]) -> None:
        assert users[0].name == "Ada"
        shop.hold()

    await shop.run(task)
    assert shop.held == [0, 0]


async def test_no_connection_is_held_after_a_task_failed(shop: Shop) -> None:
    def task(users: list[User]) -> None:
        shop.hold()
        raise LookupError(users[0].name)

    await shop.run(task, max_attempts=1)
    assert shop.held == [0, 0]


async def test_no_connection_is_held_after_a_task_ran_past_its_timeout(shop: Shop) -> None:
    async def task(users: list[User]) -> None:
        shop.hold()
        await asyncio.Event().wait()

    await shop.run(task, max_attempts=1, timeout=0.5)
    assert shop.held == [0, 0]
    (dead,) = await shop.driver.list_dead("default", limit=1)
    assert "TaskTimeout" in dead.error


async def test_no_connection_is_held_after_a_worker_was_stopped(shop: Shop) -> None:
    runs = asyncio.Event()

    async def task(users: list[User]) -> None:
        shop.hold()
        runs.set()
        await asyncio.Event().wait()

    task_function = TaskFunction(task, name="t:it", named=True, options={}, mode=ExecutionMode.ASYNC)
    shop.registry.add(task_function)
    await shop.driver.connect()
    await shop.app.dispatch(task_function([shop.row]))
    worker = build_worker(shop.app, Serving(shutdown_grace=0))
    running = asyncio.create_task(worker.run())
    await runs.wait()
    worker.stop()
    await running
    shop.hold()
    assert shop.held == [0, 0]
    (stats,) = await shop.driver.stats(["default"])
    assert stats.ready == 1


IMPORTS = """
import asyncio, sys
import asynctasq
from asynctasq.app.bootstrap import current
from asynctasq.app.serve import Serving, build_worker
from asynctasq.tasks import task
{more}
@task
async def noop(value): ...

async def main():
    asynctasq.init("memory")
    await noop({value}).dispatch()
    await build_worker(current(), Serving(burst=True)).run()
    await current().close()

asyncio.run(main())
print(sorted({{"sqlalchemy", "django", "tortoise"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("more", "used"),
    [("", []), ("import sqlalchemy.orm", ["sqlalchemy"]), ("import django.db.models", ["django"])],
    ids=["none", "sqlalchemy", "django"],
)
async def test_no_orm_is_imported_that_the_app_has_not_imported(more: str, used: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(IMPORTS.format(more=more, value='{"orm": "tortoise", "label": "a.B", "pk": 1}'))
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.stdout == f"{used}\n", ran.stderr


IN_CHILDREN = """
import asyncio
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
import asynctasq
from asynctasq.tasks import task

asynctasq.init({"driver": "sqlite", "sqlite": {"path": "queue.db"}})

class Base(DeclarativeBase): ...

class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)

engine = create_async_engine("sqlite+aiosqlite:///shop.db")
sessions = async_sessionmaker(engine, expire_on_commit=False)
Base._asynctasq_session_factory = sessions

def tell(when, user):
    print(f"{when} {user.id} {engine.pool.checkedout()}\\n", end="", flush=True)

@task(process=True, max_attempts=1)
async def on_a_loop(user: User, then: str):
    tell(f"on a loop, {then}", user)
    if then == "fail":
        raise LookupError
    if then == "give up":
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

@task(process=True, max_attempts=1)
def plainly(user: User, then: str):
    tell(f"plainly, {then}", user)
    if then == "fail":
        raise LookupError

@task(process=True, timeout=3, max_attempts=1)
async def too_long(user: User):
    tell("too long", user)
    await asyncio.sleep(600)

async def main():
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions.begin() as session:
        user = User(id=1)
        session.add(user)
    for call in (on_a_loop(user, "fail"), on_a_loop(user, "give up"), plainly(user, "fail"), on_a_loop(user, "end"),
                 too_long(user), plainly(user, "end")):
        await call.dispatch()
    await engine.dispose()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.timeout(180)
async def test_no_connection_is_held_in_a_child_while_a_task_runs_and_after_it_failed_or_was_stopped(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.py").write_text(IN_CHILDREN)

    async def python(*words: str) -> str:
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    await python("shop.py")
    told = await python("-m", "asynctasq", "worker", "shop.py", "--burst", "--concurrency", "1", "--children", "1")
    # Each says how many connections are out of its child's pool: also those of the ones before it in that child.
    assert sorted(told.splitlines()) == [
        "on a loop, end 1 0",
        "on a loop, fail 1 0",
        "on a loop, give up 1 0",
        "plainly, end 1 0",
        "plainly, fail 1 0",
        "too long 1 0",
    ]
