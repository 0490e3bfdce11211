"""`asynctasq worker --reload`: a project that is edited while its worker runs."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.shell import Shell

JOBS = """
import asyncio, os, sys
from asynctasq.tasks import task
from asynctasq.utils.loop import run
from words import WORD

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

@task
async def greet():
    say(WORD)

@task
async def rest():
    say("resting")
    await asyncio.sleep(1)
    say("rested")

if __name__ == "__main__":
    run(globals()[sys.argv[1]]().dispatch())
"""


@pytest.fixture
def shell(tmp_path: Path) -> Generator[Shell]:
    (tmp_path / "pyproject.toml").touch()  # the queue's file goes beside it
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "words.py").write_text("WORD = 'hello'\n")
    shell = Shell(tmp_path)
    yield shell
    for running in shell.started:
        running.close()


def test_a_worker_follows_its_code_finishing_first_what_runs_and_outlives_a_mistake(shell: Shell) -> None:
    worker = shell.worker("jobs", "--reload", "--log-format", "text")
    shell.dispatch("rest")
    worker.read("resting")
    (shell.folder / "words.py").write_text("WORD = 'goodbye'\n")
    worker.read_log("words.py: the workers are started again")
    assert worker.read("rested|resting")[0] == "rested"
    shell.dispatch("greet")
    worker.read("^goodbye")

    (shell.folder / "words.py").write_text("WORD = = 'oops'\n")
    worker.read_log("it is started again at the next change")
    assert "SyntaxError" in worker.log
    (shell.folder / "words.py").write_text("WORD = 'back'\n")
    shell.dispatch("greet")
    worker.read("^back")
    status, rest = worker.stop()
    assert (status, rest) == (0, "")


def test_what_is_no_code_of_ours_changes_nothing(shell: Shell) -> None:
    for folder in (".hidden", "env/site-packages"):
        (shell.folder / folder).mkdir(parents=True)
    worker = shell.worker("jobs", "--reload", "--log-format", "text")
    worker.read_log(" serves ")
    for file in ("notes.txt", ".hidden/theirs.py", "env/site-packages/theirs.py"):
        (shell.folder / file).write_text("x = 1\n")
    (shell.folder / "words.py").write_text("WORD = 'goodbye'\n")
    worker.read_log("the workers are started again")
    (what,) = re.findall(r"supervisor: (.*): the workers are started again", worker.log)
    assert what == "words.py"
    assert worker.stop()[0] == 0


def test_without_its_package_a_worker_says_what_to_install(shell: Shell) -> None:
    (shell.folder / "watchfiles.py").write_text("raise ImportError('not installed')\n")
    done = shell.asynctasq("worker", "jobs", "--reload")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: --reload needs watchfiles: install asynctasq with its extra 'reload'"
    )


def test_a_burst_and_a_reload_exclude_each_other(shell: Shell) -> None:
    done = shell.asynctasq("worker", "jobs", "--reload", "--burst")
    assert done.returncode == 2
    assert "--burst ends when nothing is ready, and --reload never does" in done.stderr
