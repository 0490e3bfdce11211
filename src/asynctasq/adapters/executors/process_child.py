"""What runs in a child: it reads orders, has them performed, reports. It ends with its worker, however that ends."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import io
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Final

from asynctasq.adapters.executors.copies import end_if_forked, forks
from asynctasq.adapters.executors.process_pipe import Frames, Report, frame_of_report, order_in
from asynctasq.domain.errors import TaskError
from asynctasq.ports.executor import Performer

CANNOT_WORK: Final = 2
"""The exit status of a child that could not make itself ready."""

_MOST: Final = 65_536
_STDERR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """When a child ends between two orders, to be replaced by a fresh one; None for never.

    Attributes:
        tasks: after that many orders.
        memory: when it occupies more megabytes (2**20 bytes) than that.
    """

    tasks: int | None = None
    memory: int | None = None


def serve(
    pipe: socket.socket, lifeline: Connection, worker: int, prepare: Callable[[], Performer], endurance: Endurance
) -> None:
    """Carry out orders until the pipe ends. The whole life of a child.

    Args:
        pipe: where orders come from and reports go to.
        lifeline: the reading end of a pipe that ends with the worker.
        worker: the worker's process id.
        prepare: makes what carries out orders.
        endurance: when to end between two orders.
    """
    with pipe, lifeline:
        # A group of its own: Ctrl-C in a terminal is the worker's business, and what a task has started can be killed with it.
        os.setpgid(0, 0)
        _end_with_worker(lifeline.fileno(), worker)
        for stream in (sys.stdout, sys.stderr):  # what a task printed shall be seen even if its child is killed
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        # Handlers, not SIG_IGN, which programs that a task starts would inherit.
        signal.signal(signal.SIGINT, _ignore)
        signal.signal(signal.SIGTERM, _ignore)
        try:
            performer = prepare()
        except BaseException as error:
            pipe.sendall(frame_of_report(Report(error=TaskError(f"{type(error).__name__}: {error}"), last=True)))
            sys.exit(CANNOT_WORK)
        _answer_quit(performer)
        pipe.sendall(frame_of_report(Report()))
        try:
            _carry_out(pipe, performer, endurance)
        finally:
            performer.close()


def _ignore(_number: int, _frame: object) -> None:
    """Not meant for this process."""


def _answer_quit(performer: Performer) -> None:
    """Have SIGQUIT, which the worker passes on, write what runs and where: all threads first, also those stuck in C code."""

    def show(_number: int, frame: FrameType | None) -> None:
        stack = "".join(traceback.format_stack(frame))
        os.write(_STDERR, f"asynctasq: child process {os.getpid()}: {performer.where()}\n{stack}".encode())

    signal.signal(signal.SIGQUIT, show)
    faulthandler.register(signal.SIGQUIT, file=_STDERR, all_threads=True, chain=True)


def _carry_out(pipe: socket.socket, performer: Performer, endurance: Endurance) -> None:
    busy = stopped = False

    def on_term(*_: object) -> None:
        # Service managers send SIGTERM to every process of a service, and the worker then wants its tasks to end well. What
        # the worker itself sends has a frame before it, and nothing else comes while an order is carried out.
        nonlocal stopped
        if busy and not stopped and select.select([pipe], [], [], 0)[0]:
            stopped = True
            performer.interrupt()

    frames, done, report = Frames(), 0, Report()
    while not report.last and (content := _next(pipe, frames)):
        # Each time: what a task has done to signals is its own affair. An alarm that it left would end the next one.
        signal.signal(signal.SIGTERM, on_term)
        busy = True
        error: TaskError | None = None
        before = forks()
        try:
            performer.perform(order_in(content))
        except TaskError as raised:
            error = raised
        end_if_forked(before)
        busy = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        if stopped:
            return
        done += 1
        _flush()
        report = Report(error=error, last=performer.worn or _exhausted(endurance, done))
        pipe.sendall(frame_of_report(report))


def _flush() -> None:
    """Show what the task has printed, wherever it has put that: its output is its own, and may be closed by now."""
    if sys.stdout is not None:
        with contextlib.suppress(Exception):
            sys.stdout.flush()


def _next(pipe: socket.socket, frames: Frames) -> bytes | None:
    """The next frame's content: empty for a stop that came too late, None when the worker has let go of the pipe."""
    while (content := frames.next()) is None:
        try:
            data = pipe.recv(_MOST)
        except ConnectionResetError:
            return None
        if not data:
            return None
        frames.feed(data)
    return content


def _exhausted(endurance: Endurance, done: int) -> bool:
    if endurance.tasks is not None and done >= endurance.tasks:
        return True
    return endurance.memory is not None and occupied() > endurance.memory << 20


def occupied() -> int:
    """Bytes of memory that this process occupies now; where the system does not tell, the most it ever did."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10


def _end_with_worker(lifeline: int, worker: int) -> None:
    """Have this process and its group killed when the worker ends, of SIGKILL too.

    On Linux the kernel does it when the pipe ends: code that holds the interpreter's lock, such as a regular expression, cannot
    keep it from that. The thread is for other systems, and for a worker that was forked, whose copy holds the pipe open.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    ends = [lifeline]
    if sys.platform == "linux":
        try:
            ends.append(os.pidfd_open(worker))
        except ProcessLookupError:
            os.killpg(0, signal.SIGKILL)
        except OSError:  # an old kernel
            pass

    def watch() -> None:
        select.select(ends, [], [])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="asynctasq-lifeline", daemon=True).start()
