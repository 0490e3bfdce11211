"""A task that blocks its worker's event loop: what that costs, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

HOGS = """
import os
import time

from asynctasq import current_task, task


@task
async def hog():
    os.write(1, f"begun {current_task().attempt}\\n".encode())
    time.sleep(3.5)  # several leases
    os.write(1, b"ended\\n")


if __name__ == "__main__":
    hog().dispatch_sync()
"""


class Worker:
    """A worker process with a lease of a second, beside others on the same queue."""

    def __init__(self, folder: Path, number: int) -> None:
        self.log = folder / f"{number}.log"
        self.said = folder / f"{number}.out"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
        with self.log.open("wb") as log, self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "asynctasq", "worker", "hogs.py", "--lease", "1"],
                cwd=folder,
                env=environ,
                stdout=said,
                stderr=log,
            )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "hogs.py").write_text(HOGS)
    return tmp_path


@pytest.fixture
def workers(folder: Path) -> Generator[list[Worker]]:
    workers = [Worker(folder, number) for number in range(2)]
    yield workers
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def until(condition: object, what: str) -> None:
    deadline = time.monotonic() + 50
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)


@pytest.mark.timeout(90)
def test_a_task_that_blocks_the_loop_past_its_lease_is_not_run_by_another_worker_and_is_named(
    folder: Path, workers: list[Worker]
) -> None:
    def logs() -> str:
        return "".join(worker.log.read_text() for worker in workers)

    def said() -> str:
        return "".join(worker.said.read_text() for worker in workers)

    until(lambda: logs().count("task hogs:hog") == 2, "both workers to serve")
    subprocess.run([sys.executable, "hogs.py"], cwd=folder, check=True)
    until(lambda: "ended" in said(), "the task to end")
    for worker in workers:
        worker.process.terminate()
        assert worker.process.wait(30) == 0, worker.log.read_text()
    assert said() == "begun 1\nended\n"
    (blocked,) = [line for line in logs().splitlines() if "the event loop has been blocked" in line]
    assert "hogs:hog" in blocked
    assert "time.sleep(3.5)" in blocked
