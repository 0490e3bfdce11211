"""What CI costs is counted by part, listed, and kept."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.minutes import LIMITS, part_of

ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("tests/unit/app/test_worker.py", "unit"),
        ("tests/contract/drivers/test_redis.py", "contract, redis"),
        ("tests/contract/drivers/test_redis_cluster.py", "contract, redis"),
        ("tests/contract/drivers/test_of_others.py", "contract, the rest"),
        ("tests/contract/executors/test_thread.py", "contract, the rest"),
        ("tests/contract/test_matrix.py", "contract, the rest"),
        ("tests/integration/guide/test_guide.py", "integration"),
        ("tests/docs/test_site.py", "docs"),
    ],
)
def test_each_test_counts_for_one_part(file: str, part: str) -> None:
    assert part_of(file) == part


def test_each_driver_has_a_part_of_its_own() -> None:
    drivers = {
        file.stem.removeprefix("test_").partition("_")[0] for file in (ROOT / "tests/contract/drivers").glob("test_*")
    }
    assert {f"contract, {driver}" for driver in drivers} <= LIMITS.keys()


def test_the_limits_are_those_that_contributing_lists() -> None:
    listed = re.findall(r"^\| ([\w, ]+) \| (\d+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    assert {part: int(minutes) for part, minutes in listed} == LIMITS


@pytest.mark.parametrize(
    ("ci", "limit", "processes", "status"),
    [("true", 0.0, [], 1), ("true", 0.0, ["-n", "2"], 1), ("true", 1.0, [], 0), ("", 0.0, [], 0)],
)
def test_a_part_above_its_limit_fails_ci_and_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, limit: float, processes: list[str], status: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{pytester.path}")
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(
        f"from tests import minutes\nminutes.LIMITS['unit'] = {limit}\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(minutes.Minutes())\n"
    )
    folder = pytester.mkdir("tests") / "unit"
    folder.mkdir()
    # Inherited, as the tests of a contract are: they count where they run.
    pytester.makepyfile(suite="class Suite:\n    def test_it(self): ...\n")
    (folder / "test_it.py").write_text("from suite import Suite\n\n\nclass TestIt(Suite): ...\n")
    done = pytester.runpytest_subprocess("-p", "no:randomly", "--import-mode=importlib", *processes)
    assert done.ret == status
    done.stdout.fnmatch_lines([f"minutes: unit 0.0 of {limit}"])
    told = "minutes: unit took longer than it may: make it cheaper, or raise its limit in tests/minutes.py"
    assert (told in done.outlines) is (limit == 0.0)


@pytest.mark.parametrize(("limit", "status"), [("35", 0), ("-1", 1)])
def test_ci_fails_beyond_its_minutes(tmp_path: Path, limit: str, status: int) -> None:
    for command in ("scripts/setup", "scripts/test", ".venv/bin/python"):
        (tmp_path / command).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    (tmp_path / ".ci").mkdir()
    ours = (ROOT / ".ci/run").read_text()
    assert "\nlimit=35 " in ours
    (tmp_path / ".ci/run").write_text(ours.replace("\nlimit=35 ", f"\nlimit={limit} "))
    done = subprocess.run(["sh", tmp_path / ".ci/run"], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert re.search(r"^ci: all, \d+ s of " + limit, done.stdout, flags=re.MULTILINE)
    assert ("make a part above cheaper" in done.stderr) is (status == 1)
