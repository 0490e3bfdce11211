"""The decorator and the pending task: what users type, and what they are told when it is wrong."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from asynctasq.app.container import BUILT_IN
from asynctasq.app.drivers import Drivers
from asynctasq.app.registry import REGISTRY, Registry
from asynctasq.app.settings import load_settings
from asynctasq.app.task_function import PendingTask, TaskFunction
from asynctasq.domain.errors import ConfigurationError, InvalidName, SerializationError, UnknownDriver
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.task import ExecutionMode, Task, TaskConfig
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.tasks import dispatch_many, task

DEFAULTS = TaskConfig()


@task
async def plain(a: int, b: str = "x") -> str:
    """Doc."""
    return f"{a}{b}"


@task()
def threaded(a: int) -> int:
    return a


def bound(pending: PendingTask) -> Task:
    return pending.task(DEFAULTS)


def test_both_forms_of_the_decorator_follow_the_guides_defaults() -> None:
    for function, mode in ((plain, ExecutionMode.ASYNC), (threaded, ExecutionMode.SYNC)):
        assert isinstance(function, TaskFunction)
        assert function.config(DEFAULTS) == TaskConfig(
            queue="default", retry=RetryPolicy(max_attempts=3, delay=60), timeout=None, mode=mode, driver=None
        )
        assert REGISTRY.find(function.name) is function
    assert plain.__doc__ == "Doc."
    assert plain.name == f"{__name__}:plain"


def test_options_that_were_given_win_over_the_apps_defaults_and_the_others_follow_them() -> None:
    @task(queue="emails", max_attempts=5, retry_delay=120, timeout=30)
    async def configured() -> None: ...

    theirs = TaskConfig(queue="theirs", retry=RetryPolicy(max_attempts=9, delay=7), timeout=1)
    assert configured.config(theirs) == TaskConfig(
        queue="emails", retry=RetryPolicy(max_attempts=5, delay=120), timeout=30, mode=ExecutionMode.ASYNC
    )
    assert plain.config(theirs) == TaskConfig(
        queue="theirs", retry=RetryPolicy(max_attempts=9, delay=7), timeout=1, mode=ExecutionMode.ASYNC
    )


def test_zero_is_a_value_and_not_a_missing_option() -> None:
    @task(max_attempts=0, retry_delay=0, timeout=None)
    async def once() -> None: ...

    config = once.config(TaskConfig(retry=RetryPolicy(max_attempts=9, delay=7), timeout=1))
    assert config.retry == RetryPolicy(max_attempts=0, delay=0)
    assert config.timeout is None


def test_how_a_task_is_retried_is_said_in_the_decorator() -> None:
    @task(backoff=2, max_retry_delay=300, jitter=0.1, retry_on=OSError, no_retry_on=(FileNotFoundError, EOFError))
    def configured() -> None: ...

    assert configured.config(DEFAULTS).retry == RetryPolicy(
        backoff=2,
        max_delay=300,
        jitter=0.1,
        retry_on=("builtins:OSError",),
        no_retry_on=("builtins:FileNotFoundError", "builtins:EOFError"),
    )
    theirs = TaskConfig(retry=RetryPolicy(backoff=3, max_delay=9, jitter=1))
    assert plain.config(theirs).retry == theirs.retry


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backoff": 0.5}, "backoff=0.5"),
        ({"max_retry_delay": -1}, "max_retry_delay=-1"),
        ({"jitter": 2}, "jitter=2"),
        ({"retry_on": "OSError"}, "retry_on: 'OSError' is no type of error"),
        ({"no_retry_on": (OSError, 3)}, "no_retry_on: 3 is no type of error"),
        ({"retry_on": (OSError, EOFError), "no_retry_on": IOError}, "OSError is in retry_on and in no_retry_on"),
    ],
)
def test_a_way_of_retrying_that_cannot_work_is_refused_at_decoration(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):

        @task(**options)
        def refused() -> None: ...


def none() -> None: ...
def two(a: int, b: int) -> None: ...
def some(a: int, b: int = 1, /, c: int = 2, *, d: int = 3) -> None: ...
def any_number(a: int, *rest: int, **named: int) -> None: ...
def by_name(a: int, *, b: int) -> None: ...


@pytest.mark.parametrize("function", [none, two, some, any_number, by_name])
@pytest.mark.parametrize("count", range(6))
def test_a_call_with_positional_arguments_alone_fits_where_the_function_itself_would_take_them(
    function: Callable[..., None], count: int
) -> None:
    called, arguments = task(function), tuple(range(count))
    try:
        function(*arguments)
    except TypeError:
        with pytest.raises(TypeError, match=function.__name__):
            called(*arguments)
    else:
        assert bound(called(*arguments)).args == arguments


def test_a_call_carries_positional_keyword_and_mixed_arguments_as_they_were_given() -> None:
    assert (bound(plain(1)).args, bound(plain(1)).kwargs) == ((1,), {})
    mixed = bound(plain(1, b="y"))
    assert (mixed.args, mixed.kwargs) == ((1,), {"b": "y"})
    keywords = bound(plain(b="y", a=2))
    assert (keywords.args, keywords.kwargs) == ((), {"b": "y", "a": 2})


def test_wrong_arguments_fail_at_the_call_and_name_the_task() -> None:
    with pytest.raises(TypeError, match=r"test_task_function:plain\(a: .*missing a required argument: 'a'"):
        plain()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] -- that is the test
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        plain(1, c=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] -- that is the test


def test_the_chain_works_in_any_order_and_never_leaks_into_another_dispatch() -> None:
    base = plain(1)
    urgent = base.on_queue("urgent").retry_after(9).delay(5)
    late = base.delay(timedelta(minutes=1)).on_queue("late")
    assert [bound(each).config.queue for each in (base, urgent, late)] == ["default", "urgent", "late"]
    assert [bound(each).delay for each in (base, urgent, late)] == [0, 5, 60]
    assert [bound(each).retry_delay for each in (base, urgent, late)] == [None, 9, None]


def test_a_retry_delay_of_the_decorator_travels_with_the_message() -> None:
    @task(retry_delay=5)
    async def eager() -> None: ...

    assert bound(eager()).retry_delay == 5
    assert bound(eager().retry_after(0)).retry_delay == 0


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "60", None, timedelta(seconds=-1)])
def test_a_delay_that_is_no_number_of_seconds_is_refused(seconds: object) -> None:
    for chain in (plain(1).delay, plain(1).retry_after):
        chain.__self__._used = True
        with pytest.raises(ConfigurationError, match="seconds"):
            chain(seconds)  # type: ignore[arg-type] -- that is the test


def test_a_bad_queue_name_is_refused_at_decoration_and_in_the_chain() -> None:
    def function() -> None: ...

    with pytest.raises(InvalidName, match="'no spaces'"):
        task(queue="no spaces")(function)
    with pytest.raises(InvalidName, match="'no spaces'"):
        plain(1).on_queue("no spaces")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_attempts": -1}, "max_attempts=-1"),
        ({"retry_delay": -5}, "retry_delay=-5"),
        ({"timeout": 0}, "timeout=0"),
        ({"process": "yes"}, "process='yes'"),
        ({"name": ""}, "name=''"),
    ],
)
def test_an_option_that_cannot_work_is_refused_at_decoration(options: dict[str, object], told: str) -> None:
    def function() -> None: ...

    with pytest.raises(ConfigurationError) as refused:
        task(**options)(function)  # type: ignore[call-overload] # pyright: ignore -- that is the test
    assert told in str(refused.value)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="prioritty"):
        task(prioritty=1)  # type: ignore[call-overload] # pyright: ignore -- that is the test


@pytest.mark.parametrize(
    ("option", "meant"), [("prioritty", "there are name, queue,"), ("que", "queue?"), ("max_retries", "max_attempts?")]
)
def test_for_an_unknown_option_the_one_that_was_meant_is_named_also_where_it_is_another_librarys_word(
    option: str, meant: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(f"@task has no option {option}=: ") + f".*{re.escape(meant)}"):
        task(**{option: 1})  # type: ignore[call-overload] # pyright: ignore -- that is the test


@pytest.mark.parametrize(
    "url", ["rediss://host", "postgresql://host/shop", "postgres://host/shop", "mysql://host/shop"]
)
def test_a_driver_may_be_named_by_any_url_of_its_broker(url: str) -> None:
    task(driver=url)
    location = Drivers(load_settings(environ={}).settings, BUILT_IN).get(url).location
    assert location.partition("://")[2].startswith("host")


def test_an_unknown_driver_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownDriver, match="did you mean 'sqlite'"):
        task(driver="sqlit")
    with pytest.raises(ConfigurationError, match="is no driver: use a driver's name, or an instance"):
        task(driver=42)  # type: ignore[call-overload] # pyright: ignore -- that is the test
    with pytest.raises(ConfigurationError, match="is no driver: use a driver's name, or an instance"):
        task(driver=MemoryDriver)  # type: ignore[call-overload] # pyright: ignore -- that is the test


def test_a_driver_is_taken_by_name_url_or_instance() -> None:
    instance = MemoryDriver()
    for driver in ("memory", "sqlite:///queue.db", instance):

        @task(driver=driver)
        async def overridden() -> None: ...

        assert overridden.config(DEFAULTS).driver is driver
    assert Drivers(None, {}).get(instance) is instance  # type: ignore[arg-type] -- settings are not needed for an instance


@pytest.mark.parametrize("wrong", [42, "f", int, plain])
def test_only_functions_become_tasks(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="needs a function"):
        task(wrong)  # type: ignore[call-overload] # pyright: ignore -- that is the test


def test_generators_and_nameless_functions_are_refused_with_the_way_out() -> None:
    def numbers():  # type: ignore[no-untyped-def]
        yield 1

    with pytest.raises(ConfigurationError, match="generator"):
        task(numbers)
    with pytest.raises(ConfigurationError, match="name="):
        task(lambda: None)


def test_a_pending_task_that_is_dropped_warns_as_a_coroutine_does() -> None:
    with pytest.warns(RuntimeWarning, match=r"plain was called but never dispatched: type `await plain\(...\)"):
        plain(1)  # dropped at once: reference counting ends it here


def test_a_used_pending_task_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chained = plain(1).delay(3).on_queue("q")
        bound(chained)
        del chained


@pytest.mark.asyncio
async def test_one_call_that_cannot_travel_leaves_none_of_many_queued_and_no_other_is_said_to_be_forgotten() -> None:
    driver = MemoryDriver()
    function = TaskFunction(plain.fn, name="t:plain", named=True, options={"driver": driver}, mode=ExecutionMode.ASYNC)
    calls = [function(1), function(cast("Any", object())), function(3)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(SerializationError, match="argument 'a' of task 't:plain'"):
            await dispatch_many(calls)
        del calls
    assert [str(each.message) for each in told] == []
    await dispatch_many([function(4)])
    await driver.connect()
    assert [stats.ready for stats in await driver.stats(["default"])] == [1]
    await driver.close()


def test_awaiting_a_pending_task_says_what_to_type() -> None:
    async def main() -> None:
        await plain(1)

    with pytest.raises(TypeError, match=r"await plain\(...\).dispatch\(\)"):
        asyncio.run(main())


def test_delay_on_the_function_says_what_to_type() -> None:
    with pytest.raises(TypeError, match=r"await plain\(...\).dispatch\(\)"):
        plain.delay(1)


def test_the_plain_function_stays_in_reach() -> None:
    assert threaded.fn(3) == 3
    assert asyncio.run(plain.fn(1)) == "1x"


def test_registering_a_name_again_replaces_with_a_warning_that_shows_both_places() -> None:
    def make(options: dict[str, object]) -> TaskFunction[[], None]:
        def twice() -> None: ...

        return TaskFunction(twice, name="m:twice", named=False, options=options, mode=ExecutionMode.SYNC)

    def again() -> None: ...

    registry = Registry()
    first = make({})
    registry.add(first)
    registry.add(make({}))  # the same place, as after a reload: nothing to say
    second = TaskFunction(again, name="m:twice", named=False, options={}, mode=ExecutionMode.SYNC)
    with pytest.warns(
        RuntimeWarning, match=r"test_task_function.py:\d+ replaces the one at .*test_task_function.py:\d+"
    ):
        registry.add(second)
    assert registry.find("m:twice") is second


def test_two_functions_with_one_explicit_name_are_an_error() -> None:
    def one() -> None: ...

    def other() -> None: ...

    registry = Registry()
    registry.add(TaskFunction(one, name="billing", named=True, options={}, mode=ExecutionMode.SYNC))
    with pytest.raises(ConfigurationError, match="two tasks are called 'billing'"):
        registry.add(TaskFunction(other, name="billing", named=True, options={}, mode=ExecutionMode.SYNC))


def test_a_scripts_task_is_found_under_the_module_that_ends_in_its_stem_if_there_is_exactly_one() -> None:
    def one() -> None: ...

    def other() -> None: ...

    registry = Registry()
    function = TaskFunction(one, name="shop.app:send", named=False, options={}, mode=ExecutionMode.SYNC)
    registry.add(function)
    assert registry.find("app:send") is function
    assert registry.find("pp:send") is None
    registry.add(TaskFunction(other, name="blog.app:send", named=False, options={}, mode=ExecutionMode.SYNC))
    assert registry.find("app:send") is None
