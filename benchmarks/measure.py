"""One measurement at a time of one peer on one broker: in processes of the peer's own, on an empty place."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.brokers import Measured
from benchmarks.environments import CACHE, Unavailable
from benchmarks.peers import Peer
from benchmarks.peers.work import NOTE

SCRIPTS = Path(__file__).parent / "peers"
PATIENCE = 60.0
"""Seconds for a worker or a client to do what it is asked; the slowest peers do 400 tasks per second."""
SETTLING = 1.0
"""Seconds after the last run in which a second run of a task would show, and the worker settles."""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a peer runs."""

    peer: Peer
    python: str
    broker: Measured

    def client(self, url: str, *words: str, runs: Path | None = None) -> float:
        """Tasks per second of a client's command."""
        said = self.ask(url, *words, runs=runs)
        return said["tasks"] / said["seconds"]

    def ask(self, url: str, *words: str, runs: Path | None = None) -> dict[str, float]:
        """What a client's command answers.

        Raises:
            Unavailable: it failed.
        """
        done = subprocess.run(
            self._command(words),
            **self._place(url, runs),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"{' '.join(words)}: {_last_words(done.stderr)}")
        said: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        return said

    @contextlib.contextmanager
    def worker(self, url: str, runs: Path, kind: str) -> Iterator[Running]:
        """A worker process, with what it has done in `runs`."""
        with (runs / "worker.log").open("w") as log:
            process = subprocess.Popen(
                self._command(("worker", kind)),
                **self._place(url, runs),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Running(process, runs)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [self.python, str(SCRIPTS / f"with_{self.peer.name}.py"), *words]

    def _place(self, url: str, runs: Path | None) -> dict[str, object]:
        # Without its bytecode a module is compiled at each start: a worker took 540 ms for the 260 that users see.
        ours = {key: value for key, value in os.environ.items() if not key.startswith("ASYNCTASQ_")}
        environment = {key: value for key, value in ours.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"BENCH_URL": url, "BENCH_RUNS": str(runs or ""), "PYTHONPATH": str(SCRIPTS)}
        return {"cwd": SCRIPTS, "env": environment}


@dataclass(frozen=True, slots=True)
class Running:
    """A worker at work."""

    process: subprocess.Popen[bytes]
    runs: Path

    def count(self) -> int:
        return sum(note[0] for note in self._notes())

    def span(self) -> tuple[float, float]:
        """When its first and its last run were."""
        notes = self._notes()
        return min(note[1] for note in notes), max(note[2] for note in notes)

    def pings(self) -> list[float]:
        file = self.runs / "pings"
        return [float(line) for line in file.read_text().splitlines()] if file.exists() else []

    def wait(self, done: Callable[[], bool], what: str, *, patience: float = PATIENCE) -> None:
        """Until something holds, for `patience` seconds at most.

        Raises:
            Unavailable: the worker ended, or it never did.
        """
        deadline = time.monotonic() + patience
        while not done():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"{what}: {_last_words((self.runs / 'worker.log').read_text())}")
            time.sleep(0.02)

    def cpu(self) -> float:
        """Seconds of CPU of the worker and its children, ended ones included."""
        return sum(sum(map(int, stat[11:15])) for stat in self._stats()) / TICK

    def rss(self) -> float:
        """Megabytes of the worker and its children."""
        return sum(int(stat[21]) for stat in self._stats()) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _stats(self) -> list[list[str]]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text().rpartition(") ")[2].split()
                if int(stat[3]) == self.process.pid:  # its session
                    found.append(stat)
        return found

    def _notes(self) -> list[tuple[int, float, float]]:
        return [NOTE.unpack(file.read_bytes()) for file in self.runs.glob("*.runs") if file.stat().st_size == NOTE.size]


