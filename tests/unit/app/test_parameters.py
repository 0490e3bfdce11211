from __future__ import annotations

import enum
import functools
import math
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence  # noqa: F401 named in annotations that are text, below too
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import (  # noqa: F401
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypeVar,
    Union,
)

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from asynctasq.app.parameters import Parameters
from asynctasq.domain.errors import SerializationError, UndecodableTask
from asynctasq.testing.contract.values import assert_exact

if TYPE_CHECKING:
    from somewhere.only_type_checkers_look import Elsewhere  # noqa: F401

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    MIXED = ("red", 1)


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclass
class Point:
    x: int
    y: float = 0.0
    colour: Colour | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    ends: tuple[Point, Point]
    length: float = field(init=False, default=1.0)


@dataclass(eq=False)
class Box(Generic[T]):
    content: T


@dataclass
class Coloured(Point):
    pass


@dataclass
class Picky:
    x: int

    def __post_init__(self):
        if self.x < 0:
            raise LookupError("below zero")


@dataclass
class Doubling:
    x: int

    def __post_init__(self):
        self.x *= 2


@dataclass
class Consuming:
    x: InitVar[int]


class Pair(NamedTuple):
    left: int
    colour: Colour


Untyped = namedtuple("Untyped", "a b")


class User(BaseModel):
    name: str = Field(alias="userName")
    tags: set[str] = set()
    favourite: Colour | None = None
    model_config = ConfigDict(populate_by_name=True)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    level: Level


class Rows(RootModel[list[Point]]):
    pass


class Secretive(BaseModel):
    x: int
    _seen: int = PrivateAttr(default=0)


class Loose(BaseModel):
    x: Any


class Typed(TypedDict):
    point: Point


class Tree(TypedDict, total=False):
    children: list[Tree]


UserId = NewType("UserId", int)
Shade = NewType("Shade", Colour)


def one(annotation):
    def task(value): ...

    task.__annotations__ = {"value": annotation}
    return Parameters(task)


def back(parameters, *args, **kwargs):
    lowered = parameters.lower("app:task", args, kwargs)
    assert_plain(lowered)
    return parameters.lift("app:task", *lowered)


def assert_plain(value):
    assert type(value) in {list, tuple, set, frozenset, dict, str, int, float, bool, datetime, Decimal, type(None)}
    if type(value) in {list, tuple, set, frozenset}:
        for it in value:
            assert_plain(it)
    if type(value) is dict:
        assert_plain([*value.items()])


POINT = Point(1, 2.5, Colour.RED, datetime(2024, 1, 1))  # noqa: DTZ001
LINE = Line(ends=(POINT, Point(2)))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("Colour", Colour.RED),
        ("Colour", Colour.MIXED),
        ("Level", Level.LOW),
        ("Rights", Rights.READ | Rights.WRITE),
        ("Point", POINT),
        ("Line", LINE),
        ("Pair", Pair(1, Colour.RED)),
        ("Untyped", Untyped(1, "b")),
        ("User", User(userName="Ada", tags={"a"}, favourite=Colour.RED)),
        ("Open", Open(level=Level.LOW, more=[1])),
        ("Rows", Rows([POINT])),
        ("Point | None", None),
        ("Optional[Point]", POINT),
        ("Union[int, Point, str]", "text"),
        ("Union[int, Point, str]", POINT),
        ("Point | User", User(userName="Ada")),
        ("list[Point]", [POINT, POINT]),
        ("tuple[Colour, ...]", (Colour.RED, Colour.MIXED)),
        ("set[Colour]", {Colour.MIXED}),  # one: the order of more is in no repr that can be compared
        ("frozenset[Pair]", frozenset([Pair(1, Colour.RED)])),
        ("dict[Colour, list[Pair | None]]", {Colour.RED: [Pair(1, Colour.RED), None]}),
        ("Mapping[str, Sequence[Level]]", {"a": [Level.LOW], "b": (Level.LOW,)}),
        ("Typed", {"point": POINT}),
        ("Annotated[Colour, 'as seen']", Colour.RED),
        ("Shade", Colour.RED),
        ("Point", Point(1, math.nan)),
        ("Point", Point(1, -0.0)),
    ],
    ids=repr,
)
def test_what_the_annotation_describes_comes_back(annotation, value):
    parameters = one(annotation)
    assert not parameters.plain
    (lifted,), _ = back(parameters, value)
    assert repr(lifted) == repr(value)
    assert type(lifted) is type(value)


