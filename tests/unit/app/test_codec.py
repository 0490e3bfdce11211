import enum
from pathlib import PurePosixPath

import pytest

from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.app.codec import Codec
from asynctasq.app.parameters import Parameters
from asynctasq.domain.errors import PayloadTooLarge, SerializationError, UndecodableTask, UnknownFrame
from asynctasq.domain.message import Message
from asynctasq.domain.task import Task, TaskConfig
from asynctasq.testing.contract.values import assert_exact

SERIALIZER = MsgpackSerializer()
CODEC = Codec(SERIALIZER)


class Colour(enum.Enum):
    RED = "red"


def function(first, callback=None, *rest, colour: Colour = Colour.RED, **more): ...


PARAMETERS = Parameters(function)


def task(*args, retry_delay=None, **kwargs):
    return Task(name="app.tasks:function", args=args, kwargs=kwargs, config=TaskConfig(), retry_delay=retry_delay)


def encode(task, parameters=PARAMETERS, *, codec=CODEC, max_body=None):
    return codec.encode(task, parameters, id="1", max_body=max_body)


def message(body):
    return Message(id="1", queue="default", body=body)


def read(header, sent, parameters):
    return CODEC.build(header, CODEC.decode(header, sent), parameters)


def body(*parts):
    return message(SERIALIZER.dumps([*parts], id="1", queue="default"))


def arguments(*parts):
    return SERIALIZER.dumps([*parts], id="1", queue="default")


def test_a_task_without_arguments_takes_eleven_bytes_and_its_name():
    name = "some_company.orders.background:send_the_invoice_of_a_month"
    body = CODEC.encode(Task(name=name, args=(), kwargs={}, config=TaskConfig()), None, id="1", max_body=None)
    assert len(body) - len(name) == 11
    assert len(body) <= 120


def test_a_task_comes_back_in_two_steps():
    sent = message(encode(task(1, (2, PurePosixPath("a")), colour=Colour.RED, more={"x"}, retry_delay=2.5)))
    header = CODEC.header(sent)
    assert header.name == "app.tasks:function"
    assert header.retry_delay == 2.5
    args, kwargs = read(header, sent, PARAMETERS)
    assert_exact(args, [1, (2, PurePosixPath("a"))])
    assert kwargs["colour"] is Colour.RED
    assert_exact(kwargs["more"], {"x"})


def test_arguments_travel_as_they_are_without_parameters():
    sent = message(encode(task(1, "2", x=3), None))
    assert read(CODEC.header(sent), sent, None) == ([1, "2"], {"x": 3})


def test_a_task_without_arguments_takes_two_dozen_bytes():
    assert len(encode(Task(name="app.tasks:noop", config=TaskConfig()))) == 24


def test_a_task_without_an_override_sends_none():
    assert CODEC.header(message(encode(task(1)))).retry_delay is None
    assert len(encode(task(1, retry_delay=1.0))) - len(encode(task(1))) == 10


def test_the_bytes_of_version_one_are_fixed():
    written = "0193b26170702e7461736b733a66756e6374696f6e8101cb3ff8000000000000c4080192910181a17802"
    assert encode(task(1, x=2, retry_delay=1.5)).hex() == written
    header = CODEC.header(message(bytes.fromhex(written)))
    assert (header.name, header.retry_delay) == ("app.tasks:function", 1.5)
    assert read(header, message(b""), PARAMETERS) == ([1], {"x": 2})


# Dispatch


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (task(1, lambda: None), "callback"),
        (task(lambda: None), "first"),
        (task(1, 2, 3, lambda: None), "rest[1]"),
        (task(1, callback=lambda: None), "callback"),
        (task(1, other=lambda: None), "other"),
    ],
)
def test_an_argument_that_does_not_travel_is_named(call, name):
    with pytest.raises(SerializationError) as refusal:
        encode(call)
    assert f"argument {name!r} of task 'app.tasks:function': a value of type function" in str(refusal.value)


def test_without_parameters_an_argument_is_named_by_its_position():
    with pytest.raises(SerializationError, match="argument '#1' of"):
        encode(task(1, lambda: None), None)


def test_an_enum_without_its_annotation_is_refused_by_name():
    with pytest.raises(SerializationError, match=r"'first' of .*Colour.*annotate"):
        encode(task(Colour.RED))


