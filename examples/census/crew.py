"""The worker processes: started as any operator would, `python -m asynctasq worker census.tasks`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

EXAMPLES = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "asynctasq", "worker", "census.tasks", "--concurrency", "8", "--threads", "8")


class WorkerFailed(Exception):
    """A worker ended by itself, or not as it was told to. The message ends with its last lines of output."""


class Worker:
    """One worker process. Its output goes to `log`."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                COMMAND,
                cwd=EXAMPLES,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for the demo, which then stops its workers itself
            )
        self.pid = self.process.pid

    def freeze(self) -> None:
        """Stop it where it is, and return when it has stopped (or ended)."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would, with nothing tidied up."""
        self.process.kill()
        self.process.wait()

    def stopped(self) -> None:
        """Wait for the end of a worker that was told to stop.

        Raises:
            WorkerFailed: it did not end, or not with success, within 20 seconds.
        """
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            raise self.failure("was told to stop 20 s ago and still runs") from None
        if code:
            raise self.failure(f"was told to stop and ended with exit code {code}")

    def failure(self, what: str) -> WorkerFailed:
        """The error that says so, with the end of the log."""
        tail = self.log.read_text(errors="replace").splitlines()[-20:]
        return WorkerFailed("\n  ".join([f"worker {self.pid} {what}; its last lines:", *tail]))


class Crew:
    """The workers of one census. Leaving the context kills those that were not stopped."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._started = 0
        self.workers: list[Worker] = []

    def start(self) -> Worker:
        """Start one more worker."""
        self._started += 1
        worker = Worker(self._directory / f"worker-{self._started}.log", self._environment)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """Kill one and forget it."""
        self.workers.remove(worker)
        worker.kill()

    def check(self) -> None:
        """See that all are alive.

        Raises:
            WorkerFailed: one is not.
        """
        for worker in self.workers:
            if worker.process.poll() is not None:
                raise worker.failure(f"ended by itself with exit code {worker.process.returncode}")

    def stop(self) -> None:
        """End all as an operator would, with SIGTERM.

        Raises:
            WorkerFailed: one did not end in good order.
        """
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.stopped()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.kill()
