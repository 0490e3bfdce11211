"""What every executor promises: see `asynctasq.ports.executor`.

    class TestThreadExecutor(ExecutorContract):
        coroutines = False
        slots = 2

        @pytest_asyncio.fixture
        async def executor(self):
            executor = ThreadExecutor(2)
            yield executor
            await executor.close()

A suite of a remote executor sets `local = False` and overrides `message`; what runs there must know the functions of
`asynctasq.testing.contract.functions`.
"""

# ruff: noqa: D102  the name of a promise says what it means

from __future__ import annotations

import asyncio
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from asynctasq.domain.errors import TaskNotFound, TaskTimeout, UndecodableTask, WorkerProcessDied
from asynctasq.domain.failure import FailedElsewhere, kinds_of
from asynctasq.domain.message import Message
from asynctasq.domain.steering import Course
from asynctasq.ports.executor import Executor, LocalExecutor, RemoteExecutor
from asynctasq.testing.contract import functions
from asynctasq.testing.contract.base import Contract, refuses, requires

PATIENCE = 10.0
"""Seconds until what should happen at once is taken for what never will: generous, for crowded machines."""

TIMEOUT = 0.2
"""Seconds of a timeout that is meant to pass: long enough for the function to be seen running before."""

QUIET = 0.1
"""Seconds in which what must not happen would be seen to happen."""


