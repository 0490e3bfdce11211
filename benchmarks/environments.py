"""A virtual environment for each peer: their pins contradict each other, and ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import Peer

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".benchmarks"
PYTHONS = ("3.12", "3.13")
"""Tried in this order after BENCHMARKS_PYTHON, the same for every peer: asynctasq 1.7 needs 3.12."""


class Unavailable(Exception):
    """A peer cannot be installed or run here; the message says why."""


def python_of(peer: Peer) -> str:
    """The interpreter of a peer's environment, which is made or renewed if its pins have changed.

    Raises:
        Unavailable: it cannot be installed.
    """
    folder = CACHE / peer.name
    stamp = folder / "installed.json"
    wanted = json.dumps([peer.requirements, hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()])
    python = folder / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        if uv := shutil.which("uv"):
            _run(uv, "venv", "--quiet", "--no-python-downloads", "--python", _interpreter(), str(folder))
            _run(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *peer.requirements)
        else:
            _run(_interpreter(), "-m", "venv", str(folder))
            _run(str(python), "-m", "pip", "install", "--quiet", *peer.requirements)
        stamp.write_text(wanted)
    return str(python)


def version() -> str:
    """Of the interpreter that every peer runs on, for people."""
    told = subprocess.run([_interpreter(), "-V"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def _interpreter() -> str:
    for candidate in (os.environ.get("BENCHMARKS_PYTHON"), *(f"python{version}" for version in PYTHONS)):
        found = candidate and shutil.which(candidate)
        # A shim of a version manager is there whether or not its version is.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return sys.executable  # a peer that needs a later Python then says so


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:4])} ... failed: {done.stderr.strip()[-300:]}")
