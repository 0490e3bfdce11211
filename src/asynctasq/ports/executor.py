"""The executor port: where a task's function runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Executor(Protocol):
    """Runs functions in one kind of place: on the loop, in threads, in child processes.

    Attributes:
        stops: whether a timeout or a cancellation really ends the work. A thread cannot be stopped, only left alone.
    """

    stops: bool

    @abstractmethod
    async def run(
        self,
        function: Callable[..., Any],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        timeout: float | None,
    ) -> object:
        """Run `function(*args, **kwargs)` to its end and return what it returned.

        The function sees the caller's contextvars. `timeout` counts from the moment the function starts, not from the
        call: waiting for a free thread or child does not use it up.

        Raises:
            TaskTimeout: it ran past `timeout` seconds; `still_running` is set if it could not be stopped.
            WorkerProcessDied: the child it ran in died.
            asyncio.CancelledError: the caller was cancelled; the work has been stopped where `stops`, else left alone.
            BaseException: whatever the function raised; SystemExit, KeyboardInterrupt and its own CancelledError too.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of threads or children. What still runs is not waited for. Idempotent."""
