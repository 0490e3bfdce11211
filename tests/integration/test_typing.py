"""The public types as a user's checker sees them: on the built wheel, under mypy strict and basedpyright."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "typing" / "cases.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=50,
    )
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def lines_of_mypy(site: Path, case: Path) -> set[int]:
    environment = {**os.environ, "MYPYPATH": str(site)}
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental", case.name]
    told = subprocess.run(
        command, cwd=case.parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode in {0, 1}, told.stdout + told.stderr
    return {int(line) for line in re.findall(rf"^{case.name}:(\d+): error", told.stdout, re.MULTILINE)}


def lines_of_basedpyright(site: Path, case: Path) -> set[int]:
    settings = {
        "include": [case.name],
        "extraPaths": [str(site)],
        "typeCheckingMode": "standard",
        "reportUnusedCoroutine": False,
    }
    (case.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(case.parent)]
    told = subprocess.run(command, cwd=case.parent, capture_output=True, text=True, timeout=120, check=False)
    diagnostics = json.loads(told.stdout)["generalDiagnostics"]
    return {entry["range"]["start"]["line"] + 1 for entry in diagnostics if entry["severity"] == "error"}


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    assert (wheel / "asynctasq" / "py.typed").exists()


@pytest.mark.timeout(240)  # a type checker's cold start, on a machine that runs other tests beside it
@pytest.mark.parametrize("lines_of", [lines_of_mypy, lines_of_basedpyright])
def test_right_code_passes_and_every_wrong_line_is_reported(
    wheel: Path, lines_of: Callable[[Path, Path], set[int]], tmp_path: Path
) -> None:
    case = tmp_path / CASES.name
    case.write_text(CASES.read_text())
    expected = {n for n, line in enumerate(case.read_text().splitlines(), start=1) if line.endswith("# wrong")}
    assert lines_of(wheel, case) == expected
