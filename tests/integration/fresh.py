"""Environments that hold what an installer put there, and nothing of this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def wheel(project: Path, into: Path) -> Path:
    """Build the wheel of a project."""
    before = set(into.glob("*.whl"))
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into, cwd=project)
    (built,) = set(into.glob("*.whl")) - before
    return built


class FreshEnvironment:
    """A virtual environment with the locked versions of what wheels need.

    With uv, which `scripts/setup` keeps in .tools, its cache has them all, and no network is used; else pip fetches them.

    Args:
        folder: where it is made.
        wheels: what is installed, with its extras: "/path/to.whl[testing]".
        unlocked: packages whose locked versions do not count: `wheels` may ask for others.
        interpreter: whose environment it is; this one's unless said.
    """

    def __init__(
        self, folder: Path, wheels: Sequence[str], *, unlocked: Sequence[str] = (), interpreter: str = sys.executable
    ) -> None:
        self.python = folder / "bin" / "python"
        uv = _uv()
        if uv is None:
            _run(interpreter, "-m", "venv", folder, cwd=ROOT)
            _run(self.python, "-m", "pip", "install", "--quiet", *wheels, cwd=ROOT)
            return
        _run(uv, "venv", "--quiet", "--python", interpreter, folder, cwd=ROOT)
        locked = folder / "locked.txt"
        _run(
            uv,
            "export",
            "--quiet",
            "--frozen",
            "--offline",
            "--all-extras",
            "--no-emit-project",
            *(f"--no-emit-package={name}" for name in unlocked),
            "-o",
            locked,
            cwd=ROOT,
        )
        install = [uv, "pip", "install", "--quiet", "--python", self.python, "--constraints", locked, *wheels]
        if subprocess.run([*install, "--offline"], cwd=ROOT, capture_output=True, check=False).returncode:
            _run(*install, cwd=ROOT)

    def run(self, *words: str | Path, cwd: Path) -> str:
        """What a command of this environment's Python says. Its failure is the test's."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCTASQ_", "PYTHON"))}
        return _run(self.python, *words, cwd=cwd, env=environ)


def _uv() -> str | None:
    kept = sorted(ROOT.glob(".tools/uv-*/bin/uv"))
    return str(kept[-1]) if kept else shutil.which("uv")


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout
