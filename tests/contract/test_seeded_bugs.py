"""How many of the classic bugs of queue drivers the contract catches: see `seeded_bugs` and docs/seeded-bugs.md."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.contract import seeded_bugs
from tests.contract.seeded_bugs import BUGS, CLASSES, Bug
from tests.contract.trial import Trial, be_hasty

from asynctasq.testing.contract.driver import DriverContract

FULL = os.environ.get("ASYNCTASQ_TEST_SEEDED") == "full"
"""Whether every promise is tried on every bug, those that survive too, and not the telling ones alone: minutes, not seconds."""

LEAST = 25
"""Bugs that are worth a figure."""

SHARE = 0.95
"""Of them, how many must be caught."""


FEW = 20
"""Promises that one bug may break: with more of them it is no driver any more."""


def named(bug: Bug) -> str:
    return f"{bug.driver}: {bug.name}"


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    be_hasty(monkeypatch)
    monkeypatch.setattr("sys.path", [*sys.path])
    # Some promises are of bodies of many megabytes; those are not among the telling ones.
    return Trial(tmp_path, request.getfixturevalue, patience=60.0 if FULL else 10.0)


def test_there_are_enough_bugs_and_nearly_all_of_them_are_caught() -> None:
    caught = [bug for bug in BUGS if bug.caught_by]
    assert len(BUGS) >= LEAST
    assert len(caught) / len(BUGS) >= SHARE
    assert len({named(bug) for bug in BUGS}) == len(BUGS)
    assert all(bool(bug.caught_by) != bool(bug.why) for bug in BUGS)
    assert {promise for bug in BUGS for promise in bug.caught_by} <= set(DriverContract.promises())


@pytest.mark.timeout(900 if FULL else 60)
@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.caught_by or FULL], ids=named)
def test_a_seeded_bug_is_caught(bug: Bug, trial: Trial) -> None:
    tried = DriverContract.promises() if FULL else bug.caught_by
    failed = asyncio.run(trial.failures(bug.driver, tried, edits=bug.edits))
    if FULL:
        print(f"{named(bug)}: caught by {len(failed)} promises: {', '.join(failed) or 'none'}")
    assert set(bug.caught_by) <= set(failed), f"a {bug.driver} driver that {bug.name} is caught by {failed}"
    assert len(failed) <= FEW, f"a {bug.driver} driver that {bug.name} does nothing right, which proves nothing"
    assert bug.caught_by or not failed, f"a {bug.driver} driver that {bug.name} is caught after all, by {failed}"


@pytest.mark.parametrize("driver", CLASSES)
def test_a_copy_without_a_bug_keeps_the_same_promises(driver: str, trial: Trial) -> None:
    promises = list(dict.fromkeys(promise for bug in BUGS if bug.driver == driver for promise in bug.caught_by))
    assert asyncio.run(trial.failures(driver, promises)) == []


def test_the_page_lists_every_bug_with_what_catches_it() -> None:
    text = Path("docs/seeded-bugs.md").read_text()
    assert seeded_bugs.table() in text
    assert f"**{sum(bool(bug.caught_by) for bug in BUGS)} of {len(BUGS)} are caught" in text
