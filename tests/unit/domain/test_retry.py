"""The retry policy: how many runs, how long between them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.retry import LONGEST_SECONDS, RetryPolicy


@pytest.mark.parametrize(("max_attempts", "runs"), [(0, 1), (1, 1), (2, 2), (3, 3), (10, 10)])
def test_max_attempts_counts_executions_and_zero_and_one_both_run_once(max_attempts: int, runs: int) -> None:
    assert RetryPolicy(max_attempts=max_attempts).runs == runs


def test_the_delay_is_fixed_unless_a_backoff_is_asked_for() -> None:
    policy = RetryPolicy(max_attempts=5, delay=7)
    assert [policy.next_delay(attempt, 0.5) for attempt in (1, 2, 3, 4)] == [7, 7, 7, 7]


def test_a_backoff_multiplies_each_further_delay_up_to_the_cap() -> None:
    policy = RetryPolicy(max_attempts=6, delay=10, backoff=2, max_delay=50)
    assert [policy.next_delay(attempt, 0.5) for attempt in (1, 2, 3, 4, 5)] == [10, 20, 40, 50, 50]


def test_jitter_shortens_and_lengthens_by_its_share() -> None:
    policy = RetryPolicy(delay=100, jitter=0.2)
    assert [policy.next_delay(1, rnd) for rnd in (0.0, 0.5, 1.0)] == pytest.approx([80, 100, 120])


def test_a_backoff_beyond_all_numbers_is_a_hundred_years_at_most_and_no_delay_stays_none() -> None:
    assert RetryPolicy(delay=1, backoff=1e9, jitter=1).next_delay(5_000, 0.5) == LONGEST_SECONDS
    assert RetryPolicy(delay=1, backoff=1e9, jitter=1).next_delay(5_000, 0.0) == 0
    assert RetryPolicy(delay=0, backoff=1e9, jitter=1).next_delay(5_000, 1.0) == 0


@given(st.integers(1, 10_000), st.floats(0, LONGEST_SECONDS), st.floats(1, 1e9), st.floats(0, 1), st.floats(0, 1))
def test_every_delay_is_finite_and_never_negative(
    attempt: int, delay: float, backoff: float, jitter: float, rnd: float
) -> None:
    waited = RetryPolicy(delay=delay, backoff=backoff, jitter=jitter).next_delay(attempt, rnd)
    assert 0 <= waited <= LONGEST_SECONDS


def test_a_delay_of_a_hundred_years_is_the_longest() -> None:
    assert RetryPolicy(delay=LONGEST_SECONDS).next_delay(1, 0.5) == LONGEST_SECONDS
    with pytest.raises(ConfigurationError, match="retry_delay="):
        RetryPolicy(delay=math.nextafter(LONGEST_SECONDS, math.inf))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": -1},
        {"max_attempts": 2.0},
        {"max_attempts": True},
        {"delay": -1},
        {"delay": math.nan},
        {"delay": math.inf},
        {"delay": "60"},
        {"backoff": 0.5},
        {"backoff": math.inf},
        {"max_delay": -1},
        {"jitter": 1.5},
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name_and_value(wrong: dict[str, object]) -> None:
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(ConfigurationError) as refused:
        RetryPolicy(**wrong)  # type: ignore[arg-type] -- that is the test
    typed = {"delay": "retry_delay", "max_delay": "max_retry_delay"}  # how the decorator spells it
    assert typed.get(name, name) in str(refused.value)
    assert repr(value) in str(refused.value)


GENERAL, MIDDLE, SPECIAL = "m:General", "m:Middle", "m:Special"
SPECIAL_ERROR = (SPECIAL, MIDDLE, GENERAL)
"""What an error of the type Special, a Middle, a General, is called."""


@pytest.mark.parametrize(
    ("retry_on", "no_retry_on", "retried"),
    [
        ((), (), True),
        (("m:Other",), (), False),
        ((SPECIAL,), (), True),
        ((GENERAL,), (), True),
        ((), (SPECIAL,), False),
        ((), (GENERAL,), False),
        ((), ("m:Other",), True),
        ((GENERAL,), (SPECIAL,), False),
        ((SPECIAL,), (GENERAL,), True),
        (("m:Other", MIDDLE), (GENERAL,), True),
        (("m:Other",), (GENERAL,), False),
    ],
)
def test_of_the_kinds_that_are_named_the_most_special_decides(
    retry_on: tuple[str, ...], no_retry_on: tuple[str, ...], retried: bool
) -> None:
    assert RetryPolicy(retry_on=retry_on, no_retry_on=no_retry_on).retries(SPECIAL_ERROR) is retried


def test_a_kind_that_shall_and_shall_not_be_retried_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"^Special is in retry_on and in no_retry_on"):
        RetryPolicy(retry_on=(GENERAL, SPECIAL), no_retry_on=(SPECIAL,))
    with pytest.raises(ConfigurationError, match=r"^Middle, Special is in retry_on and in no_retry_on"):
        RetryPolicy(retry_on=(GENERAL, SPECIAL, MIDDLE), no_retry_on=(SPECIAL, MIDDLE))
