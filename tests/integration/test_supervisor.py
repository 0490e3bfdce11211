"""The supervisor, with real processes. What they write comes out of one pipe, which ends when all of them are gone."""

import os
import re
import signal
import subprocess
import sys

import pytest

PRELUDE = """
import os, signal, sys, threading
from asynctasq.app import lifeline
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
fd = int(sys.argv[sys.argv.index("--lifeline") + 1])
"""

WAITS = """
stops, needed = [], globals().get("needed", 1)
def on(number, _):
    if number != signal.SIGQUIT: stops.append(number)
    say("got", signal.Signals(number).name)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT): signal.signal(number, on)
lifeline.watch(fd, grace=60)
say("up", os.getpid())
while len(stops) < needed: threading.Event().wait(0.02)  # a handler in Python runs only between two waits
"""

ONCE = """
try: os.close(os.open("once", os.O_CREAT | os.O_EXCL))
except FileExistsError: {1}
else: {0}
"""

SUPERVISES = """
import asyncio, logging, sys
from asynctasq.app.supervisor import Restarts, Supervisor
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
async def changes():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader: yield [line.decode().strip()]
async def main():
    restarts = Restarts(first=0.01, most=0.02, steady={steady}, loop=3)
    watched = changes() if {watches} else None
    command = [sys.executable, {child!r}]
    return await Supervisor(command, {processes}, burst={burst}, restarts=restarts, changes=watched).run()
code = asyncio.run(main())
print("supervisor ends", code, flush=True)
sys.exit(code)
"""


class Supervised:
    """A supervisor of children that run `child`."""

    def __init__(self, folder, child, *, processes=2, burst=False, steady=60.0, watches=False):
        file = folder / "child.py"
        file.write_text(PRELUDE + child)
        code = SUPERVISES.format(child=str(file), processes=processes, burst=burst, steady=steady, watches=watches)
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read(self, pattern, *, times=1):
        """The matches of `pattern` in the coming lines, as soon as there are so many."""
        found, seen = [], []
        for line in self.process.stdout:
            seen.append(line)
            if match := re.search(pattern, line):
                found.append(match)
                if len(found) == times:
                    return found
        pytest.fail(f"{pattern!r} came {len(found)} times:\n{''.join(seen)}")

    def rest(self):
        """What is written until every process is gone, and the supervisor's exit status."""
        text = self.process.stdout.read()
        return text, self.process.wait()

    def changes(self, file):
        """Something that the supervisor watches has changed."""
        self.process.stdin.write(f"{file}\n")
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)


@pytest.fixture
def supervise(tmp_path):
    started = []

    def start(child, **options):
        started.append(Supervised(tmp_path, child, **options))
        return started[-1]

    yield start
    for supervised in started:
        supervised.process.kill()  # the children follow: it is what is tested here
        supervised.process.stdout.close()
        supervised.process.stdin.close()
        supervised.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_is_passed_on_to_all_and_their_end_waited_for(supervise, number):
    supervised = supervise(WAITS + "say('clean')\n")
    supervised.read(r"^up", times=2)
    supervised.signal(number)
    text, code = supervised.rest()
    assert text.count(f"got {number.name}") == 2
    assert text.count("clean") == 2
    assert text.endswith("supervisor ends 0\n")
    assert code == 0


def test_a_second_signal_is_passed_on_too_and_the_worst_status_is_the_supervisors(supervise):
    supervised = supervise("needed = 2\n" + WAITS + "sys.exit(130)\n")
    supervised.read(r"^up", times=2)
    supervised.signal(signal.SIGTERM)
    supervised.read("got SIGTERM", times=2)
    supervised.signal(signal.SIGTERM)
    text, code = supervised.rest()
    assert text.count("got SIGTERM") == 2
    assert code == 130


def test_sigquit_is_passed_on_and_stops_nobody(supervise):
    supervised = supervise(WAITS)
    supervised.read(r"^up", times=2)
    supervised.signal(signal.SIGQUIT)
    supervised.read("got SIGQUIT", times=2)
    supervised.signal(signal.SIGTERM)
    assert supervised.rest()[1] == 0


def test_a_worker_that_is_killed_is_started_again(supervise):
    supervised = supervise(WAITS)
    victim, _ = (int(match[1]) for match in supervised.read(r"^up (\d+)", times=2))
    os.kill(victim, signal.SIGKILL)
    supervised.read("was killed by SIGKILL; started again in 0.01 s")
    (successor,) = (int(match[1]) for match in supervised.read(r"^up (\d+)"))
    assert successor != victim
    supervised.signal(signal.SIGTERM)
    assert supervised.rest()[1] == 0


def test_a_worker_that_lived_long_enough_is_started_again_at_once(supervise):
    supervised = supervise(WAITS, processes=1, steady=0.0)
    (victim,) = (int(match[1]) for match in supervised.read(r"^up (\d+)"))
    os.kill(victim, signal.SIGKILL)
    supervised.read("started again in 0 s")
    supervised.read(r"^up")
    supervised.signal(signal.SIGTERM)
    assert supervised.rest()[1] == 0


