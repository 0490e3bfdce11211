"""How a task's arguments travel when its own annotations say more than plain data does.

What an annotation can rebuild is lowered to plain data at dispatch and lifted again on the worker, from the annotation of
the parameter it was given for: the payload never names a class. Each such argument is lifted once at dispatch too, and
refused there unless that gives the same value. Every other argument is left alone, whatever its annotation says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Optional, get_type_hints

from asynctasq.app.rebuilding import IsRow, Lifter, lower, needs_rebuilding, rows_in, same, why
from asynctasq.domain.errors import SerializationError, UndecodableTask


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
        return not self._annotated.lifts

    def name(self, place: int | str) -> str:
        """What an error calls an argument: its parameter's name, or `rest[0]` within `*rest`.

        Args:
            place: a position (0-based), or a keyword.
        """
        if isinstance(place, str):
            return place
        owner, within = self._owner(place), place - len(self._layout.positional)
        if owner is None:
            return f"#{place}"
        return owner if within < 0 else f"{owner}[{within}]"

    def trouble(self, place: int | str) -> str | None:
        """Why the annotation of an argument counts as absent; None if it does not."""
        return self._annotated.troubles.get(self._owner(place))

    def lower(
        self, task: str, args: Sequence[object], kwargs: Mapping[str, object], *, is_row: IsRow | None = None
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as plain data, for the serializer; and rows of ORMs, as they are.

        Args:
            task: the task's name, for errors.
            args: positional arguments as given.
            kwargs: keyword arguments as given.
            is_row: tells whether a type is an ORM's model; None where no ORM is in use.

        Raises:
            SerializationError: one would not come back as it is; the message names it and the task.
        """

        def step(name: str, value: object, lift: Lifter) -> object:
            try:
                lowered: object = lower(value, is_row)
                lifted = lift(lowered)
                exact = same(value, lifted, is_row)
            except Exception as error:
                raise SerializationError(
                    f"argument {name!r} of task {task!r} cannot be rebuilt from its annotation: "
                    f"annotate the parameter with what is passed ({why(error)})"
                ) from error
            if exact:
                return lowered
            raise SerializationError(
                f"argument {name!r} of task {task!r} is a {type(value).__qualname__}, and its annotation would rebuild it as "
                f"another value, a {type(lifted).__qualname__}: annotate the parameter with exactly what is passed"
            )

        return self._each(step, args, kwargs)

    def lift(
        self,
        task: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        is_row: IsRow | None = None,
        rows: Set[int] = frozenset(),
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as the task was given them, from plain data.

        Args:
            task: the task's name, for errors.
            args: positional arguments as lowered.
            kwargs: keyword arguments as lowered.
            is_row: tells whether a type is an ORM's model; None where no ORM is in use.
            rows: the `id()` of every row that was fetched for this call. No other may come of it: data is never made a row.

        Raises:
            UndecodableTask: one no longer fits its annotation; the message names it and the task.
        """

        def step(name: str, value: object, lift: Lifter) -> object:
            try:
                lifted = lift(value)
            except Exception as error:
                raise UndecodableTask(
                    f"argument {name!r} of task {task!r} does not fit its annotation: "
                    f"let both sides have the same code, then requeue it ({why(error)})"
                ) from error
            if (
                is_row is not None
                and any(map(is_row, lift.classes))
                and any(id(row) not in rows for row in rows_in(lifted, is_row))
            ):
                raise UndecodableTask(
                    f"argument {name!r} of task {task!r} has plain data where its annotation has a row: dispatch it with the row"
                )
            return lifted

        return self._each(step, args, kwargs)

    def _each(
        self, step: Callable[[str, object, Lifter], object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        lifts, positional, keywords = self._annotated.lifts, list(args), dict(kwargs)
        for at, value in enumerate(positional):
            if lift := lifts.get(self._owner(at)):
                positional[at] = step(self.name(at), value, lift)
        for key, value in keywords.items():
            if lift := lifts.get(self._owner(key)):
                keywords[key] = step(key, value, lift)
        return positional, keywords

    def _owner(self, place: int | str) -> str | None:
        layout = self._layout
        if isinstance(place, str):
            return place if place in layout.keywords else layout.extra
        return layout.positional[place] if place < len(layout.positional) else layout.rest

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
    def _annotated(self) -> _Annotated:
        function = inspect.unwrap(self._function)
        annotated = _Annotated()
        for name, written in _annotations(function).items():
            try:
                annotation = _resolve(written, function)
                if name != "return" and needs_rebuilding(annotation):
                    # "= None" says that None may be passed, even where the annotation forgets to.
                    wanted = Optional[annotation] if name in self._layout.may_be_none else annotation  # noqa: UP045
                    annotated.lifts[name] = Lifter(wanted)
            except Exception as error:
                # Imported for type checkers only, local to a function, or nothing that pydantic can build: then there is
                # nothing to rebuild from, and the serializer refuses what would have needed it.
                annotated.troubles[name] = why(error)
        return annotated


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    positional: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    rest: str | None = None
    extra: str | None = None
    may_be_none: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Annotated:
    lifts: dict[str | None, Lifter] = field(default_factory=dict[str | None, Lifter])
    troubles: dict[str | None, str] = field(default_factory=dict[str | None, str])


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
