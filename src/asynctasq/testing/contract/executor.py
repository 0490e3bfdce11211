"""What every executor promises: see `asynctasq.ports.executor`.

    class TestThreadExecutor(ExecutorContract):
        coroutines = False
        slots = 2

        @pytest_asyncio.fixture
        async def executor(self):
            executor = ThreadExecutor(2)
            yield executor
            await executor.close()

The functions that are run live in this module and talk through files, so that they can run in another process as well.
"""

# ruff: noqa: D102  the name of a promise says what it means

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from asynctasq.domain.errors import TaskTimeout
from asynctasq.ports.executor import Executor
from asynctasq.testing.contract.base import Contract, refuses, requires

PATIENCE = 10.0
"""Seconds until what should happen at once is taken for what never will: generous, for crowded machines."""

TIMEOUT = 0.2
"""Seconds of a timeout that is meant to pass: long enough for the function to be seen running before."""

QUIET = 0.1
"""Seconds in which what must not happen would be seen to happen."""

_VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("asynctasq_contract_variable", default="unset")


class ExecutorContract(Contract):
    """Subclass it, say what the executor is like, and give the fixture `executor`.

    Attributes:
        coroutines: whether it runs coroutine functions rather than plain ones.
        slots: how many functions the fixture's executor runs at the same time, at least 2; None for any number.
    """

    subject = "executor"
    coroutines: ClassVar[bool]
    slots: ClassVar[int | None] = None

    def declares(self, subject: Any, capability: str | type) -> bool:
        """Whether a capability is declared; the number of slots is declared by the suite's subclass."""
        return self.slots is not None if capability == "slots" else super().declares(subject, capability)

    # What comes back

    async def test_run_returns_what_the_function_returned(self, executor: Executor) -> None:
        assert await executor.run(self._place(_echo), ("a",), {}, timeout=None) == (("a",), {})

    async def test_arguments_arrive_by_position_and_by_name(self, executor: Executor) -> None:
        given = (1, "two"), {"function": 3, "timeout": 4}
        assert await executor.run(self._place(_echo), *given, timeout=None) == given

    async def test_a_function_that_ends_within_its_timeout_returns_its_result(self, executor: Executor) -> None:
        assert await executor.run(self._place(_echo), ("a",), {}, timeout=PATIENCE) == (("a",), {})

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_what_the_function_raised_is_raised(self, executor: Executor, timeout: float | None) -> None:
        with pytest.raises(LookupError, match="no such thing") as raised:
            await executor.run(self._place(_fail), (LookupError, "no such thing"), {}, timeout=timeout)
        assert type(raised.value) is LookupError
        assert "in _fail" in "".join(traceback.format_exception(raised.value)), "the traceback lost the task's own line"

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
    async def test_what_would_end_a_process_or_a_loop_is_raised_like_any_error(
        self, executor: Executor, kind: type[BaseException], timeout: float | None
    ) -> None:
        with pytest.raises(kind) as raised:
            await executor.run(self._place(_fail), (kind, "by the task itself"), {}, timeout=timeout)
        assert type(raised.value) is kind
        assert raised.value.args == ("by the task itself",)
        assert await executor.run(self._place(_echo), ("a",), {}, timeout=None) == (("a",), {})

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_a_stop_iteration_is_the_cause_of_a_runtime_error(
        self, executor: Executor, timeout: float | None
    ) -> None:
        # No coroutine can raise StopIteration: the language turns it into this. What must not happen is that it is lost.
        with pytest.raises(RuntimeError) as raised:
            await executor.run(self._place(_fail), (StopIteration, "at once"), {}, timeout=timeout)
        assert isinstance(raised.value.__cause__, StopIteration)

    async def test_a_timeout_of_the_functions_own_is_not_ours(self, executor: Executor) -> None:
        with pytest.raises(TimeoutError) as raised:
            await executor.run(self._place(_fail), (TimeoutError, "of a socket"), {}, timeout=PATIENCE)
        assert type(raised.value) is TimeoutError

    # What the function sees

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_the_function_sees_the_callers_context(self, executor: Executor, timeout: float | None) -> None:
        _VARIABLE.set("the caller's")
        assert await executor.run(self._place(_variable), (), {}, timeout=timeout) == "the caller's"

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_what_a_function_sets_in_its_context_is_gone_in_another_callers(
        self, executor: Executor, timeout: float | None
    ) -> None:
        # As often as there are slots and once more, so that at least one of them is used again.
        for _ in range((self.slots or 1) + 1):
            async with asyncio.TaskGroup() as callers:
                seen = callers.create_task(executor.run(self._place(_set_variable), ("a task's",), {}, timeout=timeout))
            assert seen.result() == "unset"

    # Time

    async def test_functions_run_at_the_same_time(self, executor: Executor, tmp_path: Path) -> None:
        async with asyncio.TaskGroup() as callers:
            for name in ("one", "two"):
                callers.create_task(self._hold(executor, tmp_path / name))
            await _seen(tmp_path / "one.started", tmp_path / "two.started")
            (tmp_path / "one.go").touch()
            (tmp_path / "two.go").touch()

    @refuses("slots")
    async def test_any_number_of_functions_run_at_the_same_time(self, executor: Executor, tmp_path: Path) -> None:
        marks = [tmp_path / str(number) for number in range(100)]
        async with asyncio.TaskGroup() as callers:
            for mark in marks:
                callers.create_task(self._hold(executor, mark))
            await _seen(*(mark.with_suffix(".started") for mark in marks))
            for mark in marks:
                mark.with_suffix(".go").touch()

    async def test_a_function_past_its_timeout_is_a_task_timeout(self, executor: Executor, tmp_path: Path) -> None:
        before = time.monotonic()
        with pytest.raises(TaskTimeout, match=f"{TIMEOUT:g} s"):
            await self._hold(executor, tmp_path / "late", timeout=TIMEOUT)
        # Loops count in milliseconds; a grace for ending and a crowded machine may add to it.
        assert TIMEOUT - 0.01 <= time.monotonic() - before < TIMEOUT + PATIENCE
        assert (tmp_path / "late.started").exists()
        (tmp_path / "late.go").touch()

    async def test_a_timeout_leaves_the_others_alone(self, executor: Executor, tmp_path: Path) -> None:
        async with asyncio.TaskGroup() as callers:
            neighbour = callers.create_task(self._hold(executor, tmp_path / "neighbour"))
            with pytest.raises(TaskTimeout):
                await self._hold(executor, tmp_path / "late", timeout=TIMEOUT)
            (tmp_path / "neighbour.go").touch()
        assert neighbour.result() == "neighbour"
        (tmp_path / "late.go").touch()

    @requires("stops")
    async def test_a_timeout_ends_the_work(self, executor: Executor, tmp_path: Path) -> None:
        with pytest.raises(TaskTimeout) as raised:
            await self._hold(executor, tmp_path / "late", timeout=TIMEOUT)
        assert raised.value.still_running is None
        (tmp_path / "late.go").touch()
        await asyncio.sleep(QUIET)
        assert not (tmp_path / "late.ended").exists()

    @refuses("stops")
    async def test_work_that_cannot_be_stopped_tells_when_it_has_ended(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        with pytest.raises(TaskTimeout) as raised:
            await self._hold(executor, tmp_path / "late", timeout=TIMEOUT)
        assert raised.value.still_running is not None
        ended = asyncio.ensure_future(raised.value.still_running)
        await asyncio.sleep(QUIET)
        assert not ended.done()
        (tmp_path / "late.go").touch()
        await asyncio.wait_for(ended, PATIENCE)
        assert (tmp_path / "late.ended").exists()

    @refuses("stops")
    async def test_how_work_past_its_timeout_ends_is_ignored(self, executor: Executor, tmp_path: Path) -> None:
        with pytest.raises(TaskTimeout) as raised:
            await self._hold(executor, tmp_path / "late", timeout=TIMEOUT, error=SystemExit)
        assert raised.value.still_running is not None
        (tmp_path / "late.go").touch()
        await asyncio.wait_for(asyncio.ensure_future(raised.value.still_running), PATIENCE)

    @requires("slots")
    async def test_waiting_for_a_slot_does_not_use_up_the_timeout(self, executor: Executor, tmp_path: Path) -> None:
        async with asyncio.TaskGroup() as callers:
            await self._occupy(executor, tmp_path, callers)
            waiting = callers.create_task(self._hold(executor, tmp_path / "waiting", timeout=PATIENCE / 2))
            short = callers.create_task(executor.run(self._place(_echo), ("a",), {}, timeout=TIMEOUT))
            await asyncio.sleep(2 * TIMEOUT)
            assert not short.done()
            assert not (tmp_path / "waiting.started").exists()
            (tmp_path / "waiting.go").touch()
            self._vacate(tmp_path)
        assert waiting.result() == "waiting"
        assert short.result() == (("a",), {})

    # Cancellation

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_a_cancelled_caller_is_told_so(
        self, executor: Executor, tmp_path: Path, timeout: float | None
    ) -> None:
        caller = asyncio.create_task(self._hold(executor, tmp_path / "cancelled", timeout=timeout))
        await _seen(tmp_path / "cancelled.started")
        caller.cancel("the caller's own")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(caller, PATIENCE)
        (tmp_path / "cancelled.go").touch()

    @requires("stops")
    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_a_cancellation_ends_the_work(
        self, executor: Executor, tmp_path: Path, timeout: float | None
    ) -> None:
        caller = asyncio.create_task(self._hold(executor, tmp_path / "cancelled", timeout=timeout))
        await _seen(tmp_path / "cancelled.started")
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        (tmp_path / "cancelled.go").touch()
        await asyncio.sleep(QUIET)
        assert not (tmp_path / "cancelled.ended").exists()

    @refuses("stops")
    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_a_cancellation_leaves_the_work_alone(
        self, executor: Executor, tmp_path: Path, timeout: float | None
    ) -> None:
        caller = asyncio.create_task(self._hold(executor, tmp_path / "cancelled", timeout=timeout))
        await _seen(tmp_path / "cancelled.started")
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        (tmp_path / "cancelled.go").touch()
        await _seen(tmp_path / "cancelled.ended")

    @requires("slots")
    async def test_what_is_cancelled_while_it_waits_for_a_slot_never_starts(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        async with asyncio.TaskGroup() as callers:
            await self._occupy(executor, tmp_path, callers)
            cancelled = asyncio.create_task(self._hold(executor, tmp_path / "cancelled"))
            after = callers.create_task(self._hold(executor, tmp_path / "after"))
            await asyncio.sleep(QUIET)
            cancelled.cancel()
            with suppress(asyncio.CancelledError):
                await cancelled
            (tmp_path / "cancelled.go").touch()
            (tmp_path / "after.go").touch()
            self._vacate(tmp_path)
        assert after.result() == "after"
        await asyncio.sleep(QUIET)
        assert not (tmp_path / "cancelled.started").exists()

    # Life

    async def test_close_is_idempotent_and_needs_no_run_before(self, executor: Executor) -> None:
        await executor.close()
        await executor.close()

    async def test_close_does_not_wait_for_what_runs(self, executor: Executor, tmp_path: Path) -> None:
        caller = asyncio.create_task(self._hold(executor, tmp_path / "running"))
        await _seen(tmp_path / "running.started")
        await asyncio.wait_for(executor.close(), PATIENCE)
        assert not (tmp_path / "running.ended").exists()
        (tmp_path / "running.go").touch()
        caller.cancel()
        await asyncio.wait((caller,), timeout=PATIENCE)

    async def test_an_executor_can_be_used_from_another_loop_after_the_first(self, executor: Executor) -> None:
        async def once() -> object:
            return await executor.run(self._place(_echo), ("a",), {}, timeout=PATIENCE)

        for _ in range(2):
            assert await asyncio.to_thread(asyncio.run, once()) == (("a",), {})

    # How the tests above run things

    def _place(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.partial(_as_coroutine, function) if self.coroutines else function

    async def _hold(
        self,
        executor: Executor,
        marks: Path,
        *,
        timeout: float | None = None,
        error: type[BaseException] | None = None,
    ) -> object:
        """Run a function that shows that it has started, waits until it may go on, and shows that it has ended."""
        hold = _hold_coroutine if self.coroutines else _hold
        return await executor.run(hold, (str(marks),), {"error": error}, timeout=timeout)

    async def _occupy(self, executor: Executor, room: Path, callers: asyncio.TaskGroup) -> None:
        assert self.slots is not None
        marks = [room / f"slot{number}" for number in range(self.slots)]
        for mark in marks:
            callers.create_task(self._hold(executor, mark))
        await _seen(*(mark.with_suffix(".started") for mark in marks))

    def _vacate(self, room: Path) -> None:
        assert self.slots is not None
        for number in range(self.slots):
            (room / f"slot{number}.go").touch()


async def _seen(*marks: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        await _until(lambda: all(mark.exists() for mark in marks))


async def _until(condition: Callable[[], bool]) -> None:
    # Files have no event that holds in every place a function may run in, so they are looked for.
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


def _echo(*args: object, **kwargs: object) -> object:
    return args, kwargs


def _fail(kind: type[BaseException], message: str) -> None:
    raise kind(message)


def _variable() -> str:
    return _VARIABLE.get()


def _set_variable(value: str) -> str:
    before = _VARIABLE.get()
    _VARIABLE.set(value)
    return before


def _hold(marks: str, *, error: type[BaseException] | None) -> str:
    _mark(marks, "started")
    # Bounded, so that a failing test leaves no thread behind that looks for ever.
    deadline = time.monotonic() + 3 * PATIENCE
    while not _marked(marks, "go") and time.monotonic() < deadline:
        time.sleep(0.005)
    return _end(marks, error)


async def _hold_coroutine(marks: str, *, error: type[BaseException] | None) -> str:
    _mark(marks, "started")
    await _until(lambda: _marked(marks, "go"))
    return _end(marks, error)


def _mark(marks: str, what: str) -> None:
    Path(f"{marks}.{what}").touch()


def _marked(marks: str, what: str) -> bool:
    return Path(f"{marks}.{what}").exists()


def _end(marks: str, error: type[BaseException] | None) -> str:
    _mark(marks, "ended")
    if error is not None:
        raise error
    return Path(marks).name


async def _as_coroutine(function: Callable[..., Any], /, *args: object, **kwargs: object) -> object:
    return function(*args, **kwargs)
