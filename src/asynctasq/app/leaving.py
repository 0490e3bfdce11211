"""How a worker process is left while it starts: it has claimed nothing yet, so there is nothing to finish."""

from __future__ import annotations

import os
import signal

HURRIED = 130


class Left(SystemExit):
    """A signal to stop came while the process was starting. An app's module that is just being imported is no reason to stay."""


def leave_on_signals() -> None:
    """Let the first TERM or INT end this process in good order, wherever it is, and the second at once."""
    received = 0

    def leave(_number: int, _frame: object) -> None:
        nonlocal received
        received += 1
        if received > 1:  # an app's `except BaseException` has swallowed the first
            os._exit(HURRIED)
        raise Left(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
