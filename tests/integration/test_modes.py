"""The four modes side by side, in a real worker: what a task sees of itself, and what the worker does with lost threads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.mode_tasks import MODES, TIMEOUT

from asynctasq.app.bootstrap import App
from asynctasq.app.settings import load_settings

ROOT = Path(__file__).parents[2]

LOST = """
import os, threading
import asynctasq
from asynctasq import task

@task(timeout=0.2, max_attempts=1)
def lose():
    os.write(1, f"lost by {os.getpid()}\\n".encode())  # one write: print() makes several, and two threads mix theirs
    threading.Event().wait()

@task
def after():
    os.write(1, f"after, by {os.getpid()}\\n".encode())

if __name__ == "__main__":
    for _ in range(2):
        lose().dispatch_sync()
    after().dispatch_sync()
    after().delay(0.5).dispatch_sync()
"""

SCRIPT = """
import os
import asynctasq
from asynctasq import task

asynctasq.init({"sqlite": {"path": "other.db"}})

@task(process=True)
def first(parent: int):
    assert os.getpid() != parent
    print("first:", second.name, flush=True)
    second(os.getpid()).dispatch_sync()

@task(process=True)
async def second(other: int):
    print("second:", __name__, flush=True)

if __name__ == "__main__":
    first(os.getpid()).dispatch_sync()
"""

PACKAGE = """
import dataclasses, enum
from asynctasq import task

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Paint:
    colour: Colour
    litres: float

@task(process=True)
def mix(paint: Paint):
    print("mixed", paint, flush=True)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
    (tmp_path / "ledger").mkdir()
    return ours | {
        "ASYNCTASQ_SQLITE_PATH": str(tmp_path / "queue.db"),
        "ASYNCTASQ_TEST_LEDGER": str(tmp_path / "ledger"),
    }


def run(environment: Mapping[str, str], folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == status, ended.stderr
    return ended


def test_a_task_sees_which_attempt_it_is_in_every_mode_and_so_do_its_log_records(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    app = App(load_settings(environ=environment))
    ids = {task.__name__: [app.dispatch_sync(task(number)) for number in range(3)] for task in MODES}
    ended = run(
        environment,
        ROOT,
        *("-m", "asynctasq", "worker", "tests.integration.mode_tasks"),
        *("--burst", "--threads", "1", "--children", "1", "--log-format", "json"),
    )

    records = [json.loads(line) for line in ended.stderr.splitlines()]
    spoken = {record["msg"]: record for record in records if record["logger"] == "mine"}
    pids: dict[str, set[int]] = {}
    for mode, (first, *rest) in ids.items():
        for number, task_id in enumerate((first, *rest)):
            seen: dict[str, Any] = json.loads((tmp_path / "ledger" / f"{mode}{number}").read_text())
            assert (seen["id"], seen["attempt"], seen["queue"]) == (task_id, 1, "default")
            assert 0 < seen["left"] <= TIMEOUT
            assert seen["left_behind"] == "nothing", f"{mode}: a context variable of the task before"
            record = spoken[f"seen by {task_id}"]
            assert (record["task_id"], record["attempt"], record["queue"]) == (task_id, 1, "default")
            assert record["task"].endswith(f":{mode}")
            assert f"printed by {task_id}\n" in ended.stdout
            pids.setdefault(mode, set()).add(seen["pid"])
    assert pids["on_the_loop"] == pids["in_a_thread"]
    assert not (pids["in_a_child"] | pids["on_the_loop_of_a_child"]) & pids["on_the_loop"]


def test_a_worker_that_has_lost_half_of_its_threads_starts_itself_afresh(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(LOST)
    run(environment, tmp_path, "shop.py")
    ended = run(environment, tmp_path, "-m", "asynctasq", "worker", "shop.py", "--burst", "--threads", "4")
    assert "2 of 4 threads are lost" in ended.stderr
    lost, after = re.findall(r"lost by (\d+)", ended.stdout), re.findall(r"after, by (\d+)", ended.stdout)
    assert len(lost) == 2
    assert len(after) == 2
    assert set(lost) == set(after), "the same process, which a service manager knows by its id"
    assert ended.stderr.count(" serves ") == 2


def test_a_supervised_worker_that_has_lost_half_of_its_threads_is_started_afresh(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(LOST)
    run(environment, tmp_path, "shop.py")
    words = ["worker", "shop.py", "--burst", "--threads", "2", "--processes", "2"]
    ended = run(environment, tmp_path, "-m", "asynctasq", *words)
    assert "has lost half of its threads; started afresh" in ended.stderr
    assert len(re.findall(r"after, by (\d+)", ended.stdout)) == 2


def test_a_lost_thread_among_many_stops_nothing(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(LOST)
    run(environment, tmp_path, "shop.py")
    process = subprocess.Popen(
        [sys.executable, "-m", "asynctasq", "worker", "shop.py", "--threads", "8"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(4)]
        process.terminate()
        _, log = process.communicate(timeout=20)  # less than the grace: nobody waits for what has failed already
    finally:
        process.kill()
        process.communicate()
    assert sum(line.startswith("after") for line in seen) == 2
    assert process.returncode == 0
    assert "threads are lost" not in log


def test_the_tasks_of_a_script_run_in_children_and_dispatch_to_where_the_script_does(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(SCRIPT)
    run(environment, tmp_path, "app.py")
    ended = run(environment, tmp_path, "-m", "asynctasq", "worker", "app.py", "--burst")
    assert ended.stdout == "first: app:second\nsecond: app\n"


@pytest.mark.parametrize("words", [["shop.paints.mixing"], []], ids=["named", "discovered"])
def test_the_tasks_of_a_package_run_in_children_with_what_their_annotations_rebuild(
    environment: Mapping[str, str], tmp_path: Path, words: list[str]
) -> None:
    folder = tmp_path / "shop" / "paints"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    (folder / "mixing.py").write_text(PACKAGE)
    send = "from shop.paints.mixing import *; mix(Paint(Colour.RED, 1.5)).dispatch_sync()"
    run(environment, tmp_path, "-c", send)
    ended = run(environment, tmp_path, "-m", "asynctasq", "worker", *words, "--burst")
    assert ended.stdout == "mixed Paint(colour=<Colour.RED: 'red'>, litres=1.5)\n"


@pytest.mark.parametrize(("limit", "pids"), [("--max-tasks-per-child", 3), ("--max-memory-per-child", 6)])
def test_a_child_is_replaced_between_two_tasks(
    environment: Mapping[str, str], tmp_path: Path, limit: str, pids: int
) -> None:
    """Six tasks, two per child; or, above a limit of one megabyte, one."""
    (tmp_path / "shop.py").write_text(
        "import os\nfrom asynctasq import task\n\n@task(process=True)\ndef who():\n    print(os.getpid())\n"
    )
    run(environment, tmp_path, "-c", "from shop import *; [who().dispatch_sync() for _ in range(6)]")
    most = {"--max-tasks-per-child": "2", "--max-memory-per-child": "1"}[limit]
    words = ["worker", "shop", "--burst", "--children", "1", limit, most]
    ended = run(environment, tmp_path, "-m", "asynctasq", *words)
    seen = ended.stdout.split()
    assert len(seen) == 6
    assert len(set(seen)) == pids
    assert "failed" not in ended.stderr
