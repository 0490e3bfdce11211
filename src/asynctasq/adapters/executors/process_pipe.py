"""What crosses the pipe between a worker and a child: a frame is its length and then its bytes, in either direction.

An order is a few numbers and the message's own bytes. A report is one letter, and JSON where something went wrong. Nothing in
either chooses a function, a class or an import: the errors that can be rebuilt are listed here.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Final

from asynctasq.domain.errors import ModelNotFound, TaskError, TaskNotFound, UndecodableTask, UnknownFrame
from asynctasq.domain.failure import FailedElsewhere, Failure
from asynctasq.domain.message import Message
from asynctasq.domain.steering import Course, Steering
from asynctasq.ports.executor import Order

_LENGTH: Final = struct.Struct(">I")
_ORDER: Final = struct.Struct(">IdHH")

STOP: Final = _LENGTH.pack(0)
"""The frame that goes before a SIGTERM of ours; the signal without it was not meant for the child alone."""

NOT_BEGUN: Final = {error.__name__: error for error in (TaskNotFound, UnknownFrame, UndecodableTask, ModelNotFound)}
"""The errors that keep an attempt from being begun, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a child says of itself, or of the order that it was given.

    Attributes:
        error: why the order was not carried out, or why the child cannot work; None if all is well.
        last: whether the child ends now.
    """

    error: TaskError | None = None
    last: bool = False


class Frames:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole frame's content; None as long as it is not all there."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        content = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return content


def frame_of_order(order: Order) -> bytes:
    """An order, framed."""
    message = order.message
    name, queue = message.id.encode(), message.queue.encode()
    deadline = math.nan if order.deadline is None else order.deadline
    length = _ORDER.size + len(name) + len(queue) + len(message.body)
    head = _ORDER.pack(order.attempt, deadline, len(name), len(queue))
    return b"".join((_LENGTH.pack(length), head, name, queue, message.body))


def order_in(content: bytes) -> Order:
    """The order in a frame."""
    attempt, deadline, name, queue = _ORDER.unpack_from(content)
    first, second = _ORDER.size + name, _ORDER.size + name + queue
    message = Message(
        id=content[_ORDER.size : first].decode(), queue=content[first:second].decode(), body=content[second:]
    )
    return Order(message=message, attempt=attempt, deadline=None if math.isnan(deadline) else deadline)


def frame_of_report(report: Report) -> bytes:
    """A report, framed."""
    content = (b"L" if report.last else b"-") + (_told(report.error) if report.error is not None else b"")
    return _LENGTH.pack(len(content)) + content


def report_in(content: bytes) -> Report:
    """The report in a frame."""
    return Report(error=_rebuilt(content[1:]) if len(content) > 1 else None, last=content[:1] == b"L")


def _told(error: TaskError) -> bytes:
    if not isinstance(error, FailedElsewhere):
        return json.dumps([type(error).__name__, str(error)]).encode()
    failure, steering = error.failure, error.failure.steering
    steered = None if steering is None else [steering.course.value, steering.delay, steering.reason]
    return json.dumps([list(failure.kinds), failure.text, steered]).encode()


def _rebuilt(content: bytes) -> TaskError:
    what, text, *steered = json.loads(content)
    if isinstance(what, str):
        return NOT_BEGUN.get(what, TaskError)(text)
    steering = None
    if steered != [None]:
        ((course, delay, reason),) = steered
        steering = Steering(course=Course(course), delay=delay, reason=reason)
    return FailedElsewhere(Failure(kinds=tuple(what), text=text, steering=steering))
