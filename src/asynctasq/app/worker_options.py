"""How a worker works, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker works.

    Attributes:
        id: fresh for every process start; never a host's name, which a successor would inherit.
        queues: the most urgent first.
        concurrency: how many claims may be held at once.
        threads: how many of them may run in threads.
        lease: seconds.
        shutdown_grace: seconds that running tasks get when the worker is stopped.
        max_tasks: stop after so many have been started; None for no limit.
        burst: stop when nothing is ready, instead of waiting for work.
    """

    id: str
    queues: Sequence[str]
    concurrency: int = 100
    threads: int = 32
    lease: float = 30.0
    shutdown_grace: float = 30.0
    max_tasks: int | None = None
    burst: bool = False
