"""The serializer port: values to bytes and back, exactly."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from asynctasq.domain.message import ModelRef


class Serializer(Protocol):
    """Turns plain values into a framed body and back.

    What `loads(dumps(x))` gives equals `x` and has the same types throughout; what cannot keep that promise is refused by
    `dumps`. Nothing in a body chooses what is imported, built or executed. Byte 0 of a body is the frame kind, so that
    other frames (signed, sealed, a later version) can be told apart without reading on.
    """

    @abstractmethod
    def dumps(self, value: object, *, id: str, queue: str) -> bytes:
        """Encode a value.

        Args:
            value: plain values, containers of them, and `ModelRef`.
            id: the message's id; a frame may bind the body to it.
            queue: the message's queue; likewise.

        Raises:
            SerializationError: the value, or something in it, would not come back as it is. The message names the
                value's type and what to do.
        """

    @abstractmethod
    def loads(self, body: bytes, *, id: str, queue: str, refs: list[ModelRef] | None = None) -> object:
        """Decode a body.

        Args:
            body: what `dumps` gave.
            id: the message's id.
            queue: the message's queue.
            refs: every `ModelRef` that is decoded is also appended here, the very object, so that nobody has to look for
                them in a value that has none.

        Raises:
            UnknownFrame: a frame kind of a later version.
            UndecodableTask: anything else that is wrong with it: truncated, too deep, too many items, trailing bytes, unknown
                type codes, values out of range. Never any other exception, whatever the bytes are.
        """
