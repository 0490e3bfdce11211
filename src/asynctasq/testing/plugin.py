"""Fixtures for the tests of those who use asynctasq.

They are there where they are asked for, in the conftest.py at the root of your tests:

    pytest_plugins = ["asynctasq.testing.plugin"]
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from asynctasq.testing.rehearsal import Rehearsal


@pytest.fixture
def rehearsal() -> Generator[Rehearsal]:
    """Tasks go to memory, and run when the test drains it."""
    with Rehearsal() as tasks:
        yield tasks


@pytest.fixture
def inline_tasks() -> Generator[Rehearsal]:
    """Tasks run within their dispatch."""
    with Rehearsal(inline=True) as tasks:
        yield tasks
