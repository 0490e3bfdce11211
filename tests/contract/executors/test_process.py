from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.contract.executors import process_tasks

from asynctasq.adapters.executors.process import ProcessExecutor
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
