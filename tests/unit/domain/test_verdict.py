"""What becomes of a claim: the whole table of decisions."""

from __future__ import annotations

import pytest

from asynctasq.domain.message import Claim, Message
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.verdict import (
    UNKNOWN_TASK_DELAY,
    UNKNOWN_TASK_PATIENCE,
    DeadLetter,
    Release,
    Retry,
    after_failure,
    after_interruption,
    before_run,
    unknown_task,
)


def claim(attempt: int) -> Claim:
    return Claim(
        message=Message(id="m", queue="q", body=b""), attempt=attempt, receipt="r", deadline=None, enqueued_at=0.0
    )


@pytest.mark.parametrize(
    ("max_attempts", "attempt", "may_start"),
    [(0, 1, True), (0, 2, False), (1, 1, True), (1, 2, False), (3, 3, True), (3, 4, False)],
)
def test_nothing_starts_beyond_the_last_attempt(max_attempts: int, attempt: int, may_start: bool) -> None:
    verdict = before_run(claim(attempt), RetryPolicy(max_attempts=max_attempts))
    if may_start:
        assert verdict is None
    else:
        assert isinstance(verdict, DeadLetter)
        assert verdict.reason == "lease expired on the last attempt"


@pytest.mark.parametrize(
    ("max_attempts", "attempt", "retried"),
    [(0, 1, False), (1, 1, False), (2, 1, True), (3, 2, True), (3, 3, False)],
)
def test_a_failure_is_retried_until_the_runs_are_used_up(max_attempts: int, attempt: int, retried: bool) -> None:
    policy = RetryPolicy(max_attempts=max_attempts, delay=11)
    verdict = after_failure(claim(attempt), policy, error="boom", rnd=0.5)
    if retried:
        assert verdict == Retry(delay=11, error="boom")
    else:
        assert verdict == DeadLetter(reason=f"failed on attempt {attempt} of {max(1, max_attempts)}", error="boom")


def test_an_interrupted_task_is_given_back_unless_it_may_run_only_once() -> None:
    assert after_interruption(claim(1), RetryPolicy(max_attempts=3)) == Release()
    assert after_interruption(claim(3), RetryPolicy(max_attempts=3)) == Release()
    for once in (0, 1):
        verdict = after_interruption(claim(1), RetryPolicy(max_attempts=once))
        assert isinstance(verdict, DeadLetter)
        assert verdict.reason == "interrupted"


def test_an_unknown_task_is_patiently_released_and_then_a_dead_letter() -> None:
    assert unknown_task(age=0, reason="no task 'x'") == Release(delay=UNKNOWN_TASK_DELAY)
    assert unknown_task(age=UNKNOWN_TASK_PATIENCE - 1, reason="no task 'x'") == Release(delay=UNKNOWN_TASK_DELAY)
    assert unknown_task(age=UNKNOWN_TASK_PATIENCE, reason="no task 'x'") == DeadLetter(reason="no task 'x'")
