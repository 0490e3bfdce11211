"""Rehearsals: what those who use asynctasq have for their own tests, used as they would use it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

import asynctasq
from asynctasq import Discard, RetryLater, Snooze, current_task, dispatch_many, task
from asynctasq.app import bootstrap
from asynctasq.errors import AsyncTasQError, ConfigurationError, SerializationError
from asynctasq.testing import Rehearsal

pytest_plugins = ["pytester"]

did: list[object] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> Generator[None]:
    did.clear()
    before = bootstrap._current
    bootstrap._current = None
    yield
    bootstrap._current = before


@task
async def welcome(to: str, *, copies: int = 1) -> int:
    did.append((to, copies, current_task().attempt))
    return copies


@task(queue="slow", driver="redis")
def in_thread(word: str) -> str:
    did.append((word, threading.current_thread() is threading.main_thread()))
    return word * 2


@task(process=True)
def in_process() -> int:
    return os.getpid()


@task(max_attempts=3, retry_delay=60)
async def fragile(good_from: int) -> None:
    did.append(current_task().attempt)
    if current_task().attempt < good_from:
        raise LookupError(f"attempt {current_task().attempt}")


@task
async def signs_up(name: str) -> None:
    did.append("signed up")
    await welcome(name).on_queue("mail").dispatch()


@task(retry_delay=0)
async def for_ever() -> None:
    await for_ever().dispatch()


@task
async def steers(how: str) -> None:
    raise {"discard": Discard("enough"), "later": RetryLater(10), "snooze": Snooze(10)}[how]


# Dispatched


@pytest.mark.asyncio
async def test_what_is_dispatched_is_seen_and_not_run() -> None:
    with Rehearsal() as tasks:
        id = await welcome("ada", copies=2).delay(30).on_queue("mail").dispatch()
        (sent,) = tasks.assert_dispatched(welcome, to="ada")
    assert (sent.id, sent.queue, sent.delay) == (id, "mail", 30)
    assert sent.arguments == {"to": "ada", "copies": 2}
    assert did == []


@pytest.mark.asyncio
async def test_an_assertion_names_any_of_the_arguments_and_answers_every_call_that_matches() -> None:
    with Rehearsal() as tasks:
        await dispatch_many([welcome("ada"), welcome("bob"), welcome("ada", copies=2)])
        assert len(tasks.assert_dispatched(welcome)) == 3
        assert len(tasks.assert_dispatched(welcome, to="ada")) == 2
        assert len(tasks.assert_dispatched(welcome, to="ada", copies=1)) == 1
        tasks.assert_not_dispatched(welcome, to="eve")
        tasks.assert_not_dispatched(fragile)


@pytest.mark.asyncio
async def test_a_failed_assertion_shows_what_was_dispatched() -> None:
    with Rehearsal() as tasks:
        with pytest.raises(AssertionError, match=r"fragile\(\) was not dispatched. Dispatched were:\n  nothing"):
            tasks.assert_dispatched(fragile)
        await welcome("ada").dispatch()
        with pytest.raises(
            AssertionError, match=r"welcome\(to='eve'\) was not dispatched(.|\n)*welcome\(to='ada', copies=1\)"
        ):
            tasks.assert_dispatched(welcome, to="eve")
        with pytest.raises(AssertionError, match=r"welcome was dispatched:\n.*to='ada'"):
            tasks.assert_not_dispatched(welcome)


def test_an_assertion_about_an_argument_that_there_is_not_is_a_mistake_of_the_test() -> None:
    with Rehearsal() as tasks, pytest.raises(TypeError, match="has no argument 'too': it takes to, copies"):
        tasks.assert_not_dispatched(welcome, too="ada")


@pytest.mark.asyncio
@pytest.mark.parametrize("inline", [True, False])
async def test_an_argument_that_would_not_arrive_fails_as_it_does_in_production(inline: bool) -> None:
    with Rehearsal(inline=inline), pytest.raises(SerializationError, match="to"):
        await welcome(object()).dispatch()  # type: ignore[arg-type]


# Drained


@pytest.mark.asyncio
async def test_a_drain_runs_what_is_ready_and_what_that_dispatches_and_answers_what_came_of_it() -> None:
    with Rehearsal() as tasks:
        await signs_up("ada").dispatch()
        await in_thread("ha").dispatch()
        ran = await tasks.drain()
    assert [(each.name.partition(":")[2], each.result, each.queue) for each in ran] == [
        ("signs_up", None, "default"),
        ("in_thread", "haha", "slow"),
        ("welcome", 1, "mail"),
    ]
    assert did == ["signed up", ("ha", False), ("ada", 1, 1)]
    tasks.assert_dispatched(welcome, to="ada")


@pytest.mark.asyncio
async def test_a_second_drain_runs_what_is_new() -> None:
    with Rehearsal() as tasks:
        await welcome("ada").dispatch()
        assert len(await tasks.drain()) == 1
        assert await tasks.drain() == []
        await welcome("bob").dispatch()
        assert [ran.name for ran in await tasks.drain()] == [welcome.name]
    assert [to for to, *_ in did] == ["ada", "bob"]  # type: ignore[misc]


@pytest.mark.asyncio
@pytest.mark.parametrize("inline", [True, False])
async def test_tasks_of_child_processes_run_in_this_one(inline: bool) -> None:
    with Rehearsal(inline=inline) as tasks:
        await in_process().dispatch()
        await tasks.drain()
    assert [ran.result for ran in tasks.ran] == [os.getpid()]


@pytest.mark.asyncio
async def test_delays_end_when_the_clock_is_moved() -> None:
    with Rehearsal() as tasks:
        await welcome("ada").delay(3600).dispatch()
        assert await tasks.drain() == []
        tasks.advance(3599)
        assert await tasks.drain() == []
        tasks.advance(1)
        assert len(await tasks.drain()) == 1


@pytest.mark.asyncio
async def test_retries_come_when_the_clock_is_moved_and_errors_can_be_looked_at() -> None:
    with Rehearsal() as tasks:
        await fragile(good_from=2).dispatch()
        (first,) = await tasks.drain()
        assert isinstance(first.error, LookupError)
        assert await tasks.drain() == []
        tasks.advance(60)
        (second,) = await tasks.drain()
    assert (first.attempt, second.attempt, second.error) == (1, 2, None)


@pytest.mark.asyncio
async def test_what_fails_for_good_is_dead() -> None:
    with Rehearsal() as tasks:
        id = await fragile(good_from=9).dispatch()
        for _ in range(3):
            await tasks.drain()
            tasks.advance(60)
        (letter,) = await tasks.dead()
    assert letter.id == id
    assert "attempt 3" in letter.error
    assert did == [1, 2, 3]


@pytest.mark.asyncio
async def test_tasks_that_go_on_for_ever_end_the_drain_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asynctasq.testing.rehearsal.MOST_RUNS", 20)
    with Rehearsal() as tasks:
        await for_ever().dispatch()
        with pytest.raises(AssertionError, match=r"20 runs, and tasks are still ready.*for_ever"):
            await tasks.drain()
    assert len(tasks.ran) == 20


def test_a_test_without_a_loop_dispatches_and_drains_as_well() -> None:
    with Rehearsal() as tasks:
        welcome("ada").dispatch_sync()
        assert [ran.result for ran in tasks.drain_sync()] == [1]
        tasks.assert_dispatched(welcome, to="ada")


@pytest.mark.asyncio
async def test_a_drain_without_a_loop_says_what_to_type_where_there_is_one() -> None:
    with Rehearsal() as tasks, pytest.raises(AsyncTasQError, match=r"await .*drain\(\)"):
        tasks.drain_sync()


# Inline


@pytest.mark.asyncio
async def test_inline_a_dispatch_runs_the_task_at_once_and_what_that_dispatches_too() -> None:
    with Rehearsal(inline=True) as tasks:
        id = await signs_up("ada").dispatch()
        assert did == ["signed up", ("ada", 1, 1)]
        await dispatch_many([in_thread("a"), in_thread("b")])
    assert [ran.name.partition(":")[2] for ran in tasks.ran] == ["welcome", "signs_up", "in_thread", "in_thread"]
    assert tasks.ran[1].id == id
    tasks.assert_dispatched(welcome, to="ada")


@pytest.mark.asyncio
async def test_inline_delays_are_not_waited_for_and_nothing_is_left_over() -> None:
    with Rehearsal(inline=True) as tasks:
        await welcome("ada").delay(3600).dispatch()
        assert did == [("ada", 1, 1)]
        assert await tasks.drain() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("retry_delay", [0, 60])
async def test_inline_what_a_task_raises_is_raised_by_its_dispatch_after_one_run(retry_delay: int) -> None:
    with Rehearsal(inline=True), pytest.raises(LookupError, match="attempt 1"):
        await fragile(good_from=2).retry_after(retry_delay).dispatch()
    assert did == [1]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["discard", "later", "snooze"])
async def test_inline_a_task_that_steers_has_not_failed(how: str) -> None:
    with Rehearsal(inline=True) as tasks:
        await steers(how).dispatch()
    assert [type(ran.error).__name__ for ran in tasks.ran] == [{"later": "RetryLater"}.get(how, how.title())]


@pytest.mark.asyncio
async def test_inline_tasks_may_run_side_by_side() -> None:
    with Rehearsal(inline=True) as tasks:
        ids = await asyncio.gather(*(welcome(name).dispatch() for name in "abc"))
    assert sorted(ran.id for ran in tasks.ran) == sorted(ids)


def test_inline_works_without_a_loop() -> None:
    with Rehearsal(inline=True):
        welcome("ada").dispatch_sync()
        with pytest.raises(LookupError):
            fragile(good_from=2).dispatch_sync()
    assert did == [("ada", 1, 1), 1]


# The app beneath


@pytest.mark.asyncio
async def test_code_that_initialises_asynctasq_during_a_rehearsal_is_rehearsed_with_its_settings() -> None:
    with Rehearsal() as tasks:
        asynctasq.init({"driver": "redis", "redis": {"url": "redis://127.0.0.1:1"}, "defaults": {"queue": "shop"}})
        await welcome("ada").dispatch()
        assert tasks.dispatched[0].queue == "shop"
        assert len(await tasks.drain()) == 1


def test_the_settings_in_force_before_are_those_of_the_rehearsal_and_the_app_is_itself_again_afterwards(
    tmp_path: Path,
) -> None:
    before = asynctasq.init(
        {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "q.db")}, "defaults": {"queue": "shop"}}
    )
    with Rehearsal() as tasks:
        welcome("ada").dispatch_sync()
        assert tasks.dispatched[0].queue == "shop"
    assert bootstrap.current() is before
    assert not (tmp_path / "q.db").exists()
    assert type(asynctasq.init("memory://")) is bootstrap.App


@pytest.mark.parametrize("calls", [lambda: welcome("ada").dispatch(), lambda: dispatch_many([welcome("ada")])])
def test_a_dispatch_where_no_loop_of_asyncio_runs_says_what_to_call(
    calls: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    with Rehearsal():
        dispatching = calls()
        with pytest.raises(AsyncTasQError, match="call dispatch_sync\\(\\) in a thread, as with `await trio"):
            dispatching.send(None)


def test_the_clock_goes_forward_only() -> None:
    with Rehearsal() as tasks, pytest.raises(ConfigurationError, match="advance=-1"):
        tasks.advance(-1)


# The plugin


def test_the_fixtures_are_there_for_those_who_ask_for_them(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n")
    pytester.makeconftest('pytest_plugins = ["asynctasq.testing.plugin"]\n')
    pytester.makepyfile(
        """
        import pytest
        from asynctasq import task

        did = []

        @task(name="plugin.note")
        async def note(word: str):
            did.append(word)

        @pytest.mark.asyncio
        async def test_asynchronous(rehearsal):
            await note("a").dispatch()
            rehearsal.assert_dispatched(note, word="a")
            assert did == []
            await rehearsal.drain()
            assert did.pop() == "a"

        def test_synchronous(inline_tasks):
            note("b").dispatch_sync()
            assert did.pop() == "b"
        """
    )
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)


def test_the_fixtures_are_not_there_unasked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(rehearsal): ...\n")
    result = pytester.runpytest_subprocess()
    result.stdout.fnmatch_lines(["*fixture 'rehearsal' not found*"])


# Without pytest

WITHOUT_PYTEST = """
import sys, unittest

sys.modules["pytest"] = None

from asynctasq import task
from asynctasq.testing import Rehearsal


@task(name="unittest.note")
async def note(word: str): ...


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.tasks = self.enterContext(Rehearsal())

    async def test_a_task(self):
        await note("a").dispatch()
        self.tasks.assert_dispatched(note, word="a")
        self.assertEqual(len(await self.tasks.drain()), 1)


import asynctasq.testing.faults

for needy in ("contract", "contract.driver", "conformance"):
    try:
        __import__(f"asynctasq.testing.{needy}")
    except Exception as error:
        print(type(error).__name__, error)

unittest.main()
"""


def test_whoever_has_no_pytest_rehearses_all_the_same_and_is_told_what_the_suite_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_PYTEST], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 1 test" in done.stderr
    told = "MissingDependency the contract suite needs the package pytest: install asynctasq with its extra 'testing'"
    assert done.stdout.splitlines() == [told] * 3
