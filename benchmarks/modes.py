"""The four modes beside what one would write by hand: throughput, the cost of a child and of its death, how exact timeouts are.

`python -m benchmarks modes` runs executors without a broker, as their counterparts have none. A ratio is taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import multiprocessing
import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asynctasq
from asynctasq.adapters.executors.event_loop import EventLoopExecutor
from asynctasq.adapters.executors.process import ProcessExecutor
from asynctasq.adapters.executors.process_child import Endurance
from asynctasq.adapters.executors.process_handle import Child
from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.app.child import prepare
from asynctasq.app.codec import Codec
from asynctasq.app.loop import loop_factory, run
from asynctasq.app.origin import Origin
from asynctasq.domain.errors import TaskTimeout, WorkerProcessDied
from asynctasq.domain.message import Message
from asynctasq.domain.task import Task, TaskConfig

TARGET = 0.7
"""Of ProcessPoolExecutor's throughput, at least."""
CORES = len(os.sched_getaffinity(0))
PRELOAD = (prepare.__module__,)
ORIGIN = Origin(modules=("benchmarks.modes",))
TIMEOUT = 0.2


@asynctasq.task(name="modes.nothing", process=True)
def nothing(number: int) -> int:
    return number


@asynctasq.task(name="modes.nothing_awaited", process=True)
async def nothing_awaited(number: int) -> int:
    return number


@asynctasq.task(name="modes.sleep", process=True)
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@asynctasq.task(name="modes.sleep_awaited", process=True)
async def sleep_awaited(seconds: float) -> None:
    await asyncio.sleep(seconds)


@asynctasq.task(name="modes.stamp", process=True)
def stamp(file: str) -> None:
    Path(file).write_text(repr(time.monotonic()))


@asynctasq.task(name="modes.die", process=True)
def die(file: str) -> None:
    Path(file).write_text(repr(time.monotonic()))
    os.kill(os.getpid(), signal.SIGKILL)


def plain(number: int) -> int:
    """What ProcessPoolExecutor runs: it pickles functions by their names, and `nothing` is a task."""
    return number


@functools.cache
def resident() -> asyncio.AbstractEventLoop:
    return loop_factory()()


def awaited_by_hand(number: int) -> int:
    """A coroutine on a loop that lives as long as the process."""
    return resident().run_until_complete(nothing_awaited.fn(number))


def message(name: str, *args: object) -> Message:
    body = Codec(MsgpackSerializer()).encode(
        Task(name=name, args=args, config=TaskConfig()), None, id="i", max_body=None
    )
    return Message(id="i", queue="q", body=body)


def children(count: int = CORES) -> ProcessExecutor:
    return ProcessExecutor(functools.partial(prepare, ORIGIN), count, preload=PRELOAD)


async def saturated(call: Callable[[int], Awaitable[object]], tasks: int, at_once: int = 100) -> float:
    """Tasks per second with `at_once` of them under way all the time, after a first hundred that warm everything up."""

    async def work(numbers: Any) -> None:
        for number in numbers:
            await call(number)

    await work(range(100))
    numbers = iter(range(tasks))
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work(numbers))
    return tasks / (time.perf_counter() - began)


async def throughput(tasks: int) -> dict[str, float]:
    """Every mode beside its counterpart."""
    loop = asyncio.get_running_loop()

    async def on(pool: Executor, function: Callable[[int], int], count: int) -> float:
        with pool:
            return await saturated(lambda number: loop.run_in_executor(pool, function, number), count)

    here, threads, processes = EventLoopExecutor(), ThreadExecutor(32), children()
    awaited, called = message("modes.nothing_awaited", 1), message("modes.nothing", 1)
    forkserver = multiprocessing.get_context("forkserver")
    rates = {
        "async": await saturated(lambda number: here.run(nothing_awaited.fn, (number,), {}, timeout=None), tasks * 10),
        "bare asyncio": await saturated(lambda number: loop.create_task(nothing_awaited.fn(number)), tasks * 10),
        "thread": await saturated(lambda number: threads.run(plain, (number,), {}, timeout=None), tasks),
        "run_in_executor": await on(ThreadPoolExecutor(32), plain, tasks),
        "process": await saturated(lambda _: processes.run(called, attempt=1, timeout=None), tasks),
        "process, async def": await saturated(lambda _: processes.run(awaited, attempt=1, timeout=None), tasks),
        "ProcessPoolExecutor": await on(ProcessPoolExecutor(CORES, mp_context=forkserver), plain, tasks),
        "ProcessPoolExecutor, a loop in each": await on(
            ProcessPoolExecutor(CORES, mp_context=forkserver), awaited_by_hand, tasks
        ),
    }
    await threads.close()
    await processes.close()
    pairs = {
        "async": "bare asyncio",
        "thread": "run_in_executor",
        "process": "ProcessPoolExecutor",
        "process, async def": "ProcessPoolExecutor, a loop in each",
    }
    ratios = {f"{mode} : {counterpart}": rates[mode] / rates[counterpart] for mode, counterpart in pairs.items()}
    return {f"{name}, tasks/s": rate for name, rate in rates.items()} | ratios


