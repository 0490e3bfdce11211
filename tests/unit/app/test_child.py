"""The app's part of a child process, in this one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from asynctasq.app.bootstrap import App
from asynctasq.app.child import Child
from asynctasq.app.registry import Registry
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import TaskFunction
from asynctasq.domain.errors import TaskNotFound
from asynctasq.domain.failure import FailedElsewhere
from asynctasq.domain.message import Message
from asynctasq.domain.task import ExecutionMode, Task, TaskConfig
from asynctasq.ports.executor import Order


class Nursery:
    """A child, and the tasks that it knows."""

    def __init__(self) -> None:
        self.app = App(load_settings({"driver": "memory"}, environ={}), registry=Registry())
        self.child = Child(self.app)

    def perform(self, function: Callable[..., Any], *args: object) -> None:
        mode = ExecutionMode.of(is_async=inspect.iscoroutinefunction(function), process=True)
        name = f"t:{function.__name__}"
        self.app.registry.add(TaskFunction(function, name=name, named=True, options={}, mode=mode))
        self.order(name, *args)

    def order(self, name: str, *args: object) -> None:
        codec = self.app.container.codec()
        body = codec.encode(Task(name=name, args=args, config=TaskConfig()), None, id="i", max_body=None)
        self.child.perform(Order(message=Message(id="i", queue="q", body=body), attempt=1, deadline=None))


@contextlib.contextmanager
def interrupted_soon(child: Child) -> Generator[None]:
    """A signal to this process a moment later, whose handler interrupts the child, as in a real one."""
    before = signal.signal(signal.SIGUSR1, lambda *_: child.interrupt())
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def nursery() -> Generator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.child.close()


def test_what_a_coroutine_leaves_running_is_cancelled_before_the_next_begins(nursery: Nursery) -> None:
    ended: list[str] = []
    kept: list[asyncio.Task[None]] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("cancelled")

    async def leave_behind() -> None:
        kept.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    nursery.perform(leave_behind)
    assert ended == ["cancelled"]
    assert not nursery.child.worn


def test_a_child_with_something_that_cannot_be_cancelled_is_worn(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynctasq.app.child.LEFTOVER_PATIENCE", 0.05)
    go = asyncio.Event()
    kept: list[asyncio.Task[None]] = []

    async def stubborn() -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    async def leave_behind() -> None:
        kept.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)

    async def let_go() -> None:
        go.set()
        await asyncio.wait(kept)

    nursery.perform(leave_behind)
    assert nursery.child.worn
    nursery.perform(let_go)


def test_coroutines_run_one_after_the_other_on_one_loop(nursery: Nursery) -> None:
    loops: list[object] = []

    async def where() -> None:
        loops.append(asyncio.get_running_loop())

    nursery.perform(where)
    with pytest.raises(TaskNotFound, match="t:elsewhere"):
        nursery.order("t:elsewhere")
    nursery.order("t:where")
    assert loops[0] is loops[1]


def test_a_plain_function_may_run_a_loop_of_its_own(nursery: Nursery) -> None:
    seen: list[int] = []

    async def answer() -> int:
        return 42

    def run_one() -> None:
        seen.append(asyncio.run(answer()))

    nursery.perform(run_one)
    assert seen == [42]


def test_an_interrupted_plain_function_unwinds_with_system_exit(nursery: Nursery) -> None:
    unwound: list[str] = []

    def wait() -> None:
        try:
            time.sleep(10)
        finally:
            unwound.append("closed")

    with interrupted_soon(nursery.child), pytest.raises(FailedElsewhere, match="SystemExit"):
        nursery.perform(wait)
    assert unwound == ["closed"]


def test_an_interrupted_coroutine_is_cancelled(nursery: Nursery) -> None:
    async def wait() -> None:
        await asyncio.sleep(10)

    with interrupted_soon(nursery.child), pytest.raises(FailedElsewhere, match="CancelledError"):
        nursery.perform(wait)


def test_a_context_variable_of_one_task_is_not_seen_by_the_next(nursery: Nursery) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    def set_it() -> None:
        seen.append(variable.get())
        variable.set("set")

    nursery.perform(set_it)
    nursery.order("t:set_it")
    assert seen == ["unset", "unset"]
