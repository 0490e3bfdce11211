"""From a task's name to all that running it needs, resolved once per name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asynctasq.app.nearest import did_you_mean
from asynctasq.app.parameters import Parameters
from asynctasq.app.registry import Registry
from asynctasq.app.rows import Rows
from asynctasq.domain.errors import TaskNotFound
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.task import ExecutionMode, OnMissing, TaskConfig
from asynctasq.ports.executor import LocalExecutor, RemoteExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a worker needs to run one task.

    Attributes:
        name: the task's registered name.
        function: the plain function, with what the ORMs in use need around it.
        parameters: how its arguments travel.
        policy: its retry policy, by this worker's registration.
        timeout: seconds for one attempt, or None.
        on_missing: what follows when an ORM row among its arguments is gone.
        mode: where it runs.
        local: what runs it in this process; None if it runs in another.
        remote: what has it run in another process; None if it runs in this one.
    """

    name: str
    function: Callable[..., Any]
    parameters: Parameters
    policy: RetryPolicy
    timeout: float | None
    on_missing: OnMissing
    mode: ExecutionMode
    local: LocalExecutor | None
    remote: RemoteExecutor | None


_HERE = {ExecutionMode.ASYNC_PROCESS: ExecutionMode.ASYNC, ExecutionMode.SYNC_PROCESS: ExecutionMode.SYNC}


class Routes:
    """The routes of one worker: only registered tasks have one.

    Args:
        registry: the tasks.
        defaults: what their missing options follow.
        rows: what surrounds a function that uses an ORM.
        local: what runs tasks in this process.
        remote: what has them run in others.
        all_here: whether those of other processes run in this one too.
    """

    def __init__(
        self,
        registry: Registry,
        defaults: TaskConfig,
        rows: Rows,
        *,
        local: Mapping[ExecutionMode, LocalExecutor],
        remote: Mapping[ExecutionMode, RemoteExecutor],
        all_here: bool = False,
    ) -> None:
        self._all_here = all_here
        self._rows = rows
        self._registry = registry
        self._defaults = defaults
        self._local = local
        self._remote = remote
        self._by_name: dict[str, Route] = {}

    def find(self, name: str) -> Route:
        """The route of a task.

        Raises:
            TaskNotFound: no task of that name is registered in this process.
        """
        route = self._by_name.get(name)
        if route is None:
            route = self._by_name[name] = self._resolve(name)
        return route

    def _resolve(self, name: str) -> Route:
        function = self._registry.find(name)
        if function is None:
            near = did_you_mean(name, (known.name for known in self._registry))
            module = name.partition(":")[0]
            raise TaskNotFound(
                f"no task {name!r} is registered in this worker: name the module that makes it, as in "
                f"`asynctasq worker {module}`{near}"
            )
        config = function.config(self._defaults)
        mode = _HERE.get(config.mode, config.mode) if self._all_here else config.mode
        return Route(
            name=function.name,
            function=self._rows.surround(function.fn),
            parameters=function.parameters,
            policy=config.retry,
            timeout=config.timeout,
            on_missing=config.on_missing,
            mode=mode,
            local=self._local.get(mode),
            remote=self._remote.get(mode),
        )
