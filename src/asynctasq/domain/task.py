"""What a task is, before any broker knows of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.retry import RetryPolicy, check_seconds


class ExecutionMode(enum.Enum):
    """Where a task runs. It follows from `async def` or `def`, and from `process=`."""

    ASYNC = "async"
    SYNC = "sync"
    ASYNC_PROCESS = "async-process"
    SYNC_PROCESS = "sync-process"

    @classmethod
    def of(cls, *, is_async: bool, process: bool) -> ExecutionMode:
        """The mode of a coroutine function or plain function, in this process or a child."""
        if process:
            return cls.ASYNC_PROCESS if is_async else cls.SYNC_PROCESS
        return cls.ASYNC if is_async else cls.SYNC


OnMissing = Literal["dead", "discard", "none"]
"""What becomes of a task when a row among its arguments is gone: a dead letter, nothing, or a run with None in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """How a task is queued and run.

    Attributes:
        queue: the queue's name.
        retry: how often and how soon it may run again.
        timeout: seconds that one attempt may take; None for no limit.
        mode: where it runs.
        driver: a driver's name or instance; None for the app's default. Opaque here.
        on_missing: what follows when an ORM row among the arguments is gone.

    Raises:
        InvalidName: `queue` is outside the grammar.
        ConfigurationError: `timeout` is not a positive number of seconds, or `on_missing` is none of its words.
    """

    queue: str = "default"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float | None = None
    mode: ExecutionMode = ExecutionMode.ASYNC
    driver: object | None = None
    on_missing: OnMissing = "dead"

    def __post_init__(self) -> None:
        check_queue_name(self.queue)
        check_seconds("timeout", self.timeout, optional=True)
        if self.timeout == 0:
            raise ConfigurationError("timeout=0: use a positive number of seconds, or None for no limit")
        if self.on_missing not in get_args(OnMissing):
            raise ConfigurationError(
                f'on_missing={self.on_missing!r}: use "dead" for a dead letter, "discard" to drop the task, '
                'or "none" to run it with None in the place of the row'
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One call of a task function, to be made by a worker.

    Attributes:
        name: `module:qualname`, or the explicit name.
        args: positional arguments as given.
        kwargs: keyword arguments as given.
        config: how it is queued and run.
        delay: seconds until it may start.
        retry_delay: the delay before each retry, where this dispatch overrides the task's own.
    """

    name: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict[str, object])
    config: TaskConfig
    delay: float = 0.0
    retry_delay: float | None = None