def test_a_generic_dataclass_without_equality_comes_back():
    (lifted,), _ = back(one("Box[Point]"), Box(POINT))
    assert type(lifted) is Box
    assert lifted.content == POINT


def test_each_argument_goes_by_its_own_annotation():
    def task(a: Colour, /, b: int, *rest: Level, c: Point | None = None, **more: Pair): ...

    args, kwargs = back(
        Parameters(task), Colour.RED, 1, Level.LOW, Level.LOW, c=POINT, a=Pair(1, Colour.RED), d=Pair(2, Colour.RED)
    )
    assert args == [Colour.RED, 1, Level.LOW, Level.LOW]
    assert list(map(type, args)) == [Colour, int, Level, Level]
    assert kwargs == {"c": POINT, "a": Pair(1, Colour.RED), "d": Pair(2, Colour.RED)}
    assert list(map(type, kwargs.values())) == [Point, Pair, Pair]


def test_other_parameters_are_neither_rebuilt_nor_coerced():
    def task(text: str, number: int, point: Point, numbers: list[int], user_id: UserId, tree: Tree): ...

    parameters = Parameters(task)
    given = [1, "2", POINT, ("3",), "4", {"children": "none"}]
    args, _ = back(parameters, *given)
    assert_exact(args[:2] + args[3:], given[:2] + given[3:])


@pytest.mark.parametrize(
    "annotation",
    [
        "int",
        "list[dict[str, int]]",
        "Any",
        "UserId",
        "Tree",
        "Literal['a', 1]",
        "Annotated[int, Colour.RED]",
        "T",
        "None",
    ],
)
def test_an_annotation_without_such_a_class_costs_nothing(annotation):
    assert one(annotation).plain


def test_a_function_without_annotations_is_plain():
    assert Parameters(lambda *args, **kwargs: None).plain
    assert Parameters(print).plain
    assert Parameters(functools.partial(print, 1)).plain


def test_the_return_annotation_does_not_matter():
    def task(value: int) -> Colour: ...

    assert Parameters(task).plain


def test_a_default_of_none_allows_none():
    def task(colour: Colour = None, *, point: Point = None): ...

    assert back(Parameters(task), None, point=None) == ([None], {"point": None})
    assert back(Parameters(task), Colour.RED) == ([Colour.RED], {})


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        ("Colour", "red", "a str, and its annotation would rebuild it as another value, a Colour"),
        ("Colour | str", Colour.RED, "a Colour, and its annotation would rebuild it as another value, a str"),
        ("Colour", Level.LOW, "Input should be 'red' or"),
        ("Point", Coloured(1), "a Coloured, and"),
        ("Point", Point("1"), "a Point, and"),
        ("Point", Point(1, colour="red"), "a Point, and"),
        ("Doubling", Doubling(1), "a Doubling, and"),
        ("Consuming", Consuming(1), "x: "),
        ("Loose", Loose(x=POINT), "a Loose, and"),
        ("Iterable[Colour]", [Colour.RED], "a list, and"),
        ("Literal[Colour.RED]", Colour.RED, "Input should be"),
        ("User", User.model_construct(name=1), "name: Input should be a valid string"),
    ],
    ids=repr,
)
def test_what_would_come_back_as_another_value_is_refused(annotation, value, said):
    with pytest.raises(SerializationError) as refusal:
        one(annotation).lower("app:task", (value,), {})
    assert "argument 'value' of task 'app:task'" in str(refusal.value)
    assert said in str(refusal.value)


def test_private_state_that_would_be_lost_is_refused():
    model = Secretive(x=1)
    assert back(one("Secretive"), model) == ([model], {})
    model._seen = 1
    with pytest.raises(SerializationError, match="value"):
        one("Secretive").lower("app:task", (model,), {})


