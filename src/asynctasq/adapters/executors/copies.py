"""A copy of this process that a task has forked ends where the task does.

Whoever forks has to end the copy, or to replace it by another program. A task that returns in the copy as well would leave a
second worker behind, with the same claims and on the same connections; or a second child on the same pipe, whose report would
be taken for that of the next order.
"""

from __future__ import annotations

import logging
import os

logger = logging.getLogger("asynctasq.copies")

_forks = 0


def _count() -> None:
    global _forks  # noqa: PLW0603 -- of the process, as forks are
    _forks += 1


os.register_at_fork(after_in_child=_count)


def forks() -> int:
    """How many forks there are between this process and the one that imported this module first."""
    return _forks


def end_if_forked(before: int) -> None:
    """End this process if it was forked since.

    Args:
        before: what `forks()` said when the task began.
    """
    if _forks != before:
        logger.error(
            "process %d is a copy that a task has forked, and in which it did not end: it is ended (use os._exit() there)",
            os.getpid(),
        )
        os._exit(1)
