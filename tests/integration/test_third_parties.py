"""What other packages bring works with what an installer puts there: built wheels, in an environment without this checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.integration.fresh import ROOT, FreshEnvironment, wheel

EXAMPLE = ROOT / "examples" / "filesystem-driver"
SERIALIZER = ROOT / "examples" / "signed-serializer"
RESOLVER = ROOT / "examples" / "sqlite-records-resolver"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    folder = tmp_path_factory.mktemp("fresh")
    ours, *theirs = (wheel(project, folder) for project in (ROOT, EXAMPLE, SERIALIZER, RESOLVER))
    return FreshEnvironment(folder / "venv", [f"{ours}[testing]", *map(str, theirs)])


def alone(project: Path, folder: Path) -> Path:
    """A package's tests alone: nothing of its sources, or of ours, is beside them."""
    shutil.copytree(project / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / "pyproject.toml", folder)
    return folder


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    return alone(EXAMPLE, tmp_path)


@pytest.mark.timeout(300)
def test_the_filesystem_driver_keeps_every_promise_where_it_was_installed_and_its_report_says_so(
    environment: FreshEnvironment, tests: Path
) -> None:
    environment.run("-m", "asynctasq.testing.conformance", "tests", cwd=tests)
    written, committed = (
        {line for line in (folder / "conformance.md").read_text().splitlines() if line.startswith("| ")}
        for folder in (tests, EXAMPLE)
    )
    # Promises may have been added since; what the report says of the others is still so.
    assert committed - written == set(), "write the report anew: the example's README says how"


@pytest.mark.timeout(300)
def test_the_filesystem_driver_can_be_configured_locked_and_killed_where_it_was_installed(
    environment: FreshEnvironment, tests: Path
) -> None:
    said = environment.run("-m", "pytest", "-q", "--ignore", "tests/test_contract.py", cwd=tests)
    assert " passed" in said
    assert "skipped" not in said


@pytest.mark.timeout(300)
def test_the_signed_serializer_keeps_its_promises_and_carries_tasks_where_it_was_installed(
    environment: FreshEnvironment, tmp_path: Path
) -> None:
    said = environment.run("-m", "pytest", "-q", cwd=alone(SERIALIZER, tmp_path))
    assert " passed" in said
    assert "skipped" not in said


@pytest.mark.timeout(300)
def test_the_resolver_of_sqlite_records_keeps_its_promises_and_brings_rows_where_it_was_installed(
    environment: FreshEnvironment, tmp_path: Path
) -> None:
    alone(RESOLVER, tmp_path)
    environment.run("-m", "asynctasq.testing.conformance", "tests", cwd=tmp_path)
    said = environment.run("-m", "pytest", "-q", "-k", "not TestSqliteRecordsResolver", cwd=tmp_path)
    assert " passed" in said
    assert "skipped" not in said
    # Installed, and yet nothing of it is imported where the app has imported no such rows.
    program = "import sys, asynctasq; asynctasq.init('memory').container.resolvers().in_use(); print(*sys.modules)"
    assert "sqlite_records" not in environment.run("-c", program, cwd=tmp_path)
