from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.contract.executors import process_tasks

from asynctasq.adapters.executors.process import START_TRIES, ProcessExecutor
from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.app.child import prepare
from asynctasq.app.codec import Codec
from asynctasq.app.origin import Origin
from asynctasq.domain.errors import ConfigurationError, WorkerProcessDied
from asynctasq.domain.message import Message
from asynctasq.domain.task import Task, TaskConfig
from asynctasq.ports.executor import Performer
from asynctasq.testing.contract import functions
from asynctasq.testing.contract.executor import PATIENCE, QUIET, ExecutorContract

ORIGIN = Origin(modules=("tests.contract.executors.process_tasks",))


@pytest.fixture(scope="module", autouse=True)
def _a_fork_server_that_knows_the_suite() -> None:
    """Importing pytest in each child would take most of the time of these tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([prepare.__module__, functions.__name__])
    first = context.Process(target=functions.echo)
    first.start()
    first.join()


def message(function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> Message:
    task = Task(name=process_tasks.name(function), args=tuple(args), kwargs=kwargs, config=TaskConfig())
    body = Codec(MsgpackSerializer()).encode(task, None, id="an-id", max_body=None)
    return Message(id="an-id", queue="default", body=body)


class _Processes(ExecutorContract):
    slots = 2
    local = False

    def message(self, function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]) -> Message:
        return message(function, args, kwargs)

    @pytest_asyncio.fixture
    async def executor(self) -> AsyncGenerator[ProcessExecutor]:
        executor = ProcessExecutor(functools.partial(prepare, ORIGIN), 2)
        yield executor
        await executor.close()


class TestProcessExecutorOfPlainFunctions(_Processes):
    coroutines = False


class TestProcessExecutorOfCoroutineFunctions(_Processes):
    coroutines = True


def refuse(_: object = None) -> Performer:
    raise LookupError("no such app")


def die() -> Performer:
    os._exit(7)


@pytest_asyncio.fixture
async def executor() -> AsyncGenerator[ProcessExecutor]:
    executor = ProcessExecutor(functools.partial(prepare, ORIGIN), 2)
    yield executor
    await executor.close()


def test_less_than_one_child_is_refused():
    with pytest.raises(ConfigurationError, match="children=0"):
        ProcessExecutor(refuse, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize(("start", "told"), [(refuse, "LookupError: no such app"), (die, "exit status 7")])
async def test_children_that_cannot_start_fail_what_waits_for_one_and_are_not_started_for_ever(
    start: Callable[[], Performer], told: str
):
    executor = ProcessExecutor(start, 2)
    runs = [executor.run(message(functions.echo, (), {}), attempt=1, timeout=None) for _ in range(5)]
    outcomes = await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), PATIENCE)
    assert [type(outcome) for outcome in outcomes] == [WorkerProcessDied] * 5
    assert all(told in str(outcome) for outcome in outcomes)
    await asyncio.sleep(QUIET)
    assert executor.pids == []
    await executor.close()


def import_for_ever(folder: Path, times: int) -> Performer:
    """So many children say who they are and wait to be killed; those after them work."""
    for number in range(times):
        try:
            descriptor = os.open(folder / f"importing{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            continue
        os.write(descriptor, b"%d\n" % os.getpid())
        signal.pause()
    return prepare(ORIGIN)


async def kill_importing(folder: Path, numbers: Iterable[int]) -> None:
    """Wait until the children with these numbers import, and kill them."""
    files = [folder / f"importing{number}" for number in numbers]
    there = functions.until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    await asyncio.wait_for(there, PATIENCE)
    for file in files:
        os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.mark.asyncio
async def test_children_that_are_killed_while_they_import_cost_no_attempt_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Four of a wave, which is one failure, and one more."""
    executor = ProcessExecutor(functools.partial(import_for_ever, tmp_path, 6), 4)
    marks = [tmp_path / str(number) for number in range(4)]
    starts: list[int] = []
    holds = [message(functions.hold, (str(mark), None), {}) for mark in marks]
    waiting = asyncio.gather(
        *(executor.run(each, attempt=1, timeout=None, started=lambda: starts.append(1)) for each in holds)
    )
    await kill_importing(tmp_path, range(5))  # the spare, too
    await kill_importing(tmp_path, [5])
    at_once = functions.until(lambda: all(mark.with_suffix(".started").exists() for mark in marks))
    await asyncio.wait_for(at_once, PATIENCE)
    for mark in marks:
        mark.with_suffix(".go").touch()
    await asyncio.wait_for(waiting, PATIENCE)
    assert len(starts) == 4, "each was handed over once"
    assert "SIGKILL" in caplog.text
    assert "another one is" in caplog.text
    assert "no child process can be started" not in caplog.text
    await asyncio.wait_for(functions.until(lambda: len(executor.pids) == 5), PATIENCE)
    await executor.close()


