"""A task to the body of a message and back. Body v1 is `[name, overrides, arguments]`; docs/payload.md draws it.

The arguments are a body of their own inside, so that a worker can say which task it was when the arguments cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from asynctasq.app.parameters import Parameters
from asynctasq.app.rows import Rows, restored
from asynctasq.domain.errors import (
    ConfigurationError,
    PayloadTooLarge,
    SerializationError,
    UndecodableTask,
    UnknownFrame,
)
from asynctasq.domain.message import Message, ModelRef
from asynctasq.domain.retry import check_seconds
from asynctasq.domain.task import Task
from asynctasq.ports.serializer import Serializer

RETRY_DELAY: Final = 1
"""The override that carries `Task.retry_delay`, in seconds."""

IGNORABLE: Final = range(64)
"""Overrides that a worker may pass over where it does not know them; one beyond changes what running the task means."""


_NO_LIST: Final[Any] = (None, None, None)
"""The items of what is no list of the right length: none of them is of the right type."""


class Header(NamedTuple):
    """What a worker must know of a task before it reads the arguments.

    Attributes:
        name: the task's name.
        retry_delay: seconds before each retry, where the dispatch overrode the task's own.
        arguments: the encoded arguments, for `Codec.arguments`.
    """

    name: str
    retry_delay: float | None
    arguments: bytes


class Call(NamedTuple):
    """A task's arguments as they travelled.

    Attributes:
        args: the positional ones.
        kwargs: the keyword ones.
        refs: every reference to an ORM row in them.
    """

    args: list[Any]
    kwargs: dict[str, Any]
    refs: list[ModelRef]


class Codec:
    """Encodes tasks for dispatch and decodes them step by step on the worker: `header`, `decode`, `build`.

    Between the last two, the rows of ORMs are fetched, where there are references to any.

    Args:
        serializer: values to bytes.
        rows: what knows the rows of ORMs; None where they are not to travel.
        max_body: bytes that a body may have, in either direction.
    """

    def __init__(self, serializer: Serializer, rows: Rows | None = None, *, max_body: int = 262_144) -> None:
        self._serializer = serializer
        self._rows = rows
        self._max_body = max_body

    def encode(self, task: Task, parameters: Parameters | None, *, id: str, max_body: int | None) -> bytes:
        """The body that carries a task.

        Args:
            task: the call.
            parameters: how the task's arguments travel; None to send them as they are.
            id: the message's id.
            max_body: the most bytes that the driver takes; None for no limit of its own.

        Raises:
            SerializationError: an argument would not arrive as it is; the message names it.
            PayloadTooLarge: the body has more bytes than the smaller limit.
        """
        args, kwargs, queue = list(task.args), dict(task.kwargs), task.config.queue
        is_row = self._rows.known() if self._rows is not None else None
        if parameters is not None and not parameters.plain:
            args, kwargs = parameters.lower(task.name, args, kwargs, is_row=is_row)
        if is_row is not None:
            args, kwargs = self._referred(task, parameters, args, kwargs)
        overrides = {} if task.retry_delay is None else {RETRY_DELAY: task.retry_delay}
        dumps = self._serializer.dumps
        try:
            arguments = dumps([args, kwargs], id=id, queue=queue)
        except SerializationError as error:
            self._blame(task, parameters, args, kwargs, id=id)
            raise SerializationError(f"the arguments of task {task.name!r} together: {error}") from error
        body = dumps([task.name, overrides, arguments], id=id, queue=queue)
        limit = self._max_body if max_body is None else min(self._max_body, max_body)
        if len(body) > limit:
            raise PayloadTooLarge(
                f"task {task.name!r} takes {len(body):,} bytes with its arguments, over the limit of {limit:,}: "
                "pass a reference (an id, a path, a URL) instead of the data"
            )
        return body

    def header(self, message: Message) -> Header:
        """Read what comes before the arguments.

        Raises:
            UnknownFrame: the body was written by a later version, in a way that this one may not pass over.
            UndecodableTask: the body is too large or malformed.
        """
        if len(message.body) > self._max_body:
            raise UndecodableTask(
                f"the body has {len(message.body):,} bytes, over the limit of {self._max_body:,}: raise this worker's limits.body"
            )
        body: Any = self._serializer.loads(message.body, id=message.id, queue=message.queue)
        name, overrides, arguments = body if body.__class__ is list and len(body) == 3 else _NO_LIST
        if name.__class__ is not str or overrides.__class__ is not dict or arguments.__class__ is not bytes:
            raise UndecodableTask("the body is not [name, overrides, arguments]")
        return Header(name, _retry_delay(overrides) if overrides else None, arguments)

    def decode(self, header: Header, message: Message) -> Call:
        """Read the arguments.

        Raises:
            UnknownFrame: they were written by a later version.
            UndecodableTask: they are malformed.
        """
        refs: list[ModelRef] = []
        pair: Any = self._serializer.loads(header.arguments, id=message.id, queue=message.queue, refs=refs)
        args, kwargs = pair if pair.__class__ is list and len(pair) == 2 else _NO_LIST[:2]
        if args.__class__ is not list or kwargs.__class__ is not dict or not all(type(key) is str for key in kwargs):
            raise UndecodableTask(f"the arguments of task {header.name!r} are not [args, kwargs]")
        return Call(args, kwargs, refs)

    def build(
        self,
        header: Header,
        call: Call,
        parameters: Parameters | None,
        found: Mapping[int, object | None] | None = None,
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as the task was given them.

        Args:
            header: the task's header.
            call: its arguments as they travelled.
            parameters: how they travelled; None if as they are.
            found: what its references stand for, as `Rows.fetch` gives it; needed where it has any.

        Raises:
            UndecodableTask: they no longer fit the task's annotations; the message names which.
        """
        args, kwargs = call.args, call.kwargs
        if call.refs:
            args, kwargs = restored([args, kwargs], found or {})
        if parameters is None or parameters.plain:
            return args, kwargs
        is_row = self._rows.known() if self._rows is not None else None
        rows = set(map(id, found.values())) if found else set[int]()
        return parameters.lift(header.name, args, kwargs, is_row=is_row, rows=rows)

    def _referred(
        self, task: Task, parameters: Parameters | None, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with references in the place of rows."""
        refer = cast("Callable[[Any], Any]", cast("Rows", self._rows).refer)
        try:
            return refer(args), refer(kwargs)
        except SerializationError:
            places: Iterable[tuple[int | str, object]] = [*enumerate(args), *kwargs.items()]
            for place, value in places:
                try:
                    refer(value)
                except SerializationError as error:
                    name = _name(parameters, place)
                    raise SerializationError(f"argument {name!r} of task {task.name!r}: {error}") from error
            raise

    def _blame(
        self,
        task: Task,
        parameters: Parameters | None,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        id: str,
    ) -> None:
        """Find the argument that cannot be encoded, by encoding each alone, as deep as it was."""
        places: Iterable[tuple[int | str, object]] = [*enumerate(args), *kwargs.items()]
        for place, value in places:
            try:
                self._serializer.dumps([[value]], id=id, queue=task.config.queue)
            except SerializationError as error:
                name = _name(parameters, place)
                trouble = parameters.trouble(place) if parameters else None
                unusable = f" (its annotation cannot be used: {trouble})" if trouble else ""
                raise SerializationError(f"argument {name!r} of task {task.name!r}: {error}{unusable}") from error


def _name(parameters: Parameters | None, place: int | str) -> str:
    if parameters is not None:
        return parameters.name(place)
    return f"#{place}" if isinstance(place, int) else place


def _retry_delay(overrides: Mapping[object, object]) -> float | None:
    for key in overrides:
        if type(key) is not int or key < 0:
            raise UndecodableTask("an override's key is not a whole number")
        if key != RETRY_DELAY and key not in IGNORABLE:
            raise UnknownFrame(f"override {key} is of a later asynctasq: upgrade this worker")
    delay = overrides.get(RETRY_DELAY)
    try:
        check_seconds("retry_delay", delay, optional=True)
    except ConfigurationError as error:
        raise UndecodableTask(f"an override is out of range: {error}") from error
    return None if delay is None else float(cast("float", delay))
