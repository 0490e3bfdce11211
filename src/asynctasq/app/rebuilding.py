"""Enums, dataclasses, named tuples and pydantic models: to plain data, back from an annotation, and whether that is the same.

Lowering is ours, since it must keep what the serializer keeps; lifting is pydantic's, asked for at first use. What a
field's annotation coerces, or a constructor changes, shows as a difference.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
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
_PLAIN: Final[frozenset[Any]] = frozenset({str, int, float, bool, type(None), bytes})

IsRow = Callable[[type], bool]
"""Tells whether a type is an ORM's model."""


def needs_rebuilding(annotation: Any) -> bool:
    """Whether a class that must be rebuilt occurs anywhere in a resolved annotation."""
    return _occurs(annotation, {})


class Lifter:
    """Builds the values that an annotation describes from plain data; it raises pydantic's errors, or a constructor's.

    What is neither plain data nor can be built, an ORM row in a dataclass for one, is taken as it is if it is of its class.

    Raises:
        Exception: pydantic cannot build what the annotation describes.
    """

    def __init__(self, annotation: Any) -> None:
        from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

        self._inner: bool = False
        try:
            adapter = TypeAdapter[Any](annotation)
        except PydanticSchemaGenerationError:
            # A configuration may not be given for a dataclass itself, and is inherited by one inside of something else.
            self._inner = True
            inner: Any = tuple[annotation]  # pyright: ignore[reportInvalidTypeForm]
            adapter = TypeAdapter[Any](inner, config=ConfigDict(arbitrary_types_allowed=True))
        self._adapter = adapter

    def __call__(self, value: object) -> object:
        """The value that plain data stands for."""
        # A strict model would refuse the value of its own enum, and an alias is for other people's JSON.
        given = (value,) if self._inner else value
        built = self._adapter.validate_python(given, strict=False, by_name=True, by_alias=False)
        return built[0] if self._inner else built

    @cached_property
    def classes(self) -> frozenset[type]:
        """The classes of which it could build instances."""
        return frozenset(_classes(self._adapter.core_schema))


def lower(value: Any, is_row: IsRow | None = None) -> Any:  # noqa: PLR0911 one return per kind of value
    """The same value with nothing in it that must be rebuilt. Rows of ORMs are left as they are, whatever else they are."""
    kind = cast("Any", type(value))
    if kind in _CONTAINERS:
        return kind([lower(it, is_row) for it in value])
    if kind is dict:
        return {lower(key, is_row): lower(it, is_row) for key, it in value.items()}
    if isinstance(value, enum.Enum):
        return lower(value.value)
    if is_row is not None and kind not in _PLAIN and is_row(kind):
        return value
    if _is_named_tuple(kind):
        return lower(tuple(value), is_row)
    if is_dataclass(kind):
        return {field.name: lower(getattr(value, field.name), is_row) for field in fields(kind) if field.init}
    if _is_model(kind):
        return lower(value.root if kind.__pydantic_root_model__ else _model_data(value), is_row)
    return value


def rows_in(value: Any, is_row: IsRow) -> Iterator[object]:
    """Every ORM row in a value that was built from an annotation."""
    kind = cast("Any", type(value))
    if kind in _PLAIN:
        return
    if is_row(kind):
        yield value
    elif kind is dict:
        for key, it in value.items():
            yield from rows_in(key, is_row)
            yield from rows_in(it, is_row)
    elif kind in _CONTAINERS or _is_named_tuple(kind):
        for it in value:
            yield from rows_in(it, is_row)
    elif is_dataclass(kind):
        for field in fields(kind):
            yield from rows_in(getattr(value, field.name, None), is_row)
    elif _is_model(kind):
        yield from rows_in(_model_data(value), is_row)


def same(one: Any, other: Any, is_row: IsRow | None = None) -> bool:  # noqa: PLR0911 one return per kind of value
    """Whether two values are equal and of the same types throughout; a row is the same only as itself."""
    kind = cast("Any", type(one))
    if kind is not type(other):
        return False
    if is_row is not None and kind not in _PLAIN and is_row(kind):
        return one is other
    if issubclass(kind, enum.Enum):
        return bool(one is other)
    if kind in _SEQUENCES or _is_named_tuple(kind):
        return len(one) == len(other) and all(same(it, its, is_row) for it, its in zip(one, other, strict=True))
    if kind in _HASHED and (set(one) != set(other) or set(map(type, one)) != set(map(type, other))):
        return False
    if kind is dict:
        return all(same(one[key], other[key], is_row) for key in one)
    if is_dataclass(kind):
        return all(same(getattr(one, field.name), getattr(other, field.name), is_row) for field in fields(kind))
    if _is_model(kind):
        private = one.__pydantic_private__, other.__pydantic_private__
        return same(_model_data(one), _model_data(other), is_row) and same(*private, is_row)
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


def _classes(schema: Any) -> Iterator[type]:
    """Every class that a schema of pydantic's core builds."""
    if isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        if isinstance(kind := node.get("cls"), type):
            yield cast("type[Any]", kind)
        for part in node.values():
            yield from _classes(part)
    elif isinstance(schema, (list, tuple)):
        for part in cast("Sequence[Any]", schema):
            yield from _classes(part)


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
