"""The demo, run as a newcomer would, on the largest files of the library only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def start_demo(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "census", "--limit", "60"],
        cwd=EXAMPLES,
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Tests that run in the background of a shell ignore Ctrl+C, and what they start would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 -- this process has one thread
    )


def wait_until_a_worker_has_started(demo: subprocess.Popen[str]) -> int:
    assert demo.stdout is not None
    for line in demo.stdout:
        if started := re.search(r"worker (\d+) started", line):
            return int(started[1])
    pytest.fail("the demo ended before it started a worker")


@pytest.mark.timeout(120)
def test_the_demo_kills_a_worker_recovers_its_tasks_and_leaves_no_file(tmp_path: Path) -> None:
    with start_demo(tmp_path) as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 0, output
    assert re.search(r"OK: one worker of two was killed, [1-9]\d* tasks were recovered", output), output
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_its_workers_and_leaves_no_file(tmp_path: Path, interruption: signal.Signals) -> None:
    with start_demo(tmp_path) as demo:
        worker = wait_until_a_worker_has_started(demo)
        demo.send_signal(interruption)
        output, _ = demo.communicate()
    assert demo.returncode == 130, output
    assert not Path(f"/proc/{worker}").exists()
    assert not list(tmp_path.iterdir())
