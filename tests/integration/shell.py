"""A project folder in which commands are run, and workers whose output is read as it comes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest


class Shell:
    """Runs commands in a project folder, with a clean environment."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}

    def run(self, *words):
        return subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)

    def asynctasq(self, *words):
        return self.run(sys.executable, "-m", "asynctasq", *words)

    def dispatch(self, *words, file="jobs.py"):
        done = self.run(sys.executable, file, *words)
        assert done.returncode == 0, done.stderr

    def stats(self):
        answer = json.loads(self.asynctasq("stats", "--json").stdout)
        return {queue["queue"]: queue for queue in answer}

    def worker(self, *words, program=("-m", "asynctasq")):
        self.started.append(Running(self, words, program))
        return self.started[-1]


class Running:
    """A worker whose output is read as it comes."""

    def __init__(self, shell, words, program):
        self.process = subprocess.Popen(
            [sys.executable, *program, "worker", *words],
            cwd=shell.folder,
            env=shell.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        self._logged = threading.Condition()
        self._reads = threading.Thread(target=self._read, daemon=True)  # so that a full pipe never blocks the worker
        self._reads.start()

    def _read(self):
        for line in self.process.stderr:
            with self._logged:
                self.log += line
                self._logged.notify()

    def read_log(self, words, *, times=1):
        """Wait until the log says so."""
        with self._logged:
            assert self._logged.wait_for(lambda: self.log.count(words) >= times, timeout=30), self.log

    def read(self, pattern):
        seen = ""
        for line in self.process.stdout:
            seen += line
            if match := re.search(pattern, line):
                return match
        return pytest.fail(f"{pattern!r} did not come:\n{seen}{self.log}")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.end()

    def end(self):
        rest = self.process.stdout.read()
        self._reads.join()
        return self.process.wait(), rest

    def close(self):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()
        self._reads.join()
        self.process.stderr.close()
