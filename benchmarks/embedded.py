"""Enqueue, drain, latency and start-up on the embedded drivers, beside a bare apsw loop. One run, interleaved repeats."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import uvloop
from rich.console import Console
from rich.table import Table

import asynctasq
from asynctasq.app.serve import Serving, build_worker
from asynctasq.tasks import dispatch_many, task

RESULTS = Path(__file__).parent / "results"


@task
async def noop() -> None:
    """Nothing: what is measured is everything around it."""


@task
async def note_start(dispatched_at: float, file: str) -> None:
    """Write down how long ago it was dispatched. CLOCK_MONOTONIC is one clock for all processes of a host."""
    with open(file, "a") as lines:  # noqa: ASYNC230 -- a line; nothing else runs
        lines.write(f"{time.monotonic() - dispatched_at}\n")


class Figures:
    """What was measured, by what and unit."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, what: str, unit: str, value: float) -> None:
        self.samples[what, unit].append(value)

    def median(self, what: str) -> float:
        return next(statistics.median(values) for (name, _), values in self.samples.items() if name == what)


async def enqueue_figures(figures: Figures, name: str, url: str, n: int) -> None:
    app = asynctasq.init(url)

    async def one_by_one() -> None:
        for _ in range(n // 10):
            await noop().dispatch()

    async def gathered() -> None:
        for _ in range(n // 100):
            await asyncio.gather(*(noop().dispatch() for _ in range(100)))

    async def many() -> None:
        await dispatch_many([noop() for _ in range(n)])

    await noop().dispatch()  # connect
    for what, count, run in (("one by one", n // 10, one_by_one), ("gathered by 100", n, gathered), ("many", n, many)):
        seconds = await timed(run)
        figures.add(f"{name}: enqueue, {what}", "tasks/s", count / seconds)
    await app.close()


async def drain_figures(figures: Figures, name: str, url: str, n: int) -> None:
    app = asynctasq.init(url)
    if name == "memory":
        await dispatch_many([noop() for _ in range(n)])
    else:
        await dispatch_many([noop() for _ in range(n)])
        await app.close()
    worker = build_worker(app, Serving(burst=True, concurrency=100))
    cpu = time.process_time()
    seconds = await timed(worker.run)
    cpu = time.process_time() - cpu
    assert worker.counts["Ack"] >= n, worker.counts
    done = worker.counts["Ack"]
    figures.add(f"{name}: drain, one worker, concurrency 100", "tasks/s", done / seconds)
    figures.add(f"{name}: whole cost per no-op task", "us of CPU", cpu / done * 1e6)


def bare_apsw(figures: Figures, file: Path, n: int, synchronous: str = "FULL") -> None:
    """The limit: what the same SQLite does when nothing else is done. Same durability, a hundred rows per transaction."""
    db = apsw.Connection(str(file))
    db.execute(f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}")
    db.execute(
        "CREATE TABLE m (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, queue TEXT, body BLOB, visible_at INT, receipt TEXT)"
    )
    db.execute("CREATE INDEX m_due ON m (queue, visible_at, seq)")
    with db:
        db.executemany(
            "INSERT INTO m (id, queue, body, visible_at) VALUES (?, 'q', ?, 0)", ((str(i), b"x" * 40) for i in range(n))
        )
    start = time.perf_counter()
    while True:
        db.execute("BEGIN IMMEDIATE")
        rows = list(
            db.execute(
                "UPDATE m SET visible_at = 9e12, receipt = 'r' WHERE seq IN (SELECT seq FROM m WHERE queue = 'q' AND "
                "visible_at <= 1 ORDER BY visible_at, seq LIMIT 100) RETURNING seq, id, body"
            )
        )
        db.execute("COMMIT")
        if not rows:
            break
        db.execute("BEGIN IMMEDIATE")
        db.executemany("DELETE FROM m WHERE seq = ? AND receipt = 'r'", ((row[0],) for row in rows))
        db.execute("COMMIT")
    figures.add("bare apsw loop: claim and delete 100", "tasks/s", n / (time.perf_counter() - start))
    db.close()


async def latency_figures(figures: Figures, folder: Path, n: int) -> None:
    """From dispatch in this process to the first line of the task in a worker process."""
    queue, lines = folder / "latency.db", folder / "latency.txt"
    app = asynctasq.init(f"sqlite:///{queue}")
    environment = {**os.environ, "ASYNCTASQ_SQLITE_PATH": str(queue), "PYTHONPATH": str(Path(__file__).parent)}
    environment.pop("ASYNCTASQ_DRIVER", None)
    command = [sys.executable, "-m", "asynctasq", "worker", "embedded", "--log-level", "warning"]
    worker = await asyncio.create_subprocess_exec(*command, env=environment, cwd=folder)
    try:
        for sent in range(n + 1):
            await note_start(time.monotonic(), str(lines)).dispatch()
            async with asyncio.timeout(20):
                while not lines.exists() or len(lines.read_text().splitlines()) <= sent:  # noqa: ASYNC110 -- another process writes it
                    await asyncio.sleep(0.005)
    finally:
        worker.terminate()
        await worker.wait()
    seconds = sorted(float(line) for line in lines.read_text().splitlines()[1:])  # the first waited for the start
    figures.add("sqlite: dispatch to start across processes, p50", "ms", seconds[len(seconds) // 2] * 1e3)
    figures.add("sqlite: dispatch to start across processes, p99", "ms", seconds[int(len(seconds) * 0.99)] * 1e3)
    await app.close()


def start_figures(figures: Figures) -> None:
    for what, command in (
        ("import asynctasq", [sys.executable, "-c", "import asynctasq"]),
        ("bare interpreter", [sys.executable, "-c", ""]),
        ("asynctasq --help", [sys.executable, "-m", "asynctasq", "--help"]),
    ):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        figures.add(what, "ms", (time.perf_counter() - start) * 1e3)


async def timed(run: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await run()
    return time.perf_counter() - start


def measure(figures: Figures, n: int, repeats: int) -> None:
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
            folder = Path(temporary)
            for name, url in (("memory", "memory://"), ("sqlite", f"sqlite:///{folder / 'enqueue.db'}")):
                uvloop.run(enqueue_figures(figures, name, url, n // 2))
            for name, url in (("memory", "memory://"), ("sqlite", f"sqlite:///{folder / 'drain.db'}")):
                uvloop.run(drain_figures(figures, name, url, n))
            bare_apsw(figures, folder / "bare.db", n)
            uvloop.run(latency_figures(figures, folder, 100))
            start_figures(figures)


def report(figures: Figures, console: Console) -> dict[str, object]:
    table = Table(title="embedded drivers, medians of one run")
    for column in ("what", "median", "min .. max", "unit"):
        table.add_column(column, justify="left" if column in {"what", "unit"} else "right")
    rows: dict[str, object] = {}
    for (what, unit), values in figures.samples.items():
        middle = statistics.median(values)
        table.add_row(what, f"{middle:,.1f}", f"{min(values):,.1f} .. {max(values):,.1f}", unit)
        rows[what] = {"unit": unit, "median": middle, "samples": values}
    console.print(table)
    share = figures.median("sqlite: drain, one worker, concurrency 100") / figures.median(
        "bare apsw loop: claim and delete 100"
    )
    console.print(f"sqlite drain as a share of the bare apsw loop: {share:.2f}")
    rows["sqlite drain / bare apsw loop"] = share
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-n", type=int, default=20_000, help="tasks per drain")
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    figures = Figures()
    measure(figures, given.n, given.repeats)
    rows = report(figures, Console())
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "embedded.json").write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
