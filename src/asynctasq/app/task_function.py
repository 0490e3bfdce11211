"""What `@task` returns, and what calling it returns."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Generic, NoReturn, ParamSpec, TypeVar

from asynctasq.app.current import current
from asynctasq.app.parameters import Parameters
from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.failure import checked_kinds
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.retry import RetryPolicy, checked_seconds
from asynctasq.domain.script import script_name
from asynctasq.domain.task import ExecutionMode, Task, TaskConfig

P = ParamSpec("P")
R = TypeVar("R")

_NO_KEYWORDS: Final[Mapping[str, object]] = {}
"""Instead of the empty dict of each call, so that a call that waits to be queued is an object less."""


class TaskFunction(Generic[P, R]):
    """A function that can be dispatched.

    Calling it binds the arguments, so that wrong ones fail here and not in a worker, and returns a `PendingTask`. The plain
    function is `.fn`.

    Attributes:
        fn: the plain function.
        name: what messages call it.
        named: whether `name=` was given, rather than taken from the function.
        options: the options that were given; what is missing follows the app's defaults.
        mode: where it runs.
        parameters: how its arguments travel.
    """

    def __init__(
        self, fn: Callable[P, R], *, name: str, named: bool, options: Mapping[str, Any], mode: ExecutionMode
    ) -> None:
        self.fn = fn
        self.name = name
        self.named = named
        self.options = options
        self.mode = mode
        self.parameters = Parameters(fn)
        self._signature = inspect.signature(fn)
        self._fitting = _positional_counts(self._signature)
        self._configured: tuple[TaskConfig, TaskConfig] | None = None
        functools.update_wrapper(self, fn)
        self.config(TaskConfig())  # refuses bad options at decoration

    def config(self, defaults: TaskConfig) -> TaskConfig:
        """How this task is queued and run: its own options over `defaults`. The last answer is kept."""
        if self._configured is None or self._configured[0] is not defaults:
            given = self.options
            config = TaskConfig(
                queue=given.get("queue", defaults.queue),
                retry=_policy(given, defaults.retry),
                timeout=given.get("timeout", defaults.timeout),
                mode=self.mode,
                driver=given.get("driver"),
                on_missing=given.get("on_missing", defaults.on_missing),
            )
            self._configured = (defaults, config)
        return self._configured[1]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> PendingTask:
        """Bind the arguments of one call; `.dispatch()` on the result queues it.

        Raises:
            TypeError: the function does not take these arguments.
        """
        if kwargs or len(args) not in self._fitting:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}{self._signature}: {error}") from None
        return PendingTask(self, args, kwargs or _NO_KEYWORDS)

    def delay(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Not how it is done here; says what to type instead.

        Raises:
            TypeError: always.
        """
        short = self.__name__
        raise TypeError(
            f"{short}.delay(...) is another library's spelling: type `await {short}(...).dispatch()`, "
            f"or `await {short}(...).delay(seconds).dispatch()` to start it later"
        )

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    __name__: str


