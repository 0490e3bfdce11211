"""The command line as operators use it: real processes on a queue in a SQLite file.

Nothing waits for a time to pass: a test reads what a process writes, which it does when it has come to that point.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from subprocess import PIPE

import pytest
from tests.integration.shell import Shell

JOBS = """
import asyncio, gc, os, sys, time
from asynctasq.tasks import current_task, dispatch_many, task
from asynctasq.utils.loop import run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

@task
async def greet(name):
    say("hello", name)

@task
async def rest(seconds):
    say("resting", os.getpid())
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        say("cancelled")
        raise
    say("rested")

@task
async def look_at(what):
    say("spared", getattr(gc, what)())

@task(queue="bad", max_attempts=1)
def fail(why):
    raise ValueError(why)

@task(queue="bad", max_attempts=3, retry_delay=0)
async def insist(why):
    raise LookupError(f"failure {current_task().attempt}\\x1b[2J")

async def main(name, *arguments):
    await dispatch_many([globals()[name](eval(argument)) for argument in arguments])

if __name__ == "__main__":
    run(main(*sys.argv[1:]))
"""


@pytest.fixture
def shell(tmp_path):
    (tmp_path / "pyproject.toml").touch()  # the queue's file goes beside it
    (tmp_path / "jobs.py").write_text(JOBS)
    shell = Shell(tmp_path)
    yield shell
    for running in shell.started:
        running.close()


def test_a_script_dispatches_and_a_worker_that_was_told_nothing_finds_and_runs_its_tasks(shell):
    shell.dispatch("greet", "'Ada'", "'Grace'")
    assert shell.stats()["default"]["ready"] == 2
    done = shell.asynctasq("worker", "--burst")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["hello Ada", "hello Grace"]
    assert "imported jobs.py as jobs" in done.stderr
    assert str(shell.folder / ".asynctasq" / "queue.db") in done.stderr
    assert all(json.loads(line)["ts"].endswith("Z") for line in done.stderr.splitlines())
    assert shell.stats()["default"]["ready"] == 0


def test_what_a_worker_imported_is_spared_by_its_garbage_collector(shell):
    shell.dispatch("look_at", "'get_freeze_count'")
    worker = shell.worker("jobs", "--burst")
    assert int(worker.read(r"spared (\d+)")[1]) > 10_000
    assert worker.end()[0] == 0


@pytest.mark.parametrize("spec", ["shop.jobs", "shop/jobs.py", "shop.jobs:app"])
def test_a_script_in_a_folder_is_served_however_it_is_named(shell, spec):
    (shell.folder / "shop").mkdir()
    (shell.folder / "shop" / "jobs.py").write_text(
        JOBS.replace("\n@task\n", "\nimport asynctasq\napp = asynctasq.init()\n@task\n", 1)
    )
    shell.dispatch("greet", "'Ada'", file="shop/jobs.py")
    done = shell.asynctasq("worker", spec, "--burst")
    assert (done.returncode, done.stdout) == (0, "hello Ada\n"), done.stderr


def test_what_a_program_says_in_init_is_served_and_seen(shell):
    (shell.folder / "jobs.py").write_text("import asynctasq\nasynctasq.init('sqlite:///elsewhere.db')\n" + JOBS)
    shell.dispatch("greet", "'Ada'")
    stats = json.loads(shell.asynctasq("stats", "--app", "jobs", "--json").stdout)
    assert [queue["ready"] for queue in stats if queue["queue"] == "default"] == [1]
    assert shell.asynctasq("worker", "--burst").stdout == "hello Ada\n"
    assert (shell.folder / "elsewhere.db").exists()


def test_a_dead_letter_is_seen_requeued_and_purged(shell):
    shell.dispatch("fail", "'no paper'")
    assert shell.asynctasq("worker", "jobs", "--burst").returncode == 0
    (letter,) = json.loads(shell.asynctasq("dead", "list", "--json").stdout)
    assert (letter["task"], letter["queue"]) == ("jobs:fail", "bad")
    assert "ValueError: no paper" in letter["error"]
    assert shell.asynctasq("dead", "requeue", letter["id"]).stdout == "requeued 1\n"
    assert shell.asynctasq("worker", "jobs", "--burst").returncode == 0
    assert shell.asynctasq("dead", "purge", "--queue", "bad", "--all", "--yes").stdout == "purged 1\n"


def test_a_dead_letter_is_shown_with_the_traceback_of_each_attempt_and_no_argument(shell):
    shell.dispatch("insist", "'hunter2'")
    assert shell.asynctasq("worker", "jobs", "--burst").returncode == 0
    (letter,) = json.loads(shell.asynctasq("dead", "list", "--json").stdout)
    shown = shell.asynctasq("dead", "show", letter["id"]).stdout
    headings = [line for line in shown.splitlines() if line.startswith(("attempt ", "last error, "))]
    assert [heading.split(",")[0] for heading in headings] == ["attempt 1", "attempt 2", "last error"]
    for attempt, text in enumerate(re.split(r"\n(?:attempt|last error)\b", shown)[1:], start=1):
        assert "Traceback (most recent call last):" in text
        assert 'jobs.py", line' in text
        assert f"LookupError: failure {attempt}\\x1b[2J" in text, "a terminal is not steered by what a task says"
    assert "hunter2" not in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_finishes_what_runs(shell, number):
    shell.dispatch("rest", "0.5")
    worker = shell.worker("jobs")
    worker.read("resting")
    code, rest = worker.stop(number)
    assert (code, rest) == (0, "rested\n")


def test_a_worker_cancels_what_outlives_the_grace_and_gives_it_back(shell):
    shell.dispatch("rest", "3600")
    worker = shell.worker("jobs", "--shutdown-grace", "0")
    worker.read("resting")
    code, rest = worker.stop()
    assert (code, rest) == (0, "cancelled\n")
    assert shell.stats()["default"]["leased"] == 0


LOCK = """
import apsw, sys
holder = apsw.Connection(sys.argv[1])
holder.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


