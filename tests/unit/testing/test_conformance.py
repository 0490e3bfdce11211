"""The conformance report: what it runs, what it calls kept, refused and failed, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = '''
import unittest
from types import SimpleNamespace

import pytest

from asynctasq.testing.contract import Contract, refuses, requires


class Flying(Contract):
    """A bird flies.

    Further words.
    """

    subject = "bird"

    @pytest.mark.parametrize("height", [1, 2])
    def test_it_takes_off(self, bird, height):
        assert height <= bird.reaches, "it | fell"

    @requires("sings")
    def test_it_sings(self, bird): ...

    @refuses("sings")
    def test_it_is_quiet(self, bird): ...

    @requires("swims")
    def test_it_swims(self, bird): ...

    async def test_it_lands(self, bird):
        if bird.away:
            pytest.skip("no bird here")


class TestGood(Flying):
    @pytest.fixture
    def bird(self):
        return SimpleNamespace(reaches=2, sings=True, swims=False, away=False)


def test_that_is_not_the_contracts():
    raise AssertionError("an ordinary test was run")


class TestOrdinary:
    def test_that_is_not_either(self):
        raise AssertionError("an ordinary test was run")
'''

BAD = """

class TestBad(Flying):
    @pytest.fixture
    def bird(self):
        return SimpleNamespace(reaches=1, sings=False, swims=True, away=True)

    @pytest.mark.xfail(strict=True, reason="it fears water")
    def test_it_swims(self, bird):
        raise AssertionError
"""


def conformance(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asynctasq.testing.conformance", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (tmp_path / "test_birds.py").write_text(SUITE)
    return tmp_path


def test_a_package_that_keeps_its_promises_gets_a_table_and_status_0(package: Path) -> None:
    done = conformance(package, ".")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TestGood: 3 kept, 1 refused by declaration, 0 failed" in done.stdout
    lines = (package / "conformance.md").read_text().splitlines()
    assert lines[0] == "# Conformance of ."
    assert lines[4:] == [
        "## TestGood",
        "",
        "3 kept, 1 refused by declaration, 0 failed.",
        "",
        "**A bird flies.**",
        "",
        "| Promise | | |",
        "|---|---|---|",
        "| it takes off | kept |  |",
        "| it sings | kept |  |",
        "| it swims | refused | swims is not declared |",
        "| it lands | kept |  |",
    ]


def test_what_fails_what_is_a_known_gap_and_what_was_not_run_is_failed_and_the_status_is_1(package: Path) -> None:
    (package / "test_birds.py").write_text(SUITE + BAD)
    done = conformance(package, ".", "--write", "reports/birds.md")
    assert done.returncode == 1, done.stdout + done.stderr
    rows = (package / "reports" / "birds.md").read_text().partition("## TestBad")[2]
    assert "1 kept, 1 refused by declaration, 3 failed." in rows
    assert "| it takes off | failed | AssertionError: it \\| fell |" in rows
    assert "| it sings | refused | sings is not declared |" in rows
    assert "| it is quiet | kept |  |" in rows
    assert "| it swims | failed | a known gap: it fears water |" in rows
    assert "| it lands | failed | not run: no bird here |" in rows
    assert "failed   it takes off (AssertionError: it | fell)" in done.stdout


def test_a_package_that_can_be_imported_may_be_named(package: Path) -> None:
    done = conformance(package, "test_birds", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("words", [["nowhere"], ["empty.py"]])
def test_where_there_is_no_contract_there_is_no_report_and_the_status_is_2(package: Path, words: list[str]) -> None:
    (package / "empty.py").write_text("def test_something(): ...\n")
    done = conformance(package, *words)
    assert done.returncode == 2
    assert "name the folder with your `class Test...(DriverContract)`" in done.stderr
    assert not (package / "conformance.md").exists()


def test_a_file_that_is_no_report_is_not_overwritten(package: Path) -> None:
    (package / "conformance.md").write_text("my notes\n")
    done = conformance(package, ".")
    assert done.returncode == 2
    assert "is not such a report" in done.stderr
    assert (package / "conformance.md").read_text() == "my notes\n"
