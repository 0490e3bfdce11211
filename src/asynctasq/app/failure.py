"""From an error to the value that is decided from: its kinds, its text, and what it asked for."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

from asynctasq.domain.errors import TaskTimeout, WorkerProcessDied
from asynctasq.domain.failure import FailedElsewhere, Failure, kinds_of
from asynctasq.domain.message import Claim
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.steering import Steer
from asynctasq.domain.verdict import Ack, DeadLetter, Release, Retry, Verdict

logger = logging.getLogger("asynctasq.worker")

KEPT = 8_192
"""Bytes kept of a failure's text: as many as every driver stores."""

HEAD = KEPT // 4
"""How many of them are its beginning, where something must go. Its end tells more: the innermost frames, and the message."""

GAP = b"\n[...]\n"


def failure_of(error: BaseException) -> Failure:
    """What an attempt raised, as a value; of an attempt in another process, what was described there."""
    if isinstance(error, FailedElsewhere):
        return error.failure
    steering = error.steering if isinstance(error, Steer) else None
    return Failure(kinds=kinds_of(type(error)), text=describe(error), steering=steering)


def report(
    claim: Claim, name: str | None, policy: RetryPolicy, verdict: Verdict, failure: Failure, *, error: BaseException
) -> None:
    """Say what became of an attempt that raised: never its arguments, and its traceback only when debugging."""
    attempt = f"attempt {claim.attempt} of {policy.runs}"
    why = failure.steering.reason if failure.steering else ""
    if isinstance(error, (WorkerProcessDied, TaskTimeout)):
        why = str(error)  # ours, so that it names no argument
    level = logging.WARNING
    match verdict:
        case Ack():
            level, what = logging.INFO, f"was discarded on {attempt}{why and f': {why}'}"
        case Release(delay=delay):
            level, what = logging.DEBUG, f"was snoozed for {delay:g} s on {attempt}"
        case Retry(delay=delay):
            what = f"failed on {attempt}, retry in {delay:g} s: {failure.name}{why and f', {why}'}"
        case DeadLetter():
            what = f"failed on {attempt}, dead letter: {failure.name}{why and f', {why}'}"
    shown = error if logger.isEnabledFor(logging.DEBUG) else None
    logger.log(level, "task %s (%s) %s", claim.message.id, name, what, exc_info=shown)


def describe(error: BaseException) -> str:
    """The failure's text, bounded: the traceback from the user's first frame on, without our frames above it."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__)).rstrip()
    except Exception as trouble:  # a group of groups of groups, or what overrides its attributes
        text = f"{type(error).__qualname__}: its traceback cannot be shown ({type(trouble).__name__})"
    return _bounded(text)


def _bounded(text: str) -> str:
    """As much of a text as is kept, in characters that every broker can store."""
    raw = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")
    if len(raw) > KEPT:
        raw = raw[:HEAD] + GAP + raw[HEAD + len(GAP) - KEPT :]
    return raw.decode("utf-8", "ignore")  # a character that was cut in two is left out


def _is_ours(frame: TracebackType) -> bool:
    module = str(frame.tb_frame.f_globals.get("__name__", ""))
    return module.startswith(("asynctasq.app.", "asynctasq.adapters."))
