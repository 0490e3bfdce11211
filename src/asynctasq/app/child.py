"""The app's part of a child process: it knows the tasks by its own imports, decodes the arguments and calls the function."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from asynctasq.app.bootstrap import App
from asynctasq.app.codec import Codec
from asynctasq.app.context import CURRENT, CurrentTask
from asynctasq.app.failure import failure_of
from asynctasq.app.loop import loop_factory
from asynctasq.app.origin import Origin
from asynctasq.app.rows import Rows
from asynctasq.app.stacks import stack_of
from asynctasq.app.task_function import TaskFunction
from asynctasq.domain.errors import ModelNotFound, TaskNotFound, UndecodableTask
from asynctasq.domain.failure import FailedElsewhere
from asynctasq.domain.message import ModelRef
from asynctasq.domain.task import ExecutionMode
from asynctasq.ports.executor import LocalExecutor, Order, Performer

logger = logging.getLogger("asynctasq.child")

NEW_LOOP: Final = loop_factory()
"""Looked up on import, thus once by the server that children are forked from."""

LEFTOVER_PATIENCE: Final = 1.0
"""Seconds that what a coroutine has left running gets to end once it is cancelled."""


def prepare(origin: Origin) -> Child:
    """Make a child ready, in the child.

    Raises:
        ConfigurationError: the app cannot be imported.
    """
    if origin.log is not None:
        from asynctasq.app import logs

        logs.configure(*origin.log)
    return Child(origin.open())


class Child(Performer):
    """Runs plain functions as they are, and coroutine functions on one event loop that lives as long as the child.

    Each attempt has a context of its own, made from the one that the imports left behind.
    """

    def __init__(self, app: App) -> None:
        self.worn = False
        self._registry = app.registry
        self._defaults = app.defaults
        # The engines and connections behind it are made by this process's own imports.
        self._rows: Rows = app.container.rows()
        # The worker has looked at the size, by its own limit.
        self._codec = Codec(app.container.serializer(), self._rows, max_body=sys.maxsize)
        self._context = contextvars.copy_context()
        self._coroutines: LocalExecutor = app.container.event_loop_executor()
        self._runner = asyncio.Runner(loop_factory=NEW_LOOP)
        self._runner.run(self._rows.open(), context=self._context)  # tasks see what was opened here
        self._running: asyncio.Task[Any] | None = None
        self._current: CurrentTask | None = None

    def perform(self, order: Order) -> None:
        """Run one attempt to its end; see the port."""
        message = order.message
        header = self._codec.header(message)
        function = self._registry.find(header.name)
        if function is None:
            raise TaskNotFound(
                f"no task {header.name!r} is registered in this child process: "
                "make it at the top of a module that the app imports"
            )
        call = self._codec.decode(header, message)
        context = self._context.copy()
        found = context.run(self._fetch, function, call.refs) if call.refs else None
        args, kwargs = self._codec.build(header, call, function.parameters, found)
        self._current = current = CurrentTask(
            id=message.id,
            name=function.name,
            attempt=order.attempt,
            queue=message.queue,
            deadline=order.deadline,
        )
        context.run(CURRENT.set, lambda: current)
        error = context.run(self._call, function, args, kwargs)
        self._current = None
        if error is not None:
            raise FailedElsewhere(failure_of(error))

    def interrupt(self) -> None:
        """Cancel the coroutine that runs, or raise SystemExit within the plain function."""
        if self._running is None:
            raise SystemExit("the worker has stopped this task")
        self._runner.get_loop().call_soon_threadsafe(self._running.cancel)

    def where(self) -> str:
        """What runs, and where its coroutine waits; see the port."""
        current = self._current
        if current is None:
            return "nothing runs"
        stack = "" if self._running is None else f", waits here:\n{stack_of(self._running)}"
        return f"{current.id} ({current.name}), attempt {current.attempt}{stack}"

    def close(self) -> None:
        """Close the loop, and what was opened on it."""
        self._runner.run(self._rows.close(), context=self._context)
        self._runner.close()

    def _fetch(self, function: TaskFunction[..., Any], refs: Sequence[ModelRef]) -> Mapping[int, object | None]:
        """The rows of the arguments."""
        found: dict[int, object | None] = {}

        async def fetch() -> None:
            found.update(await self._rows.fetch(refs, on_missing=function.config(self._defaults).on_missing))

        error = self._run(self._awaited(fetch, (), {}))
        if isinstance(error, (ModelNotFound, UndecodableTask)):
            raise error
        if error is not None:
            raise FailedElsewhere(failure_of(error))
        return found

    def _call(
        self, function: TaskFunction[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> BaseException | None:
        """What the function raised."""
        if function.mode is ExecutionMode.ASYNC_PROCESS:
            error: BaseException | None = self._run(self._awaited(self._rows.surround(function.fn), args, kwargs))
            self._clear()
            return error
        try:
            self._rows.surround(function.fn)(*args, **kwargs)
        except BaseException as error:
            return error
        return None

    async def _awaited(
        self, function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> BaseException | None:
        self._running = asyncio.current_task()
        try:
            await self._coroutines.run(function, args, kwargs, timeout=None)  # the timeout is the worker's to watch
        # As a value: an asyncio task that ends with SystemExit or KeyboardInterrupt takes the loop down with it.
        except BaseException as error:
            return error
        finally:
            self._running = None
        return None

    def _clear(self) -> None:
        """Cancel what the coroutine has left running, so that nothing of it goes on beside the next."""
        if left := asyncio.all_tasks(self._runner.get_loop()):
            for task in left:
                task.cancel()
            _, alive = self._run(asyncio.wait(left, timeout=LEFTOVER_PATIENCE))
            if alive:
                logger.warning("%d asyncio tasks that it left behind cannot be cancelled: this child ends", len(alive))
                self.worn = True

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in a copy of this context. Not by the runner, whose care for Ctrl-C costs as much as all the rest."""
        loop = self._runner.get_loop()
        return loop.run_until_complete(loop.create_task(coroutine))
