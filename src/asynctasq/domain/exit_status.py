"""How a process ended, in words."""

from __future__ import annotations

import signal


def told(status: int) -> str:
    """What is said of a process that has ended.

    Args:
        status: its exit status, or the negative number of the signal that killed it.
    """
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"  # a real-time signal has no name
