"""When a failed task runs again: a pure policy over attempt numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeGuard

from asynctasq.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a task may run, and how long to wait in between.

    Attributes:
        max_attempts: executions in all, the first included. 0 and 1 both mean one run and never a retry.
        delay: seconds before a retry.
        backoff: what each further retry's delay is multiplied by; 1 keeps it fixed.
        max_delay: the most seconds before a retry, whatever the backoff says; None for no cap.
        jitter: the share of the delay, 0 to 1, by which it is randomly shortened or lengthened.
        retry_on: the kinds of error that are retried (see `failure.kind_of`); empty for all.
        no_retry_on: the kinds that are not.

    Raises:
        ConfigurationError: a value outside its range, or a kind that shall and shall not be retried.
    """

    max_attempts: int = 3
    delay: float = 60.0
    backoff: float = 1.0
    max_delay: float | None = None
    jitter: float = 0.0
    retry_on: tuple[str, ...] = ()
    no_retry_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _is_whole(self.max_attempts) or self.max_attempts < 0:
            raise ConfigurationError(
                f"max_attempts={self.max_attempts!r}: use a whole number of executions, 0 or more (0 and 1 run once)"
            )
        check_seconds("retry_delay", self.delay)
        check_seconds("max_retry_delay", self.max_delay, optional=True)
        if not _is_number(self.backoff) or self.backoff < 1:
            raise ConfigurationError(f"backoff={self.backoff!r}: use a factor of 1 (fixed delay) or more")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter={self.jitter!r}: use a share of the delay from 0 to 1")
        if both := set(self.retry_on).intersection(self.no_retry_on):
            named = ", ".join(sorted(kind.rpartition(":")[2] for kind in both))
            raise ConfigurationError(f"{named} is in retry_on and in no_retry_on: decide for one of them")

    @property
    def runs(self) -> int:
        """How many executions there may be: `max_attempts`, at least one."""
        return max(1, self.max_attempts)

    def retries(self, kinds: Sequence[str]) -> bool:
        """Whether an error is of a kind to be retried: where both lists have a say, that of the more special kind counts.

        Args:
            kinds: what the error's type and its bases are called, the most special first.
        """
        for kind in kinds:
            if kind in self.no_retry_on:
                return False
            if kind in self.retry_on:
                return True
        return not self.retry_on

    def next_delay(self, attempt: int, rnd: float) -> float:
        """Seconds to wait after `attempt` (1-based) has failed.

        Args:
            attempt: the attempt that has just failed.
            rnd: a random number from 0 to 1; 0.5 gives the delay without jitter.
        """
        try:
            growth = self.backoff ** (attempt - 1)
        except OverflowError:
            growth = sys.float_info.max  # not infinity, of which no share can be taken and which times 0 is no number
        cap = LONGEST_SECONDS if self.max_delay is None else self.max_delay
        delay = min(self.delay * growth, cap)
        return min(delay * (1 + self.jitter * (2 * rnd - 1)), LONGEST_SECONDS)


LONGEST_SECONDS = 100 * 365 * 86_400.0
"""A hundred years: beyond any delay that is meant, and within the integers of every broker's clock."""


def check_seconds(what: str, value: object, *, optional: bool = False) -> None:
    """Refuse what is not a number of seconds from 0 to a hundred years.

    Raises:
        ConfigurationError: naming `what` and the value.
    """
    if value is None and optional:
        return
    if not _is_number(value) or not 0 <= value <= LONGEST_SECONDS:
        raise ConfigurationError(f"{what}={value!r}: use a number of seconds, 0 or more")


def checked_seconds(what: str, value: float | timedelta) -> float:
    """A span of time in seconds.

    Raises:
        ConfigurationError: it is no number of seconds from 0 to a hundred years; naming `what` and the value.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    check_seconds(what, value)
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
