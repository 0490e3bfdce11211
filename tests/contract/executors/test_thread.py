from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.domain.errors import ConfigurationError, TaskTimeout
from asynctasq.testing.contract.executor import PATIENCE, QUIET, TIMEOUT, ExecutorContract

pytestmark = pytest.mark.asyncio


class TestThreadExecutor(ExecutorContract):
    coroutines = False
    slots = 2

    @pytest_asyncio.fixture
    async def executor(self) -> AsyncGenerator[ThreadExecutor]:
        executor = ThreadExecutor(2)
        yield executor
        await executor.close()


@pytest_asyncio.fixture
async def executor() -> AsyncGenerator[ThreadExecutor]:
    executor = ThreadExecutor(2)
    yield executor
    await executor.close()


def nothing() -> None:
    """A task without work."""


def wait_for(event: threading.Event) -> None:
    event.wait(PATIENCE)


async def test_less_than_one_thread_is_refused():
    with pytest.raises(ConfigurationError, match="threads=0"):
        ThreadExecutor(0)


async def test_threads_start_only_as_they_are_needed(executor: ThreadExecutor):
    before = threading.active_count()
    for _ in range(5):
        await executor.run(nothing, (), {}, timeout=None)
    assert threading.active_count() <= before + 2
    unused = ThreadExecutor(100)
    await unused.run(nothing, (), {}, timeout=None)
    assert threading.active_count() <= before + 3
    await unused.close()


async def test_a_thread_past_its_timeout_stays_busy_until_it_returns(executor: ThreadExecutor):
    go = threading.Event()
    assert (executor.threads, executor.busy) == (2, 0)
    with pytest.raises(TaskTimeout) as raised:
        await executor.run(wait_for, (go,), {}, timeout=TIMEOUT)
    assert executor.busy == 1
    go.set()
    assert raised.value.still_running is not None
    await asyncio.wait_for(asyncio.ensure_future(raised.value.still_running), PATIENCE)
    assert executor.busy == 0


async def test_all_threads_stuck_is_a_wait_and_not_an_error(executor: ThreadExecutor):
    go = threading.Event()
    for _ in range(2):
        with pytest.raises(TaskTimeout):
            await executor.run(wait_for, (go,), {}, timeout=TIMEOUT)
    waiting = asyncio.create_task(executor.run(nothing, (), {}, timeout=TIMEOUT))
    await asyncio.sleep(QUIET)
    assert not waiting.done()
    go.set()
    await asyncio.wait_for(waiting, PATIENCE)


async def test_ten_thousand_at_once_all_come_back(executor: ThreadExecutor):
    # More than a burst: completions arrive while earlier ones are being read.
    numbers = await asyncio.gather(*(executor.run(abs, (-n,), {}, timeout=None) for n in range(10_000)))
    assert numbers == list(range(10_000))


async def test_a_closed_executor_can_be_used_again(executor: ThreadExecutor):
    for _ in range(2):
        assert await executor.run(abs, (-1,), {}, timeout=None) == 1
        await executor.close()


async def test_idle_threads_end_when_the_executor_is_closed(executor: ThreadExecutor):
    thread = await executor.run(threading.current_thread, (), {}, timeout=None)
    assert isinstance(thread, threading.Thread)
    await executor.close()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()


class Argument:
    """Something to hold a weak reference to."""


def use(_: Argument) -> None:
    """Take an argument and let it go."""


def fail_with(argument: Argument) -> None:
    local = argument
    raise LookupError(id(local))


async def test_arguments_are_free_when_the_task_is_over(executor: ThreadExecutor):
    argument = Argument()
    alive = weakref.ref(argument)
    await executor.run(use, (argument,), {}, timeout=PATIENCE)
    del argument
    # Another run on every thread: what a thread holds between two runs is gone then in any case.
    gc.disable()
    try:
        await asyncio.sleep(QUIET)
        assert alive() is None
    finally:
        gc.enable()


async def test_a_failed_tasks_locals_are_free_when_its_error_is(executor: ThreadExecutor):
    argument = Argument()
    alive = weakref.ref(argument)
    gc.disable()
    try:
        with pytest.raises(LookupError) as raised:
            await executor.run(fail_with, (argument,), {}, timeout=PATIENCE)
        del argument, raised
        await asyncio.sleep(QUIET)
        assert alive() is None
    finally:
        gc.enable()


async def test_completions_for_a_loop_that_has_ended_are_dropped():
    executor = ThreadExecutor(1)  # one thread: what it runs next proves that it has delivered what it ran before
    go = threading.Event()

    async def leave() -> None:
        with pytest.raises(TaskTimeout):
            await executor.run(wait_for, (go,), {}, timeout=TIMEOUT)

    await asyncio.to_thread(asyncio.run, leave())
    go.set()
    assert await executor.run(abs, (-1,), {}, timeout=PATIENCE) == 1
    assert executor.busy == 0
    await executor.close()


FOREVER = """
import asyncio, threading
from asynctasq.adapters.executors.thread import ThreadExecutor

async def main():
    try:
        await ThreadExecutor(1).run(threading.Event().wait, (), {}, timeout=0.05)
    except TimeoutError:
        print("timed out", flush=True)

asyncio.run(main())
"""


async def test_a_thread_that_never_returns_does_not_keep_the_interpreter_alive():
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", FOREVER], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("timed out\n", "", 0)
