"""Threads that take jobs from one line, of which no more are woken than there is work for.

Where each job wakes a thread of its own, thirty come for thirty short ones, fight for the interpreter's lock, and find that the
first has done everything. Here a job wakes one thread if none is on its way, and a thread that leaves jobs behind wakes the next
before it begins with its own: what blocks gets every thread, one wake-up after the other, and what is short gets one or two.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

J = TypeVar("J")


class Crew(Generic[J]):
    """Daemon threads, hired as they are needed. Jobs begin in the order they came.

    Its fields are used by all threads at once: each step on them is atomic, and the order of the steps is what counts.

    Args:
        size: how many threads there may be.
        name: what they are called, before a number.
        do: does a job, in a thread. Must not raise.
    """

    def __init__(self, size: int, name: str, do: Callable[[J], None]) -> None:
        self._size = size
        self._name = name
        self._do = do
        self._jobs: deque[J] = deque()
        # What each idle thread waits for. The last to fall asleep is woken first: its memory is the warmest.
        self._asleep: deque[threading.Lock] = deque()
        self._stirring = False
        self._hired = 0
        self._hiring = threading.Lock()
        self._is_dismissed = False

    def put(self, job: J) -> None:
        """Hand over a job.

        Raises:
            RuntimeError: the system starts no thread, and there is none yet. The job stays in line.
        """
        self._jobs.append(job)
        if not self._stirring:  # else whoever is on its way finds the job
            self._stir()

    def dismiss(self) -> None:
        """Let the threads end once every job is done. Waits for nothing."""
        self._is_dismissed = True
        while self._wake():
            pass

    def _stir(self) -> None:
        """Have one more thread look for jobs, if there is one more."""
        while True:
            self._stirring = True
            if self._wake() or self._hire():
                return
            self._stirring = False
            # All are at work, and look again when they are done. But one may have fallen asleep just now, and a job have come
            # that relied on us.
            if not (self._jobs and self._asleep):
                return

    def _wake(self) -> bool:
        try:
            gate = self._asleep.pop()
        except IndexError:
            return False
        gate.release()
        return True

    def _hire(self) -> bool:
        with self._hiring:
            if self._hired == self._size:
                return False
            thread = threading.Thread(target=self._work, name=f"{self._name}-{self._hired + 1}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._hired:
                    self._stirring = False
                    raise
                return False
            self._hired += 1
        return True

    def _work(self) -> None:
        gate = threading.Lock()
        gate.acquire()
        while True:
            self._stirring = False  # before the look: what comes after it wakes another
            self._do_what_there_is()
            if self._is_dismissed:
                return
            self._asleep.append(gate)
            if not (self._jobs or self._is_dismissed):  # after it: what came before it found nobody asleep
                gate.acquire()
                continue
            try:
                self._asleep.remove(gate)
            except ValueError:  # woken meanwhile
                gate.acquire()

    def _do_what_there_is(self) -> None:
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                return
            if self._jobs and not self._stirring:
                self._stir()
            self._do(job)
            # An idle thread must not keep the last job alive.
            del job
