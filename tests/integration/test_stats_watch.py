"""`asynctasq stats --watch`, on a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asynctasq.drivers.sqlite_driver import SQLiteDriver
from asynctasq.ports import Message

pytestmark = pytest.mark.timeout(90)
PATIENCE = 45.0
"""Seconds for what takes one: the machine may be crowded."""


@dataclass
class Terminal:
    """What a program shows on a terminal of its own."""

    process: subprocess.Popen[bytes]
    screen: int
    shown: str = field(default="")

    def until(self, pattern: str) -> None:
        """Read until it has been shown; what came before is forgotten."""
        deadline = time.monotonic() + PATIENCE
        while (match := re.search(pattern, self.shown)) is None:
            assert time.monotonic() < deadline, f"{pattern!r} was never shown: {self.shown[-2000:]!r}"
            if select.select([self.screen], [], [], 0.5)[0]:
                self.shown += os.read(self.screen, 65536).decode("utf-8", "replace")
        self.shown = self.shown[match.end() :]


@contextmanager
def terminal(*words: str, cwd: Path) -> Generator[Terminal]:
    screen, theirs = pty.openpty()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "asynctasq", *words],
        cwd=cwd,
        env=ours | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


async def enqueue(file: Path, *ids: str) -> None:
    driver = SQLiteDriver(file)
    await driver.connect()
    await driver.enqueue([Message(id=id, queue="emails", body=b"") for id in ids])
    await driver.close()


def test_the_table_is_drawn_again_as_things_change_and_an_interrupt_ends_it_in_good_order(tmp_path: Path) -> None:
    file = tmp_path / "queue.db"
    asyncio.run(enqueue(file, "1"))
    with terminal("stats", "--watch", "--every", "0.2", "--driver", f"sqlite:///{file}", cwd=tmp_path) as shell:
        shell.until(r"emails\D+1\D")
        asyncio.run(enqueue(file, "2", "3"))
        shell.until(r"emails\D+3\D")
        shell.process.send_signal(signal.SIGINT)
        assert shell.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--watch"], "--watch needs a terminal"), (["--watch", "--json"], "keep one of the two")],
)
def test_where_nobody_watches_it_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asynctasq", "stats", *words, "--driver", "memory"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