def enqueue(bench: Bench, way: str, n: int) -> dict[str, float]:
    """Tasks per second into an empty queue, and the bytes that one of them takes there."""
    url = bench.broker.clean()
    bench.client(url, "dispatch", "single", "2", "async" if "async" in bench.peer.kinds else "sync")
    before = bench.broker.stored()
    rate = bench.client(url, "dispatch", way, str(n), "async" if "async" in bench.peer.kinds else "sync")
    return {f"enqueue {way}, tasks/s": rate, "stored bytes per task": (bench.broker.stored() - before) / n}


def drain(bench: Bench, kind: str, n: int) -> dict[str, float]:
    """n tasks are queued, then one worker starts. The clock runs from its first run to its last.

    Raises:
        Unavailable: it did not run each of them, once.
    """
    url = bench.broker.clean()
    way = next(way for way in ("many", "gather", "single") if way in bench.peer.ways)
    with notes() as runs:
        bench.client(url, "dispatch", way, str(n), kind, runs=runs)
        served = bench.broker.served()
        started = time.monotonic()
        with bench.worker(url, runs, kind) as worker:
            worker.wait(lambda: worker.count() >= 1, "first run")
            cpu = worker.cpu()
            worker.wait(lambda: worker.count() >= n, f"{worker.count()} of {n} tasks ran")
            time.sleep(SETTLING)
            after, cpu, rss = bench.broker.served(), worker.cpu() - cpu, worker.rss()
            if (ran := worker.count()) != n:
                raise Unavailable(f"{n} tasks made {ran} runs")
            first, last = worker.span()
    figures = {
        f"drain {kind}, tasks/s": (n - 1) / (last - first),
        f"worker CPU {kind}, ms per 1,000": cpu / n * 1e6,
        "worker start to first run, ms": (first - started) * 1e3,
        "worker RSS, MB": rss,
    }
    if served is not None and after is not None:
        figures[f"commands per 1,000 {kind}"] = (after - served) / n * 1e3
    return figures


def latency(bench: Bench, n: int, idle: float) -> dict[str, float]:
    """From dispatch in one process to the first line in an idle worker, another process; then what that worker does when idle."""
    url = bench.broker.clean()
    with notes() as runs:
        bench.client(url, "pings", "1", runs=runs)
        with bench.worker(url, runs, "ping") as worker:
            worker.wait(lambda: len(worker.pings()) >= 1, "first ping")
            bench.client(url, "pings", str(n + 1), runs=runs)
            worker.wait(lambda: len(worker.pings()) >= n + 2, "pings")
            took = sorted(worker.pings()[2:])  # the first waited for the start, the second for its client's connection
            time.sleep(SETTLING)
            cpu, begin = worker.cpu(), time.monotonic()
            served = bench.broker.served_during(idle)
            spent = time.monotonic() - begin
            figures = {
                "latency p50, ms": took[len(took) // 2] * 1e3,
                "latency p99, ms": took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3,
                "idle CPU, % of a core": (worker.cpu() - cpu) / spent * 100,
            }
            if served is not None:
                figures["idle commands/s"] = served / spent
    return figures


def imports(bench: Bench) -> dict[str, float]:
    """What `import asynctasq` adds to the start of an interpreter."""
    seconds = {}
    for code in ("", "import asynctasq"):
        begin = time.monotonic()
        # -P: the scripts' folder is no place to find a module in.
        subprocess.run([bench.python, "-P", "-c", code], check=True, timeout=PATIENCE)
        seconds[code] = time.monotonic() - begin
    return {"import asynctasq, ms": (seconds["import asynctasq"] - seconds[""]) * 1e3}


def codec(bench: Bench) -> dict[str, float]:
    """What it costs to make a body and to read it, and how many bytes it has."""
    return bench.ask(bench.broker.clean(), "codec", "20000")


@contextlib.contextmanager
def notes() -> Iterator[Path]:
    """A folder for the notes that workers make of their runs."""
    # In memory where there is such a place: a note of a run must not cost a write to the disk that a broker syncs.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=shared if shared.is_dir() else CACHE) as folder:
        yield Path(folder)


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
