"""Where coroutines are: the whole way in, down to the line that waits."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any


def stack_of(task: asyncio.Task[Any]) -> str:
    """Where a suspended task waits, in the form of a traceback. Its own `print_stack` shows the outermost function alone."""
    summary = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in _frames(task.get_coro()))
    return "".join(summary.format())


def _frames(awaited: Any) -> Iterator[FrameType]:
    while awaited is not None:
        frame = next(
            filter(None, (getattr(awaited, kind, None) for kind in ("cr_frame", "gi_frame", "ag_frame"))), None
        )
        if frame is not None:
            yield frame
        inner = (getattr(awaited, kind, None) for kind in ("cr_await", "gi_yieldfrom", "ag_await"))
        awaited = next(filter(None, inner), None)
