"""One piece of work on its way from an event loop to the writer thread and back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from asynctasq.domain.errors import DriverError, DriverUnavailable, Indeterminate

T = TypeVar("T")

PATIENCE = 4.0
"""Seconds that a request waits for other processes' locks, its time in the queue included."""

LIMIT = 4.7
"""Seconds until a request is answered whatever SQLite does; the port allows five."""


class Mailbox:
    """Answers on their way to one event loop, which is woken once for all that have gathered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._letters: deque[Callable[[], None]] = deque()
        self._announced = False

    def post(self, letter: Callable[[], None]) -> bool:
        """Have `letter` called in the loop; False if the loop is closed. From the thread."""
        self._letters.append(letter)
        if not self._announced:
            self._announced = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                return False
        return True

    def _deliver(self) -> None:
        # In this order a letter that comes meanwhile is either seen here or announced again.
        self._announced = False
        while self._letters:
            self._letters.popleft()()


class Request(Generic[T]):
    """Something for the thread to do, and the caller who waits for its result.

    Attributes:
        work: what to do; it is given the time on the monotonic clock until when it may wait for locks.
    """

    def __init__(
        self, work: Callable[[float], T], *, orphaned: Callable[[T], None], mailbox: Mailbox, what: str
    ) -> None:
        self.work = work
        self._deadline = time.monotonic() + PATIENCE
        self._orphaned = orphaned
        self._mailbox = mailbox
        self._what = what
        self._answer: asyncio.Future[T] = mailbox.loop.create_future()
        self._turn = threading.Lock()
        self._withdrawn = False
        self._begun = False

    async def answer(self) -> T:
        """The result, or the error that the work ended with. Calls `orphaned` with a result that comes too late."""
        alarm = self._mailbox.loop.call_later(LIMIT, self._give_up)
        try:
            return await self._answer
        except asyncio.CancelledError:
            if self._answer.done() and not self._answer.cancelled() and self._answer.exception() is None:
                self._orphaned(self._answer.result())  # cancelled between the answer and its reading
            raise
        finally:
            alarm.cancel()

    def serve(self) -> bool:
        """Do it and answer, unless it was withdrawn; whether it succeeded. From the thread."""
        with self._turn:
            self._begun = not self._withdrawn
        if not self._begun:
            return False
        try:
            result = self.work(self._deadline)
        except Exception as error:
            self._mailbox.post(partial(self._refuse, error))
            return False
        if self._answer.cancelled() or not self._mailbox.post(partial(self._receive, result)):
            self._orphaned(result)
        return True

    def _receive(self, result: T) -> None:
        if self._answer.done():
            self._orphaned(result)
        else:
            self._answer.set_result(result)

    def _refuse(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)

    def _give_up(self) -> None:
        if self._answer.done():
            return
        with self._turn:
            self._withdrawn = not self._begun
        error: DriverError
        if self._withdrawn:
            error = DriverUnavailable(f"{self._what}: busy for {LIMIT:g} s with other requests; this one was not begun")
        else:
            error = Indeterminate(f"{self._what}: no answer from SQLite within {LIMIT:g} s: check its disk")
        self._answer.set_exception(error)
