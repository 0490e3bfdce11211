"""What each part of the tests costs, and the most that it may.

A pytest plugin, loaded by `conftest.py`. It adds up how long the tests of a part took, their fixtures included, in all the
processes that run them, and prints it at the end. Under CI=true a part above its limit fails the run: what was added there has
to be made cheaper, or the limit raised on purpose, here and in CONTRIBUTING.md. They leave a crowded machine more than the
time that a quiet one takes; they keep CI within its 35 minutes and say nothing of how fast asynctasq is.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

LIMITS = {
    "unit": 10,
    "contract, memory": 3,
    "contract, sqlite": 5,
    "contract, redis": 8,
    "contract, postgres": 10,
    "contract, mysql": 14,
    "contract, sqs": 5,
    "contract, the rest": 6,
    "integration": 40,
    "docs": 10,
}
"""Minutes of work, at most. Two processes share it, so that CI waits for half of it."""


def part_of(file: str) -> str:
    """The part to which a test belongs, by its file's path from the root of the repository."""
    match file.split("/"):
        case ["tests", "contract", "drivers", name, *_] if (part := f"contract, {_subject(name)}") in LIMITS:
            return part
        case ["tests", "contract", *_]:
            return "contract, the rest"
        case ["tests", part, *_] if part in LIMITS:
            return part
        case _:
            return "integration"


def _subject(name: str) -> str:
    return name.removeprefix("test_").removesuffix(".py").partition("_")[0]


class Minutes:
    """Adds up, in the process that reports."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.over: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Not the location, which of a test that is inherited, as those of a contract are, is the file of the suite.
        self.spent[part_of(report.nodeid.partition("::")[0])] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.over = [part for part, seconds in self.spent.items() if seconds > 60 * LIMITS[part]]
        if self.over and _is_ci() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        told = [f"{part} {self.spent[part] / 60:.1f} of {limit}" for part, limit in LIMITS.items() if self.spent[part]]
        if told:
            terminalreporter.write_line(f"minutes: {'; '.join(told)}")
        for part in self.over:
            terminalreporter.write_line(
                f"minutes: {part} took longer than it may: make it cheaper, or raise its limit in tests/minutes.py",
                red=True,
            )


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}
