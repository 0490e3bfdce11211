"""How the end of a process is told."""

from __future__ import annotations

import signal

import pytest

from asynctasq.domain.exit_status import told


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "ended with exit status 0"),
        (3, "ended with exit status 3"),
        (-1, "was killed by SIGHUP"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
    ],
)
def test_an_exit_status_and_a_signal_are_told_apart(status: int, said: str) -> None:
    assert told(status) == said
