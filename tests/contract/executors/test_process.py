from __future__ import annotations

import functools
import multiprocessing
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio
from tests.contract.executors import process_tasks

from asynctasq.adapters.executors.process import ProcessExecutor
from asynctasq.adapters.executors.process_handle import PRELOAD
from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.app.child import prepare
from asynctasq.app.codec import Codec
from asynctasq.app.origin import Origin
from asynctasq.domain.message import Message
from asynctasq.domain.task import Task, TaskConfig
from asynctasq.testing.contract import functions
from asynctasq.testing.contract.executor import ExecutorContract

ORIGIN = Origin(modules=("tests.contract.executors.process_tasks",))


@pytest.fixture(scope="module", autouse=True)
def _a_fork_server_that_knows_the_suite() -> None:
    """Importing pytest in each child would take most of the time of these tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD, functions.__name__])
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