def test_a_locked_queue_refuses_a_dispatch_by_name_and_a_worker_waits_for_it(shell):
    shell.dispatch("greet", "'before'")
    file = shell.folder / ".asynctasq" / "queue.db"
    holder = subprocess.Popen([sys.executable, "-c", LOCK, file], stdin=PIPE, stdout=PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "locked\n"
        worker = shell.worker("jobs")
        worker.read_log("trying again until it works")
        began = time.monotonic()
        refused = shell.run(sys.executable, "jobs.py", "greet", "'during'")
        # The interpreter's start takes a third of a second, and up to two on a crowded machine.
        assert time.monotonic() - began < 5 + 3, "the port's five seconds, and the interpreter's start"
        assert refused.returncode == 1
        assert f"DriverUnavailable: {file}: nothing was applied" in refused.stderr
    worker.read("hello before")
    shell.dispatch("greet", "'after'")
    worker.read("hello after")
    assert worker.stop()[0] == 0
    assert "works again after" in worker.log


def test_sigquit_shows_what_is_running(shell):
    shell.dispatch("rest", "3600")
    worker = shell.worker("jobs", "--shutdown-grace", "0")
    worker.read("resting")
    worker.process.send_signal(signal.SIGQUIT)
    worker.stop()
    assert "running now:" in worker.log
    assert "(jobs:rest), attempt 1" in worker.log


def test_several_processes_share_the_work_and_one_that_dies_is_replaced(shell):
    shell.environment["ASYNCTASQ_WORKER_PROCESSES"] = "3"  # the command line is stronger
    shell.dispatch("rest", "3600")
    worker = shell.worker("jobs", "--processes", "2", "--lease", "1", "--shutdown-grace", "0", "--log-format", "text")
    victim = int(worker.read(r"resting (\d+)")[1])
    os.kill(victim, signal.SIGKILL)
    second = int(worker.read(r"resting (\d+)")[1])  # when the lease has ended, one second later
    assert second != victim
    code, rest = worker.stop()
    assert (code, rest) == (0, "cancelled\n")
    assert "was killed by SIGKILL; started again in 1 s" in worker.log
    assert "worker 3 is process" not in worker.log


def test_several_processes_drain_a_burst_and_end(shell):
    shell.dispatch("greet", *map(str, range(20)))
    code, rest = shell.worker("jobs", "--processes", "2", "--burst").end()
    assert code == 0
    assert sorted(rest.split()[1::2], key=int) == [str(number) for number in range(20)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["worker", "nowhere"], 2, "there is no module 'nowhere'"),
        (["worker", "--driver", "mysqll"], 2, "there is no driver 'mysqll'"),
        (["worker", "jobs", "--processes", "0"], 2, "worker.processes=0 (command line)"),
        (["stats", "--driver", "sqlite:////dev/null/queue.db"], None, "/dev/null/queue.db"),
        (["dead", "show", "nothing"], 1, "there is no dead letter nothing"),
        (["stast"], 2, "Did you mean 'stats'?"),
    ],
)
def test_what_does_not_work_ends_with_one_clear_line_and_its_status(shell, words, code, said):
    done = shell.asynctasq(*words)
    assert done.returncode in ({code} if code else {2, 3})
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_a_worker_whose_settings_cannot_work_is_not_started_again_for_ever(shell):
    code, _ = shell.worker("jobs", "--processes", "2", "--driver", "jobs:greet").end()
    assert code == 2


def test_the_installed_command_is_the_same_program(shell):
    installed = os.path.join(os.path.dirname(sys.executable), "asynctasq")
    assert shell.run(installed, "--help").stdout == shell.asynctasq("--help").stdout
    shell.dispatch("greet", "'Ada'")
    assert shell.run(installed, "worker", "jobs", "--burst").stdout == "hello Ada\n"
