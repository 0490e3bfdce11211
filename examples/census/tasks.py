"""The task: one file of the library."""

from __future__ import annotations

import os
from pathlib import Path

import asynctasq
from asynctasq.tasks import task
from census.measure import measure
from census.results import Results

RESULTS = "CENSUS_RESULTS"
"""The environment variable that tells the workers where the results go."""


# Ten attempts: the leases are short, and on a crowded machine one may end while its worker lives.
@task(queue="census", retry_delay=1, max_attempts=10)
def count(path: str) -> None:
    """Count one file and write the row of its path."""
    results = Results(Path(os.environ[RESULTS]))
    results.start(path, attempt=asynctasq.current_task().attempt, pid=os.getpid())
    results.finish(path, measure(path))
