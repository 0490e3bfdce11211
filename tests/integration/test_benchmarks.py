"""The benchmarks' harness, at sizes at which no figure means anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.targets import Target, judge

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
def test_the_embedded_part_measures_us_beside_the_bare_loop(tmp_path: Path) -> None:
    written = tmp_path / "run.json"
    command = [sys.executable, "-m", "benchmarks", "sqlite", "--peers", "asynctasq", "bare_sqlite"]
    sizes = ["-n", "200", "--rounds", "1", "--pings", "3", "--idle", "0.1"]
    done = subprocess.run(
        [*command, *sizes, "--python", sys.executable, "--json", str(written)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(written.read_text())["sqlite"]
    assert run["failures"] == {}
    assert run["samples"]["bare_sqlite"][0]["drain async, tasks/s"] > 0
    assert {"drain async, tasks/s", "drain sync, tasks/s", "latency p99, ms", "decode a small task, us"} <= run[
        "samples"
    ]["asynctasq"][0].keys()
    assert written.with_suffix(".svg").read_text().startswith("<svg")


@pytest.mark.timeout(120)
def test_the_part_about_growth_answers_for_claims_memory_and_workers() -> None:
    sizes = [
        "--ready",
        "1000",
        "--delayed",
        "1000",
        "--dead",
        "1000",
        "--claims",
        "20",
        "--runs",
        "100",
        "--busy",
        "20",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "sqlite", *sizes],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert {"full : empty", "worker RSS after 100, MB", "two : one"} <= figures.keys()
    assert all(value > 0 for value in figures.values())


def test_a_verdict_is_the_median_of_the_ratios_within_rounds() -> None:
    rounds = {
        "asynctasq": [{"drain async, tasks/s": rate} for rate in (800.0, 80.0, 900.0)],
        "taskiq": [{"drain async, tasks/s": rate} for rate in (100.0, 10.0, 100.0)],
        "arq": [{"drain async, tasks/s": rate} for rate in (90.0, 9.0, 90.0)],
    }
    verdict = judge(Target("redis", "drain async, tasks/s", "peer", 8), rounds)
    assert (verdict.value, verdict.against, verdict.word) == (8.0, "taskiq", "met")


def test_a_peer_that_loses_tasks_on_a_crash_is_no_rival_of_those_that_do_not() -> None:
    rounds = {"asynctasq": [{"drain async, tasks/s": 800.0}], "huey": [{"drain sync, tasks/s": 100.0}]}
    assert judge(Target("sqlite", "drain async, tasks/s", "peer", 8), rounds).word == "not measured"
    assert judge(Target("sqlite", "drain async, tasks/s", "huey", 8), rounds).value == 8.0
