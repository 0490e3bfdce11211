"""Enums, dataclasses, named tuples and pydantic models: to plain data, back from an annotation, and whether that is the same.

Lowering is ours, since it must keep what the serializer keeps; lifting is pydantic's, asked for at first use. What a
field's annotation coerces, or a constructor changes, shows as a difference.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    NewType,
    TypeGuard,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_SEQUENCES: Final[frozenset[Any]] = frozenset({list, tuple})
_HASHED: Final[frozenset[Any]] = frozenset({dict, set, frozenset})
_CONTAINERS: Final[frozenset[Any]] = frozenset({list, tuple, set, frozenset})


def needs_rebuilding(annotation: Any) -> bool:
    """Whether a class that must be rebuilt occurs anywhere in a resolved annotation."""
    return _occurs(annotation, {})


def lifter(annotation: Any) -> Callable[[object], object]:
    """What builds the values that an annotation describes from plain data; it raises pydantic's errors, or a constructor's.

    Raises:
        Exception: pydantic cannot build what the annotation describes.
    """
    from pydantic import TypeAdapter

    validate = TypeAdapter[object](annotation).validate_python
    # A strict model would refuse the value of its own enum, and an alias is for other people's JSON.
    return lambda value: validate(value, strict=False, by_name=True, by_alias=False)


def lower(value: Any) -> Any:  # noqa: PLR0911 one return per kind of value
    """The same value with nothing in it that must be rebuilt."""
    kind = cast("Any", type(value))
    if kind in _CONTAINERS:
        return kind([lower(it) for it in value])
    if kind is dict:
        return {lower(key): lower(it) for key, it in value.items()}
    if isinstance(value, enum.Enum):
        return lower(value.value)
    if _is_named_tuple(kind):
        return lower(tuple(value))
    if is_dataclass(kind):
        return {field.name: lower(getattr(value, field.name)) for field in fields(kind) if field.init}
    if _is_model(kind):
        return lower(value.root if kind.__pydantic_root_model__ else _model_data(value))
    return value


def same(one: Any, other: Any) -> bool:  # noqa: PLR0911 one return per kind of value
    """Whether two values are equal and of the same types throughout."""
    kind = cast("Any", type(one))
    if kind is not type(other):
        return False
    if issubclass(kind, enum.Enum):
        return bool(one is other)
    if kind in _SEQUENCES or _is_named_tuple(kind):
        return len(one) == len(other) and all(map(same, one, other))
    if kind in _HASHED and (set(one) != set(other) or set(map(type, one)) != set(map(type, other))):
        return False
    if kind is dict:
        return all(same(one[key], other[key]) for key in one)
    if is_dataclass(kind):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(kind))
    if _is_model(kind):
        return same(_model_data(one), _model_data(other)) and same(one.__pydantic_private__, other.__pydantic_private__)
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 a NaN is another NaN's equal here


def why(error: Exception) -> str:
    """What is wrong with a value, without the value: errors end up in logs and dead letters."""
    if not _is_of_pydantic(error):
        return f"{type(error).__name__}: {error}"
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:3]
    return "; ".join(": ".join([*map(str, problem["loc"]), problem["msg"]]) for problem in problems)


def _occurs(annotation: Any, seen: dict[int, Any]) -> bool:
    if id(annotation) in seen:  # an alias or a typed dict that mentions itself
        return False
    seen[id(annotation)] = annotation  # kept, or the next annotation might be given its id
    if isinstance(annotation, enum.Enum):  # within a Literal
        return True
    if isinstance(annotation, type):
        kind = cast("type[object]", annotation)
        if issubclass(kind, enum.Enum) or is_dataclass(kind) or _is_named_tuple(kind) or _is_model(kind):
            return True
    return any(_occurs(part, seen) for part in _parts(annotation))


def _parts(annotation: Any) -> Sequence[Any]:
    if hasattr(annotation, "__required_keys__"):  # a typed dict, also of typing_extensions
        return list(get_type_hints(annotation).values())
    if isinstance(annotation, NewType):
        return [cast("Any", annotation.__supertype__)]
    if hasattr(annotation, "__value__"):  # the `type` statement
        return [annotation.__value__]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is None:
        return ()
    return inner[:1] if origin is Annotated else (origin, *inner)


def _is_named_tuple(kind: type[Any]) -> bool:
    return issubclass(kind, tuple) and hasattr(cast("type[Any]", kind), "_fields")


def _is_of_pydantic(error: Exception) -> TypeGuard[ValidationError]:
    pydantic = sys.modules.get("pydantic_core")
    return pydantic is not None and isinstance(error, pydantic.ValidationError)


def _is_model(kind: type[Any]) -> bool:
    pydantic = sys.modules.get("pydantic.main")  # there is no model before it was imported
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _model_data(model: BaseModel) -> Mapping[str, Any]:
    named = {name: getattr(model, name) for name in type(model).model_fields}
    return {**named, **(model.__pydantic_extra__ or {})}
