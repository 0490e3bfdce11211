"""How a task's arguments travel when its own annotations say more than plain data does.

An enum, dataclass, named tuple or pydantic model is lowered to plain data at dispatch and lifted again on the worker
from the annotation of the parameter it was given for: the payload never names a class. Each such argument is lifted once
at dispatch too, and refused there unless that gives the same value.
"""

from __future__ import annotations

import enum
import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, NewType, get_args, get_origin

from asynctasq.domain.errors import SerializationError, UndecodableTask

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter

Lift = Callable[[object], Any]


class Parameters:
    """What a function's signature says of its arguments; nothing is looked at before it is needed.

    An annotation that cannot be resolved at run time counts as absent. A wrapper made with `functools.wraps` is looked through.

    Args:
        function: the task's function, or a method.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def plain(self) -> bool:
        """Whether every argument travels as it is: no annotation holds a class that must be rebuilt."""
        return not self._lifts

    def name(self, position: int) -> str:
        """What an error calls the argument at a position (0-based): the parameter's name, `rest[0]` within `*rest`."""
        layout = self._layout
        if position < len(layout.positional):
            return layout.positional[position]
        return f"{layout.rest or ''}[{position - len(layout.positional)}]"

    def lower(
        self, task: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as plain data, for the serializer.

        Raises:
            SerializationError: one would not come back as it is; the message names it and the task.
        """

        def lower(name: str, value: object, lift: Lift | None) -> object:
            if lift is None:
                return value
            try:
                lowered = _lower(value)
                lifted = lift(lowered)
                same = _same(value, lifted)
            except Exception as error:
                raise SerializationError(
                    f"argument {name!r} of task {task!r} cannot be rebuilt from its annotation: {_reason(error)}"
                ) from error
            if same:
                return lowered
            raise SerializationError(
                f"argument {name!r} of task {task!r} is a {type(value).__qualname__} and would come back from its "
                f"annotation as another value, a {type(lifted).__qualname__}: annotate it with exactly what is passed"
            )

        return self._each(lower, args, kwargs)

    def lift(
        self, task: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        """Arguments as the task was given them, from plain data.

        Raises:
            UndecodableTask: one no longer fits its annotation; the message names it and the task.
        """

        def lift(name: str, value: object, lift: Lift | None) -> object:
            if lift is None:
                return value
            try:
                return lift(value)
            except Exception as error:
                raise UndecodableTask(
                    f"argument {name!r} of task {task!r} does not fit its annotation: {_reason(error)}"
                ) from error

        return self._each(lift, args, kwargs)

    def _each(
        self, step: Callable[[str, object, Lift | None], object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        layout, lifts = self._layout, self._lifts
        owners = [*layout.positional[: len(args)]]
        owners += [layout.rest or ""] * (len(args) - len(owners))
        return (
            [step(self.name(at), value, lifts.get(owners[at])) for at, value in enumerate(args)],
            {
                key: step(key, value, lifts.get(key if key in layout.keywords else layout.extra or ""))
                for key, value in kwargs.items()
            },
        )

    @cached_property
    def _layout(self) -> _Layout:
        try:
            parameters = inspect.signature(self._function).parameters.values()
        except (TypeError, ValueError):  # some functions written in C do not tell
            return _Layout()
        kinds = inspect.Parameter
        return _Layout(
            positional=tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)),
            keywords=frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)),
            rest=next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), None),
            extra=next((p.name for p in parameters if p.kind is kinds.VAR_KEYWORD), None),
            optional=frozenset(p.name for p in parameters if p.default is None),
        )

    @cached_property
    def _lifts(self) -> Mapping[str, Lift]:
        function = inspect.unwrap(self._function)
        namespace = getattr(function, "__globals__", {})
        lifts: dict[str, Lift] = {}
        for name, raw in _annotations(function).items():
            try:
                annotation = _resolve(raw, namespace)
                if name == "return" or not _rebuilds(annotation, set()):
                    continue
                # "= None" says that None may be passed, whatever the annotation forgot.
                wanted = typing.Optional[annotation] if name in self._layout.optional else annotation  # noqa: UP045
                lifts[name] = _lift(wanted)
            except Exception:
                # Imported for type checkers only, local to a function, or holding a class that pydantic cannot build: the
                # parameter has no usable annotation, and the serializer refuses what would have needed one.
                continue
        return lifts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    positional: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    rest: str | None = None
    extra: str | None = None
    optional: frozenset[str] = frozenset()


def _annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    if not inspect.isroutine(function):
        return {}
    if sys.version_info >= (3, 14):
        import annotationlib

        # One name that cannot be resolved would otherwise take the other annotations with it.
        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(function)


def _resolve(annotation: Any, namespace: dict[str, Any]) -> Any:
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, namespace, include_extras=True)["it"]


def _rebuilds(annotation: Any, seen: set[int]) -> bool:
    """Whether a class that must be rebuilt occurs anywhere in an annotation."""
    if id(annotation) in seen:  # an alias or typed dict that mentions itself
        return False
    seen.add(id(annotation))
    if isinstance(annotation, enum.Enum):  # within a Literal
        return True
    if isinstance(annotation, type) and (
        issubclass(annotation, enum.Enum)
        or is_dataclass(annotation)
        or _is_named_tuple(annotation)
        or _is_model(annotation)
    ):
        return True
    if typing.is_typeddict(annotation):
        return any(_rebuilds(hint, seen) for hint in typing.get_type_hints(annotation).values())
    if isinstance(annotation, NewType):
        return _rebuilds(annotation.__supertype__, seen)
    if hasattr(annotation, "__value__"):  # the `type` statement
        return _rebuilds(annotation.__value__, seen)
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        inner = inner[:1]
    return any(_rebuilds(it, seen) for it in (get_origin(annotation), *inner) if it is not None)


def _lift(annotation: Any) -> Lift:
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def lift(value: object) -> Any:
        return adapter.validate_python(value, strict=False, by_name=True, by_alias=False)

    return lift


def _lower(value: Any) -> Any:
    kind: Any = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind([_lower(it) for it in value])
    if kind is dict:
        return {_lower(key): _lower(it) for key, it in value.items()}
    if isinstance(value, enum.Enum):
        return _lower(value.value)
    if _is_named_tuple(kind):
        return tuple([_lower(it) for it in value])
    if is_dataclass(kind):
        return {field.name: _lower(getattr(value, field.name)) for field in fields(value) if field.init}
    if _is_model(kind):
        parts = _model_parts(value)
        return (
            _lower(parts["root"]) if kind.__pydantic_root_model__ else {name: _lower(it) for name, it in parts.items()}
        )
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types throughout."""
    kind: Any = type(one)
    if kind is not type(other):
        return False
    if kind in (list, tuple) or _is_named_tuple(kind):
        return len(one) == len(other) and all(map(_same, one, other))
    if kind in (set, frozenset):
        return bool(one == other) and set(map(type, one)) == set(map(type, other))
    if kind is dict:
        return (
            one.keys() == other.keys()
            and set(map(type, one)) == set(map(type, other))
            and all(_same(it, other[key]) for key, it in one.items())
        )
    if is_dataclass(kind) and not isinstance(one, enum.Enum):
        return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if _is_model(kind):
        return _same(_model_parts(one), _model_parts(other)) and _same(
            one.__pydantic_private__, other.__pydantic_private__
        )
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 NaN is the same NaN


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_model(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic.main")  # there is no model before it was imported
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _model_parts(model: BaseModel) -> dict[str, Any]:
    parts = {name: getattr(model, name) for name in type(model).model_fields}
    return {**parts, **(model.__pydantic_extra__ or {})}


def _reason(error: Exception) -> str:
    """What went wrong, without the values themselves: errors end up in logs and dead letters."""
    if type(error).__module__.startswith("pydantic_core"):
        problems: list[Any] = typing.cast("Any", error).errors(
            include_url=False, include_input=False, include_context=False
        )
        told = [": ".join(filter(None, [".".join(map(str, it["loc"])), it["msg"]])) for it in problems[:3]]
        return "; ".join(told)
    return f"{type(error).__name__}: {error}"
