"""What a task raises to say what shall become of it, instead of failing and leaving that to the policy."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from asynctasq.domain.retry import checked_seconds


class Course(enum.Enum):
    """Where a task may steer."""

    RETRY_LATER = "retry later"
    DISCARD = "discard"
    SNOOZE = "snooze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What a task asked for, as plain values, so that it can be told across the border of a process.

    Attributes:
        course: what it asked for.
        delay: seconds; None leaves them to the policy.
        reason: one line for people; empty if none was given.
    """

    course: Course
    delay: float | None = None
    reason: str = ""


class Steer(Exception):
    """The base of what a task raises to steer. No error of ours: `except AsyncTasQError` does not swallow it.

    Attributes:
        steering: what is asked for.
    """

    def __init__(self, message: str, steering: Steering) -> None:
        super().__init__(message)
        self.steering = steering


class RetryLater(Steer):
    """Failed for now: run it again, after a delay of the task's own choice.

    The attempt is spent. On the last one the task becomes a dead letter with this reason.

    Args:
        delay: seconds, or a timedelta, before the next attempt; None for what the retry policy says.
        reason: one line for people.

    Raises:
        ConfigurationError: the delay is no number of seconds.
    """

    def __init__(self, delay: float | timedelta | None = None, reason: str = "") -> None:
        wanted = None if delay is None else checked_seconds("RetryLater delay", delay)
        reason = _one_line(reason)
        super().__init__(
            reason or "run it again later", Steering(course=Course.RETRY_LATER, delay=wanted, reason=reason)
        )


class Discard(Steer):
    """It is not worth doing any more: forget the task. It is not retried and leaves no dead letter, one line in the log.

    Args:
        reason: that line.
    """

    def __init__(self, reason: str = "") -> None:
        reason = _one_line(reason)
        super().__init__(reason or "not worth doing any more", Steering(course=Course.DISCARD, reason=reason))


class Snooze(Steer):
    """It is too early: run it again after a delay, as if it had not been started. No attempt is spent.

    Where the driver does not declare `refunds_release` the attempt is spent all the same, and on the last one the task becomes
    a dead letter that says so.

    Args:
        delay: seconds, or a timedelta.

    Raises:
        ConfigurationError: the delay is no number of seconds.
    """

    def __init__(self, delay: float | timedelta) -> None:
        wanted = checked_seconds("Snooze delay", delay)
        super().__init__(f"not before {wanted:g} s have passed", Steering(course=Course.SNOOZE, delay=wanted))


def _one_line(reason: str) -> str:
    return " ".join(str(reason).split())
