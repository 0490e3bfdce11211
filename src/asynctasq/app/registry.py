"""Which tasks this process knows, by name. A worker runs these and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from asynctasq.app.task_function import TaskFunction
from asynctasq.domain.errors import ConfigurationError


class Registry:
    """Task functions by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, TaskFunction[..., Any]] = {}

    def add(self, function: TaskFunction[..., Any]) -> None:
        """Register a task function; the same name again replaces the first with a warning that shows both places.

        Raises:
            ConfigurationError: two functions claim one explicit `name=`.
        """
        known = self._by_name.get(function.name)
        if known is not None and _place(known) != _place(function):
            if known.named or function.named:
                raise ConfigurationError(
                    f"two tasks are called {function.name!r}: {_place(known)} and {_place(function)}; rename one"
                )
            warnings.warn(
                f"task {function.name!r} at {_place(function)} replaces the one at {_place(known)}",
                RuntimeWarning,
                stacklevel=4,
            )
        self._by_name[function.name] = function

    def find(self, name: str) -> TaskFunction[..., Any] | None:
        """The task of that name, or None.

        A script names its tasks `stem:qualname`, while the worker may have imported the file as `package.stem`: where exactly one
        registered task matches that way, it is meant.
        """
        function = self._by_name.get(name)
        if function is None:
            suffix = f".{name}"
            matches = [known for registered, known in self._by_name.items() if registered.endswith(suffix)]
            if len(matches) == 1:
                function = matches[0]
        return function

    def __iter__(self) -> Iterator[TaskFunction[..., Any]]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def _place(function: TaskFunction[..., Any]) -> str:
    code = getattr(function.fn, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(function.fn)


REGISTRY = Registry()
"""Where `@task` registers."""