def test_what_contains_itself_is_refused():
    point = Point(1)
    point.y = [point]
    with pytest.raises(SerializationError, match="RecursionError"):
        one("Point").lower("app:task", (point,), {})


@pytest.mark.parametrize(
    ("annotation", "lowered", "said"),
    [
        ("Colour", "blue", "Input should be 'red' or"),
        ("Point", {"x": "one"}, "x: Input should be a valid integer"),
        ("Point", {}, "x: "),
        ("list[Point]", [{"x": 1}, 2], "1: "),
        ("Picky", {"x": -1}, "LookupError: below zero"),
    ],
)
def test_what_no_longer_fits_is_undecodable_and_named(annotation, lowered, said):
    with pytest.raises(UndecodableTask) as refusal:
        one(annotation).lift("app:task", [lowered], {})
    assert "argument 'value' of task 'app:task'" in str(refusal.value)
    assert said in str(refusal.value)


def test_an_error_does_not_repeat_the_value():
    with pytest.raises(UndecodableTask) as refusal:
        one("User").lift("app:task", [{"name": ["my secret"]}], {})
    assert "my secret" not in str(refusal.value)


def test_a_class_named_in_the_payload_stays_text():
    lowered = {"x": 1, "y": 2.0, "colour": None, "at": None, "__class__": "os.system", "__type__": "Picky"}
    (lifted,), _ = one("Point").lift("app:task", [lowered], {})
    assert lifted == Point(1, 2.0)


@pytest.mark.parametrize(
    "annotation", ["Elsewhere", "list[Elsewhere]", "not even python(", "1 / 0", "Colour | Unheard"]
)
def test_an_annotation_that_cannot_be_resolved_counts_as_absent(annotation):
    def task(value, colour: Colour): ...

    task.__annotations__["value"] = annotation
    parameters = Parameters(task)
    assert back(parameters, 1, Colour.RED) == ([1, Colour.RED], {})
    assert parameters.trouble("value")
    assert parameters.trouble("colour") is None


def test_a_class_that_is_local_to_a_function_counts_as_absent():
    class Local(enum.Enum):
        HERE = 1

    def task(value: Local): ...

    assert Parameters(task).plain


def test_a_class_that_pydantic_cannot_build_is_taken_as_it_is():
    class Foreign:
        pass

    foreign, parameters = Foreign(), one(Colour | Foreign)
    assert back(parameters, Colour.RED) == ([Colour.RED], {})
    assert parameters.lift("app:task", *parameters.lower("app:task", [foreign], {})) == ([foreign], {})


def test_a_wrapper_is_looked_through():
    def task(colour: Colour, *, point: Point): ...

    @functools.wraps(task)
    def wrapper(*args: int, **kwargs: int):
        return task(*args, **kwargs)

    assert back(Parameters(wrapper), Colour.RED, point=POINT) == ([Colour.RED], {"point": POINT})


class Service:
    def bound(self, colour: Colour): ...

    @classmethod
    def on_class(cls, colour: Colour): ...

    @staticmethod
    def static(colour: Colour): ...


@pytest.mark.parametrize("method", [Service().bound, Service.on_class, Service.static])
def test_a_methods_arguments_start_after_its_self(method):
    assert back(Parameters(method), Colour.RED) == ([Colour.RED], {})
    assert Parameters(method).name(0) == "colour"


def test_a_position_is_called_by_its_parameter():
    def task(a, /, b, *rest, c): ...

    assert [Parameters(task).name(at) for at in range(4)] == ["a", "b", "rest[0]", "rest[1]"]
    assert Parameters(dict).name(0) == "#0"


def test_neither_the_module_nor_a_plain_task_loads_pydantic_or_asyncio():
    script = """
import sys
from asynctasq.app.parameters import Parameters
def task(a: int, b: "dict[str, list[int]]" = None, c: "OnlyForTypeCheckers" = None): ...
assert Parameters(task).plain
assert not {"pydantic", "pydantic_core"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
