"""What becomes of a claim: the whole table of decisions."""

from __future__ import annotations

import pytest

from asynctasq.domain.failure import Failure
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.steering import Discard, RetryLater, Snooze, Steer
from asynctasq.domain.verdict import (
    ACK,
    UNKNOWN_TASK_DELAY,
    UNKNOWN_TASK_PATIENCE,
    DeadLetter,
    Release,
    Retry,
    Verdict,
    after_failure,
    after_interruption,
    before_run,
    unknown_task,
)


def claim(attempt: int) -> Claim:
    return Claim(
        message=Message(id="m", queue="q", body=b""), attempt=attempt, receipt="r", deadline=None, enqueued_at=0.0
    )


FAILED = Failure(kinds=("shop:Broken", "builtins:Exception"), text="boom")


def steered(steer: Steer) -> Failure:
    return Failure(kinds=("steers:by itself",), text="boom", steering=steer.steering)


def after(failure: Failure, attempt: int, policy: RetryPolicy, *, refunds: bool = True) -> Verdict:
    return after_failure(claim(attempt), policy, failure, rnd=0.5, refunds=refunds)


@pytest.mark.parametrize(
    ("max_attempts", "attempt", "may_start"),
    [(0, 1, True), (0, 2, False), (1, 1, True), (1, 2, False), (3, 3, True), (3, 4, False)],
)
def test_nothing_starts_beyond_the_last_attempt(max_attempts: int, attempt: int, may_start: bool) -> None:
    verdict = before_run(claim(attempt), RetryPolicy(max_attempts=max_attempts))
    if may_start:
        assert verdict is None
    else:
        last = attempt - 1
        assert verdict == DeadLetter(
            reason="lease expired on the last attempt",
            error=f"the worker of attempt {last} of {last} died or lost its lease",
        )


@pytest.mark.parametrize(
    ("max_attempts", "attempt", "retried"),
    [(0, 1, False), (1, 1, False), (2, 1, True), (3, 2, True), (3, 3, False)],
)
def test_a_failure_is_retried_until_the_runs_are_used_up(max_attempts: int, attempt: int, retried: bool) -> None:
    policy = RetryPolicy(max_attempts=max_attempts, delay=11)
    verdict = after(FAILED, attempt, policy)
    if retried:
        assert verdict == Retry(delay=11, error="boom")
    else:
        assert verdict == DeadLetter(reason=f"failed on attempt {attempt} of {max(1, max_attempts)}", error="boom")


def test_an_error_that_is_not_to_be_retried_is_a_dead_letter_at_once_that_says_so() -> None:
    policy = RetryPolicy(max_attempts=3, no_retry_on=("shop:Broken",))
    assert after(FAILED, 1, policy) == DeadLetter(
        reason="failed on attempt 1 of 3: Broken is not retried", error="boom"
    )
    assert after(FAILED, 1, RetryPolicy(retry_on=("shop:Broken",), delay=9)) == Retry(delay=9, error="boom")


@pytest.mark.parametrize("refunds", [True, False])
def test_run_later_spends_an_attempt_and_waits_as_asked_or_else_as_the_policy_says(refunds: bool) -> None:
    policy = RetryPolicy(max_attempts=3, delay=7, backoff=2)
    assert after(steered(RetryLater(90)), 2, policy, refunds=refunds) == Retry(delay=90, error="boom")
    assert after(steered(RetryLater(0)), 2, policy, refunds=refunds) == Retry(delay=0, error="boom")
    assert after(steered(RetryLater()), 2, policy, refunds=refunds) == Retry(delay=14, error="boom")


def test_run_later_on_the_last_attempt_is_a_dead_letter_with_its_reason() -> None:
    policy = RetryPolicy(max_attempts=3)
    busy = DeadLetter(reason="failed on attempt 3 of 3: the bank is busy", error="boom")
    assert after(steered(RetryLater(90, "the bank is busy")), 3, policy) == busy
    assert after(steered(RetryLater(90)), 3, policy) == DeadLetter(reason="failed on attempt 3 of 3", error="boom")


def test_run_later_does_not_ask_which_errors_are_retried() -> None:
    only_others = RetryPolicy(retry_on=("shop:Other",), no_retry_on=("steers:by itself",))
    assert after(steered(RetryLater(5)), 1, only_others) == Retry(delay=5, error="boom")


@pytest.mark.parametrize("attempt", [1, 3])
@pytest.mark.parametrize("refunds", [True, False])
def test_a_discarded_task_is_settled_and_leaves_nothing(attempt: int, refunds: bool) -> None:
    assert after(steered(Discard("obsolete")), attempt, RetryPolicy(max_attempts=3), refunds=refunds) is ACK


@pytest.mark.parametrize("max_attempts", [0, 1, 3])
def test_a_snoozed_task_is_given_back_with_its_attempt_on_the_last_one_too(max_attempts: int) -> None:
    policy = RetryPolicy(max_attempts=max_attempts)
    for attempt in (1, policy.runs):
        assert after(steered(Snooze(30)), attempt, policy) == Release(delay=30)
        assert after(steered(Snooze(0)), attempt, policy) == Release(delay=0)


def test_where_an_attempt_cannot_be_given_back_a_snooze_spends_it_and_the_last_is_a_dead_letter_that_says_so() -> None:
    policy = RetryPolicy(max_attempts=3)
    assert after(steered(Snooze(30)), 2, policy, refunds=False) == Release(delay=30)
    assert after(steered(Snooze(30)), 3, policy, refunds=False) == DeadLetter(
        reason="failed on attempt 3 of 3: snoozed, and this driver gives no attempt back", error="boom"
    )


def test_an_interrupted_task_is_given_back_unless_it_may_run_only_once() -> None:
    assert after_interruption(claim(1), RetryPolicy(max_attempts=3)) == Release()
    assert after_interruption(claim(3), RetryPolicy(max_attempts=3)) == Release()
    for once in (0, 1):
        assert after_interruption(claim(1), RetryPolicy(max_attempts=once)) == DeadLetter(
            reason="interrupted",
            error="attempt 1 of 1 was cancelled when its worker stopped; a second run was not allowed",
        )


def test_an_unknown_task_is_patiently_released_and_then_a_dead_letter() -> None:
    assert unknown_task(age=0, reason="no task 'x'") == Release(delay=UNKNOWN_TASK_DELAY)
    assert unknown_task(age=UNKNOWN_TASK_PATIENCE - 1, reason="no task 'x'") == Release(delay=UNKNOWN_TASK_DELAY)
    assert unknown_task(age=UNKNOWN_TASK_PATIENCE, reason="no task 'x'") == DeadLetter(reason="no task 'x'")
