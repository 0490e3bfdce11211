"""Several worker processes under one parent: started again when they die, told what the parent is told, gone when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

_log = logging.getLogger("asynctasq.supervisor")

CANNOT_WORK = 2
"""The exit status of a worker that would end the same way again: usage or configuration."""

WORN = 4
"""The exit status of a worker that wants to be started afresh: it has lost half of its threads."""

_STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """When a worker that has died is started again.

    Attributes:
        first: seconds before the start that follows a quick death; doubled for each further one in a row.
        most: the most seconds before a start.
        steady: seconds that a worker must live for its death not to be a quick one.
        loop: how many quick deaths in a row are reported as a crash loop.
    """

    first: float = 1.0
    most: float = 30.0
    steady: float = 10.0
    loop: int = 5

    def delay(self, quick_deaths: int) -> float:
        """Seconds before the next start."""
        return min(self.most, self.first * 2.0 ** min(quick_deaths - 1, 64)) if quick_deaths else 0.0


class Supervisor:
    """Keeps worker processes running.

    SIGTERM and SIGINT are passed on to every worker each time they come, and from the first on none is started any more. SIGQUIT
    is passed on too. Workers are in process groups of their own, so that Ctrl-C reaches them once and not twice.

    A worker that ends by itself with status 0 has done its share and is started again; that is no death.

    Args:
        command: what starts a worker; `--lifeline FD` is added to it (see `lifeline`).
        processes: how many.
        burst: a worker that ends by itself is done and not started again; one that was killed is.
        restarts: when one that has died is started again.
        changes: gives what has changed, as often as something does: the workers then stop in good order and are started again.
    """

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        burst: bool = False,
        restarts: Restarts | None = None,
        changes: AsyncIterator[Sequence[str]] | None = None,
    ) -> None:
        self._command = command
        self._processes = processes
        self._burst = burst
        self._restarts = restarts or Restarts()
        self._running: dict[int, Process] = {}
        self._received: list[signal.Signals] = []
        self._stopping = asyncio.Event()
        self._changes = changes
        self._changed = asyncio.Event()
        self._outdated: set[int] = set()

    async def run(self) -> int:
        """Keep the workers running until they are told to stop or are done. Returns the worst of their last exit statuses.

        A worker that was killed counts 128 and the signal's number, as in a shell. One that ends with status 2, usage or
        configuration, stops all; where changes are watched, the next one may put it right and is waited for.
        """
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGQUIT, self._tell, signal.SIGQUIT)
        lifeline, held_open = os.pipe()
        try:
            async with asyncio.TaskGroup() as group:
                kept = [group.create_task(self._keep(number, lifeline)) for number in range(1, self._processes + 1)]
                watching = group.create_task(self._restart_at(self._changes)) if self._changes is not None else None
                await asyncio.wait(kept)
                if watching is not None:
                    watching.cancel()
        finally:
            os.close(lifeline)
            os.close(held_open)
            for number in (*_STOPS, signal.SIGQUIT):
                loop.remove_signal_handler(number)
        return max(task.result() for task in kept)

    async def _keep(self, number: int, lifeline: int) -> int:
        quick_deaths = 0
        while True:
            started = asyncio.get_running_loop().time()
            changed = self._changed
            status = await self._run_once(number, lifeline)
            outdated = number in self._outdated
            self._outdated.discard(number)
            if self._stopping.is_set() and -status in _STOPS:
                return 0  # told to stop before it could listen: it had not begun
            if status == WORN and not self._stopping.is_set():
                _log.warning("worker %d has lost half of its threads; started afresh", number)
                quick_deaths = 0
                continue
            if self._stopping.is_set() or (self._burst and status >= 0):
                return _exit_status(status)
            if outdated:
                quick_deaths = 0
                continue
            if status == CANNOT_WORK and self._changes is not None:
                _log.error("worker %d cannot work as it is: it is started again at the next change", number)
                await self._rest(changed)
                continue
            if status == CANNOT_WORK:
                _log.error("worker %d cannot work as it is configured: all are stopped", number)
                self._stop(signal.SIGTERM)
                return status
            lived = asyncio.get_running_loop().time() - started
            if status == 0:
                quick_deaths, delay = 0, max(0.0, self._restarts.first - lived)
                _log.info("worker %d has done its share and is started again", number)
            else:
                quick_deaths = quick_deaths + 1 if lived < self._restarts.steady else 0
                delay = self._restarts.delay(quick_deaths)
                _log.warning("worker %d %s; started again in %g s", number, _told(status), delay)
            if quick_deaths == self._restarts.loop:
                _log.error(
                    "worker %d died %d times in a row soon after its start: see its own log", number, quick_deaths
                )
            await self._rest(changed, delay)
            if self._stopping.is_set():
                return 0  # told to stop while none was running: its death has been reported

    async def _rest(self, changed: asyncio.Event, seconds: float | None = None) -> None:
        """Until told to stop, until something has changed, or for so many seconds."""
        ends = [asyncio.ensure_future(event.wait()) for event in (self._stopping, changed)]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    async def _restart_at(self, changes: AsyncIterator[Sequence[str]]) -> None:
        async for what in changes:
            _log.info("%s: the workers are started again", ", ".join(what))
            self._changed.set()
            self._changed = asyncio.Event()
            for number, process in self._running.items():
                if number not in self._outdated and not self._stopping.is_set():
                    self._outdated.add(number)
                    _send(process, signal.SIGTERM)

    async def _run_once(self, number: int, lifeline: int) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command, "--lifeline", str(lifeline), stdin=DEVNULL, pass_fds=(lifeline,), process_group=0
        )
        self._running[number] = process
        _log.info("worker %d is process %d", number, process.pid)
        for received in self._received:  # while this one was being started
            _send(process, received)
        try:
            return await process.wait()
        finally:
            del self._running[number]

    def _stop(self, number: signal.Signals) -> None:
        self._received.append(number)
        self._stopping.set()
        told = self._outdated if len(self._received) == 1 else ()  # they have had their first signal already
        for worker, process in self._running.items():
            if worker in told:
                _log.info("worker %d is stopping already", worker)
            else:
                _send(process, number)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._running.values():
            _send(process, number)


def _send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        process.send_signal(number)


def _exit_status(status: int) -> int:
    return status if status >= 0 else 128 - status


def _told(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"  # a real-time signal has no name
