"""How a task's arguments travel when its own annotations say more than plain data does.

What an annotation can rebuild is lowered to plain data at dispatch and lifted again on the worker, from the annotation of
the parameter it was given for: the payload never names a class. Each such argument is lifted once at dispatch too, and
refused there unless that gives the same value. Every other argument is left alone, whatever its annotation says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Optional, get_type_hints

from asynctasq.app.rebuilding import lifter, lower, needs_rebuilding, same, why
from asynctasq.domain.errors import SerializationError, UndecodableTask

Lift = Callable[[object], object]


class Parameters:
    """What a function's signature says of its arguments; nothing is looked at before it is needed.

    An annotation that cannot be resolved at run time counts as absent. A wrapper made with `functools.wraps` is looked through.

    Args:
        function: the task's function, or a bound method.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def plain(self) -> bool:
        """Whether every argument travels as it is: no annotation holds a class that must be rebuilt."""
        return not self._lifts

    def name(self, position: int) -> str:
        """What an error calls the argument at a position (0-based): the parameter's name, `rest[0]` within `*rest`."""
        positional, rest = self._layout.positional, self._layout.rest
        if position < len(positional):
            return positional[position]
        return f"{rest}[{position - len(positional)}]" if rest else f"#{position}"

    def lower(
        self, task: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as plain data, for the serializer.

        Args:
            task: the task's name, for errors.
            args: positional arguments as given.
            kwargs: keyword arguments as given.

        Raises:
            SerializationError: one would not come back as it is; the message names it and the task.
        """

        def step(name: str, value: object, lift: Lift) -> object:
            try:
                lowered: object = lower(value)
                lifted = lift(lowered)
                exact = same(value, lifted)
            except Exception as error:
                raise SerializationError(
                    f"argument {name!r} of task {task!r} cannot be rebuilt from its annotation: {why(error)}"
                ) from error
            if exact:
                return lowered
            raise SerializationError(
                f"argument {name!r} of task {task!r} is a {type(value).__qualname__}, and its annotation would rebuild it as "
                f"another value, a {type(lifted).__qualname__}: annotate the parameter with exactly what is passed"
            )

        return self._each(step, args, kwargs)

    def lift(
        self, task: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as the task was given them, from plain data.

        Args:
            task: the task's name, for errors.
            args: positional arguments as lowered.
            kwargs: keyword arguments as lowered.

        Raises:
            UndecodableTask: one no longer fits its annotation; the message names it and the task.
        """

        def step(name: str, value: object, lift: Lift) -> object:
            try:
                return lift(value)
            except Exception as error:
                raise UndecodableTask(
                    f"argument {name!r} of task {task!r} does not fit its annotation: {why(error)}"
                ) from error

        return self._each(step, args, kwargs)

    def _each(
        self, step: Callable[[str, object, Lift], object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        layout, lifts = self._layout, self._lifts
        positional, keywords = list(args), dict(kwargs)
        for at, value in enumerate(positional):
            owner = layout.positional[at] if at < len(layout.positional) else layout.rest
            if lift := lifts.get(owner):
                positional[at] = step(self.name(at), value, lift)
        for key, value in keywords.items():
            if lift := lifts.get(key if key in layout.keywords else layout.extra):
                keywords[key] = step(key, value, lift)
        return positional, keywords

    @cached_property
    def _layout(self) -> _Layout:
        try:
            parameters = inspect.signature(self._function).parameters
        except (TypeError, ValueError):  # some callables written in C do not tell
            return _Layout()
        kinds = inspect.Parameter

        def named(*of: object) -> list[str]:
            return [name for name, it in parameters.items() if it.kind in of]

        return _Layout(
            positional=tuple(named(kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)),
            keywords=frozenset(named(kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)),
            rest=next(iter(named(kinds.VAR_POSITIONAL)), None),
            extra=next(iter(named(kinds.VAR_KEYWORD)), None),
            may_be_none=frozenset(name for name, it in parameters.items() if it.default is None),
        )

    @cached_property
    def _lifts(self) -> Mapping[str | None, Lift]:
        function = inspect.unwrap(self._function)
        lifts: dict[str | None, Lift] = {}
        for name, written in _annotations(function).items():
            try:
                annotation = _resolve(written, function)
                if name == "return" or not needs_rebuilding(annotation):
                    continue
                # "= None" says that None may be passed, even where the annotation forgets to.
                lifts[name] = lifter(Optional[annotation] if name in self._layout.may_be_none else annotation)  # noqa: UP045
            except Exception:
                # Imported for type checkers only, local to a function, or nothing that pydantic can build: then there is
                # nothing to rebuild from, and the serializer refuses what would have needed it.
                continue
        return lifts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    positional: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    rest: str | None = None
    extra: str | None = None
    may_be_none: frozenset[str] = frozenset()


def _annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    if not inspect.isroutine(function):
        return {}
    if sys.version_info >= (3, 14):
        import annotationlib

        # Asked for as values, one that cannot be resolved takes the others with it.
        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(function)


def _resolve(annotation: Any, function: Callable[..., Any]) -> Any:
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    return get_type_hints(holder, getattr(function, "__globals__", {}), include_extras=True)["it"]
