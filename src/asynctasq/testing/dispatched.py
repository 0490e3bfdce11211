"""What was dispatched, and whether it is what a test expects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asynctasq.app.task_function import TaskFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """One call that was dispatched.

    Attributes:
        id: as `dispatch()` returned it.
        name: the task's.
        arguments: by the names of the function's parameters, defaults included.
        queue: where it went.
        delay: seconds until it may start.
    """

    id: str
    name: str
    arguments: Mapping[str, object]
    queue: str
    delay: float

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.name}({arguments})"


def arguments_of(
    function: TaskFunction[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """A call's arguments by name."""
    bound = inspect.signature(function.fn).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def matching(
    dispatched: Sequence[Dispatched], function: TaskFunction[..., Any], expected: Mapping[str, object]
) -> list[Dispatched]:
    """The calls of a task whose arguments are as expected; those that are not named may be anything.

    Raises:
        TypeError: the task has no such argument.
    """
    parameters = inspect.signature(function.fn).parameters
    unknown = [name for name in expected if name not in parameters]
    if unknown:
        raise TypeError(
            f"task {function.name!r} has no argument {unknown[0]!r}: it takes {', '.join(parameters) or 'none'}"
        )
    return [
        call
        for call in dispatched
        if call.name == function.name and all(call.arguments[name] == value for name, value in expected.items())
    ]


def described(dispatched: Sequence[Dispatched]) -> str:
    """What was dispatched, for the message of a failed assertion."""
    return "\n".join(f"  {call}" for call in dispatched) or "  nothing"