@pytest.mark.asyncio
async def test_a_spare_that_is_killed_while_it_imports_is_replaced_though_nobody_waits(tmp_path: Path):
    executor = ProcessExecutor(functools.partial(prepare, ORIGIN), 1)
    await executor.run(message(functions.echo, (), {}), attempt=1, timeout=None)
    await asyncio.wait_for(functions.until(lambda: len(executor._idle) == 2), PATIENCE)
    executor._prepare = functools.partial(import_for_ever, tmp_path, 1)
    os.kill(executor._idle[0].pid, signal.SIGKILL)
    await kill_importing(tmp_path, [0])
    await asyncio.wait_for(functions.until(lambda: len(executor._idle) == 2), PATIENCE)
    await executor.close()


@pytest.mark.asyncio
async def test_a_crash_loop_at_start_is_reported_and_ends_with_the_first_child_that_works(
    caplog: pytest.LogCaptureFixture,
):
    executor = ProcessExecutor(die, 1)

    def run() -> Coroutine[Any, Any, None]:
        return executor.run(message(functions.echo, (), {}), attempt=1, timeout=None)

    for tries in (START_TRIES, START_TRIES + 1):
        with pytest.raises(WorkerProcessDied, match=f"{tries} in a row have failed: .* exit status 7"):
            await asyncio.wait_for(run(), PATIENCE)
    assert caplog.text.count("no child process can be started, 3 in a row have failed") == 1
    executor._prepare = functools.partial(prepare, ORIGIN)
    await asyncio.wait_for(run(), PATIENCE)
    await asyncio.wait_for(functions.until(lambda: len(executor._idle) == 2), PATIENCE)  # there is a spare again
    await executor.close()


@pytest.mark.asyncio
async def test_what_cannot_be_handed_to_a_child_is_told_and_not_waited_for_ever():
    class Local(Exception):
        """Nothing that another process could import."""

    executor = ProcessExecutor(functools.partial(refuse, Local), 1)
    with pytest.raises(WorkerProcessDied, match="could be started"):
        await asyncio.wait_for(executor.run(message(functions.echo, (), {}), attempt=1, timeout=None), PATIENCE)
    await executor.close()


@pytest.mark.asyncio
async def test_a_message_larger_than_a_pipe_holds_arrives(executor: ProcessExecutor, tmp_path: Path):
    large = "x" * 1_000_000
    body = Codec(MsgpackSerializer(), max_body=2_000_000)
    call = Task(name=process_tasks.name(functions.note), args=(str(tmp_path / "note"), large), config=TaskConfig())
    encoded = body.encode(call, None, id="an-id", max_body=None)
    await executor.run(Message(id="an-id", queue="default", body=encoded), attempt=1, timeout=PATIENCE)
    assert json.loads((tmp_path / "note").read_text()) == [[large], {}]