async def child() -> dict[str, float]:
    """What one costs: from the request to the point where it takes orders, and its memory."""
    began = time.perf_counter()
    started = await Child.start(functools.partial(prepare, ORIGIN), Endurance(), PRELOAD)
    await started.ready
    took = time.perf_counter() - began
    memory = _memory(started.pid)
    started.dismiss()
    await started.gone
    own = memory["Private_Dirty:"] + memory["Private_Clean:"]
    return {"child start, ms": took * 1e3, "child RSS, MiB": memory["Rss:"], "child's own memory, MiB": own}


def _memory(pid: int) -> dict[str, float]:
    """MiB of each kind."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(size) / 1024 for name, size, *_ in map(str.split, lines)}


async def replacement(folder: Path) -> dict[str, float]:
    """From the death of the only child to the first line of the next task, and until a spare stands by again."""
    executor = children(1)
    await executor.run(message("modes.nothing", 1), attempt=1, timeout=None)
    await _whole(executor)
    await asyncio.sleep(0.3)  # the spare is ready
    dying = asyncio.create_task(executor.run(message("modes.die", str(folder / "died")), attempt=1, timeout=None))
    following = asyncio.create_task(executor.run(message("modes.stamp", str(folder / "next")), attempt=1, timeout=None))
    try:
        await dying
    except WorkerProcessDied:
        await following
    died, after = (float((folder / name).read_text()) for name in ("died", "next"))
    await _whole(executor)
    whole = time.monotonic()
    await executor.close()
    return {"kill to next task, ms": (after - died) * 1e3, "kill to a whole pool, ms": (whole - died) * 1e3}


async def _whole(executor: ProcessExecutor) -> None:
    while len(executor.pids) < 2:  # noqa: ASYNC110  an executor tells nobody of this
        await asyncio.sleep(0.001)


async def timeouts() -> dict[str, float]:
    """How much later than its timeout an attempt is reported as failed, in each mode."""
    threads, processes = ThreadExecutor(4), children()
    await asyncio.gather(*(processes.run(message("modes.sleep", 0.1), attempt=1, timeout=None) for _ in range(CORES)))
    await asyncio.sleep(0.5)
    runs: dict[str, Callable[[], Awaitable[object]]] = {
        "async": lambda: EventLoopExecutor().run(sleep_awaited.fn, (1.0,), {}, timeout=TIMEOUT),
        "thread": lambda: threads.run(sleep.fn, (0.4,), {}, timeout=TIMEOUT),
        "process": lambda: processes.run(message("modes.sleep", 1.0), attempt=1, timeout=TIMEOUT),
        "process, async def": lambda: processes.run(message("modes.sleep_awaited", 1.0), attempt=1, timeout=TIMEOUT),
    }
    late = {}
    for mode, attempt in runs.items():
        began = time.perf_counter()
        try:
            await attempt()
        except TaskTimeout:
            late[f"timeout late by, {mode}, ms"] = (time.perf_counter() - began - TIMEOUT) * 1e3
        await asyncio.sleep(0.3)
    await threads.close()
    await processes.close()
    return late


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks modes", description=__doc__)
    parser.add_argument("-n", type=int, default=10_000, help="tasks per mode and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write every round's figures")
    given = parser.parse_args(words)
    samples: dict[str, list[float]] = defaultdict(list)
    first = time.perf_counter()
    run(child())
    print(f"first child, with the server it is forked from: {(time.perf_counter() - first) * 1e3:.0f} ms", flush=True)
    for _ in range(given.rounds):
        for figures in (run(throughput(given.n)), run(child()), run(_in_a_folder(replacement)), run(timeouts())):
            for name, figure in figures.items():
                samples[name].append(figure)
    for name, figures in samples.items():
        print(f"{name:40} {statistics.median(figures):12,.2f}   {min(figures):12,.2f} .. {max(figures):,.2f}")
    for name in (name for name in samples if name.startswith("process") and " : " in name):
        verdict = "met" if statistics.median(samples[name]) >= TARGET else "MISSED"
        print(f"target: {name} at least {TARGET}: {verdict}")
    if given.json:
        given.json.write_text(json.dumps(samples, indent=1))


async def _in_a_folder(measure: Callable[[Path], Awaitable[dict[str, float]]]) -> dict[str, float]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return await measure(Path(folder))
