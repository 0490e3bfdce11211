import io
import random
from collections import defaultdict
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation, getcontext, localcontext
from pathlib import PosixPath, PurePosixPath
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given, settings

from asynctasq.adapters.serializers import msgpack_limits as limits
from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.domain.errors import SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.testing.contract.values import VALUES, assert_exact

SERIALIZER = MsgpackSerializer()


def dumps(value):
    return SERIALIZER.dumps(value, id="1", queue="default")


def loads(body):
    return SERIALIZER.loads(body, id="1", queue="default")


def ext(code, payload):
    return b"\x01" + msgpack.packb(msgpack.ExtType(code, payload))


def nested(kind, depth):
    value = kind([])
    for _ in range(depth - 1):
        value = kind([value])
    return value


# Limits


@pytest.mark.parametrize("kind", [list, tuple, lambda items: {"key": items[0]} if items else {}])
def test_32_levels_travel_and_33_are_refused_on_both_sides(kind, monkeypatch):
    assert_exact(loads(dumps(nested(kind, 32))), nested(kind, 32))
    with pytest.raises(SerializationError, match="32 levels"):
        dumps(nested(kind, 33))
    with monkeypatch.context() as laxer:
        laxer.setattr(limits, "MAX_DEPTH", 100)
        body = dumps(nested(kind, 33))
    with pytest.raises(UndecodableTask, match="32 levels"):
        loads(body)


def test_depth_is_limited_in_a_large_body_too():
    with pytest.raises(SerializationError, match="32 levels"):
        dumps(["x" * 100_000, nested(list, 32)])


def test_flat_data_with_many_containers_is_not_deep():
    value = [{"id": number, "tags": ("a", "b")} for number in range(2_000)]
    assert_exact(loads(dumps(value)), value)


def test_50_000_items_travel_and_one_more_is_refused_on_both_sides(monkeypatch):
    assert_exact(loads(dumps([0] * 50_000)), [0] * 50_000)
    with pytest.raises(SerializationError, match="50,000 items"):
        dumps([0] * 50_001)
    with monkeypatch.context() as laxer:
        laxer.setattr(limits, "MAX_ITEMS", 100_000)
        body = dumps([[0] * 25_000, [0] * 25_000])
    with pytest.raises(UndecodableTask, match="50,000 items"):
        loads(body)


@pytest.mark.parametrize(
    "lie", ["ddffffffff", "dfffffffff", "c6ffffffff00", "dbffffffff00", "c9ffffffff0100", "dd0000ffff" * 8]
)
def test_a_length_that_is_not_there_is_refused(lie):
    with pytest.raises(UndecodableTask):
        loads(b"\x01" + bytes.fromhex(lie))


def test_headers_of_containers_without_their_arrays_cannot_nest():
    payload = b"\xc0"
    for _ in range(1_000):
        payload = msgpack.packb(msgpack.ExtType(1, payload))
    with pytest.raises(UndecodableTask):
        loads(b"\x01" + payload)


def test_a_container_that_claims_less_than_its_array_holds_hides_nothing():
    inside = msgpack.packb([1, 2, 3])
    body = b"\x01\x92" + bytes([0xC7, 2, 1]) + inside + msgpack.packb(nested(list, 40))
    with pytest.raises(UndecodableTask):
        loads(body)


@settings(deadline=None)
@given(value=VALUES)
def test_limits_are_exact_for_any_value(value):
    body = dumps(value)
    with pytest.MonkeyPatch.context() as tighter:
        tighter.setattr(limits, "MAX_DEPTH", 2)
        tighter.setattr(limits, "MAX_ITEMS", 6)
        over = levels(value) > 2 or items(value) > 6
        with pytest.raises(ValueError, match=r"levels|items") if over else nullcontext():
            limits.check(body[1:])


def levels(value):
    return 1 + max(map(levels, inside(value)), default=0) if inside(value) is not None else 0


def items(value):
    return len(inside(value)) + sum(map(items, inside(value))) if inside(value) is not None else 0


def inside(value):
    match value:
        case dict():
            return [*value, *value.values()]
        case list() | tuple() | set() | frozenset():
            return [*value]
        case ModelRef():
            return [value.orm, value.label, value.pk, value.alias]
        case _:
            return None


# What is refused


@pytest.mark.parametrize(
    "stranger", [bytearray(b"1"), memoryview(b"1"), msgpack.ExtType(1, b"\x91\x01"), msgpack.Timestamp(1)]
)
@pytest.mark.parametrize(
    "put", [lambda it: it, lambda it: [b"", {"key": it}], lambda it: ({1: (it,)},), lambda it: ["x" * 300, it]]
)
def test_what_msgpack_would_take_for_something_else_is_refused(stranger, put):
    with pytest.raises(SerializationError, match=type(stranger).__name__):
        dumps(put(stranger))


@pytest.mark.parametrize(
    ("value", "next_step"),
    [
        (bytearray(), r"pass bytes\(value\)"),
        (lambda: None, "pass a name that the task looks up"),
        (dict, "pass a name that the task looks up"),
        (defaultdict(list), "pass a plain dict"),
        (io.StringIO(), "pass its path"),
        (iter([1]), r"pass list\(value\)"),
        (object(), "such as an id"),
    ],
)
def test_a_refusal_says_what_to_pass_instead(value, next_step):
    with pytest.raises(SerializationError, match=next_step):
        dumps([value])


