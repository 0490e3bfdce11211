"""One child, as its worker sees it: started, given orders, stopped, and how it ended."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import multiprocessing
import multiprocessing.util  # pyright: ignore[reportUnusedImport] -- its clean-up at exit waits for children: ours comes later, thus runs first
import os
import signal
import socket
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from asynctasq.adapters.executors.process_child import Endurance, serve
from asynctasq.adapters.executors.process_pipe import STOP, Frames, Report, frame_of_order, report_in
from asynctasq.domain.errors import WorkerProcessDied
from asynctasq.domain.exit_status import told
from asynctasq.ports.executor import Order, Performer

FAREWELL: Final = 2.0
"""Seconds for a child that was let go of, or has closed its pipe, to end by itself."""

_UNKNOWN: Final = 255
"""What multiprocessing says of a child whose status nobody has seen, because the fork server itself is gone."""

_MOST: Final = 65_536

# Starting a child and asking for its status share state within multiprocessing that is not made for several threads, and a start
# waits for the fork server: both are done here.
_NURSERY = ThreadPoolExecutor(1, thread_name_prefix="asynctasq-children")
_ALL: weakref.WeakSet[Child] = weakref.WeakSet()


class Launched:
    """A process that was started, and the worker's ends of its pipes."""

    def __init__(self, prepare: Callable[[], Performer], endurance: Endurance, preload: Sequence[str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(preload))
        self.pipe, theirs = socket.socketpair()
        reading, self.lifeline = multiprocessing.Pipe(duplex=False)
        try:
            with theirs, reading:
                self.process = context.Process(
                    target=serve, args=(theirs, reading, os.getpid(), prepare, endurance), name="asynctasq-child"
                )
                self.process.start()
        except BaseException:
            self.discard()
            raise
        self.pipe.setblocking(False)

    def discard(self) -> None:
        """Close the pipes, of which the process dies."""
        self.pipe.close()
        self.lifeline.close()


class Child:
    """A child process of one event loop. Made by `start`.

    Attributes:
        pid: its process id.
        ready: done when it can take orders; a WorkerProcessDied if it never can.
        ended: whether it takes no orders any more.
        gone: done when it is dead; the result says of what.
    """

    @classmethod
    async def start(cls, prepare: Callable[[], Performer], endurance: Endurance, preload: Sequence[str]) -> Child:
        """Start one; it is ready a moment later.

        Args:
            prepare: makes, in the child, what carries out orders.
            endurance: when it ends between two orders.
            preload: modules that the fork server imports before it forks for the first time.

        Raises:
            OSError: the system has no room for another process.
        """
        launching = _NURSERY.submit(Launched, prepare, endurance, preload)
        try:
            return cls(await asyncio.wrap_future(launching), asyncio.get_running_loop())
        except asyncio.CancelledError:
            launching.add_done_callback(_discard)
            raise

    def __init__(self, launched: Launched, loop: asyncio.AbstractEventLoop) -> None:
        self._process = launched.process
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self.ended = False
        self._launched = launched
        self._pipe = launched.pipe
        self._loop = loop
        self._frames = Frames()
        self._report: asyncio.Future[Report] | None = None
        self._dismissed = False
        self._let_go = False
        self._silent: asyncio.Future[None] = loop.create_future()
        self._exited: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._pipe, self._on_readable)
        loop.add_reader(self._process.sentinel, self._on_exit)
        self._life = loop.create_task(self._until_gone())
        self._life.add_done_callback(self._on_unseen)
        _ALL.add(self)

    @property
    def unseen(self) -> bool:
        """Whether its loop ends, and with it whoever would see the child's own end."""
        return self._life.cancelling() > 0

    # Orders

    async def perform(self, order: Order, *, started: Callable[[], None] | None) -> Report:
        """Hand over one order, and wait for what the child reports of it.

        Raises:
            ConnectionError: it was dead already and has got nothing, or not all.
            WorkerProcessDied: it died.
        """
        frame = frame_of_order(order)
        report: asyncio.Future[Report] = self._loop.create_future()
        self._report = report
        try:
            try:
                sent = self._pipe.send(frame)
            except BlockingIOError:
                sent = 0
            if started is not None:
                started()
            if sent < len(frame):
                await self._loop.sock_sendall(self._pipe, memoryview(frame)[sent:])
            return await report
        finally:
            report.cancel()  # where it did not come to that: nobody waits for it

    def _on_readable(self) -> None:
        try:
            data = self._pipe.recv(_MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._pipe)
            self._silent.set_result(None)
            return
        self._frames.feed(data)
        while (content := self._frames.next()) is not None:
            self._on_report(report_in(content))

    def _on_report(self, report: Report) -> None:
        if self._report is not None:
            if not self._report.done():
                self._report.set_result(report)
        elif self.ready.done():
            return
        elif report.error is None:
            self.ready.set_result(None)
        else:
            self.ready.set_exception(WorkerProcessDied(f"a child process could not start: {report.error}"))

    # The end

    async def stop(self, grace: float) -> bool:
        """SIGTERM, and SIGKILL if it is not dead within `grace` seconds. Whether the first was enough."""
        self.ended = True
        with contextlib.suppress(OSError):
            self._pipe.send(STOP)
        self._signal(os.kill, signal.SIGTERM)
        await asyncio.wait((self.gone,), timeout=grace)
        if self.gone.done():
            return True
        self.kill()
        await asyncio.wait((self.gone,))
        return False

    def kill(self) -> None:
        """SIGKILL, for what its tasks have started as well."""
        self.ended = True
        if not self._signal(os.killpg, signal.SIGKILL):
            self._signal(os.kill, signal.SIGKILL)  # it has no group of its own yet

    def show(self) -> None:
        """Have it write to standard error what it runs, and where."""
        self._signal(os.kill, signal.SIGQUIT)

    def dismiss(self) -> None:
        """Let it end by itself; it is killed if it does not."""
        self.ended = self._dismissed = True
        if not self.gone.done():
            with contextlib.suppress(OSError):
                self._pipe.shutdown(socket.SHUT_WR)
            self._loop.call_later(FAREWELL, self.kill)

    def discard(self) -> None:
        """Let go of it without a loop; it dies of that."""
        self.ended = True
        if self._let_go:
            return
        self._let_go = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.remove_reader(self._pipe)
            self._loop.remove_reader(self._process.sentinel)
        self._launched.discard()

    def _signal(self, send: Callable[[int, int], None], number: int) -> bool:
        try:
            if not self.gone.done():
                send(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
            return False
        return True

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._exited.set_result(None)

    async def _until_gone(self) -> None:
        await asyncio.wait((self._silent, self._exited), return_when=asyncio.FIRST_COMPLETED)
        if self._exited.done() and await self._status() == _UNKNOWN and self._signal(os.kill, 0):
            await self._silent  # it is the fork server that is gone: its children live on without it
        self.ended = True
        await asyncio.wait((self._exited,), timeout=FAREWELL)
        if not (self._dismissed and self._exited.done()):
            self.kill()  # what its tasks have started; and itself, if it has closed its pipe and no more
            await asyncio.wait((self._exited,), timeout=FAREWELL)
        status = await self._status()
        how = "ended, and nobody knows how" if status is None or status == _UNKNOWN else told(status)
        self.discard()
        if status is not None:
            self._process.close()
        if not self.ready.done():
            self.ready.set_exception(WorkerProcessDied(f"a child process {how} before it was ready"))
        if self._report is not None and not self._report.done():
            self._report.set_exception(WorkerProcessDied(f"the child process that ran it {how}{_hint(status)}"))
        self.gone.set_result(how)

    def _on_unseen(self, _: object) -> None:
        """Whoever ends a loop cancels all that runs on it; what waits for the child's end is not to wait for ever."""
        if not self.gone.done():
            self.kill()
            self.discard()
            self.gone.set_result("was killed at the end of its loop")

    async def _status(self) -> int | None:
        """The exit status, if it has one."""
        return await self._loop.run_in_executor(_NURSERY, lambda: self._process.exitcode)


def _hint(status: int | None) -> str:
    return ", which is what the system does when memory runs out" if status == -signal.SIGKILL else ""


def _discard(launching: Future[Launched]) -> None:
    if not launching.cancelled() and launching.exception() is None:
        launching.result().discard()


@atexit.register
def _let_go_of_all() -> None:
    for child in list(_ALL):
        child.discard()
