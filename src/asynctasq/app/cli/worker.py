"""`asynctasq worker`: run tasks."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from click.core import ParameterSource

from asynctasq.app.leaving import leave_on_signals
from asynctasq.app.lifeline import watch

if TYPE_CHECKING:
    from asynctasq.app.logs import Format, Level


@click.command()
@click.argument("app", required=False)
@click.option(
    "--queues", metavar="A,B", help="The queues to serve, the most urgent first.  [default: those of the tasks]"
)
@click.option("--concurrency", metavar="N", type=int, help="Tasks that run at the same time.  [default: 100]")
@click.option("--threads", metavar="N", type=int, help="How many of them may be plain functions.  [default: 32]")
@click.option(
    "--children", metavar="N", type=int, help="How many of them may have process=True.  [default: one per core]"
)
@click.option("--max-tasks-per-child", metavar="N", type=int, help="Replace a child process after N tasks.")
@click.option("--max-memory-per-child", metavar="MB", type=int, help="Replace a child process that has grown beyond.")
@click.option("--driver", metavar="NAME|URL|MODULE:ATTR", help="The driver, if not the app's own.")
@click.option("--processes", metavar="N", type=int, help="Worker processes, started again when they die.  [default: 1]")
@click.option("--max-tasks", metavar="N", type=int, help="Stop in good order after so many tasks.  [default: no limit]")
@click.option("--reload", is_flag=True, help="Start again when a .py file below this folder changes (for development).")
@click.option("--burst", is_flag=True, help="Run what is ready, then exit.")
@click.option(
    "--lease", metavar="SECONDS", type=float, help="How soon the tasks of a dead worker are taken over.  [default: 30]"
)
@click.option(
    "--shutdown-grace", metavar="SECONDS", type=float, help="For running tasks, when told to stop.  [default: 30]"
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error", "critical"]), help="[default: info]"
)
@click.option(
    "--log-format", type=click.Choice(["auto", "text", "json"]), help="auto: text on a terminal.  [default: auto]"
)
@click.option("--lifeline", type=int, hidden=True, help="The pipe that ends with the supervisor.")
@click.pass_context
def worker(
    ctx: click.Context,
    app: str | None,
    *,
    queues: str | None,
    concurrency: int | None,
    threads: int | None,
    children: int | None,
    max_tasks_per_child: int | None,
    max_memory_per_child: int | None,
    driver: str | None,
    processes: int | None,
    max_tasks: int | None,
    reload: bool,
    burst: bool,
    lease: float | None,
    shutdown_grace: float | None,
    log_level: Level | None,
    log_format: Format | None,
    lifeline: int | None,
) -> None:
    """Run tasks until told to stop.

    APP is the module that makes them, such as shop.tasks; a module:attribute that is an app; or a file. Without it, the
    settings app and imports say what to import; without those, the files below this folder that make tasks are found (by
    reading, not by running them), imported, and listed.

    \b
    asynctasq worker
    asynctasq worker shop.tasks --queues urgent,default --concurrency 200
    asynctasq worker shop.tasks --processes 4
    asynctasq worker shop.tasks --reload
    asynctasq worker shop/jobs.py --burst --driver sqlite:///queue.db

    \b
    Signals:
      TERM, INT  take no more tasks, let running ones finish within the grace; then cancel and give them back
      again      stop now
      QUIT       show what is running, and where

    \b
    Exit codes: 0 stopped in good order or drained, 1 failed, 2 wrong usage or configuration, 3 the broker
    cannot be reached, 130 interrupted before it was done. With --processes, the worst of the workers'.
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    if reload and burst:
        raise click.UsageError("--burst ends when nothing is ready, and --reload never does: use one of them")
    leave_on_signals()  # until the worker listens for itself

    from asynctasq.app import logs
    from asynctasq.app.settings import load_settings

    logs.configure(log_level or "info", log_format or "auto")  # what loading the settings has to say
    asked = {
        "worker": {
            "queues": queues,
            "concurrency": concurrency,
            "threads": threads,
            "children": children,
            "max_tasks_per_child": max_tasks_per_child,
            "max_memory_per_child": max_memory_per_child,
            "processes": processes,
            "max_tasks": max_tasks,
            "lease": lease,
            "shutdown_grace": shutdown_grace,
        },
        "log": {"level": log_level, "format": log_format},
    }
    settings = load_settings(cli=asked).settings
    logs.configure(settings.log.level, settings.log.format)
    if lifeline is not None:
        watch(lifeline, grace=settings.worker.shutdown_grace)
    found: tuple[Path, ...] = ()
    if not (app or settings.app or settings.imports):
        from asynctasq.app.discovery import discover

        found = discover(Path.cwd()).files
    from asynctasq.app.origin import Origin

    origin = Origin(spec=app or settings.app, modules=settings.imports, files=tuple(map(str, found)))
    opened = origin.open()  # whose own init() may have said more; the command line still wins
    shown = log_level or opened.settings.log.level, log_format or opened.settings.log.format
    logs.configure(*shown)
    count = processes or opened.settings.worker.processes
    if count > 1 or reload:
        ctx.exit(_supervise(ctx, count, burst=burst, reload=reload))
    from asynctasq.app.serve import Serving, serve
    from asynctasq.app.supervisor import WORN

    serving = Serving(
        driver=driver,
        queues=settings.worker.queues if queues else None,
        concurrency=concurrency,
        threads=threads,
        children=children,
        max_tasks_per_child=max_tasks_per_child,
        max_memory_per_child=max_memory_per_child,
        origin=replace(origin, log=shown),
        max_tasks=max_tasks,
        lease=lease,
        shutdown_grace=shutdown_grace,
        burst=burst,
    )
    status = serve(opened, serving)
    if status == WORN and lifeline is None:  # with a supervisor, that is its business
        _start_afresh()
    ctx.exit(status)


def _start_afresh() -> NoReturn:
    """The same command again, in this process: threads that do not return end with what was before."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _supervise(ctx: click.Context, processes: int, *, burst: bool, reload: bool) -> int:
    import asyncio

    from asynctasq.app.reload import changes
    from asynctasq.app.supervisor import Supervisor

    command = [sys.executable, "-m", "asynctasq", "worker", *_given(ctx), "--processes", "1"]
    watched = changes(Path.cwd()) if reload else None
    return asyncio.run(Supervisor(command, processes, burst=burst, changes=watched).run())


def _given(ctx: click.Context) -> list[str]:
    """This command line again, but for what concerns the supervisor."""
    words: list[str] = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in {"processes", "reload"} or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(parameter, click.Argument):
            words.append(ctx.params[name])
        elif ctx.params[name] is True:
            words.append(parameter.opts[0])
        else:
            words += [parameter.opts[0], f"{ctx.params[name]}"]
    return words
