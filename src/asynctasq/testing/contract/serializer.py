"""What every serializer promises: see `asynctasq.ports.serializer`.

    class TestMsgpackSerializer(SerializerContract):
        golden = {"a list": ([1, 2], "01920102")}

        @pytest.fixture
        def serializer(self):
            return MsgpackSerializer()

Serializers keep no state between calls, so one instance may serve all the examples of a test.
"""

# ruff: noqa: D102  the name of a promise says what it means

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asynctasq.domain.errors import SerializationError, UndecodableTask, UnknownFrame
from asynctasq.domain.message import ModelRef
from asynctasq.ports.serializer import Serializer
from asynctasq.testing.contract.base import Contract
from asynctasq.testing.contract.values import HASHABLE, OWN_ZONE, VALUES, assert_exact, strangers

_examples = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class SerializerContract(Contract):
    """Subclass it, give the fixture `serializer`, and write down what bodies look like today.

    Attributes:
        golden: name to (value, body in hex): what was written once and must be readable, and written, for ever. Never
            regenerate it; add to it, at least one body per type that is encoded in a way of its own.
        frame: the kind of its frames, byte 0: 0x01 is plain msgpack, those from 0x20 on are free for others.
    """

    subject = "serializer"
    golden: ClassVar[Mapping[str, tuple[object, str]]]
    frame: ClassVar[int] = 0x01

    # What comes back

    @_examples
    @given(value=VALUES)
    def test_what_comes_back_is_equal_and_of_the_same_types_throughout(
        self, serializer: Serializer, value: object
    ) -> None:
        assert_exact(_round_trip(serializer, value), value)

    @_examples
    @given(keys=st.lists(HASHABLE, min_size=1, max_size=8))
    def test_keys_keep_their_types_and_their_order(self, serializer: Serializer, keys: list[Any]) -> None:
        value = {key: position for position, key in enumerate(keys)}
        assert_exact(_round_trip(serializer, value), value)

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1], ids=repr)
    def test_every_float_survives(self, serializer: Serializer, number: float) -> None:
        assert_exact(_round_trip(serializer, [number, complex(number, -0.0)]), [number, complex(number, -0.0)])

    @pytest.mark.parametrize(
        "number", [2**63, 2**64, -(2**63) - 1, 10**4000, -(10**4000)], ids=["63", "64", "-63", "+", "-"]
    )
    def test_an_integer_beyond_64_bits_survives(self, serializer: Serializer, number: int) -> None:
        assert_exact(_round_trip(serializer, number), number)

    @pytest.mark.parametrize("fold", [0, 1])
    def test_an_hour_that_comes_twice_is_still_the_same_one(self, serializer: Serializer, fold: int) -> None:
        twice = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=fold)
        back = _round_trip(serializer, twice)
        assert_exact(back, twice)
        assert isinstance(back, datetime)
        assert back.timestamp() == twice.timestamp()

    @pytest.mark.parametrize(
        "value",
        [
            {"__set__": [1, 2]},
            {"__datetime__": "nope"},
            {"__type__": "tuple", "items": [1]},
            {"__orm:django__": 1, "__orm_class__": "app.User", "__orm_class_file__": "/uploads/evil.py"},
            {"$date": 0},
            {"py/object": "os.system"},
            {"orm": "django", "label": "app.User", "pk": 1, "alias": None},
            {"__class__": "app.User", "__reduce__": ["os.system", ["true"]]},
        ],
        ids=lambda value: next(iter(value)),
    )
    def test_a_dict_never_becomes_anything_else(self, serializer: Serializer, value: dict[str, Any]) -> None:
        assert_exact(_round_trip(serializer, [value, {"nested": value}]), [value, {"nested": value}])

    def test_every_reference_to_a_row_is_told_by_itself(self, serializer: Serializer) -> None:
        one, other = (
            ModelRef(orm="django", label="app.User", pk=1),
            ModelRef(orm="sqlalchemy", label="app:Seat", pk=(1, "a")),
        )
        body = serializer.dumps([one, {"deep": (other, [one])}, {"orm": "django"}], id="1", queue="default")
        refs: list[ModelRef] = []
        back: Any = serializer.loads(body, id="1", queue="default", refs=refs)
        assert_exact(back, [one, {"deep": (other, [one])}, {"orm": "django"}])
        assert sorted(map(id, refs)) == sorted(map(id, (back[0], back[1]["deep"][0], back[1]["deep"][1][0])))

    @pytest.mark.parametrize("depth", [10, 40, 400, 40_000])
    @pytest.mark.parametrize("kind", [list, tuple])
    def test_deep_nesting_comes_back_or_is_refused_at_once(
        self, serializer: Serializer, kind: Callable[[list[object]], object], depth: int
    ) -> None:
        value = kind([])
        for _ in range(depth):
            value = kind([value])
        try:
            body = serializer.dumps(value, id="1", queue="default")
        except SerializationError:
            assert depth > 10
        else:
            assert_exact(serializer.loads(body, id="1", queue="default"), value)

    def test_values_are_encoded_and_decoded_in_many_threads_at_once(self, serializer: Serializer) -> None:
        def round_trip(value: object) -> object:
            return _round_trip(serializer, value)

        values = [[number, (number,) * 50, {"text": "x" * number}] for number in range(200)]
        with ThreadPoolExecutor(8) as threads:
            back = list(threads.map(round_trip, values))
        assert_exact(back, values)

    # What is refused

    @pytest.mark.parametrize("within", ["alone", "list", "tuple", "dict", "key or set", "deep"])
    def test_what_would_not_come_back_is_refused_by_name(self, serializer: Serializer, within: str) -> None:
        with ExitStack() as open_things:
            for stranger in strangers(open_things):
                value = _put(stranger, within)
                with pytest.raises(SerializationError) as refusal:
                    serializer.dumps(value, id="1", queue="default")
                assert type(stranger).__qualname__ in str(refusal.value)

    def test_what_contains_itself_is_refused(self, serializer: Serializer) -> None:
        in_list, in_dict, in_tuple = list[Any](), dict[str, Any](), (list[Any](),)
        in_list.append(in_list)
        in_dict["itself"] = in_dict
        in_tuple[0].append(in_tuple)
        for value in (in_list, in_dict, in_tuple):
            with pytest.raises(SerializationError):
                serializer.dumps(value, id="1", queue="default")

    def test_a_zone_that_is_not_the_databases_is_refused(self, serializer: Serializer) -> None:
        with pytest.raises(SerializationError):
            serializer.dumps(datetime(2024, 1, 1, tzinfo=OWN_ZONE), id="1", queue="default")

    # What is read

    @_examples
    @given(body=st.binary(max_size=200) | st.binary(max_size=200).map(lambda it: b"\x01" + it))
    @example(body=b"")
    def test_any_bytes_are_decoded_or_refused_by_name(self, serializer: Serializer, body: bytes) -> None:
        _read(serializer, body)

    @_examples
    @given(value=VALUES, data=st.data())
    def test_a_damaged_body_is_decoded_or_refused_by_name(
        self, serializer: Serializer, value: object, data: st.DataObject
    ) -> None:
        body = serializer.dumps(value, id="1", queue="default")
        at = data.draw(st.integers(0, len(body)))
        gone, put = data.draw(st.integers(0, 4)), data.draw(st.binary(max_size=4))
        _read(serializer, body[:at] + put + body[at + gone :])

    def test_a_body_that_was_cut_off_is_undecodable(self, serializer: Serializer) -> None:
        body = serializer.dumps(("app:task", [60.0], Decimal("1.5"), {UUID(int=1)}), id="1", queue="default")
        for end in range(len(body)):
            with pytest.raises(UndecodableTask):
                serializer.loads(body[:end], id="1", queue="default")

    def test_a_body_that_goes_on_is_undecodable(self, serializer: Serializer) -> None:
        body = serializer.dumps(["app:task"], id="1", queue="default")
        with pytest.raises(UndecodableTask):
            serializer.loads(body + b"\x00", id="1", queue="default")

    # The frame and the bytes

    def test_a_body_starts_with_the_kind_of_its_frame(self, serializer: Serializer) -> None:
        assert serializer.dumps([], id="1", queue="default")[0] == self.frame

    def test_a_frame_of_a_later_version_is_unknown(self, serializer: Serializer) -> None:
        body = serializer.dumps([], id="1", queue="default")
        for kind in range(0x02, 0x20):
            with pytest.raises(UnknownFrame):
                serializer.loads(bytes([kind]) + body[1:], id="1", queue="default")

    def test_what_has_no_frame_is_undecodable(self, serializer: Serializer) -> None:
        body = serializer.dumps([], id="1", queue="default")
        for kind in {0x00, 0x01, *range(0x20, 0x100)} - {self.frame}:
            with pytest.raises(UndecodableTask):
                serializer.loads(bytes([kind]) + body[1:], id="1", queue="default")

    def test_bodies_of_the_past_are_read_and_written_as_ever(self, serializer: Serializer) -> None:
        assert self.golden, "write down at least one body"
        for name, (value, body) in self.golden.items():
            assert_exact(serializer.loads(bytes.fromhex(body), id="1", queue="default"), value)
            assert serializer.dumps(value, id="1", queue="default").hex() == body, f"{name} is written in another way"


def _round_trip(serializer: Serializer, value: object) -> object:
    return serializer.loads(serializer.dumps(value, id="1", queue="default"), id="1", queue="default")


def _read(serializer: Serializer, body: bytes) -> None:
    # Anything but these two errors is the test's failure.
    with suppress(UnknownFrame, UndecodableTask):
        serializer.loads(body, id="1", queue="default")


def _put(stranger: Any, within: str) -> object:
    match within:
        case "list":
            return [1, stranger]
        case "tuple":
            return (1, stranger)
        case "dict":
            return {"key": stranger}
        case "key or set":
            return {stranger} if isinstance(stranger, Hashable) else [stranger]
        case "deep":
            return [{"a": ({"b": [stranger]},)}]
        case _:
            return stranger
