"""The executor port: where a task's function runs. Here, in this process; or in another, which knows the task by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from asynctasq.domain.message import Message


class Executor(Protocol):
    """One kind of place for tasks to run in. What is implemented is one of the two below.

    Attributes:
        stops: whether a timeout or a cancellation really ends the work. A thread cannot be stopped, only left alone.
    """

    stops: bool

    def show(self) -> None:
        """Have other processes write to standard error what they run, and where it is. Called by a signal's handler."""
        return  # there is no other process

    @abstractmethod
    async def close(self) -> None:
        """Let go of threads or children. What still runs is not waited for. Idempotent."""


class LocalExecutor(Executor, Protocol):
    """Runs functions in this process: on the loop, in threads."""

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
        call: waiting for a free thread does not use it up.

        Raises:
            TaskTimeout: it ran past `timeout` seconds; `still_running` is set if it could not be stopped.
            asyncio.CancelledError: the caller was cancelled; the work has been stopped where `stops`, else left alone.
            BaseException: whatever the function raised; SystemExit, KeyboardInterrupt and its own CancelledError too.
        """


class RemoteExecutor(Executor, Protocol):
    """Carries attempts to other processes, which find the function by their own registration and decode the arguments.

    Nothing of the worker's comes along: no function, no context, no connection; and nothing returns but how it ended.
    """

    @abstractmethod
    async def run(
        self, message: Message, *, attempt: int, timeout: float | None, started: Callable[[], None] | None = None
    ) -> None:
        """Have one attempt run to its end. What the function returned stays where it ran, serializable or not.

        Args:
            message: the encoded task.
            attempt: 1-based.
            timeout: seconds, from the moment that the attempt is handed to a process that is ready for it.
            started: called at that moment.

        Raises:
            FailedElsewhere: the function raised.
            TaskNotFound, UnknownFrame, UndecodableTask, ModelNotFound: it was not begun.
            TaskTimeout: it ran past `timeout` seconds.
            WorkerProcessDied: the process that ran it died, or none could be started. The message says of what.
            asyncio.CancelledError: the caller was cancelled; the work has been stopped where `stops`, else left alone.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One attempt, as another process is told of it.

    Attributes:
        message: the encoded task.
        attempt: 1-based.
        deadline: when its timeout is over, by the monotonic clock that the processes of a host share; None without one.
    """

    message: Message
    attempt: int
    deadline: float | None


class Performer(Protocol):
    """What carries out orders in the other process: made there, used from its main thread, for one order after the other.

    Attributes:
        worn: whether the process had better not be given another order.
    """

    worn: bool

    @abstractmethod
    def perform(self, order: Order) -> None:
        """Run one attempt to its end.

        Raises:
            FailedElsewhere: the function raised.
            TaskNotFound, UnknownFrame, UndecodableTask, ModelNotFound: it was not begun.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Have what runs end soon. Called by a signal's handler, between two bytecodes of the main thread."""

    @abstractmethod
    def where(self) -> str:
        """What runs, and where its coroutine waits, if it is one; for people. Called by a signal's handler."""

    @abstractmethod
    def close(self) -> None:
        """There will be no further order."""