@pytest.mark.asyncio
async def test_one_child_more_than_were_needed_stands_by(executor: ProcessExecutor):
    assert executor.pids == []
    await executor.run(message(functions.echo, (), {}), attempt=1, timeout=None)
    await asyncio.wait_for(functions.until(lambda: len(executor.pids) == 2), PATIENCE)
    first = set(executor.pids)
    with pytest.raises(WorkerProcessDied):
        await executor.run(message(functions.kill_itself, (), {}), attempt=1, timeout=None)
    await asyncio.wait_for(functions.until(lambda: len(executor.pids) == 2), PATIENCE)
    assert len(first & set(executor.pids)) == 1


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.asyncio
async def test_a_child_that_died_unseen_costs_the_next_attempt_nothing(executor: ProcessExecutor):
    await executor.run(message(functions.echo, (), {}), attempt=1, timeout=None)
    idle = [child.pid for child in executor._idle]  # the others are still being started
    for pid in idle:
        os.kill(pid, signal.SIGKILL)
    while any(map(lives, idle)):
        time.sleep(0.005)  # noqa: ASYNC251  the loop is not to hear of it before the next attempt
    await executor.run(message(functions.echo, (), {}), attempt=1, timeout=PATIENCE)


@pytest.mark.asyncio
async def test_attempts_that_were_cancelled_while_they_waited_leave_every_child_to_the_others(
    executor: ProcessExecutor,
):
    def run() -> asyncio.Task[None]:
        return asyncio.create_task(executor.run(message(functions.echo, (), {}), attempt=1, timeout=None))

    for _ in range(20):
        runs = [run() for _ in range(6)]
        for number, each in enumerate(runs):
            for _ in range(number):
                await asyncio.sleep(0)
            if number % 2:
                each.cancel()
        await asyncio.wait(runs, timeout=PATIENCE)
        assert all(each.done() for each in runs)


@pytest.mark.asyncio
@pytest.mark.parametrize("timeout", [None, PATIENCE])
async def test_an_attempt_that_is_cancelled_when_it_was_just_handed_a_child_leaves_it_to_the_next(
    tmp_path: Path, timeout: float | None
):
    executor = ProcessExecutor(functools.partial(prepare, ORIGIN), 1)

    def run(name: str, **options: Any) -> Coroutine[Any, Any, None]:
        call = message(functions.note, (str(tmp_path / name),), {})
        return executor.run(call, attempt=1, timeout=timeout, **options)

    await run("first")
    await asyncio.wait_for(functions.until(lambda: len(executor._idle) == 2), PATIENCE)
    pids, begun = set(executor.pids), asyncio.Event()
    cancelled = asyncio.create_task(run("cancelled", started=begun.set))  # begins when this one has the only place
    await run("second")
    # The end of an attempt hands its child on; nobody has run since, so that the other has not seen it yet.
    assert len(executor._busy) == 1
    assert not executor._waiting
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert not begun.is_set()
    assert not executor._busy
    await asyncio.wait_for(run("third"), PATIENCE)
    assert set(executor.pids) == pids, "no child was lost or replaced"
    assert not (tmp_path / "cancelled").exists()
    assert (tmp_path / "third").exists()
    await executor.close()


@pytest.mark.asyncio
async def test_no_child_is_started_for_what_ends_after_the_executor_was_closed(
    executor: ProcessExecutor, tmp_path: Path
):
    marks = tmp_path / "running"
    running = asyncio.create_task(
        executor.run(message(functions.hold, (str(marks), None), {}), attempt=1, timeout=None)
    )
    await asyncio.wait_for(functions.until(marks.with_suffix(".started").exists), PATIENCE)
    await executor.close()
    with pytest.raises(WorkerProcessDied):
        await running
    assert not executor._starting
    assert executor.pids == []


def test_a_loop_that_ends_while_an_attempt_runs_takes_it_along_and_does_not_hang(tmp_path: Path):
    marks, pids = tmp_path / "running", list[int]()

    async def leave() -> asyncio.Task[None]:
        executor = ProcessExecutor(functools.partial(prepare, ORIGIN), 1)
        hold = message(functions.hold, (str(marks), None), {})
        running = asyncio.create_task(executor.run(hold, attempt=1, timeout=None))
        await functions.until(marks.with_suffix(".started").exists)
        pids.extend(executor.pids)
        return running

    thread = threading.Thread(target=asyncio.run, args=(leave(),), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    asyncio.run(asyncio.wait_for(functions.until(lambda: not any(map(lives, pids))), PATIENCE))
