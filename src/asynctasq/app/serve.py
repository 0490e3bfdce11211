"""One worker process: builds the worker, says what it serves, runs it, and answers with an exit status."""

from __future__ import annotations

import asyncio
import collections
import functools
import gc
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asynctasq.app.bootstrap import App
from asynctasq.app.child import prepare
from asynctasq.app.loop import run
from asynctasq.app.loop_watch import LoopWatch
from asynctasq.app.nearest import did_you_mean
from asynctasq.app.origin import Origin
from asynctasq.app.routes import Routes
from asynctasq.app.seams import Seams
from asynctasq.app.signals import Signals
from asynctasq.app.supervisor import WORN
from asynctasq.app.worker import Worker
from asynctasq.app.worker_options import WorkerOptions
from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.task import ExecutionMode
from asynctasq.ports.driver import QueueDriver
from asynctasq.ports.executor import LocalExecutor

logger = logging.getLogger("asynctasq.worker")

SUMMARY_PERIOD = 60.0
"""Seconds between two lines of what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a worker process is asked to serve; None takes the setting.

    Attributes:
        driver: a name, a URL, `module:attribute` or an instance.
        queues: the most urgent first; None for the default queue and those of the driver's registered tasks.
        concurrency: how many claims may be held at once.
        threads: how many of them may run in threads.
        children: how many of them may run in child processes.
        max_tasks_per_child: attempts after which a child process is replaced.
        max_memory_per_child: megabytes beyond which it is.
        origin: what the worker's children import; None for the modules that made the tasks.
        max_tasks: after how many tasks it stops.
        lease: seconds.
        shutdown_grace: seconds that running tasks get when the worker is stopped.
        burst: stop when nothing is ready.
    """

    driver: object | None = None
    queues: Sequence[str] | None = None
    concurrency: int | None = None
    threads: int | None = None
    children: int | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    origin: Origin | None = None
    max_tasks: int | None = None
    lease: float | None = None
    shutdown_grace: float | None = None
    burst: bool = False


def build_worker(
    app: App,
    serving: Serving,
    *,
    keeper_in_thread: bool = True,
    watched: Callable[[LocalExecutor], LocalExecutor] | None = None,
) -> Worker:
    """A worker of this app, not running yet.

    Args:
        app: whose tasks it runs.
        serving: what it is asked to serve.
        keeper_in_thread: False lets the leases be kept on the worker's own loop.
        watched: for whoever wants to see the runs: given an executor, what is used in its place. All tasks then run in this
            process.

    Raises:
        ConfigurationError: the driver or a queue cannot be served as asked.
    """
    container, given = app.container, app.settings.worker
    description = app.drivers.get(serving.driver)
    seams: Seams = container.seams()
    event_loop: LocalExecutor = container.event_loop_executor()
    threads: LocalExecutor = container.thread_executor(serving.threads or given.threads)
    if watched is not None:
        event_loop, threads = watched(event_loop), watched(threads)
    children = container.process_executor(
        functools.partial(prepare, serving.origin or Origin.of(app.registry)),
        serving.children or given.children or _cores(),
        endurance=container.endurance(
            tasks=serving.max_tasks_per_child or given.max_tasks_per_child,
            memory=serving.max_memory_per_child or given.max_memory_per_child,
        ),
        preload=_preload(description),
    )
    options = WorkerOptions(
        id=f"{os.getpid()}-{seams.new_id()[-12:]}",
        queues=_queues(app, description, serving.queues or given.queues),
        concurrency=serving.concurrency or given.concurrency,
        threads=serving.threads or given.threads,
        lease=given.lease if serving.lease is None else serving.lease,
        shutdown_grace=given.shutdown_grace if serving.shutdown_grace is None else serving.shutdown_grace,
        max_tasks=serving.max_tasks or given.max_tasks,
        burst=serving.burst,
    )
    longest = description.capabilities.max_lease
    if longest is not None and options.lease > longest:
        raise ConfigurationError(
            f"worker.lease={options.lease:g}: the driver at {description.location} takes {longest:g} s at most; use a shorter one"
        )
    worker: Worker = container.worker(
        options,
        driver=description.sibling(),
        keeper_driver=description.sibling(),
        routes=Routes(
            app.registry,
            app.defaults,
            container.rows(),
            local={ExecutionMode.ASYNC: event_loop, ExecutionMode.SYNC: threads},
            remote={ExecutionMode.ASYNC_PROCESS: children, ExecutionMode.SYNC_PROCESS: children},
            all_here=watched is not None,
        ),
        executors=[event_loop, threads, children],
        keeper_in_thread=keeper_in_thread,
    )
    return worker


