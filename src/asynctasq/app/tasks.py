"""The decorator that turns a function into a task, and dispatch in bulk."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast, overload

from asynctasq.app.current import current
from asynctasq.app.drivers import check_driver
from asynctasq.app.registry import REGISTRY
from asynctasq.app.task_function import P, PendingTask, R, TaskFunction, task_name
from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.task import ExecutionMode, OnMissing

if TYPE_CHECKING:
    from asynctasq.ports.driver import QueueDriver


class _Default:
    """The value of an option that was not given."""

    def __repr__(self) -> str:
        return "<default>"


_DEFAULT: Any = _Default()

Errors = type[BaseException] | tuple[type[BaseException], ...]
"""One or several types of error."""


@overload
def task(fn: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(
    *,
    name: str = ...,
    queue: str = ...,
    max_attempts: int = ...,
    retry_delay: float = ...,
    backoff: float = ...,
    max_retry_delay: float | None = ...,
    jitter: float = ...,
    retry_on: Errors = ...,
    no_retry_on: Errors = ...,
    timeout: float | None = ...,
    driver: str | QueueDriver | None = ...,
    process: bool = ...,
    on_missing: OnMissing = ...,
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str = _DEFAULT,
    queue: str = _DEFAULT,
    max_attempts: int = _DEFAULT,
    retry_delay: float = _DEFAULT,
    backoff: float = _DEFAULT,
    max_retry_delay: float | None = _DEFAULT,
    jitter: float = _DEFAULT,
    retry_on: Errors = _DEFAULT,
    no_retry_on: Errors = _DEFAULT,
    timeout: float | None = _DEFAULT,
    driver: str | QueueDriver | None = None,
    process: bool = False,
    on_missing: OnMissing = _DEFAULT,
    **unknown: object,
) -> Any:
    """Make a task of a function, with or without parentheses.

    `async def` runs on the worker's event loop, `def` in one of its threads; with `process=True` each in a child process.

    Args:
        fn: the function, where the decorator is used without parentheses.
        name: what messages call it; by default `module:qualname`.
        queue: the queue's name; by default "default".
        max_attempts: executions in all, the first included; by default 3. 0 and 1 both mean one run and no retry.
        retry_delay: seconds before every retry; by default 60.
        backoff: what the delay of each further retry is multiplied by; by default 1, which keeps it fixed.
        max_retry_delay: the most seconds before a retry, whatever the backoff makes of them; by default no limit.
        jitter: the share of the delay, 0 to 1, by which it is randomly shortened or lengthened; by default 0.
        retry_on: a type of error, or a tuple of them, to retry on; by default all. Anything else is a dead letter at once.
        no_retry_on: a type of error, or a tuple of them, not to retry on. Where both match, the more special type counts.
        timeout: seconds that one attempt may take; by default None, no limit.
        driver: a driver's name or instance; by default the app's.
        process: run it in a child process: for CPU-bound work, and for what must be stopped for certain when its time is over.
        on_missing: what follows when an ORM row among the arguments is gone: "dead" makes a dead letter, "discard" drops the
            task, "none" runs it with None in the row's place; by default "dead".
        **unknown: refused.

    Raises:
        ConfigurationError: an option that cannot work, with what to write instead.
        InvalidName: the queue's name is outside the grammar.
        TypeError: an option that there is not, with the nearest that there is.
    """
    if unknown:
        raise TypeError(_no_option(next(iter(unknown))))
    check_driver(driver)
    if not isinstance(cast("object", process), bool):
        raise ConfigurationError(f"process={process!r}: use True or False")
    given: dict[str, object] = {
        "queue": queue,
        "max_attempts": max_attempts,
        "retry_delay": retry_delay,
        "backoff": backoff,
        "max_retry_delay": max_retry_delay,
        "jitter": jitter,
        "retry_on": retry_on,
        "no_retry_on": no_retry_on,
        "timeout": timeout,
        "on_missing": on_missing,
    }
    options = {option: value for option, value in given.items() if value is not _DEFAULT}
    if driver is not None:
        options["driver"] = driver

    def decorate(fn: Callable[P, R]) -> TaskFunction[P, R]:
        mode = ExecutionMode.of(is_async=_is_async(fn), process=process)
        named = name is not _DEFAULT
        called = _checked_name(name) if named else task_name(fn)
        function = TaskFunction(fn, name=called, named=named, options=options, mode=mode)
        REGISTRY.add(function)
        return function

    return decorate if fn is None else decorate(fn)


OTHER_WORDS = {
    "max_retries": "max_attempts",
    "max_tries": "max_attempts",
    "retries": "max_attempts",
    "countdown": "retry_delay",
    "default_retry_delay": "retry_delay",
    "time_limit": "timeout",
    "job_timeout": "timeout",
    "autoretry_for": "retry_on",
    "queue_name": "queue",
    "broker": "driver",
}
"""What other libraries call our options."""


def _no_option(name: str) -> str:
    known = list(inspect.signature(task).parameters)[1:-1]
    near = [OTHER_WORDS[name]] if name in OTHER_WORDS else difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"@task has no option {name}=: {hint}"


def _is_async(fn: Callable[..., object]) -> bool:
    if not callable(fn) or isinstance(fn, (type, TaskFunction)):
        raise ConfigurationError(
            f"@task needs a function, not {fn!r}: use it as in `@task` or `@task(queue='mail')` above a `def`"
        )
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigurationError(
            f"@task cannot run the generator {fn.__qualname__}(): nobody would consume what it yields; make it a plain function, "
            "or dispatch one task for each item"
        )
    return inspect.iscoroutinefunction(fn)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        raise ConfigurationError(f"name={name!r}: use 1 to 200 printable characters")
    return name


async def dispatch_many(pending: Iterable[PendingTask]) -> list[str]:
    """Queue many calls in as few round trips as the broker allows, and return their ids in order.

    Every call is encoded before the first is sent, so that a bad one leaves none queued.

    Raises:
        PartlyDispatched: some were refused, or the broker went away before all were sent; `results` says which.
        DispatchError, DriverError: as for `PendingTask.dispatch`.
    """
    return await current().dispatch_many(_all_pending(pending))


def _all_pending(pending: Iterable[PendingTask]) -> list[PendingTask]:
    calls = list(pending)
    for call in calls:
        if not isinstance(cast("object", call), PendingTask):
            raise TypeError(f"dispatch_many() takes bound calls, not {call!r}: write [f(1), f(2)]")
    for call in calls:  # before the first is encoded: if that fails, the others have not been forgotten
        call.use()
    return calls
