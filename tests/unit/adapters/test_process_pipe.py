from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctasq.adapters.executors.process_pipe import (
    NOT_BEGUN,
    STOP,
    Frames,
    Report,
    frame_of_order,
    frame_of_report,
    order_in,
    report_in,
)
from asynctasq.domain.errors import TaskError
from asynctasq.domain.failure import FailedElsewhere, Failure
from asynctasq.domain.message import Message
from asynctasq.domain.steering import Course, Steering
from asynctasq.ports.executor import Order

ORDER = Order(message=Message(id="ä-id", queue="mail", body=bytes(range(256))), attempt=2**31, deadline=1234.5)


def through(*frames: bytes, step: int) -> list[bytes]:
    """What comes out of a pipe that delivers `step` bytes at a time."""
    cut, arrived = Frames(), b"".join(frames)
    contents: list[bytes] = []
    for start in range(0, len(arrived), step):
        cut.feed(arrived[start : start + step])
        while (content := cut.next()) is not None:
            contents.append(content)
    return contents


@pytest.mark.parametrize("step", [1, 3, 7, 10_000])
def test_frames_come_out_whole_however_they_arrive(step: int) -> None:
    frames = [frame_of_order(ORDER), STOP, frame_of_report(Report(last=True))]
    order, stop, report = through(*frames, step=step)
    assert order_in(order) == ORDER
    assert stop == b""
    assert report_in(report) == Report(last=True)


@given(body=st.binary(), deadline=st.none() | st.floats(allow_nan=False), attempt=st.integers(1, 2**32 - 1))
def test_an_order_arrives_as_it_was(body: bytes, deadline: float | None, attempt: int) -> None:
    order = Order(message=Message(id="i", queue="q", body=body), attempt=attempt, deadline=deadline)
    (content,) = through(frame_of_order(order), step=1_000)
    assert order_in(content) == order


@given(
    kinds=st.lists(st.text(), min_size=1).map(tuple),
    text=st.text(st.characters()),  # lone surrogates too: a file's name may be in an error
    steering=st.none()
    | st.builds(Steering, course=st.sampled_from(Course), delay=st.none() | st.just(1.5), reason=st.text()),
)
def test_a_failure_arrives_as_it_was(kinds: tuple[str, ...], text: str, steering: Steering | None) -> None:
    failure = Failure(kinds=kinds, text=text, steering=steering)
    (content,) = through(frame_of_report(Report(error=FailedElsewhere(failure))), step=1_000)
    error = report_in(content).error
    assert isinstance(error, FailedElsewhere)
    assert error.failure == failure


@pytest.mark.parametrize("kind", NOT_BEGUN.values())
def test_why_an_attempt_was_not_begun_arrives_as_the_same_error(kind: type[TaskError]) -> None:
    (content,) = through(frame_of_report(Report(error=kind("for a reason"))), step=1_000)
    error = report_in(content).error
    assert type(error) is kind
    assert str(error) == "for a reason"


def test_an_error_that_is_not_on_the_list_is_not_rebuilt_by_its_name() -> None:
    class Strange(TaskError):
        """Somebody's own."""

    (content,) = through(frame_of_report(Report(error=Strange("for a reason"))), step=1_000)
    assert type(report_in(content).error) is TaskError
