"""What a task raises to steer: what it carries, and what it refuses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from asynctasq.domain.errors import AsyncTasQError, ConfigurationError
from asynctasq.domain.steering import Course, Discard, RetryLater, Snooze, Steer, Steering


@pytest.mark.parametrize(
    ("steer", "steering", "text"),
    [
        (RetryLater(), Steering(course=Course.RETRY_LATER), "run it again later"),
        (RetryLater(5), Steering(course=Course.RETRY_LATER, delay=5), "run it again later"),
        (
            RetryLater(delay=timedelta(minutes=1), reason="the bank\n is busy"),
            Steering(course=Course.RETRY_LATER, delay=60, reason="the bank is busy"),
            "the bank is busy",
        ),
        (Discard(), Steering(course=Course.DISCARD), "not worth doing any more"),
        (Discard("gone"), Steering(course=Course.DISCARD, reason="gone"), "gone"),
        (Snooze(30), Steering(course=Course.SNOOZE, delay=30), "not before 30 s have passed"),
        (Snooze(timedelta(hours=1)), Steering(course=Course.SNOOZE, delay=3600), "not before 3600 s have passed"),
    ],
)
def test_what_is_asked_for_is_carried_as_plain_values_and_said_in_one_line(
    steer: Steer, steering: Steering, text: str
) -> None:
    assert steer.steering == steering
    assert str(steer) == text


@pytest.mark.parametrize("delay", [-1, float("nan"), "soon", True])
@pytest.mark.parametrize("steer", [RetryLater, Snooze])
def test_a_delay_that_is_no_number_of_seconds_is_refused_by_name_and_value(steer: type[Steer], delay: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        steer(delay)  # type: ignore[arg-type,call-arg] -- that is the test
    assert f"{steer.__name__} delay={delay!r}" in str(refused.value)


def test_steering_is_not_swallowed_by_who_catches_our_errors() -> None:
    assert not issubclass(Steer, AsyncTasQError)