def test_an_integer_that_python_would_not_print_is_refused():
    assert_exact(loads(dumps(10**4_290)), 10**4_290)
    with pytest.raises(SerializationError, match="pass it as text"):
        dumps(10**4_300)


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(SerializationError, match="surrogates"):
        dumps("\ud800")


# What is read


@pytest.mark.parametrize(
    "key",
    [
        "../../../etc/passwd",
        "/etc/localtime",
        "Europe/../Europe/Prague",
        "Europe//Prague",
        "tzdata.zi",
        "Europe",
        "No/Such_Zone",
        "Europe/Prague\0",
        "Ev\u00edl",
        "",
        "a/b/c/d/e",
        "x" * 200,
    ],
)
def test_only_the_name_of_a_zone_in_the_database_is_looked_up(key):
    noon = dumps(datetime(2024, 1, 1, 12, tzinfo=UTC))
    payload = msgpack.unpackb(noon[1:]).data[:-1] + b"K" + key.encode()
    with pytest.raises(UndecodableTask):
        loads(ext(19, payload))


@pytest.mark.parametrize(
    ("code", "payload"),
    [
        (0, b""),
        (15, b"\x90"),
        (25, b""),
        (127, b""),
        (1, b"\xc0"),
        (2, b"\x91\x90"),
        (4, b"\x91\x01"),
        (4, b"\x94\x01\xa1x\x01\xc0"),
        (16, b"\x01" * 1786),
        (17, b"\x00"),
        (18, b"nope"),
        (18, b"\xff"),
        (19, b""),
        (19, b"\x00" * 12),
        (19, b"\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00\x00\x02"),
        (19, b"\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00?"),
        (19, b"\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00O\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (20, b"\x07\xe8\x02\x1e"),
        (21, b"\x18\x00\x00\x00\x00\x00\x00\x00"),
        (22, b"\x7f\xff\xff\xff\x7f\xff\xff\xff\x00\x00\x00\x00"),
        (23, b"short"),
        (24, b""),
        (24, b"\x04name"),
    ],
)
def test_a_value_out_of_its_range_is_undecodable(code, payload):
    with pytest.raises(UndecodableTask):
        loads(ext(code, payload))


def test_a_code_that_msgpack_keeps_for_itself_is_undecodable():
    with pytest.raises(UndecodableTask, match="-2"):
        loads(b"\x01\xd4\xfe\x00")


def test_a_malformed_decimal_is_undecodable_whatever_the_worker_traps():
    with localcontext() as context:
        context.traps[InvalidOperation] = False
        with pytest.raises(UndecodableTask):
            loads(ext(18, b"nope"))


def test_a_decimal_is_exact_whatever_precision_the_worker_has():
    with localcontext() as context:
        context.prec = 2
        assert str(loads(dumps(Decimal("1.2345")))) == "1.2345"
    assert getcontext().prec > 2


def test_unhashable_keys_are_undecodable():
    with pytest.raises(UndecodableTask, match="unhashable"):
        loads(b"\x01\x81\x90\xc0")


def test_msgpacks_own_timestamp_is_read_as_utc():
    assert_exact(
        loads(b"\x01" + msgpack.packb(msgpack.Timestamp(1, 5_000))), datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)
    )


def test_a_file_name_that_is_not_utf8_survives():
    path = PosixPath(b"/srv/\xff".decode("utf-8", "surrogateescape"))
    assert_exact(loads(dumps(path)), path)


def test_a_path_is_as_concrete_as_it_was():
    value = [PosixPath("/a"), PurePosixPath("/a"), PurePosixPath("")]
    assert_exact(loads(dumps(value)), value)


def test_a_zone_that_was_read_from_a_file_is_refused(tmp_path):
    source = ZoneInfo("Europe/Prague")
    assert source.key == "Europe/Prague"
    with pytest.raises(SerializationError, match="zone"):
        dumps(datetime(2024, 1, 1, tzinfo=_from_file(None)))
    with pytest.raises(SerializationError, match="Made/Up"):
        dumps(datetime(2024, 1, 1, tzinfo=_from_file("Made/Up")))


def _from_file(key):
    # The smallest file of a zone: version 1, one type, UTC.
    header = b"TZif" + b"\0" * 16 + b"\0\0\0\0" * 4 + b"\0\0\0\1" + b"\0\0\0\4"
    return ZoneInfo.from_file(io.BytesIO(header + b"\0" * 6 + b"UTC\0"), key=key)


def test_the_largest_body_of_random_bytes_is_refused_within_a_second():
    # A scan reads about ten million bytes a second here; a second leaves room for a crowded machine.
    noise = random.Random(2).randbytes(262_144)
    with pytest.raises(UndecodableTask):
        loads(b"\x01" + noise)


def test_a_small_tasks_arguments_are_as_small_as_they_can_be():
    assert len(dumps([[], {}])) == 4
    assert len(dumps([[1, "a"], {"b": timedelta(1)}])) == 24
