"""README's first screen does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
(SHOWN,) = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def test_the_two_commands_come_first_and_can_be_run() -> None:
    commands = [block.strip() for block in BLOCKS[:2]]
    assert commands == ["./scripts/demo", "./scripts/test"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = [line.split()[-1] for line in (ROOT / ".ci" / "run").read_text().splitlines() if line]
    assert "./scripts/test" in commands


@pytest.mark.timeout(60)
def test_the_first_task_works_by_copy_and_paste(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "pyproject.toml").touch()  # the root of a project, as the checkout is: the queue's file goes beside it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
    pasted = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", BLOCKS[2]],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert pasted.returncode == 0, pasted.stderr
    assert re.sub(ID, "an id", pasted.stdout) == re.sub(ID, "an id", SHOWN)
    assert (tmp_path / ".asynctasq" / "queue.db").exists()


def test_it_fits_on_a_few_screens() -> None:
    assert len(PAGE.splitlines()) <= 140
