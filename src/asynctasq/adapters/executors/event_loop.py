"""Runs coroutine functions on the worker's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asynctasq.adapters.executors.copies import end_if_forked, forks
from asynctasq.domain.errors import TaskTimeout
from asynctasq.ports.executor import LocalExecutor


class EventLoopExecutor(LocalExecutor):
    """Awaits the function where the caller stands.

    Without a timeout there is nothing in between, not even an asyncio task: what the function does to its context, and the
    caller's cancellation, pass straight through.

    Args:
        grace: seconds that a cancelled function is given to end before its timeout is reported with `still_running` set.
    """

    stops = True

    def __init__(self, *, grace: float = 2.0) -> None:
        self._grace = grace

    async def run(
        self,
        function: Callable[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        timeout: float | None,
    ) -> object:
        """Await `function(*args, **kwargs)`; see the port.

        A function that swallows the cancellation of its timeout has timed out all the same, whatever it returns or raises.
        """
        if timeout is not None:
            return await self._run_within(timeout, function, args, kwargs)
        before = forks()
        try:
            return await function(*args, **kwargs)
        finally:
            end_if_forked(before)

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _run_within(
        self, timeout: float, function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> object:
        loop = asyncio.get_running_loop()
        decided = loop.create_future()

        def decide(_: object = None) -> None:
            if not decided.done():
                decided.set_result(None)

        async def outcome() -> tuple[object, BaseException | None]:
            # Armed here, not by the caller: a busy loop may start this coroutine long after it was asked to.
            timer = loop.call_later(timeout, decide)
            before = forks()
            try:
                return await function(*args, **kwargs), None
            # An asyncio task that ends with SystemExit or KeyboardInterrupt takes the loop down with it, so they leave this
            # one as values and are raised in the caller.
            except BaseException as error:
                return None, error
            finally:
                end_if_forked(before)
                timer.cancel()

        # Called as the caller is, so that who blocks the loop can be told.
        caller = asyncio.current_task()
        inner = loop.create_task(outcome(), name=None if caller is None else caller.get_name())
        inner.add_done_callback(decide)
        try:
            await decided
        except asyncio.CancelledError:
            await self._stop(inner)
            raise
        if inner.done():
            value, error = inner.result()
            if error is None:
                return value
            try:
                raise error
            finally:
                # The error's traceback holds this frame: without this, what the task's own frames hold would live until
                # the collector comes by.
                del inner, error
        if await self._stop(inner):
            error = inner.result()[1]
            late = None if isinstance(error, asyncio.CancelledError) else error
            raise TaskTimeout(
                f"ran past its timeout of {timeout:g} s and was cancelled: give it a longer timeout if it may take so long"
            ) from late
        raise TaskTimeout(
            f"ran past its timeout of {timeout:g} s and still runs {self._grace:g} s "
            "after it was cancelled: let it end when it is",
            still_running=inner,
        )

    async def _stop(self, inner: asyncio.Task[Any]) -> bool:
        inner.cancel()
        await asyncio.wait((inner,), timeout=self._grace)
        return inner.done()
