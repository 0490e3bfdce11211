"""Decide, then do: what shall become of a claim, as a value. Deciding is pure; applying is the driver's `settle`."""

from __future__ import annotations

from dataclasses import dataclass

from asynctasq.domain.failure import Failure
from asynctasq.domain.message import Claim, Message
from asynctasq.domain.retry import RetryPolicy
from asynctasq.domain.steering import Course, Steering
from asynctasq.domain.task import OnMissing

UNKNOWN_TASK_DELAY = 30.0
"""Seconds between two looks at a task that this worker does not know: a deploy replaces workers within minutes."""

UNKNOWN_TASK_PATIENCE = 3600.0
"""Seconds after its enqueue until an unknown task is taken for a mistake rather than for deploy skew."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: forget the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Run it again after `delay` seconds. The attempt is spent; `error` says what went wrong."""

    delay: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give it back as if it had not been claimed, to be shown again after `delay` seconds. The attempt is refunded."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Set it aside for a human, bytes unchanged. `reason` is one line, `error` the failure's text if there was one."""

    reason: str
    error: str = ""


Verdict = Ack | Retry | Release | DeadLetter

ACK = Ack()
"""The one `Ack` there needs to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A verdict on a claim, for a driver to carry out in one fenced step.

    Attributes:
        claim: whose receipt fences the step.
        verdict: what shall become of the message.
        then: messages to enqueue in the same atomic step. Reserved: needs the capability `atomic_follow_up`.
    """

    claim: Claim
    verdict: Verdict
    then: tuple[Message, ...] = ()


def before_run(claim: Claim, policy: RetryPolicy) -> DeadLetter | None:
    """Whether a claim may start at all: None if it may.

    The broker counts an attempt when it hands a message out, so a worker that died on the last attempt leaves a count
    beyond the policy behind. Nothing is started then.
    """
    if claim.attempt > policy.runs:
        return DeadLetter(
            reason="lease expired on the last attempt",
            error=f"the worker of attempt {claim.attempt - 1} of {policy.runs} died or lost its lease",
        )
    return None


def after_failure(claim: Claim, policy: RetryPolicy, failure: Failure, *, rnd: float, refunds: bool) -> Verdict:
    """What follows a failed attempt: what the task asked for by raising a `Steer`, else what the policy says.

    Args:
        claim: the attempt that failed.
        policy: the task's policy, with this dispatch's own delay in it.
        failure: what it raised.
        rnd: a random number from 0 to 1, for the jitter.
        refunds: whether the driver gives the attempt of a released message back.
    """
    may_run_again = claim.attempt < policy.runs
    delay: float | None = None
    why = ""
    match failure.steering:
        case Steering(course=Course.DISCARD):
            return ACK
        case Steering(course=Course.SNOOZE, delay=span) if refunds or may_run_again:
            return Release(delay=span or 0.0)
        case Steering(course=Course.SNOOZE):
            why = "snoozed, and this driver gives no attempt back"
        case Steering(delay=delay, reason=why):
            pass
        case None if not policy.retries(failure.kinds):
            may_run_again, why = False, f"{failure.name} is not retried"
        case None:
            pass
    if may_run_again:
        return Retry(delay=policy.next_delay(claim.attempt, rnd) if delay is None else delay, error=failure.text)
    reason = f"failed on attempt {claim.attempt} of {policy.runs}"
    return DeadLetter(reason=f"{reason}: {why}" if why else reason, error=failure.text)


def after_interruption(claim: Claim, policy: RetryPolicy) -> Release | DeadLetter:
    """What follows when a started task was cancelled because its worker had to stop.

    It is given back with its attempt, except where the policy allows a single run: it may have done half of its work,
    and "never run twice" was asked for.
    """
    if policy.runs == 1:
        return DeadLetter(
            reason="interrupted",
            error=f"attempt {claim.attempt} of 1 was cancelled when its worker stopped; a second run was not allowed",
        )
    return Release()


def after_missing(on_missing: OnMissing, *, error: str) -> DeadLetter | Ack:
    """What follows when a task cannot run because a row among its arguments is gone. It will not come back."""
    return ACK if on_missing == "discard" else DeadLetter(reason="a row among its arguments is gone", error=error)


def unknown_task(*, age: float, reason: str) -> Release | DeadLetter:
    """What follows when this worker cannot know the task: a newer worker may.

    Args:
        age: seconds since the message was enqueued.
        reason: for the dead letter, once patience has ended.
    """
    if age < UNKNOWN_TASK_PATIENCE:
        return Release(delay=UNKNOWN_TASK_DELAY)
    return DeadLetter(reason=reason)