def serve(app: App, serving: Serving) -> int:
    """Run one worker until it is stopped or drained; the process's exit status.

    Raises:
        ConfigurationError: it cannot be served as asked, or the broker can never be used as configured.
    """
    return run(_serve(app, serving))


async def _serve(app: App, serving: Serving) -> int:
    worker = build_worker(app, serving)
    _announce(app, serving, worker)
    _spare_what_stays()
    watch = LoopWatch(worker.tasks)
    watch.start()
    summary = asyncio.create_task(_summarize(worker))
    try:
        with Signals(worker, grace=worker.options.shutdown_grace):
            await worker.run()
    finally:
        watch.stop()
        summary.cancel()
    logger.info("stopped: %s", _told(worker.counts))
    return WORN if worker.worn and not worker.told else 0


async def _summarize(worker: Worker) -> None:
    told: collections.Counter[str] = collections.Counter()
    while True:
        await asyncio.sleep(SUMMARY_PERIOD)
        if worker.counts != told:
            logger.info("in the last minute: %s; %d tasks run", _told(worker.counts - told), len(worker.running()))
            told = worker.counts.copy()


def _spare_what_stays() -> None:
    """Have the garbage collector look no more at what was imported: it lives as long as this process.

    A tenth of a task's CPU was spent on that: Redis went from 40,900 to 45,500 no-op tasks a second.
    """
    gc.collect()
    gc.freeze()


def _told(counts: collections.Counter[str]) -> str:
    words = {
        "Ack": "succeeded",
        "Discard": "discarded",
        "Retry": "failed and will be retried",
        "Release": "given back",
        "DeadLetter": "dead letters",
        "Lost": "lost their lease",
    }
    return ", ".join(f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind]) or "nothing was done"


def _preload(driver: QueueDriver) -> list[str]:
    """What children need of ours, and nothing of the user's (docs/adr/0009): imported once, before they are forked.

    The command line is among it because multiprocessing imports the program that was started in each child, too.
    """
    module = type(driver).__module__
    return ["asynctasq.app.child", "asynctasq.app.cli", "asynctasq.app.logs"] + [module] * module.startswith(
        "asynctasq."
    )


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _queues(app: App, description: QueueDriver, asked: Sequence[str] | None) -> Sequence[str]:
    if asked:
        return list(dict.fromkeys(check_queue_name(queue) for queue in asked))
    mine = [app.defaults.queue]
    for function in app.registry:
        config = function.config(app.defaults)
        if app.drivers.get(config.driver) is description:
            mine.append(config.queue)
    return list(dict.fromkeys(mine))


def _announce(app: App, serving: Serving, worker: Worker) -> None:
    description = app.drivers.get(serving.driver)
    options = worker.options
    logger.info(
        "worker %s serves %s: queues %s; concurrency %d, lease %g s",
        options.id,
        description.location,
        ", ".join(options.queues),
        options.concurrency,
        options.lease,
    )
    served = 0
    for function in app.registry:
        config = function.config(app.defaults)
        if (other := app.drivers.get(config.driver)) is not description:
            # Its location, since what was given may be a URL with a password.
            logger.info(
                "not served here: task %s, of the driver at %s; name it by --driver", function.name, other.location
            )
        elif config.queue not in options.queues:
            logger.info("not served here: task %s, its queue %s is not in --queues", function.name, config.queue)
        else:
            logger.info("task %s (queue %s, %s)", function.name, config.queue, config.mode.value)
            served += 1
    theirs = {function.config(app.defaults).queue for function in app.registry} | {app.defaults.queue}
    for queue in options.queues:  # one that is nearly a task's was probably meant to be that
        if queue not in theirs and (near := did_you_mean(queue, theirs)):
            logger.warning("no task of this app goes to the queue %s, which is served%s", queue, near)
    if not served:
        logger.warning("no task is served here: name the app, as in `asynctasq worker myapp.tasks`")
