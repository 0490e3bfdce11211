"""How a failure is written down: type, message and the part of the traceback that is the user's."""

from __future__ import annotations

import traceback
from types import TracebackType

LONGEST = 8_192
"""Characters kept of a failure's text; the end of a traceback is what tells, so the end is kept."""


def describe(error: BaseException) -> str:
    """The failure's text, bounded: the traceback from the user's first frame on, without our frames above it."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__)).rstrip()
    return text if len(text) <= LONGEST else f"[...]{text[-LONGEST:]}"


def _is_ours(frame: TracebackType) -> bool:
    module = str(frame.tb_frame.f_globals.get("__name__", ""))
    return module.startswith(("asynctasq.app.", "asynctasq.adapters."))
