"""What was dispatched, and whether it is what a test expects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asynctasq.app.rows import Rows
from asynctasq.app.task_function import TaskFunction
from asynctasq.domain.errors import SerializationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """One call that was dispatched.

    Attributes:
        id: as `dispatch()` returned it.
        name: the task's.
        arguments: by the names of the function's parameters, defaults included.
        queue: where it went.
        delay: seconds until it may start.
        referred: the arguments with references for the rows of ORMs, as they travelled.
    """

    id: str
    name: str
    arguments: Mapping[str, object]
    queue: str
    delay: float
    referred: Mapping[str, object] = field(repr=False)

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.referred.items())
        return f"{self.name}({arguments})"


def arguments_of(
    function: TaskFunction[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """A call's arguments by name."""
    bound = inspect.signature(function.fn).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def matching(
    dispatched: Sequence[Dispatched],
    function: TaskFunction[..., Any],
    expected: Mapping[str, object],
    rows: Rows | None,
) -> list[Dispatched]:
    """The calls of a task whose arguments are as expected; those that are not named may be anything.

    A row is as expected if it is of the same model and has the same key, whichever session or query it came from.

    Raises:
        TypeError: the task has no such argument.
    """
    parameters = inspect.signature(function.fn).parameters
    unknown = [name for name in expected if name not in parameters]
    if unknown:
        raise TypeError(
            f"task {function.name!r} has no argument {unknown[0]!r}: it takes {', '.join(parameters) or 'none'}"
        )
    wanted = {name: (value, referred(value, rows)) for name, value in expected.items()}
    return [
        call
        for call in dispatched
        if call.name == function.name
        and all(
            call.arguments[name] == value or call.referred[name] == reference
            for name, (value, reference) in wanted.items()
        )
    ]


def referred(value: object, rows: Rows | None) -> object:
    """The value with references for its rows; as it is where there are none, or one of them was never saved."""
    try:
        return value if rows is None else rows.refer(value)
    except SerializationError:
        return value


def described(dispatched: Sequence[Dispatched]) -> str:
    """What was dispatched, for the message of a failed assertion."""
    return "\n".join(f"  {call}" for call in dispatched) or "  nothing"