class ExecutorContract(Contract):
    """Subclass it, say what the executor is like, and give the fixture `executor`.

    Attributes:
        coroutines: whether it runs coroutine functions rather than plain ones.
        slots: how many functions the fixture's executor runs at the same time, at least 2; None for any number.
        local: whether it is a `LocalExecutor`, and else a `RemoteExecutor`.
    """

    subject = "executor"
    coroutines: ClassVar[bool]
    slots: ClassVar[int | None] = None
    local: ClassVar[bool] = True

    def declares(self, subject: Any, capability: str | type) -> bool:
        """Whether a capability is declared; the number of slots, and the place, are declared by the suite's subclass."""
        if capability == "slots":
            return self.slots is not None
        return self.local if capability == "local" else super().declares(subject, capability)

    def message(self, function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> Message:
        """The call of a function as the processes of a remote executor are told of it. Overridden in its suite.

        Args:
            function: one that they know; any other is to be encoded as one that they do not.
            args: strings, numbers, None.
            kwargs: likewise.
        """
        raise NotImplementedError("a suite of a remote executor says here how a call is encoded")

    # What comes back

    @requires("local")
    async def test_run_returns_what_the_function_returned(self, executor: LocalExecutor) -> None:
        assert await self._run(executor, functions.echo, "a", b="c") == (("a",), {"b": "c"})

    @refuses("local")
    async def test_what_the_function_returned_need_not_be_serializable(self, executor: RemoteExecutor) -> None:
        await self._run(executor, functions.return_a_function)
        await self._run(executor, functions.echo)

    async def test_arguments_arrive_by_position_and_by_name(self, executor: Executor, tmp_path: Path) -> None:
        file = tmp_path / "arguments"
        await self._run(executor, functions.note, str(file), "two", function=3, executor=4)
        assert json.loads(file.read_text()) == [["two"], {"function": 3, "executor": 4}]

    async def test_a_function_that_ends_within_its_timeout_has_run(self, executor: Executor, tmp_path: Path) -> None:
        await self._run(executor, functions.note, str(tmp_path / "note"), timeout=PATIENCE)
        assert (tmp_path / "note").exists()

    @requires("local")
    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_what_the_function_raised_is_raised(self, executor: LocalExecutor, timeout: float | None) -> None:
        with pytest.raises(LookupError, match="no such thing") as raised:
            await self._run(executor, functions.fail, "LookupError", "no such thing", timeout=timeout)
        assert type(raised.value) is LookupError
        assert "in fail" in "".join(traceback.format_exception(raised.value)), "the traceback lost the task's own line"

    @refuses("local")
    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_what_the_function_raised_is_told_by_its_kinds_and_its_traceback(
        self, executor: RemoteExecutor, timeout: float | None
    ) -> None:
        with pytest.raises(FailedElsewhere) as raised:
            await self._run(executor, functions.fail, "UnicodeError", "no such thing", timeout=timeout)
        failure = raised.value.failure
        assert failure.kinds == kinds_of(UnicodeError)
        assert "in fail" in failure.text, "the traceback lost the task's own line"
        assert failure.text.startswith("Traceback")
        assert "UnicodeError: no such thing" in failure.text
        assert failure.steering is None

    @refuses("local")
    async def test_what_the_function_asked_for_by_what_it_raised_is_told(self, executor: RemoteExecutor) -> None:
        with pytest.raises(FailedElsewhere) as raised:
            await self._run(executor, functions.retry_later, 7.5, "busy")
        steering = raised.value.failure.steering
        assert steering is not None
        assert (steering.course, steering.delay, steering.reason) == (Course.RETRY_LATER, 7.5, "busy")

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
    async def test_what_would_end_a_process_or_a_loop_is_raised_like_any_error(
        self, executor: Executor, kind: type[BaseException], timeout: float | None
    ) -> None:
        with pytest.raises(kind if self.local else FailedElsewhere) as raised:
            await self._run(executor, functions.fail, kind.__name__, "by the task itself", timeout=timeout)
        error: BaseException = raised.value
        if isinstance(error, FailedElsewhere):
            assert error.failure.kinds == kinds_of(kind)
            assert "by the task itself" in error.failure.text
        else:
            assert type(error) is kind
            assert error.args == ("by the task itself",)
        await self._run(executor, functions.echo)

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_a_stop_iteration_is_not_lost(self, executor: Executor, timeout: float | None) -> None:
        # No coroutine can raise StopIteration: the language makes it the cause of a RuntimeError.
        with pytest.raises(RuntimeError if self.local else FailedElsewhere) as raised:
            await self._run(executor, functions.fail, "StopIteration", "at once", timeout=timeout)
        error: BaseException = raised.value
        if isinstance(error, FailedElsewhere):
            assert "StopIteration: at once" in error.failure.text
        else:
            assert isinstance(error.__cause__, StopIteration)

    @requires("local")
    async def test_a_timeout_of_the_functions_own_is_not_ours(self, executor: LocalExecutor) -> None:
        with pytest.raises(TimeoutError) as raised:
            await self._run(executor, functions.fail, "TimeoutError", "of a socket", timeout=PATIENCE)
        assert type(raised.value) is TimeoutError

    # What never begins

    @refuses("local")
    async def test_a_function_that_is_not_known_there_is_not_found(self, executor: RemoteExecutor) -> None:
        with pytest.raises(TaskNotFound):
            await executor.run(self.message(_seen, (), {}), attempt=1, timeout=None)

    @refuses("local")
    async def test_what_cannot_be_read_there_is_undecodable(self, executor: RemoteExecutor) -> None:
        message = self.message(self._place(functions.echo), (), {})
        for body in (b"", message.body[:-1], b"\xff" * 20):
            with pytest.raises(UndecodableTask):
                await executor.run(Message(id="1", queue="q", body=body), attempt=1, timeout=None)

    # What the function sees

    @requires("local")
    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_the_function_sees_the_callers_context(self, executor: LocalExecutor, timeout: float | None) -> None:
        functions.VARIABLE.set("the caller's")
        assert await self._run(executor, functions.variable, timeout=timeout) == "the caller's"

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_what_a_function_sets_in_its_context_is_gone_in_another_callers(
        self, executor: Executor, tmp_path: Path, timeout: float | None
    ) -> None:
        # As often as there are slots and twice more, so that at least one of them is used again; a spare may stand by.
        for number in range((self.slots or 1) + 2):
            file = tmp_path / str(number)
            async with asyncio.TaskGroup() as callers:
                callers.create_task(self._run(executor, functions.set_variable, str(file), timeout=timeout))
            assert file.read_text() == "unset"

    @refuses("local")
    async def test_nothing_of_the_callers_context_comes_along(self, executor: RemoteExecutor, tmp_path: Path) -> None:
        functions.VARIABLE.set("the caller's")
        await self._run(executor, functions.set_variable, str(tmp_path / "seen"))
        assert (tmp_path / "seen").read_text() == "unset"

    # Death

    @refuses("local")
    @pytest.mark.parametrize(
        ("function", "told"),
        [
            (functions.kill_itself, "SIGKILL"),
            (functions.segfault, "SIGSEGV"),
            (functions.exit_at_once, "exit status 3"),
        ],
    )
    async def test_a_death_fails_the_attempt_it_interrupts_and_no_other(
        self, executor: RemoteExecutor, tmp_path: Path, function: Callable[..., Any], told: str
    ) -> None:
        async with asyncio.TaskGroup() as callers:
            neighbour = callers.create_task(self._hold(executor, tmp_path / "neighbour"))
            await _seen(tmp_path / "neighbour.started")
            with pytest.raises(WorkerProcessDied, match=told):
                await self._run(executor, function, timeout=PATIENCE)
            await self._run(executor, functions.echo)
            assert not neighbour.done()
            (tmp_path / "neighbour.go").touch()
        assert (tmp_path / "neighbour.ended").exists()

    @pytest.mark.parametrize("timeout", [None, PATIENCE])
    async def test_a_copy_of_the_process_that_a_function_forks_and_returns_in_ends_there(
        self, executor: Executor, tmp_path: Path, timeout: float | None
    ) -> None:
        """It has the same connections, claims and pipes: what it did next would be done twice, or told of another task.

        It shares what its event loop asks the kernel with, too: where it turned once more, uvloop would abort the process.
        """
        await self._run(executor, functions.fork, str(tmp_path / "copy"), timeout=timeout)
        copy = int((tmp_path / "copy").read_text(encoding="utf-8"))
        async with asyncio.timeout(PATIENCE):
            await functions.until(lambda: _ended(copy))
        assert not (tmp_path / "copy.turned").exists()
        if self.local:
            assert _status(copy), "nobody shall take its end for a success"
        with pytest.raises(LookupError if self.local else FailedElsewhere):
            await self._run(executor, functions.fail, "LookupError", "of its own", timeout=timeout)

    @refuses("local")
    async def test_what_a_function_does_to_its_output_costs_nothing(self, executor: RemoteExecutor) -> None:
        for _ in range(2):
            await self._run(executor, functions.close_its_output, timeout=PATIENCE)

    @refuses("local")
    async def test_what_a_function_does_to_signals_and_alarms_costs_the_next_nothing(
        self, executor: RemoteExecutor
    ) -> None:
        await self._run(executor, functions.upset_signals, timeout=PATIENCE)
        await self._run(executor, functions.outlive_signals, timeout=PATIENCE)

    @refuses("local")
    async def test_started_is_called_when_the_attempt_is_handed_over_and_not_before(
        self, executor: RemoteExecutor, tmp_path: Path
    ) -> None:
        started = asyncio.Event()
        async with asyncio.TaskGroup() as callers:
            await self._occupy(executor, tmp_path, callers)
            message = self.message(self._place(functions.echo), (), {})
            waiting = callers.create_task(executor.run(message, attempt=1, timeout=None, started=started.set))
            await asyncio.sleep(QUIET)
            assert not started.is_set()
            self._vacate(tmp_path)
            await waiting
        assert started.is_set()

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
            callers.create_task(self._hold(executor, tmp_path / "neighbour"))
            with pytest.raises(TaskTimeout):
                await self._hold(executor, tmp_path / "late", timeout=TIMEOUT)
            (tmp_path / "neighbour.go").touch()
        assert (tmp_path / "neighbour.ended").exists()
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
            await self._hold(executor, tmp_path / "late", timeout=TIMEOUT, error="SystemExit")
        assert raised.value.still_running is not None
        (tmp_path / "late.go").touch()
        await asyncio.wait_for(asyncio.ensure_future(raised.value.still_running), PATIENCE)

    @requires("slots")
    async def test_waiting_for_a_slot_does_not_use_up_the_timeout(self, executor: Executor, tmp_path: Path) -> None:
        async with asyncio.TaskGroup() as callers:
            await self._occupy(executor, tmp_path, callers)
            waiting = callers.create_task(self._hold(executor, tmp_path / "waiting", timeout=PATIENCE / 2))
            short = callers.create_task(self._run(executor, functions.echo, timeout=PATIENCE / 2))
            await asyncio.sleep(2 * TIMEOUT)
            assert not short.done()
            assert not (tmp_path / "waiting.started").exists()
            (tmp_path / "waiting.go").touch()
            self._vacate(tmp_path)
            await waiting
            await short
        assert (tmp_path / "waiting.ended").exists()

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
            await after
        assert (tmp_path / "after.ended").exists()
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

    async def test_an_executor_can_be_used_from_another_loop_after_the_first(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        for name in ("first", "second"):
            await asyncio.to_thread(
                asyncio.run, self._run(executor, functions.note, str(tmp_path / name), timeout=PATIENCE)
            )
            assert (tmp_path / name).exists()

    # How the tests above run things

    def _place(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return functions.COROUTINES[function] if self.coroutines else function

    async def _run(
        self,
        executor: Executor,
        function: Callable[..., Any],
        /,
        *args: object,
        timeout: float | None = None,
        **kwargs: object,
    ) -> object:
        if self.local:
            local = cast("LocalExecutor", executor)
            return await local.run(self._place(function), args, kwargs, timeout=timeout)
        remote = cast("RemoteExecutor", executor)
        await remote.run(self.message(self._place(function), args, kwargs), attempt=1, timeout=timeout)
        return None

    async def _hold(
        self, executor: Executor, marks: Path, *, timeout: float | None = None, error: str | None = None
    ) -> object:
        """Run a function that shows that it has started, waits until it may go on, and shows that it has ended."""
        return await self._run(executor, functions.hold, str(marks), error, timeout=timeout)

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


def _ended(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for has, too."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return True


def _status(pid: int) -> int:
    """How a child of this process has ended, which is now forgotten."""
    return os.waitpid(pid, os.WNOHANG)[1]


async def _seen(*marks: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        await functions.until(lambda: all(mark.exists() for mark in marks))
