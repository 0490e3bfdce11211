"""How values of the port are written down: times as whole microseconds since the epoch, texts as bounded UTF-8."""

from __future__ import annotations

import math
import time

from asynctasq.domain.retry import LONGEST_SECONDS

TEXT_KEPT = 8192
"""How many bytes of an error's text, or of a reason, are kept."""


def now() -> int:
    """The broker's clock: the host's, which all processes that share the file share too."""
    return time.time_ns() // 1000


def in_microseconds(seconds: float) -> int:
    """A duration, rounded up past the clock's own rounding down, so that nothing is shown early."""
    return math.ceil(min(seconds, LONGEST_SECONDS) * 1_000_000) + 1 if seconds > 0 else 0


def in_seconds(microseconds: int) -> float:
    """A time or duration as the port has it."""
    return microseconds / 1_000_000


def bounded(text: str) -> str:
    """As much of a text as is kept, in characters that can be stored."""
    return text.encode("utf-8", "backslashreplace")[:TEXT_KEPT].decode("utf-8", "ignore")


def storable(text: str) -> bool:
    """Whether a text can be stored as it is: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
