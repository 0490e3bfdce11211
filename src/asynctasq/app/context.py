"""Which task is running here: a contextvar, so that code and log records under a task can tell."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from asynctasq.domain.errors import AsyncTasQError


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTask:
    """The attempt that is running.

    Attributes:
        id: the task's id, as `dispatch()` returned it.
        name: the task's name.
        attempt: 1-based.
        queue: the queue it was claimed from.
        deadline: when its timeout is over, by `time.monotonic()`; None without a timeout.
    """

    id: str
    name: str
    attempt: int
    queue: str
    deadline: float | None = None


CURRENT: ContextVar[Callable[[], CurrentTask] | None] = ContextVar("asynctasq_current_task", default=None)
"""What makes the answer: every task sets it, and few ask."""


def current_task() -> CurrentTask:
    """The attempt that is running in this context.

    Raises:
        AsyncTasQError: no task is running here.
    """
    running = CURRENT.get()
    if running is None:
        raise AsyncTasQError(
            "current_task() was called outside a running task: call it in the task, while a worker runs it"
        )
    return running()
