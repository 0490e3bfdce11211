from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from asynctasq.adapters.executors.event_loop import EventLoopExecutor
from asynctasq.domain.errors import TaskTimeout
from asynctasq.testing.contract.executor import PATIENCE, QUIET, TIMEOUT, ExecutorContract

pytestmark = pytest.mark.asyncio


class TestEventLoopExecutor(ExecutorContract):
    coroutines = True

    @pytest.fixture
    def executor(self) -> EventLoopExecutor:
        return EventLoopExecutor()


async def nothing() -> None:
    """A task without work."""


async def test_without_a_timeout_the_function_runs_in_the_callers_own_asyncio_task():
    async def where() -> object:
        return asyncio.current_task()

    assert await EventLoopExecutor().run(where, (), {}, timeout=None) is asyncio.current_task()


async def test_swallowing_the_cancellation_does_not_undo_a_timeout():
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    with pytest.raises(TaskTimeout) as raised:
        await EventLoopExecutor().run(stubborn, (), {}, timeout=TIMEOUT)
    assert raised.value.still_running is None


async def test_an_error_while_ending_is_the_cause_of_the_timeout():
    async def clumsy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("no connection to close")

    with pytest.raises(TaskTimeout) as raised:
        await EventLoopExecutor().run(clumsy, (), {}, timeout=TIMEOUT)
    assert isinstance(raised.value.__cause__, LookupError)


async def test_a_plain_timeout_has_no_cause():
    with pytest.raises(TaskTimeout) as raised:
        await EventLoopExecutor().run(asyncio.Event().wait, (), {}, timeout=TIMEOUT)
    assert raised.value.__cause__ is None


async def test_what_will_not_stop_within_the_grace_is_reported_as_still_running():
    go = asyncio.Event()

    async def unstoppable() -> None:
        try:
            await go.wait()
        except asyncio.CancelledError:
            await go.wait()

    with pytest.raises(TaskTimeout, match="still runs") as raised:
        await EventLoopExecutor(grace=0.05).run(unstoppable, (), {}, timeout=TIMEOUT)
    still_running = raised.value.still_running
    assert still_running is not None
    ended = asyncio.ensure_future(still_running)
    await asyncio.sleep(QUIET)
    assert not ended.done()
    go.set()
    await asyncio.wait_for(ended, PATIENCE)


async def test_a_cancelled_caller_waits_for_the_function_to_clean_up():
    started = asyncio.Event()
    cleaned = asyncio.Event()

    async def tidy() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(QUIET)
            cleaned.set()

    caller = asyncio.create_task(EventLoopExecutor().run(tidy, (), {}, timeout=PATIENCE))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert cleaned.is_set()


async def test_a_cancelled_caller_waits_no_longer_than_the_grace():
    started = asyncio.Event()
    go = asyncio.Event()

    async def unstoppable() -> None:
        try:
            started.set()
            await go.wait()
        except asyncio.CancelledError:
            await go.wait()

    caller = asyncio.create_task(EventLoopExecutor(grace=0.05).run(unstoppable, (), {}, timeout=PATIENCE))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, PATIENCE)


async def test_a_busy_loop_does_not_use_up_the_timeout_before_the_function_begins():
    async def quick() -> str:
        await asyncio.sleep(0)
        return "in time"

    caller = asyncio.create_task(EventLoopExecutor().run(quick, (), {}, timeout=TIMEOUT))
    await asyncio.sleep(0)
    time.sleep(2 * TIMEOUT)  # noqa: ASYNC251  the loop is blocked on purpose
    assert await caller == "in time"


class Argument:
    """Something to hold a weak reference to."""


@pytest.mark.parametrize("timeout", [None, PATIENCE])
async def test_a_failed_tasks_locals_are_free_when_its_error_is(timeout: float | None):
    async def fail_with(argument: Argument) -> None:
        local = argument
        raise LookupError(id(local))

    argument = Argument()
    alive = weakref.ref(argument)
    gc.disable()
    try:
        with pytest.raises(LookupError) as raised:
            await EventLoopExecutor().run(fail_with, (argument,), {}, timeout=timeout)
        del argument, raised
        await asyncio.sleep(0)
        assert alive() is None
    finally:
        gc.enable()