def test_a_crash_loop_slows_down_is_reported_and_can_be_stopped(supervise):
    supervised = supervise("sys.exit(7)\n", processes=1)
    supervised.read(r"ended with exit status 7; started again in 0\.01 s")
    supervised.read(r"ended with exit status 7; started again in 0\.02 s", times=2)
    supervised.read("worker 1 died 3 times in a row soon after its start")
    supervised.read("started again", times=2)
    supervised.signal(signal.SIGTERM)
    code = supervised.rest()[1]
    assert code in {0, 7}  # 7 if the signal met a child that was just ending


def test_a_worker_that_cannot_work_as_configured_stops_all(supervise):
    text, code = supervise(ONCE.format("say('works')", "sys.exit(2)") + WAITS).rest()
    assert "cannot work as it is configured: all are stopped" in text
    assert "started again" not in text
    assert code == 2


def test_a_worker_that_has_done_its_share_is_started_again_and_that_is_no_death(supervise):
    supervised = supervise(ONCE.format("say('done'); sys.exit(0)", WAITS.replace("\n", "\n    ")), processes=1)
    supervised.read("worker 1 has done its share and is started again")
    supervised.read(r"^up")
    supervised.signal(signal.SIGTERM)
    text, code = supervised.rest()
    assert "started again in" not in text
    assert code == 0


def test_at_a_change_the_workers_stop_in_good_order_and_are_started_again_at_once(supervise):
    supervised = supervise(WAITS + "say('clean')\n", watches=True)
    supervised.read(r"^up", times=2)
    supervised.changes("shop.py")
    said = [match[0] for match in supervised.read(r"shop.py: the workers are started again|^clean|^up|share", times=5)]
    assert said[0] == "shop.py: the workers are started again"
    assert sorted(said[1:]) == ["clean", "clean", "up", "up"]
    supervised.signal(signal.SIGQUIT)
    supervised.read("got SIGQUIT", times=2)
    supervised.signal(signal.SIGTERM)
    text, code = supervised.rest()
    assert text.count("clean") == 2
    assert "started again in" not in text, "that is no death"
    assert code == 0


def test_where_changes_are_watched_a_worker_that_cannot_work_waits_for_the_next(supervise):
    child = ONCE.format("say('broken'); sys.exit(2)", WAITS.replace("\n", "\n    "))
    supervised = supervise(child, processes=1, watches=True)
    supervised.read("worker 1 cannot work as it is: it is started again at the next change")
    supervised.changes("shop.py")
    supervised.read(r"^up")
    supervised.signal(signal.SIGTERM)
    assert supervised.rest()[1] == 0


def test_where_changes_are_watched_a_worker_that_cannot_work_can_be_given_up(supervise):
    supervised = supervise("say('broken'); sys.exit(2)\n", processes=1, watches=True)
    supervised.read("started again at the next change")
    supervised.signal(signal.SIGTERM)
    text, code = supervised.rest()
    assert "broken" not in text
    assert code == 0


def test_the_first_signal_to_stop_is_no_second_one_for_a_worker_that_stops_for_a_change(supervise):
    supervised = supervise("needed = 2\n" + WAITS, processes=1, watches=True)
    supervised.read(r"^up")
    supervised.changes("shop.py")
    supervised.read("got SIGTERM")
    supervised.signal(signal.SIGTERM)
    supervised.read("worker 1 is stopping already")
    supervised.signal(signal.SIGQUIT)
    (got,) = supervised.read(r"got (\w+)")
    assert got[1] == "SIGQUIT"
    supervised.signal(signal.SIGTERM)
    text, code = supervised.rest()
    assert text.count("got SIGTERM") == 1
    assert code == 0


def test_in_a_burst_a_worker_that_ends_is_done_and_one_that_is_killed_is_started_again(supervise):
    child = ONCE.format("say('dies'); os.kill(os.getpid(), signal.SIGKILL)", "say('drained')")
    text, code = supervise(child, burst=True).rest()
    assert text.count("dies\n") == 1
    assert text.count("drained\n") == 2
    assert code == 0


def test_in_a_burst_the_worst_status_is_the_supervisors(supervise):
    assert supervise(ONCE.format("sys.exit(3)", "sys.exit(1)"), burst=True).rest()[1] == 3


def test_workers_stop_in_good_order_when_their_supervisor_is_killed(supervise):
    supervised = supervise(WAITS + "say('clean')\n")
    supervised.read(r"^up", times=2)
    supervised.signal(signal.SIGKILL)
    text, code = supervised.rest()  # the pipe ends only when both workers are gone
    assert text.count("got SIGTERM") == 2
    assert text.count("clean") == 2
    assert code == -signal.SIGKILL


def test_a_worker_that_will_not_stop_is_killed_when_its_supervisor_is_gone(supervise):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nlifeline.LAST_CALL = 0.1\nlifeline.watch(fd, grace=0)\n"
    supervised = supervise(deaf + "say('up')\nthreading.Event().wait()\n")
    supervised.read(r"^up", times=2)
    supervised.signal(signal.SIGKILL)
    supervised.rest()


def test_a_worker_cannot_read_the_terminal_and_gets_no_signal_from_its_keys(supervise):
    supervised = supervise("say('group', os.getpgrp() == os.getpid(), 'input', repr(sys.stdin.read()))\n", burst=True)
    text, _ = supervised.rest()
    assert text.count("group True input ''") == 2
