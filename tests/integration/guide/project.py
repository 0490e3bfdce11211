"""A folder with one of the programs beside this file, on one broker, and the commands that a reader of the guide types."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.fleet import Broker

from asynctasq.app.bootstrap import App
from asynctasq.app.settings import load_settings
from asynctasq.ports.driver import DeadLetters, DeadMessage, QueueStats

PROGRAMS = Path(__file__).with_name("programs")


@dataclass(slots=True)
class Project:
    """One program in a folder of its own.

    Attributes:
        folder: where it is.
        file: its name.
        environ: what the commands see, nothing of ours but the broker's place.
    """

    folder: Path
    file: str
    environ: dict[str, str]

    @classmethod
    def of(cls, program: str, broker: Broker, folder: Path, **more: str) -> Project:
        """Copy a program into a folder. It names its driver as the guide does; where the broker is, the environment says."""
        shutil.copy(PROGRAMS / program, folder)
        where = dict(broker.environ(folder))
        if "://" in where.get("ASYNCTASQ_DRIVER", ""):
            where[f"ASYNCTASQ_{broker.name.upper()}_DSN"] = where["ASYNCTASQ_DRIVER"]
        del where["ASYNCTASQ_DRIVER"]  # it is the program that says so
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
        return cls(folder, program, {**ours, **where, **more, "GUIDE_DRIVER": broker.name})

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`python WORDS`, which succeeds."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    def dispatch(self) -> list[str]:
        """Run the program; the lines it prints."""
        return self.run(self.file).stdout.splitlines()

    def work(self, *options: str) -> list[str]:
        """Run a worker until nothing is ready; the lines that tasks print, sorted."""
        return sorted(self.run("-m", "asynctasq", "worker", self.file, "--burst", *options).stdout.splitlines())

    def stats(self, *queues: str, driver: object | None = None) -> dict[str, QueueStats]:
        """How queues stand."""
        return asyncio.run(self._stats(queues, driver))

    def waiting(self, *queues: str, driver: object | None = None) -> dict[str, tuple[int, int, int]]:
        """How many messages of each queue are ready, delayed and dead."""
        stats = self.stats(*queues, driver=driver)
        return {queue: (each.ready, each.delayed, each.dead) for queue, each in stats.items()}

    def dead(self, queue: str) -> list[DeadMessage]:
        """The dead letters of a queue."""
        return asyncio.run(self._dead(queue))

    def _app(self) -> App:
        driver = self.environ["GUIDE_DRIVER"]
        return App(load_settings({"driver": driver}, environ=self.environ, cwd=self.folder))

    async def _stats(self, queues: Sequence[str], driver: object | None) -> dict[str, QueueStats]:
        async with self._app().driver(driver) as connected:
            return {stats.queue: stats for stats in await connected.stats(queues)}

    async def _dead(self, queue: str) -> list[DeadMessage]:
        async with self._app().driver() as connected:
            assert isinstance(connected, DeadLetters)
            return list(await connected.list_dead(queue, limit=100))


def words(lines: Sequence[str]) -> Mapping[str, str]:
    """Lines of two words, as a mapping."""
    return dict(line.split(maxsplit=1) for line in lines)
