"""What other packages bring works with what an installer puts there: built wheels, in an environment without this checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.integration.fresh import ROOT, FreshEnvironment, wheel

EXAMPLE = ROOT / "examples" / "filesystem-driver"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    folder = tmp_path_factory.mktemp("fresh")
    ours, theirs = wheel(ROOT, folder), wheel(EXAMPLE, folder)
    return FreshEnvironment(folder / "venv", [f"{ours}[testing]", f"{theirs}"])


@pytest.mark.timeout(300)
def test_the_filesystem_driver_passes_its_own_suite_where_it_was_installed(
    environment: FreshEnvironment, tmp_path: Path
) -> None:
    # Its tests alone: nothing of its sources, or of ours, is beside them.
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    said = environment.run("-m", "pytest", "-q", "--no-header", "--durations=5", cwd=tmp_path)
    assert " passed" in said
    print(said)
