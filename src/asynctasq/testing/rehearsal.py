"""Tasks in the tests of those who use asynctasq: dispatched to memory, run when the test says so, on a clock that it moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

from asynctasq.adapters.drivers.memory import MemoryDriver
from asynctasq.app import bootstrap, loop
from asynctasq.app.bootstrap import App
from asynctasq.app.container import Container
from asynctasq.app.context import current_task
from asynctasq.app.drivers import Drivers
from asynctasq.app.parameters import Parameters
from asynctasq.app.rows import Rows
from asynctasq.app.seams import Seams
from asynctasq.app.serve import Serving, build_worker
from asynctasq.app.settings import LoadedSettings
from asynctasq.app.task_function import PendingTask, TaskFunction
from asynctasq.domain.errors import AsyncTasQError
from asynctasq.domain.message import Message
from asynctasq.domain.retry import checked_seconds
from asynctasq.domain.steering import Steer
from asynctasq.domain.task import Task
from asynctasq.ports.driver import DeadMessage, QueueDriver
from asynctasq.ports.executor import LocalExecutor
from asynctasq.testing.dispatched import Dispatched, arguments_of, described, matching, referred

MOST_RUNS = 10_000
"""Runs of one drain after which tasks are taken to dispatch one another for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of a task.

    Attributes:
        id: the task's id, as `dispatch()` returned it.
        name: the task's name.
        attempt: 1-based.
        queue: where it came from.
        result: what it returned.
        error: what it raised, if it did.
    """

    id: str
    name: str
    attempt: int
    queue: str
    result: object = None
    error: BaseException | None = None


class Rehearsal:
    """While it lasts, every dispatch of this process goes to memory, whatever driver the settings or the task name.

        with Rehearsal() as tasks:
            await sign_up("ada@example.com")
            tasks.assert_dispatched(send_welcome, to="ada@example.com")
            await tasks.drain()

    Tasks run when the test calls `drain()`, by a worker as in production: encoded and decoded, retried, set aside. Time stands
    still until `advance()`. With `inline=True` a task runs within its dispatch instead, once, and what it raises is raised
    there; delays are not waited for.

    Args:
        inline: run each task at once.

    Attributes:
        dispatched: what was dispatched, in order.
        ran: the runs so far, in the order in which they ended.
        driver: the memory driver, for whatever else a test wants to know; to be connected first.
    """

    def __init__(self, *, inline: bool = False) -> None:
        self.inline = inline
        self.dispatched: list[Dispatched] = []
        self.ran: list[Ran] = []
        self._now = time.time()
        self.driver = MemoryDriver(clock=self.now)
        self._rows: Rows | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(bootstrap.replaced(self._app))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What was dispatched

    def assert_dispatched(self, task: TaskFunction[..., Any], /, **arguments: object) -> list[Dispatched]:
        """Fail unless `task` was dispatched, with these arguments; others may be anything.

        Returns:
            The calls that match, at least one: their number, queues and delays can be looked at.

        Raises:
            AssertionError: it was not; the message shows what was.
            TypeError: the task has no such argument.
        """
        __tracebackhide__ = True
        found = matching(self.dispatched, task, arguments, self._rows)
        if not found:
            shown = ", ".join(f"{name}={referred(value, self._rows)!r}" for name, value in arguments.items())
            wanted = f"{task.name}({shown})"
            raise AssertionError(f"{wanted} was not dispatched. Dispatched were:\n{described(self.dispatched)}")
        return found

    def assert_not_dispatched(self, task: TaskFunction[..., Any], /, **arguments: object) -> None:
        """Fail if `task` was dispatched with these arguments.

        Raises:
            AssertionError: it was.
            TypeError: the task has no such argument.
        """
        __tracebackhide__ = True
        found = matching(self.dispatched, task, arguments, self._rows)
        if found:
            raise AssertionError(f"{task.name} was dispatched:\n{described(found)}")

    # What is run

    async def drain(self, *, concurrency: int = 1) -> list[Ran]:
        """Run what is ready, and what that dispatches, until nothing is ready; retries and delayed tasks wait for `advance`.

        Args:
            concurrency: how many tasks may run at the same time; one, so that their order is the same each time.

        Returns:
            The runs, in the order in which they ended. What a task raised is in its `error`.

        Raises:
            AssertionError: tasks go on for ever.
        """
        first = len(self.ran)
        app = bootstrap.current()
        while ready := await self._ready():
            serving = Serving(driver=self.driver, queues=list(ready), concurrency=concurrency, burst=True)
            # Those that are ready and no more: a worker that is not told when it is done waits for what might come.
            await self._work(app, serving, most=min(sum(ready.values()), MOST_RUNS + first - len(self.ran)))
            if len(self.ran) - first >= MOST_RUNS:
                raise AssertionError(
                    f"{MOST_RUNS} runs, and tasks are still ready: does one dispatch itself? The last was {self.ran[-1]}"
                )
        return self.ran[first:]

    def drain_sync(self, *, concurrency: int = 1) -> list[Ran]:
        """As `drain`, from a test without a running event loop.

        Raises:
            AsyncTasQError: there is one.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return loop.run(self.drain(concurrency=concurrency))
        raise AsyncTasQError("drain_sync() was called inside a running event loop: type `await tasks.drain()`")

    async def dead(self) -> list[DeadMessage]:
        """The tasks that have failed for good."""
        await self.driver.connect()
        return [
            letter for queue in await self.driver.queues() for letter in await self.driver.list_dead(queue, limit=10**6)
        ]

    # Time

    def now(self) -> float:
        """Seconds since the epoch, by the clock of this rehearsal."""
        return self._now

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock, so that delays and the delays before retries end. Runs nothing: `drain` does.

        Raises:
            ConfigurationError: not a number of seconds, or negative.
        """
        self._now += checked_seconds("advance", seconds)

    # How it is done

    def _app(self, loaded: LoadedSettings) -> App:
        container = Container(settings=loaded.settings, drivers=_OneDriver(self.driver), seams=Seams(wall=self.now))
        app = _RehearsedApp(loaded, container, self)
        self._stack.callback(container.sync_bridge().close)
        return app

    def note(self, task: Task, function: TaskFunction[..., Any], message: Message, rows: Rows) -> None:
        """Write a dispatch down."""
        self._rows = rows
        arguments = arguments_of(function, task.args, task.kwargs)
        self.dispatched.append(
            Dispatched(
                id=message.id,
                name=task.name,
                arguments=arguments,
                queue=message.queue,
                delay=message.delay,
                referred={name: referred(value, rows) for name, value in arguments.items()},
            )
        )

    async def perform(self, app: App, message: Message) -> None:
        """Run one message once, here and now.

        Raises:
            BaseException: whatever the task raised, unless it raised it to steer.
            AsyncTasQError: it could not be run at all.
        """
        stage = MemoryDriver()
        await stage.connect()
        await stage.enqueue([replace(message, delay=0.0)])
        first = len(self.ran)
        await self._work(app, Serving(driver=stage, queues=[message.queue], burst=True), most=1)
        mine = [ran for ran in self.ran[first:] if ran.id == message.id]
        if not mine:
            letters = await stage.list_dead(message.queue, limit=1)
            raise AsyncTasQError(
                f"task {message.id} could not be run: {letters[0].reason if letters else 'nobody knows it'}"
            )
        if mine[0].error is not None and not isinstance(mine[0].error, Steer):
            raise mine[0].error

    async def _ready(self) -> dict[str, int]:
        """How many tasks are ready, by queue."""
        await self.driver.connect()
        return {each.queue: each.ready for each in await self.driver.stats(await self.driver.queues()) if each.ready}

    async def _work(self, app: App, serving: Serving, *, most: int) -> None:
        """Let a worker run what is ready, but no more than `most` tasks."""
        until = len(self.ran) + most

        def ended(ran: Ran) -> None:
            self.ran.append(ran)
            if len(self.ran) >= until:
                worker.stop()

        worker = build_worker(app, serving, keeper_in_thread=False, watched=lambda executor: _Watched(executor, ended))
        await worker.run()


class _RehearsedApp(App):
    """An app whose tasks are rehearsed."""

    def __init__(self, loaded: LoadedSettings, container: Container, rehearsal: Rehearsal) -> None:
        super().__init__(loaded, container=container)
        self._rehearsal = rehearsal

    async def dispatch(self, pending: PendingTask) -> str:
        if not self._rehearsal.inline:
            return await super().dispatch(pending)
        message, _ = self._message(pending.task(self.defaults), pending.function.parameters)
        await self._rehearsal.perform(self, message)
        return message.id

    async def dispatch_many(self, pending: Sequence[PendingTask]) -> list[str]:
        if not self._rehearsal.inline:
            return await super().dispatch_many(pending)
        return [await self.dispatch(call) for call in pending]

    def _message(self, task: Task, parameters: Parameters) -> tuple[Message, object | None]:
        message, driver = super()._message(task, parameters)
        function = self.registry.find(task.name)
        assert function is not None, f"{task.name} is no task"
        self._rehearsal.note(task, function, message, self.container.rows())
        return message, driver


class _OneDriver(Drivers):
    """Whatever is asked for is the memory driver, and so is another driver that is given as an instance."""

    def __init__(self, driver: MemoryDriver) -> None:
        self._driver = driver

    def get(self, driver: object | None = None) -> QueueDriver:
        return driver if isinstance(driver, MemoryDriver) else self._driver


class _Watched(LocalExecutor):
    """An executor that tells of each run that ends."""

    def __init__(self, inner: LocalExecutor, ended: Callable[[Ran], None]) -> None:
        self.stops = inner.stops
        self._inner = inner
        self._ended = ended

    async def run(
        self,
        function: Callable[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        timeout: float | None,
    ) -> object:
        running = current_task()
        ran = Ran(id=running.id, name=running.name, attempt=running.attempt, queue=running.queue)
        try:
            result = await self._inner.run(function, args, kwargs, timeout=timeout)
        except BaseException as error:
            self._ended(replace(ran, error=error))
            raise
        self._ended(replace(ran, result=result))
        return result

    async def close(self) -> None:
        await self._inner.close()
