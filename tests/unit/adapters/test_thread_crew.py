"""Threads that are woken no more than the jobs keep busy: no job may be left behind for that."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest

from asynctasq.adapters.executors.thread_crew import Crew

PATIENCE = 20.0
"""Seconds until what should have happened is taken for what never will."""

Job = Callable[[], object]


def hold(begun: threading.Event, go: threading.Event) -> None:
    begun.set()
    go.wait(2 * PATIENCE)  # longer than who waits for another job: that one is not to be found by this thread


def crew_of(size: int) -> Crew[Job]:
    def do(job: Job) -> None:
        job()

    return Crew(size, "crew", do)


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("crew-")]


def do_nothing() -> None:
    """A job without work."""


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def until(condition: Callable[[], bool]) -> None:
    """Look until it is so: a thread that sleeps or has ended tells nobody."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Watched(deque[Any]):
    """Does something else once, where another thread could."""

    def __init__(self, *, before_append: Job = do_nothing, after_failed_pop: Job = do_nothing) -> None:
        super().__init__()
        self.before_append, self.after_failed_pop = before_append, after_failed_pop

    def append(self, item: Any, /) -> None:
        other, self.before_append = self.before_append, do_nothing
        other()
        super().append(item)

    def pop(self) -> Any:
        try:
            return super().pop()
        except IndexError:
            other, self.after_failed_pop = self.after_failed_pop, do_nothing
            other()
            raise


def watched(crew: Crew[Job], asleep: Watched) -> Watched:
    """See a crew's threads fall asleep, none of which does yet."""
    crew._asleep = asleep  # pyright: ignore[reportPrivateUsage]
    return asleep


@pytest.fixture(autouse=True)
def all_end() -> Generator[None]:
    """No thread of a dismissed crew lives on."""
    yield
    until(lambda: not ours())


@pytest.fixture
def hasty() -> Generator[None]:
    """Threads take turns every few steps, so that each order of them comes up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_jobs_begin_in_the_order_they_came() -> None:
    crew = crew_of(1)
    begun: list[int] = []
    done = threading.Event()
    for n in range(100):
        crew.put(partial(begun.append, n))
    crew.put(done.set)
    assert done.wait(PATIENCE)
    assert begun == list(range(100))
    crew.dismiss()


def test_jobs_that_wait_for_each_other_get_a_thread_each_new_or_woken() -> None:
    crew = crew_of(8)
    for _ in range(3):  # the first time the threads are hired, then they sleep
        together = threading.Barrier(9)
        for _ in range(8):
            crew.put(partial(together.wait, PATIENCE))
        together.wait(PATIENCE)
        assert len(ours()) == 8
    crew.dismiss()


def test_threads_of_a_dismissed_crew_end_when_every_job_is_done() -> None:
    crew = crew_of(2)
    go, last = threading.Event(), threading.Event()
    for _ in range(2):
        crew.put(partial(go.wait, PATIENCE))
    crew.put(last.set)
    threads = ours()
    crew.dismiss()
    assert not last.is_set()
    go.set()
    assert last.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_where_no_thread_can_be_started_a_job_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = crew_of(2)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            crew.put(do_nothing)
    done = threading.Event()
    crew.put(done.set)
    assert done.wait(PATIENCE)
    crew.dismiss()


def test_where_no_further_thread_can_be_started_those_there_are_do_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = crew_of(2)
    go, done = threading.Event(), threading.Event()
    crew.put(partial(go.wait, PATIENCE))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    crew.put(done.set)
    assert not done.is_set()
    go.set()
    assert done.wait(PATIENCE)
    crew.dismiss()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_job_is_left_behind_whoever_puts_it_and_whenever(size: int) -> None:
    crew = crew_of(size)
    left = threading.Semaphore(0)
    per_producer = 2_000

    def produce(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(per_producer):
            crew.put(left.release)
            if chance.random() < 0.1:
                time.sleep(0)  # lets threads fall asleep in between

    producers = [threading.Thread(target=produce, args=(seed,)) for seed in range(3)]
    for producer in producers:
        producer.start()
    for _ in range(3 * per_producer):
        assert left.acquire(timeout=PATIENCE), "a job was left behind"
    for producer in producers:
        producer.join()
    crew.dismiss()


def test_a_job_that_comes_while_a_thread_falls_asleep_is_found_by_it() -> None:
    # The thread has found nothing, and nobody can see yet that it sleeps.
    crew = crew_of(1)
    done = threading.Event()
    watched(crew, Watched(before_append=lambda: crew.put(done.set)))
    crew.put(do_nothing)
    assert done.wait(PATIENCE), "the job was left behind"
    crew.dismiss()


def test_a_job_that_relies_on_another_that_finds_nobody_to_wake_is_not_left_behind() -> None:
    # One thread is held up. While the other falls asleep, somebody puts a job and trusts in a wake-up that has just failed.
    crew = crew_of(2)
    begun, long, short, done = threading.Event(), threading.Event(), threading.Event(), threading.Event()
    crew.put(partial(hold, begun, long))
    assert begun.wait(PATIENCE)
    begun.clear()
    crew.put(partial(hold, begun, short))
    assert begun.wait(PATIENCE)

    def meanwhile() -> None:
        short.set()
        until(lambda: len(asleep) == 1)
        crew.put(done.set)

    asleep = watched(crew, Watched(after_failed_pop=meanwhile))
    crew.put(do_nothing)
    assert done.wait(PATIENCE), "the job was left behind"
    long.set()
    crew.dismiss()


@pytest.mark.usefixtures("hasty")
def test_a_job_begins_while_a_thread_sleeps_though_all_others_are_held_up() -> None:
    # What is left behind here would be found by the next thread to be done: there is none until it has begun.
    crew = crew_of(4)
    for _ in range(500):
        go, held = threading.Event(), [threading.Event() for _ in range(3)]
        for one in held:
            crew.put(partial(hold, one, go))
        quick = threading.Event()
        crew.put(quick.set)
        assert quick.wait(PATIENCE), "it was left behind"
        another = threading.Event()
        crew.put(another.set)
        assert another.wait(PATIENCE), "it was left behind"
        go.set()
        assert all(one.wait(PATIENCE) for one in held)
    crew.dismiss()