def test_an_annotation_that_cannot_be_used_is_told():
    def local(*values: "OnlyForTypeCheckers"): ...  # noqa: F821

    with pytest.raises(SerializationError, match=r"'values\[1\]' of .*Colour.*cannot be used: NameError: .*OnlyFor"):
        encode(task(1, Colour.RED), Parameters(local))


def test_an_argument_that_nests_too_deeply_is_named():
    deep = []
    for _ in range(29):
        deep = [deep]
    encode(task(1, deep))
    with pytest.raises(SerializationError, match=r"argument 'callback' of .*32 levels"):
        encode(task(1, [deep]))


def test_arguments_that_are_too_many_only_together_are_refused():
    with pytest.raises(SerializationError, match=r"arguments of task 'app.tasks:function' together: .*50,000 items"):
        encode(task([0] * 30_000, [0] * 30_000))


@pytest.mark.parametrize(("ours", "drivers"), [(1_000, None), (1_000, 5_000), (5_000, 1_000)])
def test_a_body_over_the_smaller_limit_is_refused(ours, drivers):
    codec = Codec(SERIALIZER, max_body=ours)
    room = 1_000 - len(encode(task("x" * 900))) + 900
    assert len(encode(task("x" * room), codec=codec, max_body=drivers)) == 1_000
    with pytest.raises(PayloadTooLarge) as refusal:
        encode(task("x" * (room + 1)), codec=codec, max_body=drivers)
    for part in ("'app.tasks:function'", "1,001 bytes", "limit of 1,000", "pass a reference"):
        assert part in str(refusal.value)


# The worker


def test_the_header_can_be_read_when_the_arguments_cannot():
    sent = body("app:f", {1: 3}, b"\x01\xc1")
    header = CODEC.header(sent)
    assert (header.name, header.retry_delay) == ("app:f", 3.0)
    with pytest.raises(UndecodableTask):
        read(header, sent, PARAMETERS)


def test_a_body_over_the_limit_is_not_decoded():
    with pytest.raises(UndecodableTask, match="11 bytes, over the limit of 10"):
        Codec(SERIALIZER, max_body=10).header(message(b"\xff" * 11))


def test_an_override_that_may_be_ignored_is():
    assert CODEC.header(body("app:f", {63: "later", 1: 2.0}, arguments([], {}))).retry_delay == 2.0


def test_an_override_that_may_not_be_ignored_is_of_a_later_version():
    with pytest.raises(UnknownFrame, match="override 64"):
        CODEC.header(body("app:f", {64: None}, arguments([], {})))


def test_arguments_in_a_later_frame_are_of_a_later_version():
    sent = body("app:f", {}, b"\x02")
    with pytest.raises(UnknownFrame):
        read(CODEC.header(sent), sent, None)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("app:f",),
        ("app:f", {}),
        ("app:f", {}, b"", None),
        (b"app:f", {}, b""),
        ("app:f", [], b""),
        ("app:f", {}, "text"),
        ("app:f", {"1": 2.0}, b""),
        ("app:f", {True: 2.0}, b""),
        ("app:f", {-1: 2.0}, b""),
        ("app:f", {1: "2"}, b""),
        ("app:f", {1: -2.0}, b""),
        ("app:f", {1: float("nan")}, b""),
        ("app:f", {1: True}, b""),
    ],
    ids=repr,
)
def test_a_malformed_header_is_undecodable(parts):
    with pytest.raises(UndecodableTask):
        CODEC.header(body(*parts))


@pytest.mark.parametrize("value", [None, {}, "ab"], ids=repr)
def test_a_body_that_is_no_list_is_undecodable(value):
    with pytest.raises(UndecodableTask):
        CODEC.header(message(SERIALIZER.dumps(value, id="1", queue="default")))


@pytest.mark.parametrize(
    "parts", [(), ([],), ({}, []), ([], {}, None), ((), {}), ([], {1: 2}), ([], {b"x": 2})], ids=repr
)
def test_malformed_arguments_are_undecodable(parts):
    sent = body("app:f", {}, arguments(*parts))
    with pytest.raises(UndecodableTask, match=r"arguments of task 'app:f'"):
        read(CODEC.header(sent), sent, None)


def test_an_argument_that_no_longer_fits_is_named():
    sent = body("app.tasks:function", {}, arguments([1], {"colour": "blue"}))
    with pytest.raises(UndecodableTask, match=r"argument 'colour' of task 'app.tasks:function'"):
        read(CODEC.header(sent), sent, PARAMETERS)