class PendingTask:
    """One bound call that has not been queued yet.

    Every chain method returns a new pending task and leaves this one as it was. One that is dropped without a dispatch warns,
    as a coroutine that is never awaited does.
    """

    __slots__ = ("_args", "_delay", "_kwargs", "_queue", "_retry_delay", "_used", "function")

    def __init__(
        self, function: TaskFunction[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        self.function = function
        self._args = args
        self._kwargs = kwargs
        self._queue: str | None = None
        self._delay = 0.0
        self._retry_delay: float | None = function.options.get("retry_delay")
        self._used = False

    def on_queue(self, queue: str) -> PendingTask:
        """Dispatch to this queue instead of the task's own.

        Raises:
            InvalidName: the name is outside the grammar.
        """
        changed = self._copy()
        changed._queue = check_queue_name(queue)
        changed._used = False
        return changed

    def delay(self, seconds: float | timedelta) -> PendingTask:
        """Start no sooner than `seconds` after the dispatch, by the broker's clock.

        Raises:
            ConfigurationError: not a number of seconds, or negative.
        """
        changed = self._copy()
        changed._delay = checked_seconds("delay", seconds)
        changed._used = False
        return changed

    def retry_after(self, seconds: float | timedelta) -> PendingTask:
        """Wait `seconds` before every retry of this dispatch, instead of the task's own `retry_delay`.

        Raises:
            ConfigurationError: not a number of seconds, or negative.
        """
        changed = self._copy()
        changed._retry_delay = checked_seconds("retry_after", seconds)
        changed._used = False
        return changed

    async def dispatch(self) -> str:
        """Queue it and return its id, a UUID, once the broker has confirmed it.

        Raises:
            SerializationError: an argument would not arrive as it is; the message names it.
            PayloadTooLarge: the encoded call is over the limit.
            UnsupportedByDriver: the driver cannot do what was asked, such as a delay beyond its longest.
            DriverUnavailable: the broker could not be reached; nothing was queued.
            Indeterminate: the connection broke; it may have been queued.
        """
        self._used = True
        return await current().dispatch(self)

    def dispatch_sync(self) -> str:
        """Queue it from code that has no running event loop: scripts, Flask, Django views. Blocks until confirmed.

        Raises:
            AsyncTasQError: called inside a running loop, where `await ....dispatch()` is the way; else as `dispatch()`.
        """
        self._used = True
        return current().dispatch_sync(self)

    def use(self) -> None:
        """Mark this pending task as used: what happens to it is told to whom it was given."""
        self._used = True

    def task(self, defaults: TaskConfig) -> Task:
        """The task to be queued, under an app's defaults. Marks this pending task as used."""
        self._used = True
        config = self.function.config(defaults)
        return Task(
            name=self.function.name,
            args=self._args,
            kwargs=self._kwargs,
            config=config if self._queue is None else replace(config, queue=self._queue),
            delay=self._delay,
            retry_delay=self._retry_delay,
        )

    def _copy(self) -> PendingTask:
        """A copy that counts as used, as this one does from now on, until its change has been checked."""
        self._used = True
        return copy.copy(self)

    def __await__(self) -> NoReturn:
        self._used = True
        raise TypeError(
            f"{self.function.name} was awaited before it was dispatched: type `await {self.function.__name__}(...).dispatch()`; "
            f"to run it here and now, call `{self.function.__name__}.fn(...)`"
        )

    def __repr__(self) -> str:
        return f"<pending {self.function.name}>"

    def __del__(self) -> None:
        if not getattr(self, "_used", True):  # an __init__ that failed leaves no slot behind
            warnings.warn(
                f"{self.function.name} was called but never dispatched: type `await {self.function.__name__}(...).dispatch()`",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )


def _positional_counts(signature: inspect.Signature) -> range:
    """How many arguments may be given if all are positional; where there is no such number, `bind` has to say.

    Such a call can be wrong in its number alone, and to bind it takes as long as to encode it.
    """
    kind = inspect.Parameter
    parameters = signature.parameters.values()
    named = [each for each in parameters if each.kind in (kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD)]
    if any(each.kind is kind.KEYWORD_ONLY and each.default is kind.empty for each in parameters):
        return range(0)
    return range(sum(each.default is kind.empty for each in named), len(named) + 1)


def _policy(given: Mapping[str, Any], defaults: RetryPolicy) -> RetryPolicy:
    kinds = {
        option: checked_kinds(option, given[option]) if option in given else getattr(defaults, option)
        for option in ("retry_on", "no_retry_on")
    }
    return RetryPolicy(
        max_attempts=given.get("max_attempts", defaults.max_attempts),
        delay=given.get("retry_delay", defaults.delay),
        backoff=given.get("backoff", defaults.backoff),
        max_delay=given.get("max_retry_delay", defaults.max_delay),
        jitter=given.get("jitter", defaults.jitter),
        **kinds,
    )


_SCRIPTS = {"__main__", "__mp_main__"}
"""What the script that was started is called: in its own process, and in those that multiprocessing has started from it."""


def task_name(fn: Callable[..., object]) -> str:
    """The name under which every process knows `fn`: `module:qualname`.

    A script is `__main__` only while it runs; what the worker will import is its module's name if it was started with
    `-m`, else its file's stem.

    Raises:
        ConfigurationError: the function has no name that another process could find.
    """
    qualname = getattr(fn, "__qualname__", None)
    module = getattr(fn, "__module__", None)
    if not isinstance(qualname, str) or not isinstance(module, str) or "<lambda>" in qualname:
        raise ConfigurationError(f"{fn!r} has no name that a worker could find: give it one with @task(name='...')")
    if module in _SCRIPTS:
        module = _script_module(fn)
    return f"{module}:{qualname}"


def _script_module(fn: Callable[..., object]) -> str:
    name = script_name()
    if name is None:
        file = getattr(inspect.getmodule(fn), "__file__", None)
        where = f"the script {file!r}" if file else "an interactive session"
        raise ConfigurationError(
            f"{fn!r} is defined in {where}, which a worker cannot import by name: "
            "move it to a module, or give it a name with @task(name='...')"
        )
    return name
